"""The problems that models can be learned for, by name: Sluice's own, an installed package's, a project's."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.core.errors import BadInput
from sluice.core.extensions import Code, Registry, is_reference
from sluice.problems import built_in
from sluice.problems.loss_metrics import loss_metric
from sluice.problems.losses import Loss
from sluice.problems.metrics import BUILT_IN, Metric, blamed_metric, check_metric, find_metric
from sluice.problems.problem import Problem
from sluice.problems.task import BINARY, MULTICLASS, REGRESSION, Task

Floats = NDArray[np.float64]
LARGEST_LABEL = 1e15
"""Beyond it the squares of errors lose the digits that tell two models apart."""
COUNTS = "counts"
FORM_PROBLEMS = {
    BINARY: built_in.BINARY_PROBLEM,
    MULTICLASS: built_in.MULTICLASS_PROBLEM,
    REGRESSION: built_in.REGRESSION_PROBLEM,
}
"""The problem of each form of forecasts: what a further problem of the form leaves open is this one's."""


@dataclass(frozen=True)
class Form:
    """What is shown of models, by the form of their forecasts.

    Attributes:
        shown: The metrics of pages, cards and summaries, in their order; evaluation measures more.
        headline: Two metrics for figures and short tables.
        sliced: The metrics of each slice.
        row_loss: The metric that is the mean of the rows' own losses: it tells how much rows depend on each other.
    """

    shown: tuple[str, ...]
    headline: tuple[str, str]
    sliced: tuple[str, ...]
    row_loss: str


_OF_CLASSES = ("log_loss", "roc_auc", "accuracy", "precision", "recall", "f1", "calibration_error")
_OF_SLICES = ("log_loss", "brier", "roc_auc", "accuracy")
FORMS = {
    BINARY: Form(_OF_CLASSES, ("log_loss", "roc_auc"), _OF_SLICES, "log_loss"),
    MULTICLASS: Form(_OF_CLASSES, ("log_loss", "accuracy"), _OF_SLICES, "log_loss"),
    REGRESSION: Form(("rmse", "mae", "r2", "mape"), ("rmse", "mae"), ("rmse", "mae", "r2", "bias"), "mse"),
}
"""By name."""


class OwnProblem(Protocol):
    """What a problem has; see `sluice.problems.problem.Problem`, which each must be."""

    like: str


PROBLEMS: Registry[OwnProblem] = Registry(
    "problems",
    OwnProblem,
    {
        BINARY: "sluice.problems.built_in:BINARY_PROBLEM",
        MULTICLASS: "sluice.problems.built_in:MULTICLASS_PROBLEM",
        REGRESSION: "sluice.problems.built_in:REGRESSION_PROBLEM",
        COUNTS: "sluice.problems.built_in:COUNTS",
    },
    title="problem",
)
"""Sluice's own, and those that projects and installed packages bring."""


@dataclass(frozen=True)
class OpenedProblem:
    """A problem with all that it left open, and how its faults are told.

    Attributes:
        name: As the project names it: `counts`, `counting.py:visits`.
        problem: What it is, for the form that the label has.
        blamed: Gives a context that turns what its code raises into one line.
    """

    name: str
    problem: Problem
    blamed: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def loss(self) -> Loss:
        """What Sluice's families make small."""
        return self.problem.trained_by

    def metrics_beside(self, chosen: tuple[Metric, ...]) -> tuple[Metric, ...]:
        """The metrics that a person chose, then the problem's own; of two with one name the chosen one."""
        names = {metric.name for metric in chosen}
        return (*chosen, *(metric for metric in self.problem.metrics if metric.name not in names))

    def row_loss(self) -> Metric | None:
        """For numbers, the primary metric where it is a mean over rows; None where the form has the rows' losses."""
        if self.problem.like != REGRESSION:
            return None
        known = BUILT_IN | {metric.name: metric for metric in self.problem.metrics}
        found = known[self.problem.primary]
        return found if found.rows is not None else None

    def refused(self, labels: NDArray[Any]) -> tuple[NDArray[np.int64], str]:
        """Which labels it does not take, by place, and what it takes instead, in words.

        Args:
            labels: Without missing ones, shape (labels,): float64, or values of a class as objects.

        Raises:
            BadInput: Its own code failed, or gave no truth value for each.
        """
        if self.problem.takes is not None:
            with self.blamed():
                told = np.asarray(self.problem.takes(labels.copy()))
            if told.shape != labels.shape or told.dtype != np.bool_:
                raise BadInput(
                    f"problem {self.name}: takes gave {told.dtype} of shape {told.shape} for {len(labels):,} labels; "
                    "give one truth value for each"
                )
            if not told.all():
                return np.flatnonzero(~told), self.problem.rule
        if self.loss.least_label is None:
            return np.zeros(0, np.int64), ""
        least, itself = self.loss.least_label
        wrong = np.flatnonzero(~(labels >= least if itself else labels > least))
        return wrong, f"a number from {least:g} on" if itself else f"a number above {least:g}"

    def check_labels(self, labels: NDArray[Any], where: str) -> None:
        """Refuse labels that it does not take.

        Args:
            labels: See `refused`.
            where: Whose labels they are, for the message.

        Raises:
            BadInput: Naming the first with its row.
        """
        wrong, rule = self.refused(labels)
        if len(wrong):
            raise BadInput(f"{where}, row {wrong[0]}: {labels[wrong[0]]} is no label of {self.name}; it takes {rule}")


def form_of(task: Task) -> Form:
    """What is shown of a task's models, whatever its problem is called."""
    return FORMS[task.kind]


def problem_of(task: Task, code: Code | None = None) -> OpenedProblem:
    """The problem that a task poses.

    Args:
        task: What is learned.
        code: The project's code, where the problem is the project's own.

    Raises:
        BadInput: See `open_problem`; or the code that it is in did not come along.
    """
    if not task.problem_name:
        return OpenedProblem(task.kind, FORM_PROBLEMS[task.kind])
    return open_problem(task.problem_name, code, task.kind)


def open_problem(name: str, code: Code | None = None, form: str = "") -> OpenedProblem:
    """A problem by its name.

    Args:
        name: Sluice's, an installed package's, or `file.py:name` of a project.
        code: The project's code, for the last.
        form: That of the label, where it is known; else the problem's own.

    Raises:
        BadInput: There is none of that name, it is no problem, or names what there is not; with file and line where it
            is a project's.
    """
    opened = PROBLEMS.opened(name, code)
    found: Any = opened.thing
    if not isinstance(found, Problem):
        raise opened.gave(found, "give sluice.problems.problem.Problem(...)")
    problem, form = found, form or found.like
    if (problem.like == REGRESSION) != (form == REGRESSION):
        raise BadInput(
            f"{opened.what}: it is like {problem.like}, and was not when the rows were prepared; run prepare again"
        )
    if is_reference(name) and code is not None:
        told = tuple(blamed_metric(metric, code, metric.name) for metric in problem.metrics)
        problem = replace(problem, metrics=told)
    return OpenedProblem(name, completed(problem, form, opened.what), opened.blamed)


def completed(problem: Problem, form: str, what: str) -> Problem:
    """A problem with what it leaves open, once its names are known to be there.

    Args:
        problem: As it was written.
        form: That of the label.
        what: What it is, for messages.

    Raises:
        BadInput: It names a metric that there is not, or brings one that is for another form.
    """
    base = FORM_PROBLEMS[form]
    for metric in problem.metrics:
        check_metric(metric)
        if not set(metric.problems) & ({REGRESSION} if form == REGRESSION else {BINARY, MULTICLASS}):
            raise BadInput(f"{what}: its metric {metric.name!r} is for {', '.join(metric.problems)}, not for {form}")
    for name in filter(None, (problem.primary, problem.stops_by)):
        try:
            find_metric(name, form, problem.metrics)
        except BadInput as error:
            raise BadInput(f"{what}: {error}") from None
    loss = Loss(problem.loss or base.loss, problem.level)
    primary = problem.primary or (loss_metric(loss).name if form == REGRESSION else base.primary)
    found = [loss_metric(loss)] if form == REGRESSION and not problem.primary else []
    beside = [metric for metric in found if metric.name not in {*BUILT_IN, *(each.name for each in problem.metrics)}]
    return replace(
        problem,
        metrics=(*problem.metrics, *beside),
        like=form,  # type: ignore[arg-type]  # one of the three
        loss=loss.name,
        primary=primary,
        stops_by=problem.stops_by or primary,
        baselines=problem.baselines or base.baselines,
    )


def wrong_label(labels: Floats, task: Task) -> str:
    """Says in words which label cannot be one of a task's form; empty where all can.

    Args:
        labels: float64 with NaN for missing ones, shape (rows,).
        task: What is learned.

    Returns:
        The row and what is wrong with it; the caller adds where the labels stand.
    """
    return _wrong_number(labels) if task.regression else _wrong_class(labels, task)


def _wrong_class(labels: Floats, task: Task) -> str:
    wrong = np.flatnonzero(~np.isin(labels, np.arange(len(task.classes))))
    if len(wrong):
        last = len(task.classes) - 1
        return f"row {wrong[0]}: {labels[wrong[0]]:g} is no class code from 0 to {last}; run prepare again"
    return ""


def _wrong_number(labels: Floats) -> str:
    """A label is to be a finite number of a size that can be squared."""
    wrong = np.flatnonzero(~np.isfinite(labels))
    if len(wrong):
        return f"row {wrong[0]}: the label is {_said(labels[wrong[0]])}; give a finite number, or leave the row out"
    wide = np.flatnonzero(np.abs(labels) > LARGEST_LABEL)
    if len(wide):
        return f"row {wide[0]}: the label {labels[wide[0]]:g} is beyond {LARGEST_LABEL:g}; use a larger unit"
    return ""


def _said(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:g}"

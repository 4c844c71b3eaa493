"""The problems that models can be learned for: binary and multiclass classification, and regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.problems.candidate_names import HEURISTIC, LAST_VALUE, MEAN, MEDIAN, RANDOM, ZERO_RULE
from sluice.problems.task import BINARY, MULTICLASS, REGRESSION, Task

Floats = NDArray[np.float64]
LARGEST_LABEL = 1e15
"""Beyond it the squares of errors lose the digits that tell two models apart."""


@dataclass(frozen=True)
class Problem:
    """A kind of problem.

    Attributes:
        name: As the task has it.
        wrong_label: Says in words which label cannot be one, as float64 with NaN for missing ones, shape (rows,); empty
            where all can. The caller adds where the labels stand.
        baselines: What a model must beat, simplest first; some need a feature or a group.
        metrics: What pages, cards and summaries show, in their order; evaluation measures more.
        primary: The metric that models are chosen and judged by, unless the caller names another.
        loss: The metric that early stopping goes by, unless the caller names another.
        row_loss: The metric that is the mean of the rows' own losses: it tells how much rows depend on each other.
        headline: Two metrics for figures and short tables.
        sliced: The metrics of each slice.
    """

    name: str
    wrong_label: Callable[[Floats, Task], str]
    baselines: tuple[str, ...]
    metrics: tuple[str, ...]
    primary: str
    loss: str
    row_loss: str
    headline: tuple[str, str]
    sliced: tuple[str, ...]


def wrong_class(labels: Floats, task: Task) -> str:
    """See `Problem.wrong_label`: each label is to be a class code."""
    wrong = np.flatnonzero(~np.isin(labels, np.arange(len(task.classes))))
    if len(wrong):
        last = len(task.classes) - 1
        return f"row {wrong[0]}: {labels[wrong[0]]:g} is no class code from 0 to {last}; run prepare again"
    return ""


def wrong_number(labels: Floats, task: Task) -> str:  # noqa: ARG001 - as every problem's
    """See `Problem.wrong_label`: each label is to be a finite number of a size that can be squared."""
    wrong = np.flatnonzero(~np.isfinite(labels))
    if len(wrong):
        return f"row {wrong[0]}: the label is {_said(labels[wrong[0]])}; give a finite number, or leave the row out"
    wide = np.flatnonzero(np.abs(labels) > LARGEST_LABEL)
    if len(wide):
        return f"row {wide[0]}: the label {labels[wide[0]]:g} is beyond {LARGEST_LABEL:g}; use a larger unit"
    return ""


def _said(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:g}"


_CLASSES = {
    "wrong_label": wrong_class,
    "baselines": (RANDOM, ZERO_RULE, HEURISTIC),
    "metrics": ("log_loss", "roc_auc", "accuracy", "precision", "recall", "f1", "calibration_error"),
    "primary": "log_loss",
    "loss": "log_loss",
    "row_loss": "log_loss",
    "sliced": ("log_loss", "brier", "roc_auc", "accuracy"),
}
PROBLEMS = {
    BINARY: Problem(BINARY, headline=("log_loss", "roc_auc"), **_CLASSES),  # type: ignore[arg-type]
    MULTICLASS: Problem(MULTICLASS, headline=("log_loss", "accuracy"), **_CLASSES),  # type: ignore[arg-type]
    REGRESSION: Problem(
        REGRESSION,
        wrong_label=wrong_number,
        baselines=(MEAN, MEDIAN, HEURISTIC, LAST_VALUE),
        metrics=("rmse", "mae", "r2", "mape"),
        primary="rmse",
        loss="rmse",
        row_loss="mse",
        headline=("rmse", "mae"),
        sliced=("rmse", "mae", "r2", "bias"),
    ),
}
"""By name."""


def problem_of(task: Task) -> Problem:
    """The problem that a task poses."""
    return PROBLEMS[task.kind]

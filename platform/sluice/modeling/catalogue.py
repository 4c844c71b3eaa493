"""What can be trained: names, order from the simplest, and which task each fits."""

import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.modeling.baseline_fitting import fit_baseline
from sluice.modeling.parts import Parts
from sluice.modeling.rounds import Fitted, Fitting, fit_in_rounds
from sluice.modeling.threads import fixed_threads
from sluice.modeling.training_settings import TrainingSettings
from sluice.parameters.candidate_settings import Wanted, checked_settings, is_own, read_entries
from sluice.problems.candidate_names import (
    CONVOLUTIONS,
    EMBEDDINGS,
    HEURISTIC,
    LAST_VALUE,
    LINEAR,
    LOGISTIC,
    MEAN,
    MEDIAN,
    NETWORK,
    RANDOM,
    SHORT_LINEAR,
    SHORT_TREES,
    TREES,
    ZERO_RULE,
)
from sluice.problems.losses import ABSOLUTE, GAMMA, LOG_LOSS, POISSON, QUANTILE, SQUARED
from sluice.problems.registry import OpenedProblem, problem_of
from sluice.problems.task import Task


@dataclass(frozen=True)
class Trainable:
    """Something that can be trained.

    Attributes:
        name: Its name, and its sub-folder's.
        title: Its name in reports.
        rank: 0 for the simplest.
        start: Where its `rounds.Fitting` is made, as `module:name`; empty for a baseline. Only what is trained is
            imported, and before its clock starts.
        package: What must be installed beyond the tabular packages.
        own: For a class of a project's own, `mine.py:Net`.
        settings: What was set of it, checked; the rest is by default.
        kind: Its name without a number, where there are several that differ in their settings alone.
        losses: What it can make small; empty for a baseline and a class of a project's own, which are not asked.
    """

    name: str
    title: str
    rank: int
    start: str = ""
    package: str = ""
    own: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    losses: tuple[str, ...] = ()

    @property
    def baseline(self) -> bool:
        """Whether it only sets the bar."""
        return not (self.start or self.own)

    @property
    def called(self) -> str:
        """What it is called in a list of candidates."""
        return self.own or self.kind or self.name

    def fit(self, parts: Parts, settings: TrainingSettings) -> Fitted:
        """Train it.

        Raises:
            NoRound: Not even its first round ended within the budget; a baseline has none.
        """
        settings = replace(settings, of_candidate=self.settings)
        if self.baseline:
            return fit_baseline(self.name, parts, settings)
        if self.own:
            from sluice.modeling.own_fitting import fit_own

            with fixed_threads(settings.threads):
                return fit_own(self.own, parts, settings)
        start: Callable[[Parts, TrainingSettings], Fitting] = pkgutil.resolve_name(self.start)
        with fixed_threads(settings.threads):
            return fit_in_rounds(start, parts, settings, self.title)


_RANDOM = Trainable(RANDOM, "random", 0)
_ZERO_RULE = Trainable(ZERO_RULE, "zero rule", 1)
_HEURISTIC = Trainable(HEURISTIC, "heuristic", 2)
_MEAN = Trainable(MEAN, "mean", 0)
_MEDIAN = Trainable(MEDIAN, "median", 1)
_LAST_VALUE = Trainable(LAST_VALUE, "last value", 2)
_LINEAR = Trainable(
    LINEAR, "linear regression", 3, "sluice.modeling.logistic:LinearFitting", losses=(SQUARED, POISSON, GAMMA)
)
_LOGISTIC = Trainable(
    LOGISTIC, "logistic regression", 3, "sluice.modeling.logistic:LogisticFitting", losses=(LOG_LOSS,)
)
_EVERY_LOSS = (LOG_LOSS, SQUARED, ABSOLUTE, POISSON, GAMMA, QUANTILE)
_TREES = Trainable(TREES, "gradient-boosted trees", 4, "sluice.modeling.trees:TreesFitting", losses=_EVERY_LOSS)
_EMBEDDINGS = Trainable(
    EMBEDDINGS,
    "network with embeddings",
    5,
    "sluice.modeling.network_fitting:table_network",
    "torch",
    losses=_EVERY_LOSS,
)
_CONVOLUTIONS = Trainable(
    CONVOLUTIONS,
    "convolutional network",
    5,
    "sluice.modeling.network_fitting:image_network",
    "torch",
    losses=_EVERY_LOSS,
)


def candidates_for(task: Task) -> list[Trainable]:
    """All that fit a task, simplest first."""
    heuristic = [_HEURISTIC] if task.heuristic else []
    baselines = [_RANDOM, _ZERO_RULE]
    if task.regression:
        last_value = [_LAST_VALUE] if task.cluster and task.time else []
        baselines = [_MEAN, _MEDIAN, *last_value]
    linear = _LINEAR if task.regression else _LOGISTIC
    if task.image:
        return [*baselines, linear, _CONVOLUTIONS]
    return [*baselines, *heuristic, linear, _TREES, _EMBEDDINGS]


def network_for(task: Task) -> Trainable:
    """The network that fits a task, which several workers can train together."""
    return _CONVOLUTIONS if task.image else _EMBEDDINGS


def choose(
    entries: Sequence[str | Mapping[str, Any]], task: Task, problem: OpenedProblem | None = None
) -> list[Trainable]:
    """The candidates wanted with their settings, simplest first; for none those of the problem, or all that fit.

    Where no baseline is among them, those of the problem are added: without one nothing can be judged.

    Args:
        entries: Each a name, or one name with its settings.
        task: What is learned.
        problem: What it poses; None for a problem of the task's form.

    Raises:
        BadInput: A name or setting is unknown or does not fit the task, or a package is not installed.
    """
    problem = problem or problem_of(task)
    fitting = {candidate.name: candidate for candidate in candidates_for(task)}
    wanted = [_wanted(each, fitting, task) for each in read_entries(entries or problem.problem.candidates)]
    chosen = _able(list(_numbered(wanted)) or list(fitting.values()), problem, named=bool(wanted))
    bars = [each for each in fitting.values() if each.name in problem.problem.baselines]
    if not wanted:
        chosen = [each for each in chosen if not each.baseline or each in bars]
    if not any(candidate.baseline for candidate in chosen):
        chosen = bars + chosen
    for candidate in chosen:
        if candidate.package and importlib.util.find_spec(candidate.package) is None:
            raise BadInput(
                f"candidate {candidate.name!r} needs the package {candidate.package}, which is not installed; "
                f"install sluice[{candidate.package}], or name other candidates"
            )
    return sorted(chosen, key=lambda candidate: candidate.rank)


def _able(candidates: list[Trainable], problem: OpenedProblem, *, named: bool) -> list[Trainable]:
    """Those that can make the problem's loss small; one that cannot is left out, or refused where it was named."""
    loss = problem.loss
    unable = [each for each in candidates if each.losses and loss.name not in each.losses]
    if unable and named:
        raise BadInput(
            f"candidates names {unable[0].called!r}, which cannot be trained by the loss {loss.words} of the problem "
            f"{problem.name}; leave it out"
        )
    for each in unable:
        progress(f"left out: {each.name} cannot be trained by the loss {loss.words} of the problem {problem.name}")
    return [each for each in candidates if each not in unable]


def _wanted(wanted: Wanted, fitting: Mapping[str, Trainable], task: Task) -> Trainable:
    if is_own(wanted.name):
        return replace(_own_candidate(wanted.name), settings=wanted.settings)
    name = wanted.name if wanted.name in fitting else _full_name(wanted.name, task)
    if name not in fitting:
        known = ", ".join(sorted(fitting))
        raise BadInput(f"candidates names {name!r}, which task {task.name!r} cannot use; use {known}")
    return replace(fitting[name], settings=checked_settings(wanted, images=bool(task.image)))


def _numbered(chosen: Iterable[Trainable]) -> Iterator[Trainable]:
    """Each but once; of several that differ in their settings alone, the second is called `NAME-2`."""
    seen: dict[str, list[Trainable]] = {}
    for candidate in chosen:
        others = seen.setdefault(candidate.name, [])
        if candidate not in others:
            others.append(candidate)
            number = len(others)
            name, title = f"{candidate.name}-{number}", f"{candidate.title} {number}"
            yield candidate if number == 1 else replace(candidate, name=name, title=title, kind=candidate.name)


def _own_candidate(reference: str) -> Trainable:
    """A class of a project's own or an installed package's; it ranks last, as nobody knows how simple it is."""
    file, _, name = reference.rpartition(":")
    short = f"{file.removesuffix('.py').replace('/', '.')}.{name}".removeprefix(".")
    return Trainable(short, short, 6, own=reference)


def _full_name(name: str, task: Task) -> str:
    """What a short name stands for in a task: `linear`, `trees`, `network`; any other name itself."""
    linear = LINEAR if task.regression else LOGISTIC
    return {SHORT_LINEAR: linear, SHORT_TREES: TREES, NETWORK: network_for(task).name}.get(name, name)

"""Fitting in rounds: under a budget of rounds or of seconds, with early stopping, keeping the best round.

A budget of rounds gives the same model on every machine; a budget of seconds is kept, also in the middle of a round.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.core.errors import BadInput, TimeIsUp
from sluice.core.progress import progress
from sluice.features.encoding import Floats
from sluice.modeling.deadlines import ended_after
from sluice.modeling.model_files import Model
from sluice.modeling.parts import Parts
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.metrics import BUILT_IN, Metric

EARLY, BUDGET, LIMIT, CLOSED = "early stopping", "time budget", "round limit", "closed form"
LEAST_GAIN = 1e-4
MOST_ROUNDS = 1_000
_SECONDS_BETWEEN_LINES = 1.0


class Fitting(Protocol):
    """A candidate on its way: some iterations of a solver, some trees or one epoch make a round."""

    @property
    def round_limit(self) -> int:
        """Rounds after which it ends in any case, far more than were ever needed: who gets there is marked as cut."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings it learns with, as JSON values."""
        ...

    def advance(self) -> None:
        """Learn for one more round. It may be broken off anywhere, and must leave what was kept whole."""
        ...

    def forecasts(self) -> tuple[Floats, Floats]:
        """What it says at present of the training sample and of the validation rows.

        Each is of shape (rows, classes), or of shape (rows,) where the label is a number.
        """
        ...

    def keep(self) -> None:
        """Remember the present state as the best."""
        ...

    def model(self) -> Model:
        """The best state, as a model."""
        ...


@dataclass(frozen=True)
class Point:
    """One round of a learning curve: the metric of early stopping on both kinds of rows, seconds since the start."""

    round: int
    train: float
    validation: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A trained candidate.

    Attributes:
        model: Its best round.
        parameters: The settings that it learned with.
        curve: Its whole rounds; a closed form has one, numbered 0.
        kept: The round that the model is from.
        stopped_by: `early stopping`, `time budget`, `round limit` or `closed form`.
        seconds: From its start to its end, a round that was broken off included.
        cpu_seconds: What this process computed in the meantime, over all its threads; None where that is not known.
        metric: The metric that it stopped by, which its curve tells.
    """

    model: Model
    parameters: dict[str, Any]
    curve: tuple[Point, ...]
    kept: Point
    stopped_by: str
    seconds: float
    cpu_seconds: float | None = None
    metric: Metric = BUILT_IN["log_loss"]

    @property
    def rounds(self) -> int:
        """How many whole rounds there were; with this as `max_rounds`, a run that the clock cut is repeated exactly."""
        return self.curve[-1].round

    @property
    def cut(self) -> bool:
        """Whether it ended before its time: by the clock, or by its number of rounds while it still got better."""
        return self.stopped_by == BUDGET or (self.stopped_by == LIMIT and self.kept.round == self.rounds)


class NoRound(BadInput):
    """Not even one round ended within the budget, so there is no model."""


def fit_in_rounds(
    start: Callable[[Parts, TrainingSettings], Fitting], parts: Parts, settings: TrainingSettings, title: str
) -> Fitted:
    """Fit one candidate until it stops getting better, or its rounds or seconds are used up.

    The clock starts before the candidate prepares its data. When it runs out, the round of that moment is broken off,
    and the best of the whole rounds before it is the model.

    Args:
        start: Makes the candidate.
        parts: What it sees.
        settings: Budget, patience, limits, seed.
        title: For the progress lines.

    Raises:
        NoRound: Not even the first round ended within the budget.
    """
    clock = _Clock(settings, title, settings.stopping(parts.task))
    course = _Course(parts, settings, clock)
    try:
        with ended_after(clock.left()):
            fitting = start(parts, settings)
        course.run(fitting)
    except TimeIsUp:
        course.stopped_by = BUDGET
    if course.kept is None:
        raise NoRound(
            f"{title}: not a single round ended within seconds_per_candidate, {settings.seconds_per_candidate:g} s; "
            "give more seconds, or a budget in rounds with max_rounds"
        )
    clock.tell(course.curve[-1], f"kept round {course.kept.round}, {course.stopped_by}")
    return Fitted(
        fitting.model(),
        fitting.parameters,
        tuple(course.curve),
        course.kept,
        course.stopped_by,
        seconds=clock.seconds(),
        cpu_seconds=clock.cpu_seconds(),
        metric=course.metric,
    )


class _Course:
    """The rounds of one candidate."""

    def __init__(self, parts: Parts, settings: TrainingSettings, clock: "_Clock") -> None:
        self._parts, self._settings, self._clock = parts, settings, clock
        self.metric = settings.stopping(parts.task)
        self.curve: list[Point] = []
        self.kept: Point | None = None
        self.stopped_by = ""

    def run(self, fitting: Fitting) -> None:
        """Raises `TimeIsUp` inside a round; `curve`, `kept` and what the candidate keeps then hold whole rounds."""
        limit = self._settings.max_rounds or fitting.round_limit
        while not self.stopped_by:
            with ended_after(self._clock.left()):
                fitting.advance()
                values = measured(self.metric, self._parts, *fitting.forecasts())
            point = Point(len(self.curve) + 1, *values, seconds=self._clock.seconds())
            self._clock.tell_now_and_then(point)
            self.curve.append(point)
            if self.kept is None or gains(self.metric, point, self.kept):
                fitting.keep()
                self.kept = point
            self.stopped_by = self._reason_to_stop(point.round, point.round - self.kept.round, limit)

    def _reason_to_stop(self, done: int, without_gain: int, limit: int) -> str:
        if without_gain >= self._settings.patience:
            return EARLY
        if done >= limit:
            return LIMIT
        return BUDGET if self._clock.left() <= 0 else ""


def measured(metric: Metric, parts: Parts, sample: Floats, validation: Floats) -> tuple[float, float]:
    """A metric of forecasts for the training sample and for the validation rows.

    Raises:
        BadInput: It is no number there, so that nothing can be chosen by it.
    """
    train = metric(parts.sample.labels, sample, parts.sample.weights)
    found = train, metric(parts.validation.labels, validation, parts.validation.weights)
    odd = [value for value in found if not math.isfinite(value)]
    if odd:
        raise BadInput(
            f"metric {metric.name!r} gave {odd[0]} for rows to learn from or to stop by, and models are chosen by it; "
            "have it give a finite number, or choose another metric"
        )
    return found


def gains(metric: Metric, point: Point, kept: Point) -> bool:
    """Whether a round is better than the one that was kept, by LEAST_GAIN (a share of it in the label's units)."""
    return metric.better(point.validation, kept.validation, metric.least_gain(kept.validation, LEAST_GAIN))


class _Clock:
    """Seconds since the start, and a line about them at most once a second."""

    def __init__(self, settings: TrainingSettings, title: str, metric: Metric) -> None:
        self._started = self._told = time.monotonic()
        self._cpu_started = time.process_time()
        self._settings, self._title, self._metric = settings, title, metric

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu_started

    def left(self) -> float:
        """Seconds to the end of the budget, infinite where it is counted in rounds."""
        return math.inf if self._settings.max_rounds else self._settings.seconds_per_candidate - self.seconds()

    def tell_now_and_then(self, point: Point) -> None:
        if time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self.tell(point)

    def tell(self, point: Point, end: str = "") -> None:
        self._told = time.monotonic()
        budget = "" if self._settings.max_rounds else f" of {self._settings.seconds_per_candidate:g} s"
        number = f"round {point.round}" + (f" of {self._settings.max_rounds}" if self._settings.max_rounds else "")
        said, seconds = f"validation {value_words(self._metric, point.validation)}", f"{self.seconds():.1f} s{budget}"
        progress(f"{self._title}: {number}, {said}, {seconds}{end and f': {end}'}")


def value_words(metric: Metric, value: float) -> str:
    """`log loss 0.4123`."""
    return f"{metric.words} {metric.text(value)}"

"""Fitting in rounds: under a budget of rounds or of seconds, with early stopping, keeping the best round.

A budget of rounds gives the same model on every machine; a budget of seconds is kept, also in the middle of a round.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.features.encoding import Floats
from sluice.modeling.deadlines import TimeIsUp, ended_after
from sluice.modeling.model_files import Model
from sluice.modeling.parts import Parts, log_loss
from sluice.modeling.training_settings import Settings

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

    def probabilities(self) -> tuple[Floats, Floats]:
        """The present forecasts for the training sample and for the validation rows, each of shape (rows, classes)."""
        ...

    def keep(self) -> None:
        """Remember the present state as the best."""
        ...

    def model(self) -> Model:
        """The best state, as a model."""
        ...


@dataclass(frozen=True)
class Point:
    """One round of a learning curve: log losses in nats, seconds since the candidate's start."""

    round: int
    train_log_loss: float
    validation_log_loss: float
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
    """

    model: Model
    parameters: dict[str, Any]
    curve: tuple[Point, ...]
    kept: Point
    stopped_by: str
    seconds: float
    cpu_seconds: float | None = None

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


def fit_in_rounds(start: Callable[[Parts, Settings], Fitting], parts: Parts, settings: Settings, title: str) -> Fitted:
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
    clock = _Clock(settings, title)
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
    spent = {"seconds": clock.seconds(), "cpu_seconds": clock.cpu_seconds()}
    return Fitted(fitting.model(), fitting.parameters, tuple(course.curve), course.kept, course.stopped_by, **spent)


class _Course:
    """The rounds of one candidate."""

    def __init__(self, parts: Parts, settings: Settings, clock: "_Clock") -> None:
        self._parts, self._settings, self._clock = parts, settings, clock
        self.curve: list[Point] = []
        self.kept: Point | None = None
        self.stopped_by = ""

    def run(self, fitting: Fitting) -> None:
        """Raises `TimeIsUp` inside a round; `curve`, `kept` and what the candidate keeps then hold whole rounds."""
        limit = self._settings.max_rounds or fitting.round_limit
        while not self.stopped_by:
            with ended_after(self._clock.left()):
                fitting.advance()
                losses = _losses(fitting, self._parts)
            point = Point(len(self.curve) + 1, *losses, seconds=self._clock.seconds())
            self._clock.tell_now_and_then(point)
            self.curve.append(point)
            if self.kept is None or point.validation_log_loss < self.kept.validation_log_loss - LEAST_GAIN:
                fitting.keep()
                self.kept = point
            self.stopped_by = self._reason_to_stop(point.round, point.round - self.kept.round, limit)

    def _reason_to_stop(self, done: int, without_gain: int, limit: int) -> str:
        if without_gain >= self._settings.patience:
            return EARLY
        if done >= limit:
            return LIMIT
        return BUDGET if self._clock.left() <= 0 else ""


def _losses(fitting: Fitting, parts: Parts) -> tuple[float, float]:
    """Log losses of the present state: on the training sample, and on the validation rows."""
    sample, validation = fitting.probabilities()
    train = log_loss(parts.sample.labels, sample, parts.sample.weights)
    return train, log_loss(parts.validation.labels, validation, parts.validation.weights)


class _Clock:
    """Seconds since the start, and a line about them at most once a second."""

    def __init__(self, settings: Settings, title: str) -> None:
        self._started = self._told = time.monotonic()
        self._cpu_started = time.process_time()
        self._settings, self._title = settings, title

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
        loss, seconds = f"validation log loss {point.validation_log_loss:.4f}", f"{self.seconds():.1f} s{budget}"
        progress(f"{self._title}: {number}, {loss}, {seconds}{end and f': {end}'}")

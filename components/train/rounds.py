"""Fitting in rounds: under a budget of seconds, with early stopping, keeping the best round."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from components.common.features import Floats
from components.common.models import Model
from components.common.steps import progress
from components.train.parts import Parts, log_loss
from components.train.settings import Settings

EARLY, BUDGET, LIMIT, CLOSED = "early stopping", "time budget", "round limit", "closed form"
LEAST_GAIN = 1e-4
_SECONDS_BETWEEN_LINES = 1.0


class Fitting(Protocol):
    """A candidate on its way: some iterations of a solver, some trees or one epoch make a round."""

    @property
    def round_limit(self) -> int:
        """Rounds after which no candidate of the kind was ever still getting better."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings it learns with, as JSON values."""
        ...

    def advance(self) -> None:
        """Learn for one more round."""
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
        curve: Its rounds; a closed form has one, numbered 0.
        kept: The round that the model is from.
        stopped_by: `early stopping`, `time budget`, `round limit` or `closed form`.
    """

    model: Model
    parameters: dict[str, Any]
    curve: tuple[Point, ...]
    kept: Point
    stopped_by: str

    @property
    def rounds(self) -> int:
        """How many rounds were run; a run cut by the clock is repeated exactly with this as `max_rounds`."""
        return self.curve[-1].round

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return self.curve[-1].seconds


def fit_in_rounds(start: Callable[[Parts, Settings], Fitting], parts: Parts, settings: Settings, title: str) -> Fitted:
    """Fit one candidate until it stops getting better, or its rounds or seconds are used up.

    The clock starts before the candidate prepares its data and is read after each round, so that the last round may end
    after the budget, and every candidate has at least one.

    Args:
        start: Makes the candidate.
        parts: What it sees.
        settings: Budget, patience, limits, seed.
        title: For the progress lines.
    """
    clock = _Clock(settings.seconds_per_candidate, title)
    fitting = start(parts, settings)
    limit = settings.max_rounds or fitting.round_limit
    curve: list[Point] = []
    kept, stopped_by = None, ""
    while not stopped_by:
        fitting.advance()
        point = _measure(fitting, parts, len(curve) + 1, clock)
        curve.append(point)
        if kept is None or point.validation_log_loss < kept.validation_log_loss - LEAST_GAIN:
            fitting.keep()
            kept = point
        stopped_by = _reason_to_stop(point, point.round - kept.round, limit, settings)
    assert kept is not None, "the first round is always kept"  # noqa: S101 - follows from the loop
    clock.tell(curve[-1], f"kept round {kept.round}, {stopped_by}")
    return Fitted(fitting.model(), fitting.parameters, tuple(curve), kept, stopped_by)


def _measure(fitting: Fitting, parts: Parts, number: int, clock: "_Clock") -> Point:
    sample, validation = fitting.probabilities()
    train, held_out = (
        log_loss(part.labels, proba, part.weights)
        for part, proba in ((parts.sample, sample), (parts.validation, validation))
    )
    point = Point(number, train, held_out, seconds=clock.seconds())
    clock.tell_now_and_then(point)
    return point


def _reason_to_stop(point: Point, without_gain: int, limit: int, settings: Settings) -> str:
    if without_gain >= settings.patience:
        return EARLY
    if point.round >= limit:
        return LIMIT
    return BUDGET if point.seconds >= settings.seconds_per_candidate else ""


class _Clock:
    """Seconds since the start, and a line about them at most once a second."""

    def __init__(self, budget: float, title: str) -> None:
        self._started = self._told = time.monotonic()
        self._budget, self._title = budget, title

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell_now_and_then(self, point: Point) -> None:
        if time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self.tell(point)

    def tell(self, point: Point, end: str = "") -> None:
        self._told = time.monotonic()
        loss, seconds = f"validation log loss {point.validation_log_loss:.4f}", f"{point.seconds:.1f} s"
        progress(f"{self._title}: round {point.round}, {loss}, {seconds} of {self._budget:g} s{end and f': {end}'}")

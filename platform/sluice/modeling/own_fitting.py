"""Training a candidate of a project's own class: one call of its `fit`, within the budget."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np

from sluice.core.errors import BadInput, TimeIsUp
from sluice.core.extensions import is_reference
from sluice.core.progress import progress
from sluice.extending.families import FAMILIES
from sluice.modeling.deadlines import ended_after
from sluice.modeling.model_files import forecast
from sluice.modeling.own_models import OwnModel, blamed, checked_state, made
from sluice.modeling.parts import Part, Parts
from sluice.modeling.rounds import CLOSED, Fitted, NoRound, Point, measured, value_words
from sluice.modeling.training_settings import TrainingSettings


def fit_own(reference: str, parts: Parts, settings: TrainingSettings) -> Fitted:
    """Train a candidate of a project's own.

    The clock of `seconds_per_candidate` ends it whatever it does, also where the others' budget is one of rounds: a
    class of somebody's own has none.

    Args:
        reference: The class, `mine.py:Net`, or the name of an installed package's family.
        parts: What it sees: the training rows.
        settings: Budget, seed, and the address of the code.

    Raises:
        NoRound: It did not end in time.
        BadInput: The class, what it raises, or what it gives is wrong; the line names the project's file and line.
    """
    from sluice.project.code import open_code

    if is_reference(reference) and not settings.code:
        raise BadInput(f"candidates names {reference!r}, and no code came along; run it from the project's folder")
    code = open_code(settings.code) if is_reference(reference) else None
    candidate, train = made(code, reference, settings.of_candidate), parts.train
    started, cpu_started = time.monotonic(), time.process_time()
    weights = np.ones(len(train.labels)) if train.weights is None else train.weights.copy()
    rows = train.rows[list(parts.task.features)].copy()
    with _in_time(reference, "fit", settings), blamed(code, reference):
        state = candidate.fit(
            rows, train.labels.copy(), weights, seed=settings.seed, seconds=settings.seconds_per_candidate
        )
    model = OwnModel(
        parts.task, reference, code.archive if code else None, checked_state(reference, state), settings.of_candidate
    )
    with _in_time(reference, "predict", settings):
        said = [forecast(model, part.rows, parts.task) for part in _judged(parts)]
    metric = settings.stopping(parts.task)
    point = Point(0, *measured(metric, parts, *said), seconds=time.monotonic() - started)
    progress(f"{reference}: validation {value_words(metric, point.validation)}, {point.seconds:.1f} s")
    cpu_seconds = time.process_time() - cpu_started
    origin = {"code": code.digest} if code else {"package": FAMILIES.origin(reference)}
    learned = {**settings.of_candidate, "reference": reference, **origin}
    return Fitted(model, learned, (point,), point, CLOSED, point.seconds, cpu_seconds, metric)


@contextlib.contextmanager
def _in_time(reference: str, method: str, settings: TrainingSettings) -> Iterator[None]:
    """Break a method off that takes longer than the budget."""
    seconds = settings.seconds_per_candidate
    try:
        with ended_after(seconds):
            yield
    except TimeIsUp:
        raise NoRound(
            f"candidate {reference}: {method} did not end within seconds_per_candidate, {seconds:g} s; give more "
            "seconds, or fewer rows"
        ) from None


def _judged(parts: Parts) -> tuple[Part, Part]:
    return parts.sample, parts.validation

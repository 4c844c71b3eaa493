"""Baselines: class shares, counted once, each row with its weight."""

import time

import numpy as np

from sluice.core.progress import progress
from sluice.features.encoding import Floats, Integers, number_column, text_column
from sluice.modeling.baselines import HEURISTIC, RANDOM, Baseline, heuristic_feature, heuristic_places
from sluice.modeling.parts import Parts, log_loss, quantiles
from sluice.modeling.rounds import CLOSED, Fitted, Point
from sluice.modeling.training_settings import Settings

_BINS = 10
_PRIOR_ROWS = 20.0
"""A value of the heuristic's feature counts as so many rows of the average more: few rows prove little."""


def fit_baseline(kind: str, parts: Parts, settings: Settings) -> Fitted:
    """Learn a baseline.

    Args:
        kind: `random`, `zero-rule` or `heuristic`.
        parts: What it sees; only the training labels, their weights and, for the heuristic, one feature count.
        settings: For the seed.

    Raises:
        BadInput: The task names no feature for the heuristic.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    model = _learn(kind, parts, settings)
    losses = [
        log_loss(part.labels, model.predict_proba(part.rows), part.weights) for part in (parts.sample, parts.validation)
    ]
    point = Point(0, losses[0], losses[1], seconds=time.monotonic() - started)
    progress(f"{kind}: validation log loss {point.validation_log_loss:.4f}, {CLOSED}")
    spent = {"seconds": point.seconds, "cpu_seconds": time.process_time() - cpu_started}
    return Fitted(model, _parameters(kind, model), (point,), point, CLOSED, **spent)


def _learn(kind: str, parts: Parts, settings: Settings) -> Baseline:
    task, train = parts.task, parts.train
    counts = _counts(train.labels, len(task.classes), train.weights)
    shares = counts / counts.sum()
    if kind != HEURISTIC:
        return Baseline(task, kind, shares, seed=settings.seed if kind == RANDOM else 0)
    values = _values(parts)
    places = heuristic_places(train.rows, task, values)
    rows = len(values) + (heuristic_feature(task) in task.numeric)
    cells = places * len(task.classes) + train.labels
    known = places >= 0
    weights = None if train.weights is None else train.weights[known]
    counts = _counts(cells[known], rows * len(task.classes), weights).reshape(rows, len(task.classes))
    table = (counts + _PRIOR_ROWS * shares) / (counts.sum(axis=1, keepdims=True) + _PRIOR_ROWS)
    return Baseline(task, kind, shares, values=values, table=table)


def _values(parts: Parts) -> tuple[str | float, ...]:
    """The heuristic feature's values, sorted, or the inner bounds of its tenths."""
    name = heuristic_feature(parts.task)
    if name in parts.task.categorical:
        return tuple(sorted(str(value) for value in text_column(parts.train.rows, name).dropna().unique()))
    numbers = number_column(parts.train.rows, name)
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return ()
    weights = parts.train.weights
    weights = None if weights is None else weights[~np.isnan(numbers)]
    return tuple(np.unique(quantiles(known, np.arange(1, _BINS) / _BINS, weights, method="lower")).tolist())


def _counts(codes: Integers, size: int, weights: Floats | None) -> Floats:
    return np.bincount(codes, weights, minlength=size).astype(np.float64)


def _parameters(kind: str, model: Baseline) -> dict[str, str | int | float]:
    if kind == HEURISTIC:
        return {"feature": heuristic_feature(model.task), "prior_rows": _PRIOR_ROWS}
    return {"seed": model.seed} if kind == RANDOM else {}

"""Baselines: class shares or constants, counted once, each row with its weight."""

import time
from typing import Any

import numpy as np
import pandas as pd

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.features.encoding import Floats, Integers, number_column, text_column
from sluice.modeling.baselines import (
    Baseline,
    NumberBaseline,
    heuristic_feature,
    heuristic_places,
    microseconds,
)
from sluice.modeling.model_files import Model, forecast
from sluice.modeling.parts import Parts, quantiles
from sluice.modeling.rounds import CLOSED, Fitted, Point, measured, value_words
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.candidate_names import HEURISTIC, LAST_VALUE, MEDIAN, RANDOM

_BINS = 10
_PRIOR_ROWS = 20.0
"""A value of the heuristic's feature counts as so many rows of the average more: few rows prove little."""


def fit_baseline(kind: str, parts: Parts, settings: TrainingSettings) -> Fitted:
    """Learn a baseline.

    Args:
        kind: `random`, `zero-rule` or `heuristic`; for numbers `mean`, `median`, `heuristic` or `last-value`.
        parts: What it sees; only the training labels, their weights and, for the heuristic, one feature count, for
            `last-value` the groups and times.
        settings: For the seed.

    Raises:
        BadInput: The task names no feature for the heuristic, or the rows have no group and time for `last-value`.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    model: Model = _learn_number(kind, parts) if parts.task.regression else _learn(kind, parts, settings)
    said = [forecast(model, part.rows, parts.task) for part in (parts.sample, parts.validation)]
    metric = settings.stopping(parts.task)
    point = Point(0, *measured(metric, parts, *said), seconds=time.monotonic() - started)
    progress(f"{kind}: validation {value_words(metric, point.validation)}, {CLOSED}")
    cpu_seconds = time.process_time() - cpu_started
    return Fitted(model, _parameters(kind, model), (point,), point, CLOSED, point.seconds, cpu_seconds, metric)


def _learn(kind: str, parts: Parts, settings: TrainingSettings) -> Baseline:
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


def _learn_number(kind: str, parts: Parts) -> NumberBaseline:
    task, train = parts.task, parts.train
    if kind == MEDIAN:
        (middle,) = quantiles(train.labels, np.array([0.5]), train.weights)
        return NumberBaseline(task, kind, float(middle))
    mean = float(np.average(train.labels, weights=train.weights))
    if kind == HEURISTIC:
        return _mean_by_value(parts, mean)
    return _last_values(parts, mean) if kind == LAST_VALUE else NumberBaseline(task, kind, mean)


def _mean_by_value(parts: Parts, mean: float) -> NumberBaseline:
    """The mean label by the heuristic feature's value or tenth, drawn to the mean of all rows where there are few."""
    values, train = _values(parts), parts.train
    places = heuristic_places(train.rows, parts.task, values)
    size = len(values) + (heuristic_feature(parts.task) in parts.task.numeric)
    known = places >= 0
    weights = np.ones(int(known.sum())) if train.weights is None else train.weights[known]
    counts = np.bincount(places[known], weights, minlength=size)
    sums = np.bincount(places[known], weights * (train.labels[known] - mean), minlength=size)
    return NumberBaseline(parts.task, HEURISTIC, mean, values=values, table=mean + sums / (counts + _PRIOR_ROWS))


def _last_values(parts: Parts, mean: float) -> NumberBaseline:
    """Each group's last training label in time; of several at the same time their mean."""
    task, rows = parts.task, parts.train.rows
    lacking = [name or what for name, what in ((task.cluster, "group"), (task.time, "time")) if name not in rows]
    if lacking or task.cluster is None or task.time is None:
        raise BadInput(f"the baseline 'last-value' needs a group and a time, and the rows have no {lacking[0]}")
    table = pd.DataFrame({"group": text_column(rows, task.cluster), "time": microseconds(rows[task.time])})
    table = table.assign(label=parts.train.labels)[table["group"].notna() & rows[task.time].notna()]
    last = table[table["time"] == table.groupby("group")["time"].transform("max")]
    found = last.groupby("group", sort=True).agg(time=("time", "max"), label=("label", "mean"))
    values, times = tuple(map(str, found.index)), found["time"].to_numpy(np.int64)
    return NumberBaseline(task, LAST_VALUE, mean, values=values, table=found["label"].to_numpy(), times=times)


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


def _parameters(kind: str, model: Any) -> dict[str, str | int | float]:  # noqa: ANN401 - of either kind
    if kind == HEURISTIC:
        return {"feature": heuristic_feature(model.task), "prior_rows": _PRIOR_ROWS}
    if kind == LAST_VALUE:
        return {"group": str(model.task.cluster), "groups": len(model.values)}
    return {"seed": model.seed} if kind == RANDOM else {}

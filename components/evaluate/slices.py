"""The winner group by group: whom does it serve worse, and where are there too few rows to say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluate.bootstrap import Estimate, bootstrap
from components.evaluate.metrics import Integers, Predictions

SHOWN = ("log_loss", "brier", "roc_auc", "accuracy")
MISSING = "(missing)"
_MOST_GROUPS = 30
_LEAST_CLASS_ROWS = 10


@dataclass(frozen=True)
class Slice:
    """One group of rows.

    Attributes:
        column: The slice column; for a month, the table.
        group: Its value.
        rows: How many.
        base_rate: The share of the positive class, or None with several classes.
        judged: Whether there are rows enough, of either class, to judge by.
        metrics: By model and metric.
        differences: The winner's metrics less the rival's, paired, by rival and metric.
    """

    column: str
    group: str
    rows: int
    base_rate: float | None
    judged: bool
    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]


def groups_of(values: pd.Series) -> list[tuple[str, NDArray[np.bool_]]]:
    """The groups of a column with their rows, the most frequent first, at most `_MOST_GROUPS`; missing is a group."""
    words = values.astype("string").fillna(MISSING)
    counts = sorted(words.value_counts().items(), key=lambda item: (-int(item[1]), str(item[0])))
    return [(str(word), (words == word).to_numpy(bool)) for word, _ in counts[:_MOST_GROUPS]]


def slices(
    frame: pd.DataFrame,
    columns: Iterable[str],
    models: Mapping[str, Predictions],
    winner: str,
    *,
    resamples: int,
    seed: int,
    least_rows: int,
) -> list[Slice]:
    """Judge every group of every slice column.

    Args:
        frame: The rows.
        columns: The slice columns.
        models: Predictions of those rows by the winner and its rivals.
        winner: Its name.
        resamples: For the intervals.
        seed: For the intervals.
        least_rows: A smaller group is shown, but marked as too small to judge.
    """
    return [
        judge(column, group, _subset(models, inside), winner, resamples, seed, least_rows)
        for column in columns
        for group, inside in groups_of(frame[column])
    ]


def judge(
    column: str,
    group: str,
    models: Mapping[str, Predictions],
    winner: str,
    resamples: int,
    seed: int,
    least_rows: int,
) -> Slice:
    """Judge one group; see `slices`."""
    labels = models[winner].labels
    drawn = bootstrap(models, resamples, seed)
    rivals = [name for name in models if name != winner]
    return Slice(
        column=column,
        group=group,
        rows=len(labels),
        base_rate=float(labels.mean()) if models[winner].binary else None,
        judged=len(labels) >= least_rows and _least_class(labels, models[winner].classes) >= _LEAST_CLASS_ROWS,
        metrics={name: {metric: drawn.estimate(name, metric) for metric in SHOWN} for name in models},
        differences={rival: {metric: drawn.difference(winner, rival, metric) for metric in SHOWN} for rival in rivals},
    )


def by_month(
    table: str, frame: pd.DataFrame, time: str, winner: Predictions, *, resamples: int, seed: int, least_rows: int
) -> list[Slice]:
    """Judge the winner month by month: a metric that moves with time is drift.

    Args:
        table: The rows' table: becomes the slices' `column`.
        frame: The rows.
        time: Their timestamp column.
        winner: The winner's predictions of them.
        resamples: For the intervals.
        seed: For the intervals.
        least_rows: As in `slices`.

    Returns:
        In order of time.
    """
    return [
        judge(table, month, _subset({"winner": winner}, inside), "winner", resamples, seed, least_rows)
        for month, inside in _months(frame[time])
    ]


def _months(times: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    words = times.dt.strftime("%Y-%m")
    for month in sorted(words.dropna().unique()):
        yield str(month), (words == month).to_numpy(bool)


def _subset(models: Mapping[str, Predictions], inside: NDArray[np.bool_]) -> dict[str, Predictions]:
    return {
        name: Predictions(model.labels[inside], model.probabilities[inside], model.threshold)
        for name, model in models.items()
    }


def _least_class(labels: Integers, classes: int) -> int:
    """Rows of the rarer class; with several classes, no limit of their own."""
    return int(np.bincount(labels, minlength=2).min()) if classes == 2 else _LEAST_CLASS_ROWS

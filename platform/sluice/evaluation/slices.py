"""The winner group by group: whom does it serve worse, and where are there too few rows to say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sluice.evaluation.blocks import LEAST_BLOCKS
from sluice.evaluation.bootstrap import Estimate, Resamples, bootstrap
from sluice.evaluation.designs import Design
from sluice.evaluation.evidence import LEAST_CLASS_ROWS
from sluice.problems.weighted_metrics import Judged as Said

SHOWN = ("log_loss", "brier", "roc_auc", "accuracy")
MISSING = "(missing)"


@dataclass(frozen=True)
class Slice:
    """One group of rows.

    Attributes:
        column: The slice column; for a month, the table.
        group: Its value.
        rows: How many.
        base_rate: The share of the positive class, or None with several classes or a number.
        judged: Whether there are rows enough, of either class and of enough clusters, to judge by.
        metrics: By model and metric; empty where the group cannot be judged.
        differences: The winner's metrics less the rival's, paired, by rival and metric.
        units: How many independent draws stand behind the differences, by rival.
        mean: The mean label, where it is a number.
        counts: For a rival that was compared on some of the rows only, on how many.
    """

    column: str
    group: str
    rows: int
    base_rate: float | None
    judged: bool
    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    units: dict[str, float]
    mean: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Models on the same rows.

    Attributes:
        models: Predictions by name.
        design: The rows' weights and clusters.
        limits: For a model that may be judged on some of the rows only, by name, which; shape (rows,).
    """

    models: Mapping[str, Said]
    design: Design
    limits: Mapping[str, NDArray[np.bool_]]

    @property
    def everywhere(self) -> dict[str, Said]:
        """The models that may be judged on all rows."""
        return {name: model for name, model in self.models.items() if name not in self.limits}

    def subset(self, inside: NDArray[np.bool_]) -> "Judged":
        """The same on some of the rows; inside: shape (rows,)."""
        models = {name: model.subset(inside) for name, model in self.models.items()}
        return Judged(models, self.design.subset(inside), {name: limit[inside] for name, limit in self.limits.items()})

    def parts(self) -> dict[str, "Judged"]:
        """For each model with a limit, it and the unlimited ones on its rows."""
        return {
            name: Judged({**self.everywhere, name: self.models[name]}, self.design, {}).subset(limit)
            for name, limit in self.limits.items()
        }

    def enough(self, model: str, least_rows: int) -> bool:
        """Whether the rows, and the clusters that they are of, are enough to judge by."""
        labels = self.models[model].labels
        classes = self.models[model].classes
        rarest = int(np.bincount(labels, minlength=2).min()) if classes == 2 and len(labels) else LEAST_CLASS_ROWS
        return len(labels) >= least_rows and rarest >= LEAST_CLASS_ROWS and self.design.units >= LEAST_BLOCKS


def groups_of(values: pd.Series) -> list[tuple[str, NDArray[np.bool_]]]:
    """All groups of a column with their rows, the most frequent first; missing is a group."""
    codes, words = pd.factorize(values.astype("string").fillna(MISSING), sort=True)
    counts = np.bincount(codes, minlength=len(words))
    order = sorted(range(len(words)), key=lambda place: (-counts[place], str(words[place])))
    return [(str(words[place]), np.asarray(codes == place)) for place in order]


def slices(
    frame: pd.DataFrame,
    columns: Iterable[str],
    judged: Judged,
    winner: str,
    *,
    resamples: int,
    seed: int,
    least_rows: int,
    shown: Sequence[str] = SHOWN,
) -> list[Slice]:
    """Judge every group of every slice column.

    Args:
        frame: The rows.
        columns: The slice columns.
        judged: The winner and its rivals on those rows.
        winner: Its name.
        resamples: For the intervals.
        seed: For the intervals.
        least_rows: A smaller group is named, but not judged.
        shown: The metrics that are kept.
    """
    return [
        judge(column, group, judged.subset(inside), winner, resamples, seed, least_rows, shown)
        for column in columns
        for group, inside in groups_of(frame[column])
    ]


def judge(
    column: str,
    group: str,
    judged: Judged,
    winner: str,
    resamples: int,
    seed: int,
    least_rows: int,
    shown: Sequence[str] = SHOWN,
) -> Slice:
    """Judge one group; see `slices`. A rival that has no rows enough there is left out of it."""
    own = judged.models[winner]
    mean = float(np.average(own.labels, weights=judged.design.weights)) if own.classes in (0, 2) else None
    base_rate, mean = (mean, None) if own.classes else (None, mean)
    if not judged.enough(winner, least_rows):
        return Slice(column, group, len(own.labels), base_rate, False, {}, {}, {}, mean)
    drawn = bootstrap(judged.everywhere, resamples, seed, judged.design)
    differences = {name: _gaps(drawn, winner, name, shown) for name in judged.everywhere if name != winner}
    units = dict.fromkeys(differences, judged.design.units)
    counts: dict[str, int] = {}
    metrics = {name: {metric: drawn.estimate(name, metric) for metric in shown} for name in judged.everywhere}
    for name, part in judged.parts().items():
        if part.enough(winner, least_rows):
            drawn = bootstrap(part.everywhere, resamples, seed, part.design)
            metrics[name] = {metric: drawn.estimate(name, metric) for metric in shown}
            differences[name] = _gaps(drawn, winner, name, shown)
            units[name], counts[name] = part.design.units, len(part.models[name].labels)
    rows = len(own.labels)
    return Slice(column, group, rows, base_rate, True, metrics, differences, units, mean, counts)


def _gaps(drawn: Resamples, winner: str, rival: str, shown: Sequence[str]) -> dict[str, Estimate]:
    return {metric: drawn.difference(winner, rival, metric) for metric in shown}


def by_month(
    table: str,
    times: pd.Series,
    winner: Said,
    design: Design,
    *,
    resamples: int,
    seed: int,
    least_rows: int,
    shown: Sequence[str] = SHOWN,
) -> list[Slice]:
    """Judge the winner month by month: a metric that moves with time is drift.

    Args:
        table: The rows' table: becomes the slices' `column`.
        times: The rows' local days.
        winner: The winner's predictions of them.
        design: Their weights and clusters.
        resamples: For the intervals.
        seed: For the intervals.
        least_rows: As in `slices`.
        shown: The metrics that are kept.

    Returns:
        In order of time.
    """
    every = Judged({"winner": winner}, design, {})
    return [
        judge(table, month, every.subset(inside), "winner", resamples, seed, least_rows, shown)
        for month, inside in _months(times)
    ]


def _months(times: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    words = times.dt.strftime("%Y-%m")
    for month in sorted(words.dropna().unique()):
        yield str(month), (words == month).to_numpy(bool)

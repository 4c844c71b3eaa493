"""The block bootstrap of clusters, seeded, over the rows that models are compared on.

Every model sees the same resamples, so that the difference of two models has a paired interval of its own. What is
drawn are the clusters of a `Design`, in blocks where they follow each other in time. Intervals are percentile intervals
(Efron 1979), widened for few clusters as in T. C. Hesterberg, *What teachers should know about the bootstrap*, The
American Statistician 69, 2015 (the expanded percentile interval).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sluice.evaluation.designs import Design, independent
from sluice.problems.weighted_metrics import Floats, Integers, Judged, Weights

LEVEL = 0.95
CALIBRATION, SQUARED = "calibration_error", "squared_calibration_error"
_CELLS = 1_500_000  # resamples are drawn in blocks of about so many weights: 6 MB


@dataclass(frozen=True)
class Estimate:
    """A number with its interval at LEVEL; None where it is undefined (one class only).

    Attributes:
        value: On the rows themselves.
        low: The interval's lower end.
        high: Its upper end.
        error: The standard error.
    """

    value: float | None
    low: float | None
    high: float | None
    error: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Resamples:
    """Metrics by model and name, each of shape (1 + resamples,): first the plain value, then the resamples'.

    Attributes:
        values: The metrics.
        units: How many independent draws stand behind a resample; see `Design.units`.
        widening: By how much errors exceed the resamples'; see `Design.widening`.
    """

    values: dict[str, dict[str, Floats]]
    units: float = float("inf")
    widening: float = 1.0

    def metrics(self, model: str) -> list[str]:
        """The names of a model's metrics."""
        return [CALIBRATION if metric == SQUARED else metric for metric in self.values[model]]

    def estimate(self, model: str, metric: str) -> Estimate:
        """One model's metric."""
        return self._summary(self._values(model, metric))

    def estimates(self, model: str) -> dict[str, Estimate]:
        """All metrics of one model."""
        return {metric: self.estimate(model, metric) for metric in self.metrics(model)}

    def difference(self, model: str, other: str, metric: str) -> Estimate:
        """`model` less `other`, resample by resample: the paired interval."""
        return self._summary(self._values(model, metric) - self._values(other, metric))

    def contrast(self, model: str, other: str, metric: str, share: float) -> Estimate:
        """`model` less a share of `other`, resample by resample; a share of 1 gives the difference."""
        return self._summary(self._values(model, metric) - share * self._values(other, metric))

    def standard_error(self, model: str, metric: str) -> float:
        """The standard deviation over the resamples: what the rows alone give."""
        return float(np.std(self._values(model, metric)[1:], ddof=1))

    def _summary(self, values: Floats) -> Estimate:
        return summary(values, self.units, self.widening)

    def _values(self, model: str, metric: str) -> Floats:
        return debiased_root(self.values[model][SQUARED]) if metric == CALIBRATION else self.values[model][metric]


def bootstrap(
    models: Mapping[str, Judged], resamples: int, seed: int, design: Design | None = None, cells: int = _CELLS
) -> Resamples:
    """Draw clusters with replacement and measure every model on every draw.

    Args:
        models: Predictions of the same rows by model.
        resamples: How many draws.
        seed: Decides the draws.
        design: The rows' weights and clusters; independent rows of weight 1 by default.
        cells: How many weights, rows times draws, are in memory at once; decides the draws too.
    """
    design = design or independent(len(next(iter(models.values())).labels))
    blocks: dict[str, dict[str, list[Floats]]] = {name: {} for name in models}
    with threadpool_limits(1, "blas"):  # threads that wait for each other cost ten times more on a busy machine
        for weights in resample_weights(design, resamples, seed, cells):
            for name, predictions in models.items():
                for metric, values in predictions.metrics(weights).items():
                    blocks[name].setdefault(metric, []).append(values)
    found = {n: {m: np.concatenate(v) for m, v in found.items()} for n, found in blocks.items()}
    return Resamples(found, design.units, design.widening)


def resample_weights(design: Design, resamples: int, seed: int, cells: int = _CELLS) -> Iterator[Weights]:
    """How much each row counts, in pieces of shape (rows, draws); the first piece is the sample itself.

    Args:
        design: The rows.
        resamples: How many draws in all pieces but the first.
        seed: Decides the draws.
        cells: See `bootstrap`.
    """
    rows = len(design.weights)
    scale = _as_weights(design, (design.weights / design.weights.mean())[:, None])  # a constant changes no metric
    yield scale
    generator = np.random.default_rng(seed)
    piece = max(1, min(resamples, cells // rows))
    for start in range(0, resamples, piece):
        counts = _cluster_counts(design, min(piece, resamples - start), generator)
        drawn = _as_weights(design, counts[design.clusters])
        yield np.multiply(drawn, scale, out=drawn) if design.weighted else drawn


def _as_weights(design: Design, values: NDArray[Any]) -> Weights:
    """Double precision where rows weigh differently; see `metrics.Weights`."""
    return values.astype(np.float64) if design.weighted else values.astype(np.float32)


def _cluster_counts(design: Design, draws: int, generator: np.random.Generator) -> Integers:
    """How often each cluster is drawn, shape (clusters, draws): blocks that start anywhere and close into a circle."""
    count, block = design.count, design.block
    starts = generator.integers(0, count, size=(-(-count // block), draws))
    drawn = (starts[:, None, :] + np.arange(block)[None, :, None]) % count
    drawn = drawn.reshape(-1, draws)[:count]  # the last block is cut so that as many are drawn as there are
    places = (drawn * draws + np.arange(draws)).ravel()
    return np.asarray(np.bincount(places, minlength=count * draws).reshape(count, draws), np.int64)


def summary(values: Floats, units: float = float("inf"), widening: float = 1.0) -> Estimate:
    """The first value with the expanded percentile interval of the others; undefined ones are left out.

    A widened interval goes farther into the resamples' tails, as far as a normal one of that error would: so it never
    leaves the values that a metric can take.

    Args:
        values: Shape (1 + resamples,).
        units: How many independent draws are behind each.
        widening: By how much the error exceeds that of the resamples.
    """
    usable = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(usable):
        return Estimate(None, None, None)
    tail = _tail(units, widening)
    low, high = np.quantile(usable, [tail, 1 - tail])
    error = widening * float(np.std(usable, ddof=1)) if len(usable) > 1 else None
    return Estimate(float(values[0]), float(low), float(high), error)


def _tail(units: float, widening: float) -> float:
    """The share of resamples beyond either end: less than 2.5 % where few clusters make the resamples too alike."""
    if not np.isfinite(units):
        return float(stats.norm.sf(widening * stats.norm.isf((1 - LEVEL) / 2)))
    freedom = max(units - 1, 1.0)
    wanted = stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt((freedom + 1) / freedom)
    return float(stats.norm.sf(widening * wanted))


def debiased_root(squares: Floats) -> Floats:
    """The root of a sum of squared gaps, without what noise adds to it, below by 0.

    A gap's square is on average too large by the gap's variance; a resample's by twice that. The excess of the
    resamples' mean over the plain value estimates it (as A. Kumar, P. Liang and T. Ma, *Verified uncertainty
    calibration*, 2019, subtract it for independent rows), whatever depends on what.

    Args:
        squares: Shape (1 + resamples,).
    """
    excess = squares[1:].mean() - squares[0]
    return np.asarray(np.sqrt(np.maximum(np.concatenate([squares[:1] - excess, squares[1:] - 2 * excess]), 0.0)))

"""The percentile bootstrap (Efron 1979), seeded, over the rows that models are compared on.

Every model sees the same resamples, so that the difference of two models has a paired interval of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from components.evaluate.metrics import Floats, Predictions, Weights

LEVEL = 0.95
_BIASED = ("ece",)
_CELLS = 1_500_000  # resamples are drawn in blocks of about so many weights: 6 MB


@dataclass(frozen=True)
class Estimate:
    """A number with its interval at LEVEL; None where it is undefined (one class only)."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Resamples:
    """Metrics by model and name, each of shape (1 + resamples,): first the plain value, then the resamples'."""

    values: dict[str, dict[str, Floats]]

    def estimate(self, model: str, metric: str) -> Estimate:
        """One model's metric."""
        values = self.values[model][metric]
        return summary(_without_bias(values) if metric in _BIASED else values)

    def estimates(self, model: str) -> dict[str, Estimate]:
        """All metrics of one model."""
        return {metric: self.estimate(model, metric) for metric in self.values[model]}

    def difference(self, model: str, other: str, metric: str) -> Estimate:
        """`model` less `other`, resample by resample: the paired interval."""
        return summary(self.values[model][metric] - self.values[other][metric])

    def standard_error(self, model: str, metric: str) -> float:
        """The standard deviation over the resamples."""
        return float(np.std(self.values[model][metric][1:], ddof=1))


def bootstrap(models: Mapping[str, Predictions], resamples: int, seed: int) -> Resamples:
    """Draw rows with replacement and measure every model on every draw.

    Args:
        models: Predictions of the same rows by model.
        resamples: How many draws.
        seed: Decides the draws.
    """
    rows = len(next(iter(models.values())).labels)
    blocks: dict[str, dict[str, list[Floats]]] = {name: {} for name in models}
    with threadpool_limits(1, "blas"):  # threads that wait for each other cost ten times more on a busy machine
        for weights in resample_weights(rows, resamples, seed):
            for name, predictions in models.items():
                for metric, values in predictions.metrics(weights).items():
                    blocks[name].setdefault(metric, []).append(values)
    return Resamples({n: {m: np.concatenate(v) for m, v in found.items()} for n, found in blocks.items()})


def resample_weights(rows: int, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each row is drawn, in blocks of shape (rows, draws); the first block is the sample itself.

    Args:
        rows: The sample's size.
        resamples: How many draws in all blocks but the first.
        seed: Decides the draws.
    """
    yield np.ones((rows, 1), np.float32)
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, _CELLS // rows))
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        drawn = generator.integers(0, rows, size=(rows, draws)) * draws + np.arange(draws)
        yield np.bincount(drawn.ravel(), minlength=rows * draws).reshape(rows, draws).astype(np.float32)


def summary(values: Floats) -> Estimate:
    """The first value with the percentile interval of the others; undefined ones are left out.

    Args:
        values: Shape (1 + resamples,).
    """
    usable = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(usable):
        return Estimate(None, None, None)
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high))


def _without_bias(values: Floats) -> Floats:
    """Shift the resamples of a sum of absolute gaps by their bias (Efron and Tibshirani 1993, chapter 10).

    The noise that resampling adds to each gap counts as error, whatever its sign; unshifted, the interval of a well
    calibrated model would lie above its own value.
    """
    shifted = np.maximum(values[1:] - (values[1:].mean() - values[0]), 0.0)
    return np.concatenate([values[:1], shifted])

"""How far a probability can be taken at its word: the reliability curve, the calibration error and its test.

Rows are cut into bins of like confidence; over several classes, confidence is the probability of the most probable one.
The calibration error is the root mean square over the bins, weighted by their rows, of what came true less what was
promised, without what noise adds to it (`bootstrap.debiased_root`). A perfect model shows gaps too, so the error alone
proves nothing: the test asks how often a perfect model with the same dependence between rows would show such gaps.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from sluice.evaluation.bootstrap import CALIBRATION, Estimate, Resamples, resample_weights
from sluice.evaluation.designs import Design, independent
from sluice.problems.weighted_metrics import CALIBRATION_BINS, Floats, Predictions

_Z = 1.959964  # the normal quantile of a 95 % interval
_SEED = 7
_LEVEL = 0.05


@dataclass(frozen=True)
class Bin:
    """Rows of like confidence.

    Attributes:
        rows: How many.
        predicted: Their mean probability, weighted.
        observed: The share that came true, weighted.
        low: The lower end of its 95 % interval (Wilson 1927, with as many rows as tell as much if they were
            independent and weighed alike, as in E. L. Korn and B. I. Graubard, 1998).
        high: The upper end.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """What is known of a model's calibration.

    Attributes:
        error: The calibration error: the root mean square of the gaps.
        bias: What came true less what was promised, on average; below 0 the model promises too much.
        base: The share that came true, or its complement if that is less: what an error has to be seen against.
        gap: How far probabilities are off on average: the mean of the gaps' sizes, each without its own noise.
        relative: That divided by `base`.
        p_value: How often a perfect model would show such gaps.
        words: In which direction it errs, or that it does not beyond noise.
        bins: The reliability curve, least confident bin first.
    """

    error: Estimate
    bias: Estimate
    base: float
    gap: float
    relative: float
    p_value: float
    words: str
    bins: list[Bin]

    @property
    def base_words(self) -> str:
        """What `base` is, for a sentence: with several classes mostly the share of wrong forecasts."""
        rows = sum(each.rows for each in self.bins)
        came_true = sum(each.observed * each.rows for each in self.bins) / rows if rows else 0.0
        return f"the {self.base:.2%} that did not come true" if came_true > 0.5 else f"the base rate {self.base:.2%}"


def calibration(
    predictions: Predictions, design: Design, measured: Resamples, model: str, resamples: int
) -> Calibration:
    """Judge a model's calibration.

    Args:
        predictions: Of labelled rows.
        design: The rows' weights and clusters.
        measured: Its metrics.
        model: Its name among them.
        resamples: For the test and the bins' intervals.
    """
    sums = _sums(predictions, design, resamples)
    bins, wider = _bins(predictions, sums, design.widening), design.widening**2
    gaps = sums.hits - sums.promised
    total = sums.rows.sum(axis=0)
    came_true = float(sums.hits[:, 0].sum() / total[0])
    base = min(came_true, 1 - came_true)
    error, bias = measured.estimate(model, CALIBRATION), measured.estimate(model, "bias")
    gap = _mean_gap(gaps / total, wider)
    relative = gap / max(base, 0.5 / total[0])  # where nothing came true, as if half a row had
    p_value = _p_value(gaps / total, sums.rows[:, 0] / total[0], wider)
    return Calibration(error, bias, base, gap, relative, p_value, _words(bins, bias, p_value, came_true), bins)


def reliability(predictions: Predictions, design: Design | None = None, resamples: int = 200) -> list[Bin]:
    """The reliability curve alone, least confident bin first; the bins hold about as many rows each."""
    design = design or independent(len(predictions.labels))
    return _bins(predictions, _sums(predictions, design, resamples), design.widening)


@dataclass(frozen=True)
class _Sums:
    """By bin and resample, the rows themselves first: weights, what came true, what was promised."""

    rows: Floats
    hits: Floats
    promised: Floats


def _sums(predictions: Predictions, design: Design, resamples: int) -> _Sums:
    inside = predictions.inside.astype(float)
    columns = [inside, inside * predictions.confirmed[:, None], inside * predictions.confidence[:, None]]
    stacked = np.column_stack(columns).T
    drawn = np.hstack([stacked @ weights for weights in resample_weights(design, resamples, _SEED)])
    return _Sums(*np.split(drawn, 3))


def _bins(predictions: Predictions, sums: _Sums, widening: float) -> list[Bin]:
    counts = predictions.inside.sum(axis=0)
    shares = np.divide(sums.hits, sums.rows, out=np.full_like(sums.hits, np.nan), where=sums.rows > 0)
    variances = np.var(np.nan_to_num(shares[:, 1:]), axis=1, ddof=1)
    noise = shares[:, 0] * (1 - shares[:, 0])
    ratios = variances * counts / np.where(noise > 0, noise, np.nan)  # how much wider than rows that are independent
    usual = np.nanmean(ratios) if np.isfinite(ratios).any() else 1.0
    found = []
    for place in np.flatnonzero(counts[:CALIBRATION_BINS]):
        rows, observed = int(counts[place]), float(shares[place, 0])
        ratio = ratios[place] if np.isfinite(ratios[place]) and ratios[place] > 0 else usual
        enough = rows / max(float(ratio), 1.0) / widening**2
        low, high = wilson(observed * enough, enough)
        found.append(Bin(rows, float(sums.promised[place, 0] / sums.rows[place, 0]), observed, low, high))
    return found


def _mean_gap(gaps: Floats, wider: float) -> float:
    """The sum over bins of the gaps' sizes, less what the noise in each adds to its square."""
    variances = wider * gaps[:, 1:].var(axis=1, ddof=1)
    return float(np.sqrt(np.maximum(gaps[:, 0] ** 2 - variances, 0.0)).sum())


def _p_value(gaps: Floats, shares: Floats, wider: float) -> float:
    """How often centred resamples, those of a model without gaps, have gaps as wide.

    Args:
        gaps: Each bin's gap as a share of all rows, shape (bins, 1 + resamples).
        shares: Each bin's share of the rows, shape (bins,).
        wider: By how much the gaps' variances exceed those of the resamples.
    """
    filled = shares > 0
    squares = np.column_stack([gaps[:, 0], gaps[:, 1:] - gaps[:, :1]])[filled] ** 2 / shares[filled, None]
    seen, null = squares[:, 0].sum(), wider * squares[:, 1:].sum(axis=0)
    return float((1 + (null >= seen).sum()) / (1 + len(null)))


def _words(bins: list[Bin], bias: Estimate, p_value: float, came_true: float) -> str:
    if p_value > _LEVEL:
        return "no gap that a perfect model would not show by chance"
    if bias.value is not None and (bias.low or 0.0) * (bias.high or 0.0) > 0:
        way = "too much" if bias.value < 0 else "too little"
        return f"it promises {way}: {came_true - bias.value:.1%} on average, where {came_true:.1%} came true"
    predicted = np.array([entry.predicted for entry in bins])
    gaps = np.array([entry.observed - entry.predicted for entry in bins])
    weights = np.array([entry.rows for entry in bins], float)
    lean = float((weights * gaps * (predicted - np.average(predicted, weights=weights))).sum())
    return "it is too sure of itself" if lean < 0 else "it is too cautious"


def wilson(hits: float, rows: float) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    share, scale = hits / rows, 1 + _Z**2 / rows
    middle = (share + _Z**2 / (2 * rows)) / scale
    half = _Z / scale * sqrt(max(share * (1 - share), 0.0) / rows + _Z**2 / (4 * rows**2))
    low, high = min(share, middle - half), max(share, middle + half)  # rounding must not exclude the share itself
    return max(0.0, low), min(1.0, high)

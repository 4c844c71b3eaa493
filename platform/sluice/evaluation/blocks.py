"""How many neighbours in time depend on each other: the block length of the circular block bootstrap.

The rule is that of D. N. Politis and H. White, *Automatic block-length selection for the dependent bootstrap*,
Econometric Reviews 23, 2004, with the correction of A. Patton, Politis and White, ibid. 28, 2009. The tests hold it to
the implementation in the package arch.
"""

from math import ceil, log10, sqrt

import numpy as np

from sluice.problems.weighted_metrics import Floats

LEAST_BLOCKS = 10
"""With fewer, no interval holds what it says."""


def block_length(series: Floats) -> int:
    """The length of blocks, at least 1; at most a tenth of the series, so that ten blocks are left to draw from.

    Args:
        series: A value at each moment in turn, shape (moments,).
    """
    count = len(series)
    if count < 2 * LEAST_BLOCKS or not np.isfinite(series).all() or np.ptp(series) == 0:
        return 1
    return max(1, min(ceil(optimal_length(series)), count // LEAST_BLOCKS))


def optimal_length(series: Floats) -> float:
    """The length that the rule asks for, before it is rounded; near 0 where there is no dependence."""
    count = len(series)
    run = max(5, int(log10(count)))
    most = ceil(sqrt(count)) + run
    covariances, correlations = _dependence(series - series.mean(), most)
    lags = _lags(correlations, run, 2 * sqrt(log10(count) / count), most)
    steps = np.arange(-lags, lags + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - np.abs(steps) / lags))
    shown = window * covariances[np.abs(steps)]
    spread, density = float((np.abs(steps) * shown).sum()), float(shown.sum())
    length = (2 * spread**2 / (4 / 3 * density**2) * count) ** (1 / 3)
    return float(min(length, ceil(min(3 * sqrt(count), count / 3))))


def _dependence(centred: Floats, most: int) -> tuple[Floats, Floats]:
    """Autocovariances, and autocorrelations of the two pieces that overlap, without sign, at the lags 0 to `most`."""
    covariances, correlations = np.zeros(most + 1), np.zeros(most + 1)
    for lag in range(most + 1):
        product = centred[lag:] @ centred[: len(centred) - lag]
        early, late = centred[: -(lag + 1)], centred[lag + 1 :]
        covariances[lag] = product / len(centred)
        correlations[lag] = abs(product) / sqrt((early @ early) * (late @ late))
    return covariances, correlations


def _lags(correlations: Floats, run: int, bound: float, most: int) -> int:
    """Twice the lag from which on `run` correlations in a row are within the noise."""
    starts = range(len(correlations) - run)
    quiet = next((start for start in starts if (correlations[start : start + run] < bound).all()), None)
    return most if quiet is None else min(2 * max(quiet, 1), most)

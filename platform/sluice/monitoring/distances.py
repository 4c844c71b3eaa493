"""How far two distributions are apart, and whether that is more than a distance that does not matter.

The distance is Hellinger's, from 0 (alike) to 1 (nothing in common). The square roots of shares have about the same
variance whatever the share is (M. F. Freeman and J. W. Tukey, 1950), so the squared distance of a draw from a fixed
distribution follows a noncentral chi-squared law; with many rows a p-value of "no difference at all" would call
everything a drift, and here it is of "no difference that matters".
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Counts = NDArray[np.int64]
_LEAST_EXPECTED = 5.0
_NORMAL = 2000.0


def hellinger(first: Counts, second: Counts) -> float:
    """The distance of two tables of counts of the same cells."""
    overlap = np.sqrt(first / max(first.sum(), 1) * (second / max(second.sum(), 1))).sum()
    return float(np.sqrt(max(0.0, 1 - overlap)))


def beyond_noise(first: Counts, second: Counts) -> float:
    """The distance, without what the noise of two draws adds to it."""
    cells = int(((first + second) > 0).sum())
    noise = (cells - 1) / 8 * (1 / max(first.sum(), 1) + 1 / max(second.sum(), 1))
    return float(np.sqrt(max(0.0, hellinger(first, second) ** 2 - noise)))


def distance_p_value(current: Counts, reference: Counts, margin: float) -> float:
    """How probable a distance like this is, where the true one is at most `margin`.

    The reference is drawn too, but once for all windows: the 95 % bound of its own distance from the truth is added to
    the margin (a distance obeys the triangle inequality), so that windows stay independent of each other given it.

    Args:
        current: Counts by cell.
        reference: Counts of the same cells.
        margin: A Hellinger distance that does not matter.
    """
    current, reference = _merged(current, reference)
    rows, known, cells = int(current.sum()), int(reference.sum()), len(current)
    if not rows or not known or cells < 2:
        return 1.0
    own = float(np.sqrt(stats.chi2.ppf(0.95, cells - 1) / (8 * known)))
    statistic = 8 * rows * hellinger(current, reference) ** 2
    allowed = 8 * rows * (margin + own) ** 2
    if allowed > _NORMAL:  # SciPy's own law overflows there; the root of it is then normal with variance 1
        return float(stats.norm.sf(np.sqrt(statistic) - np.sqrt(allowed + cells - 1)))
    return float(stats.ncx2.sf(statistic, cells - 1, allowed))


def _merged(current: Counts, reference: Counts) -> tuple[Counts, Counts]:
    """Cells in which too few rows are expected become one: the law above needs some in each."""
    expected = reference / max(reference.sum(), 1) * current.sum()
    small = expected < _LEAST_EXPECTED
    if small.sum() < 2:
        return current, reference
    return (
        np.append(current[~small], current[small].sum()),
        np.append(reference[~small], reference[small].sum()),
    )

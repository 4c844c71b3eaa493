"""When a difference is more than noise: one-sided tests, many of them at once, and again and again on the same rows."""

from collections.abc import Sequence
from math import isfinite

from scipy import stats

from sluice.evaluation.bootstrap import Estimate

ALPHA = 0.05
"""What all looks at the same test rows together may err: the chance that noise alone is ever promoted."""
POWER = 0.8


def spent(look: int) -> float:
    """The part of ALPHA that a look may spend: ALPHA / (look (look + 1)), which adds up to ALPHA over all looks.

    By Bonferroni's inequality it holds whatever the looks have in common.

    Args:
        look: 1 for the first.
    """
    return ALPHA / (look * (look + 1))


def p_below(gap: Estimate, units: float, limit: float = 0.0) -> float:
    """The p-value of the hypothesis that the true difference is at least `limit`, against that it is less.

    Student's t with one degree of freedom less than there are independent units: a resample's tail, of a thousand
    resamples, cannot tell a chance of one in ten thousand. 1 where the difference or its error is undefined.

    Args:
        gap: The difference.
        units: How many independent draws it rests on.
        limit: In the metric's unit.
    """
    if gap.value is None or gap.error is None:
        return 1.0
    if gap.error == 0:
        return 0.0 if gap.value < limit else 1.0
    return float(stats.t.cdf((gap.value - limit) / gap.error, _freedom(units)))


def p_above(gap: Estimate, units: float, limit: float = 0.0) -> float:
    """The p-value of the hypothesis that the true difference is at most `limit`, against that it is more."""
    if gap.value is None or gap.error is None:
        return 1.0
    return p_below(Estimate(-gap.value, None, None, gap.error), units, -limit)


def detectable(error: float, units: float, alpha: float) -> float:
    """The true difference that a one-sided test finds in POWER of cases, in the metric's unit.

    Args:
        error: The difference's standard error.
        units: How many independent draws it rests on.
        alpha: The test's level.
    """
    freedom = _freedom(units)
    return float(error * (stats.t.isf(alpha, freedom) + stats.t.ppf(POWER, freedom)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the chance of any false alarm in the family, whatever depends on what (Holm 1979).

    Args:
        p_values: Of the family, in any order.

    Returns:
        In the same order.
    """
    count, adjusted, greatest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = greatest
    return adjusted


def _freedom(units: float) -> float:
    return max(units - 1, 1.0) if isfinite(units) else 1e9

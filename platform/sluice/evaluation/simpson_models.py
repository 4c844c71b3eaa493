"""Simpson's paradox between models: one ranks better overall, though worse within the slices.

For the log loss that cannot happen, because both models see the same rows and the loss is a mean over them; for the
area under the ROC curve it can. The slices' differences are pooled with the weights that make the pooled one most
precise (one over the variance); the paradox is there where it and the difference over all rows have opposite signs and
neither interval holds zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from sluice.evaluation.bootstrap import Estimate, Resamples
from sluice.evaluation.slices import Slice

RANKING = "roc_auc"
_Z = 1.959964
_EXACT = 1e-6
"""A standard error below this, where every resample ranks alike, would drown all other slices."""


@dataclass(frozen=True)
class ModelReversal:
    """How the winner's ranking compares with a rival's, overall and within the slices of a column.

    Attributes:
        column: The slice column.
        rival: The other model.
        overall: The winner's area less the rival's, over all rows.
        pooled: The same within the slices, pooled, with its interval.
        slices: The same by group, of the groups that can be judged.
        reversed: Whether the two have opposite signs, both beyond noise.
    """

    column: str
    rival: str
    overall: Estimate
    pooled: Estimate
    slices: dict[str, float]
    reversed: bool


def model_reversals(found: Iterable[Slice], overall: Resamples, winner: str) -> list[ModelReversal]:
    """Compare the winner's ranking with each rival's, overall and within each column's slices.

    Args:
        found: The slices.
        overall: The metrics over all rows.
        winner: Its name.
    """
    gaps: dict[tuple[str, str], dict[str, Estimate]] = {}
    for entry in found:
        for rival, differences in entry.differences.items():
            gap = differences[RANKING]
            if entry.judged and gap.value is not None and gap.error is not None:
                gaps.setdefault((entry.column, rival), {})[entry.group] = gap
    reversals = []
    for (column, rival), by_group in gaps.items():
        total, pooled = overall.difference(winner, rival, RANKING), _pooled(list(by_group.values()))
        turned = len(by_group) > 1 and _sign(total) * _sign(pooled) < 0
        values = {group: gap.value for group, gap in by_group.items() if gap.value is not None}
        reversals.append(ModelReversal(column, rival, total, pooled, values, turned))
    return reversals


def _pooled(gaps: list[Estimate]) -> Estimate:
    precisions = [1 / max(gap.error or 0.0, _EXACT) ** 2 for gap in gaps]
    value = sum(p * (gap.value or 0.0) for p, gap in zip(precisions, gaps, strict=True)) / sum(precisions)
    error = 1 / sqrt(sum(precisions))
    return Estimate(value, value - _Z * error, value + _Z * error, error)


def _sign(gap: Estimate) -> int:
    """1 or -1 where the interval lies on one side of zero, else 0."""
    if gap.low is None or gap.high is None:
        return 0
    return 1 if gap.low > 0 else -1 if gap.high < 0 else 0

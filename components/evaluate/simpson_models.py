"""Simpson's paradox between models: one ranks better overall, though worse in each slice.

For the log loss that cannot happen, because both models see the same rows and the loss is a mean over them; for the
area under the ROC curve it can.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from components.evaluate.bootstrap import Resamples
from components.evaluate.slices import Slice

RANKING = "roc_auc"


@dataclass(frozen=True)
class ModelReversal:
    """How the winner's ranking compares with a rival's, overall and slice by slice.

    Attributes:
        column: The slice column.
        rival: The other model.
        overall: The winner's area less the rival's, over all rows.
        slices: The same by group, of the groups that have rows enough.
        reversed: Whether every one of them has the other sign.
    """

    column: str
    rival: str
    overall: float
    slices: dict[str, float]
    reversed: bool


def model_reversals(found: Iterable[Slice], overall: Resamples, winner: str) -> list[ModelReversal]:
    """Compare the winner's ranking with each rival's, overall and in each slice that can be judged.

    Args:
        found: The slices.
        overall: The metrics over all rows.
        winner: Its name.
    """
    gaps: dict[tuple[str, str], dict[str, float]] = {}
    for entry in found:
        for rival, differences in entry.differences.items():
            value = differences[RANKING].value
            if entry.judged and value is not None:
                gaps.setdefault((entry.column, rival), {})[entry.group] = value
    reversals = []
    for (column, rival), by_group in gaps.items():
        total = overall.difference(winner, rival, RANKING).value or 0.0
        turned = len(by_group) > 1 and all(value * total < 0 for value in by_group.values())
        reversals.append(ModelReversal(column, rival, total, by_group, turned))
    return reversals

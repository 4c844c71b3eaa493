"""Choosing the winner on the validation rows by the one-standard-error rule (Breiman et al. 1984)."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.evaluate.bootstrap import Resamples
from components.evaluate.candidates import Candidate

METRIC = "log_loss"


@dataclass(frozen=True)
class Selection:
    """How the winner was chosen.

    Attributes:
        winner: The simplest candidate whose log loss is within one standard error of the best.
        best: The candidate with the least log loss.
        standard_error: The bootstrap standard error of the best one's log loss, in nats.
        limit: The greatest log loss that still counts as as good as the best, in nats.
        best_baseline: The baseline with the least log loss.
    """

    winner: str
    best: str
    standard_error: float
    limit: float
    best_baseline: str


def select(candidates: Sequence[Candidate], validation: Resamples) -> Selection:
    """Choose the winner and the baseline to beat.

    Args:
        candidates: Simplest first, baselines among them.
        validation: Their metrics on the validation rows.
    """
    losses = {c.name: float(validation.values[c.name][METRIC][0]) for c in candidates}
    contenders = [c.name for c in candidates if not c.baseline]
    best = min(contenders, key=losses.__getitem__)
    error = validation.standard_error(best, METRIC)
    limit = losses[best] + error
    return Selection(
        winner=next(name for name in contenders if losses[name] <= limit),
        best=best,
        standard_error=error,
        limit=limit,
        best_baseline=min((c.name for c in candidates if c.baseline), key=losses.__getitem__),
    )

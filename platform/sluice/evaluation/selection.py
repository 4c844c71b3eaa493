"""Choosing the winner on the validation rows by the one-standard-error rule (Breiman et al. 1984), in pairs.

The models judge the same rows, so what tells two of them apart is the standard error of their difference, not that of
either: it is a third as large and less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.evaluation.bootstrap import Estimate, Resamples
from sluice.evaluation.candidates import Candidate

METRIC = "log_loss"


@dataclass(frozen=True)
class Selection:
    """How the winner was chosen.

    Attributes:
        winner: The simplest candidate whose log loss exceeds the best one's by at most one standard error of that
            difference.
        best: The candidate with the least log loss.
        excess: Each candidate's log loss less the best one's, in nats, paired.
        best_baseline: The baseline with the least log loss.
    """

    winner: str
    best: str
    excess: dict[str, Estimate]
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
    excess = {name: validation.difference(name, best, METRIC) for name in contenders}
    return Selection(
        winner=next(name for name in contenders if name == best or _as_good(excess[name])),
        best=best,
        excess=excess,
        best_baseline=min((c.name for c in candidates if c.baseline), key=losses.__getitem__),
    )


def _as_good(excess: Estimate) -> bool:
    return excess.value is not None and excess.error is not None and excess.value <= excess.error

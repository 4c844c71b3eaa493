"""Choosing the winner on the validation rows by the one-standard-error rule (Breiman et al. 1984), in pairs.

The models judge the same rows, so what tells two of them apart is the standard error of their difference, not that of
either: it is a third as large and less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.evaluation.bootstrap import Estimate, Resamples
from sluice.evaluation.candidates import JudgedModel
from sluice.problems.metrics import BUILT_IN, Metric


@dataclass(frozen=True)
class Selection:
    """How the winner was chosen.

    Attributes:
        winner: The simplest candidate that the metric puts behind the best one by at most one standard error of that
            difference.
        best: The candidate that the metric puts first.
        excess: Each candidate's metric less the best one's, paired; turned round where more is better.
        best_baseline: The baseline that the metric puts first.
    """

    winner: str
    best: str
    excess: dict[str, Estimate]
    best_baseline: str


def select(
    candidates: Sequence[JudgedModel], validation: Resamples, metric: Metric = BUILT_IN["log_loss"]
) -> Selection:
    """Choose the winner and the baseline to beat.

    Args:
        candidates: Simplest first, baselines among them.
        validation: Their metrics on the validation rows.
        metric: What they are chosen by.
    """
    losses = {c.name: metric.sign * float(validation.values[c.name][metric.name][0]) for c in candidates}
    contenders = [c.name for c in candidates if not c.baseline]
    best = min(contenders, key=losses.__getitem__)
    excess = {name: gap(validation, name, best, metric) for name in contenders}
    return Selection(
        winner=next(name for name in contenders if name == best or _as_good(excess[name])),
        best=best,
        excess=excess,
        best_baseline=min((c.name for c in candidates if c.baseline), key=losses.__getitem__),
    )


def gap(measured: Resamples, model: str, other: str, metric: Metric) -> Estimate:
    """How far a model is behind another by a metric, paired: below 0 where it is better."""
    ahead, behind = (model, other) if metric.sign > 0 else (other, model)
    return measured.difference(ahead, behind, metric.name)


def _as_good(excess: Estimate) -> bool:
    return excess.value is not None and excess.error is not None and excess.value <= excess.error

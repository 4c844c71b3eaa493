"""Whether rows are harder than their features explain: then what the model says of them is likely to be too sure.

An estimate without labels takes it that of rows which look alike as many come true now as in the reference. That fails
where rows were chosen by how hard they are, such as cases that a person sends on because nobody can tell: among rows
that a model is sure of, those come that it should not have been sure of. Labels alone would prove it, but such a choice
shows in what the model says. If features merely became more or less frequent, a density ratio that is a product over
single features explains how unsure the model is now; rows chosen by their hardness are more unsure than that.
"""

from dataclasses import dataclass

import numpy as np

from sluice.monitoring.density_ratio import density_ratio
from sluice.monitoring.judged_rows import Floats, JudgedRows

_LEAST = 0.05  # of the reference's entropy; shifts of single features leave 0.01, in one that is strong 0.03
_SURPRISE = 4.0  # standard errors
_EPSILON = 1e-6


@dataclass(frozen=True)
class Harder:
    """How much harder rows are.

    Attributes:
        share: By what share of the reference's mean entropy the model is more unsure now than features explain.
        surprise: The same in standard errors.
    """

    share: float
    surprise: float

    @property
    def words(self) -> str:
        """What fails, in a sentence; empty where nothing does."""
        if self.share < _LEAST or self.surprise < _SURPRISE:
            return ""
        return (
            f"the model is {self.share:.0%} less sure of these rows than their features explain, so rows near the "
            "border between the classes have been chosen; it is likely to be too sure of them, and worse than estimated"
        )


def harder(reference: JudgedRows, current: JudgedRows, seed: int = 7) -> Harder:
    """Compare what the model says of present rows with what it says of reference rows, weighted by single features.

    Args:
        reference: Rows of the reference, with classes.
        current: Present rows.
        seed: Decides folds and trees.
    """
    before, now = _entropies(reference.values), _entropies(current.values)
    weights = density_ratio(reference.features, current.features, seed, leaves=2).reference
    weights = weights / weights.sum()
    explained = float((weights * before).sum())
    left = float(now.mean()) - explained
    error = float(np.sqrt((weights**2 * (before - explained) ** 2).sum() + now.var() / len(now)))
    usual = float(before.mean())
    if usual <= 0 or error <= 0:  # a model that is sure of everything
        return Harder(0.0, 0.0)
    return Harder(left / usual, left / error)


def _entropies(values: Floats) -> Floats:
    """How unsure the model says it is of each row, in nats; shape (rows,)."""
    clipped = np.clip(values, _EPSILON, 1.0)
    return np.asarray(-(clipped * np.log(clipped)).sum(axis=1), np.float64)

"""The present champion on the same rows: the model to replace, if there is one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.modeling.model_files import Threshold
from sluice.problems.weighted_metrics import Floats

Scores = Mapping[str, Floats]
NAME = "champion"
"""What the champion is called among the models that are compared."""


@dataclass(frozen=True)
class Champion:
    """The registered champion.

    Attributes:
        version: Its number in the registry.
        digest: Its model digest.
        scores: Its probabilities by table, or empty when it cannot judge these rows.
        problem: Why it cannot, or empty.
        unseen: Which test rows it did not learn from, shape (rows,); None where the rows that it learned from are not
            in the store, so that nobody can tell.
        threshold: Where its positive class begins.
        own_folds: The share of the test rows that it learned from and that models judge which were fitted by its
            recipe without them; these count as unseen.
        bars: With two classes, where the positive one begins for each test row, shape (rows,), where such models judge.
    """

    version: str
    digest: str
    scores: Scores
    problem: str
    unseen: NDArray[np.bool_] | None = None
    threshold: Threshold | None = None
    own_folds: float = 0.0
    bars: Floats | None = None

    @property
    def seen(self) -> float | None:
        """The share of the test rows that it learned from, or None where nobody can tell."""
        return None if self.unseen is None else float(1 - self.unseen.mean())

"""What a model's probabilities are worth: learned on labelled reference rows, for the rows that come now.

The calibration of a model under other rows is its calibration on reference rows, each counted as often as rows like it
come now: the idea of probabilistic adaptive performance estimation (J. Bialek and others, arXiv 2401.08348). Without
such weights it is that of the reference, which confidence-based estimation takes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sluice.monitoring.judged_rows import Floats


class Recalibration:
    """A monotone function for each class, from what the model says to how often it comes true."""

    def __init__(self, curves: Sequence[Any], *, binary: bool) -> None:
        self._curves, self._binary = curves, binary

    def __call__(self, values: Floats) -> Floats:
        """The probabilities of the labels, shape (rows, classes); values: what the model said, of the same shape."""
        if self._binary:
            positive = self._curves[0].predict(values[:, 1])
            return np.column_stack([1 - positive, positive])
        raw = np.column_stack([curve.predict(values[:, place]) for place, curve in enumerate(self._curves)])
        total = raw.sum(axis=1, keepdims=True)
        return np.where(total > 0, raw / np.where(total > 0, total, 1.0), values)


def recalibration(values: Floats, labels: Floats, weights: Floats, *, binary: bool) -> Recalibration:
    """Learn it by isotonic regression (B. Zadrozny and C. Elkan, 2002), one class against the rest.

    Args:
        values: What the model said of reference rows, shape (rows, classes).
        labels: Their class codes, shape (rows,).
        weights: How much each row counts, shape (rows,), at least 0.
        binary: Whether the first class is only the rest of the second.
    """
    from sklearn.isotonic import IsotonicRegression

    targets = (1,) if binary else range(values.shape[1])
    used = weights > 0
    curves = [
        IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
            values[used, target], (labels[used] == target).astype(float), sample_weight=weights[used]
        )
        for target in targets
    ]
    return Recalibration(curves, binary=binary)

"""The threshold of a binary model: from which probability of the positive class on a row is called positive."""

import numpy as np
import numpy.typing as npt

from sluice.modeling.model_files import Threshold

GREATEST_F1 = "greatest F1 on the validation rows"
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def f1_threshold(labels: Integers, proba: Floats, weights: Floats | None = None) -> Threshold | None:
    """The threshold that a model carries, chosen on the validation rows; None for several classes.

    Args:
        labels: The classes' codes, shape (rows,).
        proba: The model's forecasts, shape (rows, classes).
        weights: What each row counts, shape (rows,); None where every row counts the same.
    """
    if proba.shape[1] != 2:
        return None
    return Threshold(best_threshold(labels, proba[:, 1], weights), GREATEST_F1)


def best_threshold(labels: Integers, scores: Floats, weights: Floats | None = None) -> float:
    """The score from which calling a row positive gives the greatest F1; the higher one of equals.

    Args:
        labels: 0 or 1, shape (rows,); at least one row.
        scores: Shape (rows,).
        weights: What each row counts, shape (rows,); None where every row counts the same.
    """
    counted = np.ones(len(labels), np.int64) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], (labels * counted)[order]
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    f1 = 2 * positive.cumsum()[last] / (counted[order].cumsum()[last] + positive.sum())
    return float(ordered[last[int(f1.argmax())]])

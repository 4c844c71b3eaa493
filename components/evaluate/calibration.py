"""How far a probability can be taken at its word: the reliability curve by quantile bins.

The expected calibration error (Naeini et al. 2015) is among the metrics; over several classes both judge the
probability of the class decided for.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from components.evaluate.metrics import Predictions

_Z = 1.959964  # the normal quantile of a 95 % interval


@dataclass(frozen=True)
class Bin:
    """Rows of like confidence.

    Attributes:
        rows: How many.
        predicted: Their mean probability.
        observed: The share that came true.
        low: The lower end of its 95 % interval (Wilson 1927).
        high: The upper end.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


def reliability(predictions: Predictions) -> list[Bin]:
    """The reliability curve, least confident bin first; the bins hold about as many rows each."""
    found = []
    for number in np.unique(predictions.bins):
        inside = predictions.bins == number
        rows, hits = int(inside.sum()), float(predictions.confirmed[inside].sum())
        low, high = wilson(hits, rows)
        found.append(Bin(rows, float(predictions.confidence[inside].mean()), hits / rows, low, high))
    return found


def wilson(hits: float, rows: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    share, scale = hits / rows, 1 + _Z**2 / rows
    middle = (share + _Z**2 / (2 * rows)) / scale
    half = _Z / scale * sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    low, high = min(share, middle - half), max(share, middle + half)  # rounding must not exclude the share itself
    return max(0.0, low), min(1.0, high)

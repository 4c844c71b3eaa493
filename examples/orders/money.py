"""What a decision about an order costs."""

import numpy as np

from sluice.problems.metrics import Metric

RETURN, CALL = 8.0, 2.0  # euros for an order that comes back, and for a call that keeps it from coming back


def costs(label: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """The euros of each order.

    The shop calls where it expects a call to be cheaper than what comes back.

    Args:
        label: 1 where the order was sent back, shape (rows,).
        forecast: Probabilities of kept and sent back, shape (rows, 2).
    """
    called = forecast[:, 1] * RETURN > CALL
    return np.where(called, CALL, RETURN * label)


cost = Metric("cost", "Euros an order", "less", ("binary",), rows=costs)

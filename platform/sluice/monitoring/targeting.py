"""The probabilities of labels, fitted so that metrics of the present rows come out right on average.

A conditional logit model puts together what the model said, the class that it called and a second opinion. It is
fitted to the labels of reference rows, each counted as often as rows like it come now. Labels and probabilities of the
weighted rows then agree on average in each of its inputs. The derivatives of accuracy, log loss, Brier score, precision
and recall by a row's probabilities are sums of these inputs, so each of those metrics is doubly robust: right if the
probabilities are right, whatever the weights are, and right if the weights are (M. J. van der Laan and D. Rubin,
*Targeted maximum likelihood learning*, The International Journal of Biostatistics 2, 2006; for metrics of a model among
other rows: J. A. Steingrimsson, C. Gatsonis, B. Li and I. J. Dahabreh, *Transporting a prediction model for use in a
new target population*, American Journal of Epidemiology 192, 2023). Calibration weighted by the ratio alone is PAPE's.
"""

from dataclasses import dataclass

import numpy as np

from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows
from sluice.monitoring.second_opinion import logarithms

_ROUNDS = 30
_RIDGE = 1.0
_CLOSE = 1e-8
_MOST_INTERCEPTS = 12


@dataclass(frozen=True)
class Targeted:
    """A fitted model of the labels' probabilities.

    Attributes:
        coefficients: Shape (inputs,).
        influence: How much each reference row moves each coefficient, shape (reference rows, inputs).
    """

    coefficients: Floats
    influence: Floats


def inputs_of(rows: JudgedRows, opinion: Floats) -> Floats:
    """What the probabilities follow from, shape (rows, classes, inputs).

    Args:
        rows: What the model said of them.
        opinion: Logarithms of another model's probabilities, shape (rows, classes).
    """
    count, classes = rows.values.shape
    parts = [
        logarithms(rows.values)[:, :, None],
        rows.values[:, :, None],
        (rows.said[:, None] == np.arange(classes))[:, :, None].astype(float),
        opinion[:, :, None],
    ]
    if classes <= _MOST_INTERCEPTS:
        parts.append(np.broadcast_to(np.eye(classes)[:, 1:], (count, classes, classes - 1)))
    return np.concatenate(parts, axis=2)


def probabilities_of(inputs: Floats, coefficients: Floats) -> Floats:
    """Shape (rows, classes)."""
    raw = inputs @ coefficients
    raw -= raw.max(axis=1, keepdims=True)
    np.exp(raw, out=raw)
    return np.asarray(raw / raw.sum(axis=1, keepdims=True), np.float64)


def targeted(inputs: Floats, labels: Integers, weights: Floats, start: Floats | None = None) -> Targeted:
    """Fit it by Newton's method, drawn a little towards a start: few rows of large weight decide little.

    Args:
        inputs: Of reference rows; see `inputs_of`.
        labels: Their class codes, shape (rows,).
        weights: How much each counts, shape (rows,).
        start: Coefficients; by default those of the model's own probabilities.
    """
    weights = weights * (
        weights.sum() / (weights**2).sum()
    )  # together as many as rows of equal weight that tell as much
    centre = np.zeros(inputs.shape[2]) if start is None else start
    if start is None:
        centre[0] = 1.0
    found, chosen = centre.copy(), inputs[np.arange(len(labels)), labels]
    for _ in range(_ROUNDS):
        slopes, bends = _derivatives(inputs, chosen, weights, found)
        step = np.linalg.solve(bends + _RIDGE * np.eye(len(found)), slopes.sum(axis=0) - _RIDGE * (found - centre))
        found = found + step * min(1.0, 5.0 / max(float(abs(step).max()), 1e-12))
        if abs(step).max() < _CLOSE:
            break
    slopes, bends = _derivatives(inputs, chosen, weights, found)
    influence = np.linalg.solve(bends + _RIDGE * np.eye(len(found)), slopes.T).T
    effective = weights.sum()
    return Targeted(found, influence * np.sqrt(effective / max(effective - len(found), 1.0)))


def _derivatives(inputs: Floats, chosen: Floats, weights: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
    """Of the weighted log likelihood: each row's slope, shape (rows, inputs), and the whole's bend."""
    probabilities = probabilities_of(inputs, coefficients)
    means = np.einsum("nk,nkp->np", probabilities, inputs)
    slopes = weights[:, None] * (chosen - means)
    spread = (inputs - means[:, None, :]) * np.sqrt(probabilities * weights[:, None])[:, :, None]
    flat = spread.reshape(-1, inputs.shape[2])
    return slopes, flat.T @ flat

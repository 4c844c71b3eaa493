"""The errors of a model that forecasts numbers, on rows without labels.

A small model learns from reference rows how large the error is for which row, and is asked of the rows that come now
(direct loss estimation). What it gets wrong on reference rows that it has not seen, each counted as often as rows like
it come now, is added: the estimate is right if either that model or the density ratio is right (doubly robust; J. M.
Robins, A. Rotnitzky and L. P. Zhao, 1994).
"""

import numpy as np

from sluice.modeling.threads import fixed_threads
from sluice.monitoring.class_estimates import DOUBT, Estimated
from sluice.monitoring.judged_rows import Floats, JudgedRows, to_learn_from

_FOLDS = 3
_MOST_ROWS = 50_000
_Z = 1.959964
_UNFOLLOWED = 0.1
"""The standard error that a shift makes beyond what features show of it, as a share of how far the metric moved."""


def estimate_numbers(
    reference: JudgedRows, current: JudgedRows, weights: Floats, seed: int = 7
) -> dict[str, Estimated]:
    """`mae` and `rmse`, in the label's unit.

    Args:
        reference: Rows that all have labels, and that the model did not learn from.
        current: Rows whose labels are not looked at.
        weights: How much more frequent rows like each reference row are now, shape (reference rows,).
        seed: Decides folds and trees.

    Returns:
        Each with the interval in which the truth will lie once the labels of these rows have come.
    """
    assert reference.labels is not None, "reference rows have labels"  # noqa: S101 - the caller chose the rows
    residuals = reference.labels - reference.values
    inputs, asked = reference.known, current.known
    absolute = _mean_loss(inputs, np.abs(residuals), asked, weights, seed)
    squared = _mean_loss(inputs, residuals**2, asked, weights, seed)
    return {"mae": absolute, "rmse": _rooted(squared)}


def expected_losses(reference: JudgedRows, losses: Floats, current: JudgedRows, seed: int = 7) -> Floats:
    """The loss to be expected of each present row, learned from those of reference rows; shape (present rows,)."""
    with fixed_threads(1):
        return np.asarray(_fitted(reference.known, losses, seed).predict(current.known))


def _mean_loss(inputs: Floats, losses: Floats, asked: Floats, weights: Floats, seed: int) -> Estimated:
    """The mean loss of the rows asked for; its error is the reference's, and the noise of their own losses."""
    folds = np.random.default_rng(seed).integers(0, _FOLDS, len(losses))
    outside, said = np.empty(len(losses)), np.zeros(len(asked))
    for fold in range(_FOLDS):
        with fixed_threads(1):
            model = _fitted(inputs[folds != fold], losses[folds != fold], seed)
            outside[folds == fold] = model.predict(inputs[folds == fold])
            said += model.predict(asked) / _FOLDS
    left = losses - outside
    shares = weights / weights.sum()
    shift = float((shares * left).sum())
    moved = shares * (left - shift)
    own = (losses - losses.mean()) / len(losses)  # what each row moves in the reference's own mean
    lasting, apart = float(np.sqrt((moved**2).sum())), float(np.sqrt(((moved - own) ** 2).sum()))
    noise = float(np.sqrt((shares * (left - shift) ** 2).sum() / len(asked)))
    value = max(0.0, float(said.mean()) + shift)
    doubt = np.hypot(DOUBT * (shift - float(left.mean())), _UNFOLLOWED * (value - float(losses.mean())))
    error = float(np.sqrt(lasting**2 + noise**2 + doubt**2))
    drawn = float(said.std() / np.sqrt(len(asked)))
    return Estimated(value, max(0.0, value - _Z * error), value + _Z * error, error, apart, drawn)


def _fitted(inputs: Floats, losses: Floats, seed: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - scikit-learn has no types
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = slice(None)
    if len(losses) > _MOST_ROWS:
        rows = np.random.default_rng(seed).choice(len(losses), _MOST_ROWS, replace=False)  # type: ignore[assignment]
    model = HistGradientBoostingRegressor(
        max_iter=80,
        max_leaf_nodes=12,
        min_samples_leaf=30,
        l2_regularization=5.0,
        random_state=seed,
        early_stopping=False,
    )
    return model.fit(to_learn_from(inputs[rows]), losses[rows])


def _rooted(squared: Estimated) -> Estimated:
    """The root of a mean square, its error by the delta method."""
    value = float(np.sqrt(squared.value))
    slope = 0.5 / value if value > 0 else 0.0
    ends = np.sqrt([squared.low, squared.high])
    return Estimated(
        value, float(ends[0]), float(ends[1]), slope * squared.error, slope * squared.lasting, slope * squared.noise
    )

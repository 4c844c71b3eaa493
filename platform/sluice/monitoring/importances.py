"""How much each feature moves what the model says: found from its forecasts alone, whatever the model is.

Trees learn the forecast from the features; a feature's importance is how much worse they are when its values are dealt
out anew (L. Breiman, *Random forests*, 2001). Drift of a feature that moves no forecast costs nothing.
"""

from collections.abc import Sequence

import numpy as np

from sluice.modeling.threads import fixed_threads
from sluice.monitoring.judged_rows import JudgedRows, to_learn_from

_ROWS = 8000


def importances(rows: JudgedRows, names: Sequence[str], seed: int = 7) -> dict[str, float]:
    """Each feature's share of what moves the forecast; together 1.

    Args:
        rows: Of the reference.
        names: The features, in the order of their columns.
        seed: Decides which rows, and how values are dealt out.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.inspection import permutation_importance

    part = rows.drawn(_ROWS, seed)
    target = (
        part.values
        if rows.regression
        else part.values[:, 1:].sum(axis=1)
        if rows.binary
        else part.values @ np.arange(part.values.shape[1])
    )
    half = len(part) // 2
    if half < 20 or np.ptp(target) == 0:
        return dict.fromkeys(names, 1 / max(len(names), 1))
    with fixed_threads(1):
        trees = HistGradientBoostingRegressor(max_iter=60, random_state=seed, early_stopping=False)
        trees.fit(to_learn_from(part.features[:half]), target[:half])
        found = permutation_importance(
            trees, part.features[half:], target[half:], n_repeats=2, random_state=seed
        ).importances_mean
    positive = np.maximum(found, 0.0)
    total = positive.sum()
    shares = positive / total if total > 0 else np.full(len(names), 1 / len(names))
    return dict(zip(names, map(float, shares), strict=True))

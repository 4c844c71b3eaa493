"""Labels that come for some rows only: whether those rows are like the others.

Where only loans that were granted show whether they are paid back, the labelled rows are not like all rows, and a
metric of them is not the model's.
"""

import numpy as np

from sluice.monitoring.distances import distance_p_value, hellinger
from sluice.monitoring.judged_rows import Floats, JudgedRows

_CELLS = 10
_MATTERS = 0.05
_LEVEL = 1e-4
_NEARLY_ALL = 0.95


def selection_words(rows: JudgedRows) -> str:
    """Why the labels that came do not speak for all rows; empty where nothing says so.

    What the model said of labelled rows is held against what it said of the others.
    """
    labelled = rows.labelled
    if labelled.mean() >= _NEARLY_ALL:
        return ""
    scores = _scores(rows)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _CELLS + 1)[1:-1]))
    cells = np.searchsorted(edges, scores, side="right")
    counts = [np.bincount(cells[side], minlength=len(edges) + 1) for side in (labelled, ~labelled)]
    apart = hellinger(*counts)
    if distance_p_value(counts[0], counts[1], _MATTERS) > _LEVEL:
        return ""
    return (
        f"labels came for {labelled.mean():.0%} of the rows, and the model said something else of these than of the "
        f"others (distance {apart:.2f}): a metric of them is not that of all; wait for the rest, or label a random part"
    )


def _scores(rows: JudgedRows) -> Floats:
    if rows.regression:
        return rows.values
    return np.asarray(rows.values[:, 1] if rows.binary else rows.values.max(axis=1))

"""What a row stands for, and which rows are not independent of each other: the same answer for every step."""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sluice.core.errors import BadInput
from sluice.problems.task import Task

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def row_weights(rows: "pd.DataFrame", task: Task) -> Floats:
    """How many rows of the population each row stands for, shape (rows,); ones where nothing was sampled unequally.

    Raises:
        BadInput: The weight column is missing, or holds something that is no finite number above 0.
    """
    if task.weight is None:
        return np.ones(len(rows))
    if task.weight not in rows:
        raise BadInput(f"the rows have no weight column {task.weight!r}; use a dataset made by sample or split")
    import pandas as pd

    weights = pd.to_numeric(rows[task.weight], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(wrong):
        raise BadInput(
            f"column {task.weight!r}, row {wrong[0]}: {rows[task.weight].tolist()[wrong[0]]!r} is no weight above 0; "
            "run sample again"
        )
    return weights


def effective_rows(weights: Floats) -> float:
    """How many equally weighted rows would tell as much (L. Kish, *Survey Sampling*, 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0


def row_clusters(rows: "pd.DataFrame", task: Task) -> Integers:
    """The cluster of each row, shape (rows,), numbered from 0 in the order of their values; missing is a cluster.

    Rows of one cluster are not independent of each other: an interval has to draw clusters, not rows. Without a
    cluster column and without time, every row is a cluster of its own.

    Raises:
        BadInput: The column is missing.
    """
    column = task.cluster or task.time
    if column is None:
        return np.arange(len(rows))
    if column not in rows:
        raise BadInput(f"the rows have no column {column!r}, which tells dependent rows; run prepare again")
    import pandas as pd

    values = rows[column] if task.cluster else local_days(rows[column], task)
    return np.asarray(pd.factorize(values, sort=True, use_na_sentinel=False)[0], np.int64)


def local_days(times: "pd.Series", task: Task) -> "pd.Series":
    """The day of each time (UTC) in the zone of the task, as timestamps at midnight without a zone; dates stay."""
    import pandas as pd

    stamps = pd.to_datetime(times)
    if times.dtype == object and all(not isinstance(value, datetime) for value in times.dropna()):
        return stamps.dt.normalize()
    stamps = stamps.dt.tz_localize("UTC") if stamps.dt.tz is None else stamps
    return stamps.dt.tz_convert(task.timezone).dt.tz_localize(None).dt.normalize()


def cluster_name(task: Task) -> str:
    """What a cluster is, in words: `day`, the column's name, or `row`."""
    return task.cluster or ("day" if task.time else "row")

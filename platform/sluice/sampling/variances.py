"""The one-way analysis of variance: how much alike rows of one group are.

R. A. Fisher, *Statistical Methods for Research Workers*, 1925; A. Donner, *A review of inference procedures for the
intraclass correlation coefficient in the one-way random effects model*, 1986.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Rows by group, class and part, in arrays of equal length; groups are numbered in the order of their values."""

    group: Integers
    label: Integers
    part: npt.NDArray[np.str_]
    rows: Integers


@dataclass(frozen=True)
class Variance:
    """A one-way analysis of variance of the label.

    Attributes:
        groups: How many.
        effective: How many groups of equal size would share the rows as evenly.
        size: The mean size of a group, as the correlation needs it.
        correlation: The intraclass one.
        p: Of the F test that it is 0.
    """

    groups: int
    effective: float
    size: float
    correlation: float
    p: float


def analyse(counts: Counts) -> Variance:
    """The one-way analysis of variance of the label's classes, summed over them, as of 0/1 variables."""
    from scipy import stats

    table = np.zeros((counts.group.max() + 1, counts.label.max() + 1))
    np.add.at(table, (counts.group, counts.label), counts.rows)
    sizes, total = table.sum(axis=1), table.sum()
    between = float((table**2 / sizes[:, None]).sum() - (table.sum(axis=0) ** 2).sum() / total)
    whole = float(total - (table.sum(axis=0) ** 2).sum() / total)
    free = (len(sizes) - 1, total - len(sizes))
    effective = float(total**2 / (sizes**2).sum())
    if min(free) < 1 or whole <= 0:
        return Variance(len(sizes), effective, total / len(sizes), 0.0, 1.0)
    of_groups, of_rows = between / free[0], max(whole - between, 0.0) / free[1]
    size = float((total - (sizes**2).sum() / total) / free[0])
    below = of_groups + (size - 1) * of_rows
    p = float(stats.f.sf(of_groups / of_rows, *free)) if of_rows > 1e-12 * of_groups else 0.0
    return Variance(len(sizes), effective, size, float((of_groups - of_rows) / below) if below > 0 else 0.0, p)


def correlation(rows: npt.NDArray[Any], sums: npt.NDArray[Any], variances: npt.NDArray[Any]) -> float:
    """The intraclass correlation of a number, from each group's rows, sum and variance."""
    kept = rows > 0
    rows, means, within = rows[kept], sums[kept] / rows[kept], (rows * variances)[kept].sum()
    total, free = rows.sum(), (kept.sum() - 1, rows.sum() - kept.sum())
    if min(free) < 1:
        return 0.0
    between = (rows * (means - (rows * means).sum() / total) ** 2).sum() / free[0]
    size, of_rows = (total - (rows**2).sum() / total) / free[0], within / free[1]
    below = between + (size - 1) * of_rows
    return float((between - of_rows) / below) if below > 0 else 0.0

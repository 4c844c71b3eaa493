"""Simpson's paradox (Simpson 1951) in the data: an order that holds overall and turns round within the groups.

For instance one clinic loses more patients than another, though of the equally ill it loses fewer. Not every
single group has to show it: with many groups chance alone keeps one of them from it. What is tested is the difference
within the groups, pooled with the weights of N. Mantel and W. Haenszel (1959): the paradox is there where it and the
difference over all rows have opposite signs and both are beyond noise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from scipy import stats

from sluice.evaluation.designs import Design, independent
from sluice.evaluation.significance import ALPHA, holm
from sluice.evaluation.slices import MISSING
from sluice.problems.weighted_metrics import Floats, Integers


@dataclass(frozen=True)
class Stratum:
    """Two groups inside one group of another column: their positive shares, and their rows."""

    group: str
    rates: tuple[float, float]
    rows: tuple[int, int]

    @property
    def gap(self) -> float:
        """The first share less the second."""
        return self.rates[0] - self.rates[1]


@dataclass(frozen=True)
class Reversal:
    """Two groups of a column whose order turns round within the well-populated groups of another column.

    Attributes:
        column: The column of the two groups.
        groups: The two, the one with the greater share overall first.
        by: The other column.
        overall: Their shares and rows over all rows that the strata hold.
        pooled: The difference within the groups of `by`, pooled; below 0.
        strata: The same inside each group of `by` that has enough rows of both.
        p_value: Of the hypothesis that there is no reversal, adjusted for all pairs that were looked at.
    """

    column: str
    groups: tuple[str, str]
    by: str
    overall: Stratum
    pooled: float
    strata: tuple[Stratum, ...]
    p_value: float

    @property
    def beyond_noise(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value <= ALPHA


@dataclass(frozen=True)
class _Cells:
    """Rows and weights of one column crossed with another, each of shape (groups, others); cells as codes of rows."""

    groups: list[str]
    others: list[str]
    codes: tuple[Integers, Integers]
    rows: Integers
    weights: Floats
    hits: Floats


def data_reversals(
    frame: pd.DataFrame,
    positive: pd.Series,
    columns: Sequence[str],
    least_rows: int,
    design: Design | None = None,
) -> list[Reversal]:
    """Look for reversals between any two groups of each column, inside the groups of each other column.

    Args:
        frame: The rows' slice columns.
        positive: Whether each row is of the positive class.
        columns: Which columns.
        least_rows: A cell with fewer rows does not count.
        design: The rows' weights and clusters; independent rows of weight 1 by default.
    """
    design = design or independent(len(frame))
    hits = positive.to_numpy(np.float64)
    found, tests = [], 0
    for column, by in permutations(columns, 2):
        cells = _cells(frame[column], frame[by], hits, design)
        for pair in _pairs(cells, least_rows):
            tests += 1
            reversal = _reversal(cells, pair, (column, by), least_rows, hits, design)
            if reversal:
                found.append(reversal)
    # Pairs without a reversal count in the family with a p-value of 1.
    adjusted = holm([reversal.p_value for reversal in found] + [1.0] * (tests - len(found)))
    corrected = [_with_p(reversal, p_value) for reversal, p_value in zip(found, adjusted, strict=False)]
    return sorted(corrected, key=lambda r: (r.p_value, -sum(r.overall.rows), r.column, r.groups))


def _cells(column: pd.Series, by: pd.Series, hits: Floats, design: Design) -> _Cells:
    (codes, groups), (other_codes, others) = (
        pd.factorize(values.astype("string").fillna(MISSING), sort=True) for values in (column, by)
    )
    shape, cell = (len(groups), len(others)), codes * len(others) + other_codes
    size = shape[0] * shape[1]
    weights, counted = (
        np.bincount(cell, w, size).reshape(shape).astype(np.float64) for w in (design.weights, design.weights * hits)
    )
    rows = np.bincount(cell, minlength=size).reshape(shape)
    return _Cells(list(map(str, groups)), list(map(str, others)), (codes, other_codes), rows, weights, counted)


def _pairs(cells: _Cells, least_rows: int) -> Iterator[tuple[int, int]]:
    """Pairs of groups that meet in at least two strata with rows enough of both."""
    enough = cells.rows >= least_rows
    for first, second in combinations(range(len(cells.groups)), 2):
        if (enough[first] & enough[second]).sum() > 1:
            yield first, second


def _reversal(
    cells: _Cells,
    pair: tuple[int, int],
    names: tuple[str, str],
    least_rows: int,
    hits: Floats,
    design: Design,
) -> Reversal | None:
    """The reversal between two groups, the one with the greater share overall first; None where there is none."""
    both = np.array(pair)
    strata = np.flatnonzero((cells.rows[both] >= least_rows).all(axis=0))
    weights, counted = cells.weights[np.ix_(both, strata)], cells.hits[np.ix_(both, strata)]
    overall = _gap(counted.sum(axis=1), weights.sum(axis=1))
    shares = counted / weights
    pool = weights[0] * weights[1] / weights.sum(axis=0)
    pooled = float((pool * (shares[0] - shares[1])).sum() / pool.sum())
    if overall * pooled >= 0:
        return None
    if overall < 0:
        return _reversal(cells, (pair[1], pair[0]), names, least_rows, hits, design)
    parts = tuple(
        _stratum(cells.others[place], shares[:, k], cells.rows[both, place]) for k, place in enumerate(strata)
    )
    whole = _stratum("", counted.sum(axis=1) / weights.sum(axis=1), cells.rows[np.ix_(both, strata)].sum(axis=1))
    p_value = _p_value(cells, pair, strata, hits, design, (overall, pooled))
    return Reversal(names[0], (cells.groups[pair[0]], cells.groups[pair[1]]), names[1], whole, pooled, parts, p_value)


def _gap(hits: Floats, weights: Floats) -> float:
    return float(hits[0] / weights[0] - hits[1] / weights[1])


def _stratum(group: str, rates: Floats, rows: Integers) -> Stratum:
    return Stratum(group, (float(rates[0]), float(rates[1])), (int(rows[0]), int(rows[1])))


def _p_value(
    cells: _Cells,
    pair: tuple[int, int],
    strata: Integers,
    hits: Floats,
    design: Design,
    gaps: tuple[float, float],
) -> float:
    """The greater of two one-sided p-values: both differences must be beyond noise (an intersection-union test).

    Each difference is a sum over rows; its variance is that of the sums over clusters.
    """
    place = np.full(len(cells.others), -1)
    place[strata] = np.arange(len(strata))
    side = np.select([cells.codes[0] == pair[0], cells.codes[0] == pair[1]], [0, 1], -1)
    inside = np.flatnonzero((side >= 0) & (place[cells.codes[1]] >= 0))
    side, stratum = side[inside], place[cells.codes[1][inside]]
    weight, hit, sign = design.weights[inside], hits[inside], np.where(side == 0, 1.0, -1.0)
    weights, counted = cells.weights[np.ix_(np.array(pair), strata)], cells.hits[np.ix_(np.array(pair), strata)]
    totals, shares = weights.sum(axis=1), counted / weights
    pool = weights[0] * weights[1] / weights.sum(axis=0)
    overall = sign * weight * (hit - (counted.sum(axis=1) / totals)[side]) / totals[side]
    within = sign * weight * (hit - shares[side, stratum]) / weights[side, stratum] * pool[stratum] / pool.sum()
    clusters = np.unique(design.clusters[inside], return_inverse=True)[1]
    freedom = max(int(clusters.max()), 1)
    p_values = []
    for gap, parts in zip(gaps, (overall, within), strict=True):
        error = float(np.sqrt(np.square(np.bincount(clusters, parts)).sum()))
        p_values.append(float(stats.t.sf(abs(gap) / error, freedom)) if error > 0 else 0.0)
    return max(p_values)


def _with_p(reversal: Reversal, p_value: float) -> Reversal:
    return Reversal(**{**reversal.__dict__, "p_value": p_value})

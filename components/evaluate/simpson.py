"""Simpson's paradox (Simpson 1951) in the data: an order that holds overall and turns round inside every group.

For instance one carrier is late more often than another, though at each origin it is late less often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import sqrt

import numpy as np
import pandas as pd

from components.evaluate.metrics import Floats, Integers
from components.evaluate.slices import MISSING

_NOISE = 1.959964  # standard errors that chance explains, at 95 %


@dataclass(frozen=True)
class Stratum:
    """Two groups inside one group of another column: their positive shares and rows."""

    group: str
    rates: tuple[float, float]
    rows: tuple[int, int]

    @property
    def gap(self) -> float:
        """The first share less the second."""
        return self.rates[0] - self.rates[1]

    @property
    def variance(self) -> float:
        """The gap's sampling variance."""
        return sum(rate * (1 - rate) / rows for rate, rows in zip(self.rates, self.rows, strict=True))


@dataclass(frozen=True)
class Reversal:
    """Two groups of a column whose order turns round inside every well-populated group of another column.

    Attributes:
        column: The column of the two groups.
        groups: The two, the one with the greater share overall first.
        by: The other column.
        overall: Their shares and rows over all rows.
        strata: The same inside each group of `by` that has enough rows of both.
        beyond_noise: Whether the overall gap and the gap pooled over the strata (Mantel and Haenszel's weights)
            both differ from zero at 95 %.
    """

    column: str
    groups: tuple[str, str]
    by: str
    overall: Stratum
    strata: tuple[Stratum, ...]
    beyond_noise: bool


def data_reversals(frame: pd.DataFrame, positive: pd.Series, columns: Sequence[str], least_rows: int) -> list[Reversal]:
    """Look for reversals between any two groups of each column, inside the groups of each other column.

    Args:
        frame: The rows' slice columns.
        positive: Whether each row is of the positive class.
        columns: Which columns.
        least_rows: A cell with fewer rows does not count.
    """
    coded = {name: pd.factorize(frame[name].astype("string").fillna(MISSING), sort=True) for name in columns}
    weights = positive.to_numpy(np.float64)
    found = []
    for column, by in permutations(columns, 2):
        (codes, groups), (other_codes, others) = coded[column], coded[by]
        shape, cell = (len(groups), len(others)), codes * len(others) + other_codes
        rows = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        hits = np.bincount(cell, weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        for pair in combinations(np.flatnonzero(rows.sum(axis=1) >= least_rows).tolist(), 2):
            strata = _strata(list(map(str, others)), hits[list(pair)], rows[list(pair)], least_rows)
            overall = _stratum("", hits[list(pair)].sum(axis=1), rows[list(pair)].sum(axis=1))
            if _turns_round(overall, strata):
                names = (str(groups[pair[0]]), str(groups[pair[1]]))
                found.append(_reversal(column, names, by, overall, strata))
    return sorted(found, key=lambda r: (not r.beyond_noise, -sum(r.overall.rows), r.column, r.groups))


def _strata(others: list[str], hits: Floats, rows: Integers, least_rows: int) -> list[Stratum]:
    """Two groups inside each group of the other column that has rows enough of both; arrays of shape (2, others)."""
    enough = np.flatnonzero(rows.min(axis=0) >= least_rows)
    return [_stratum(others[place], hits[:, place], rows[:, place]) for place in enough]


def _stratum(group: str, hits: Floats, rows: Integers) -> Stratum:
    return Stratum(group, (float(hits[0] / rows[0]), float(hits[1] / rows[1])), (int(rows[0]), int(rows[1])))


def _turns_round(overall: Stratum, strata: Sequence[Stratum]) -> bool:
    return len(strata) > 1 and all(stratum.gap * overall.gap < 0 for stratum in strata)


def _reversal(column: str, groups: tuple[str, str], by: str, overall: Stratum, strata: Sequence[Stratum]) -> Reversal:
    """Put the group with the greater share overall first."""
    if overall.gap < 0:
        groups, overall, strata = groups[::-1], _swapped(overall), [_swapped(stratum) for stratum in strata]
    return Reversal(column, groups, by, overall, tuple(strata), _beyond_noise([overall]) and _beyond_noise(strata))


def _swapped(stratum: Stratum) -> Stratum:
    return Stratum(stratum.group, stratum.rates[::-1], stratum.rows[::-1])


def _beyond_noise(strata: Sequence[Stratum]) -> bool:
    """Whether the gap pooled over strata with Mantel and Haenszel's weights differs from zero."""
    weights = [s.rows[0] * s.rows[1] / sum(s.rows) for s in strata]
    gap = sum(w * s.gap for w, s in zip(weights, strata, strict=True))
    return abs(gap) > _NOISE * sqrt(sum(w**2 * s.variance for w, s in zip(weights, strata, strict=True)))

"""Values that training never saw: found in each batch that a model judges, and said in words.

A model has a forecast for any row. For an hour 99, a temperature in other units or a carrier `aa` where training had
`AA`, that forecast means little, and nobody would know.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from components.common.model_inputs import CategoryInput, ModelInputs, rare_digest

Flags = npt.NDArray[np.bool_]

_FLOAT32 = 2.0**-22  # a number that was stored in single precision is still the same number
_SHOWN_VALUES, _SHOWN_LETTERS = 3, 40
_TAIL_SHARE, _TAIL_ROWS = 0.01, 5
"""The tails beyond the 0.1 % and 99.9 % quantiles hold 0.2 % of the training rows: five times as many are no chance."""


@dataclass(frozen=True)
class Finding:
    """What is odd about one feature in one batch.

    Attributes:
        feature: Its name.
        rows: Which rows it is odd in, shape (rows,).
        words: The same in words.
    """

    feature: str
    rows: Flags
    words: str

    def __str__(self) -> str:
        return f"{self.feature}: {self.words}"


class SeenValues:
    """What training saw, arranged so that a batch is compared quickly."""

    def __init__(self, inputs: ModelInputs) -> None:
        self._numbers = [entry for entry in inputs.numbers if entry.least is not None]
        self._categories = [(entry, frozenset(entry.values), frozenset(entry.rare)) for entry in inputs.categories]
        self._never_missing = frozenset(entry.name for entry in inputs.entries if not entry.missing)
        ends = np.array([[e.least, e.greatest, e.low, e.high] for e in self._numbers], dtype=np.float64).reshape(-1, 4)
        self._least, self._greatest, self._low, self._high = (ends + np.array([-1, 1, -1, 1]) * _FLOAT32 * abs(ends)).T
        self._whole = np.array([entry.whole for entry in self._numbers], dtype=np.bool_)

    def findings(self, rows: pd.DataFrame) -> list[Finding]:
        """What is odd in a batch.

        Args:
            rows: The feature columns: numbers as float64 with NaN, categories as strings with NA.
        """
        return [*self._number_findings(rows), *self._category_findings(rows), *self._missing(rows)]

    def _number_findings(self, rows: pd.DataFrame) -> Iterator[Finding]:
        if not self._numbers:
            return
        values = rows[[entry.name for entry in self._numbers]].to_numpy(np.float64)
        outside = (values < self._least) | (values > self._greatest)
        broken = self._whole & np.isfinite(values) & (values != np.rint(values)) & ~outside
        tails = ((values < self._low) | (values > self._high)) & ~outside
        for place in np.flatnonzero((outside | broken | tails).any(axis=0)):
            entry, column = self._numbers[place], values[:, place]
            if outside[:, place].any():
                seen = f"outside {entry.least:g} to {entry.greatest:g}, all that training saw"
                yield _finding(entry.name, outside[:, place], seen, column)
            if broken[:, place].any():
                yield _finding(
                    entry.name, broken[:, place], "that are no whole numbers, as all in training were", column
                )
            count = int(tails[:, place].sum())
            if count > max(_TAIL_ROWS, _TAIL_SHARE * len(column)):
                seen = f"outside {entry.low:g} to {entry.high:g}, where 99.8 % of the training rows are (other units?)"
                yield _finding(entry.name, tails[:, place], seen, column)

    def _category_findings(self, rows: pd.DataFrame) -> Iterator[Finding]:
        for entry, frequent, rare in self._categories:
            column = rows[entry.name]
            strange = [
                value
                for value in column.dropna().unique()
                if value not in frequent and rare_digest(entry.name, value) not in rare
            ]
            if strange:
                where = column.isin(strange).to_numpy(np.bool_)
                shown = ", ".join(_described(value, entry) for value in strange[:_SHOWN_VALUES])
                more = f" and {len(strange) - _SHOWN_VALUES} more" if len(strange) > _SHOWN_VALUES else ""
                known = "not seen in training" if entry.listed else "not among the most frequent of training"
                yield Finding(entry.name, where, f"{_count(where)} with values {known}, {shown}{more}{_first(where)}")

    def _missing(self, rows: pd.DataFrame) -> Iterator[Finding]:
        names = [name for name in rows.columns if name in self._never_missing]
        flags = rows[names].isna().to_numpy(np.bool_)
        for place in np.flatnonzero(flags.any(axis=0)):
            where = flags[:, place]
            yield Finding(
                names[place], where, f"{_count(where)} without a value, which training always had{_first(where)}"
            )


def unseen_features(findings: list[Finding], rows: int) -> list[str]:
    """For each row the features whose value training never saw, joined by commas; empty where there is none."""
    named: list[list[str]] = [[] for _ in range(rows)]
    for finding in findings:
        for row in np.flatnonzero(finding.rows):
            if finding.feature not in named[row]:
                named[row].append(finding.feature)
    return [", ".join(names) for names in named]


def _finding(feature: str, where: Flags, seen: str, column: npt.NDArray[np.float64]) -> Finding:
    return Finding(feature, where, f"{_count(where)} {seen}{_first(where)}: {column[np.argmax(where)]:g}")


def _count(where: Flags) -> str:
    return f"{int(where.sum()):,} of {len(where):,} rows"


def _first(where: Flags) -> str:
    return f", first in row {int(np.argmax(where))}"


def _described(value: str, entry: CategoryInput) -> str:
    shown = repr(value if len(value) <= _SHOWN_LETTERS else f"{value[:_SHOWN_LETTERS]}…")
    for seen in entry.values:
        if seen.strip() == value.strip():
            return f"{shown} (did you mean {seen!r}? they differ in spaces)"
        if seen.strip().casefold() == value.strip().casefold():
            return f"{shown} (did you mean {seen!r}? they differ in case)"
        if _as_number(seen) is not None and _as_number(seen) == _as_number(value):
            return f"{shown} (did you mean {seen!r}? they are the same number)"
    return shown


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""Values that training never saw: found in each batch that a model judges, and said in words.

A model has a forecast for any row. For an hour 99, a temperature in other units or a region `aa` where training had
`AA`, that forecast means little, and nobody would know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.features.model_inputs import CategoryInput, ModelInputs, NumberInput, rare_digest

Flags = npt.NDArray[np.bool_]

_FLOAT32 = 2.0**-22  # a number that was stored in single precision is still the same number
_SHOWN_VALUES, _SHOWN_LETTERS = 3, 40
_ALWAYS = "without a value, which training always had"
_TAIL_SHARE, _TAIL_ROWS = 0.01, 5
"""The tails beyond the 0.1 % and 99.9 % quantiles hold 0.2 % of the training rows: five times as many are no chance."""


@dataclass(frozen=True)
class UnseenFinding:
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
        self._numbers = inputs.numbers
        self._categories = [(entry, frozenset(entry.values), frozenset(entry.rare)) for entry in inputs.categories]
        ends = [[entry.least, entry.greatest, entry.low, entry.high] for entry in inputs.numbers]
        known = np.array(ends, dtype=np.float64).reshape(-1, 4)  # NaN, with which nothing compares, where none was seen
        self._least, self._greatest, self._low, self._high = (
            known + np.array([-1, 1, -1, 1]) * _FLOAT32 * abs(known)
        ).T
        self._whole = np.array([entry.whole for entry in inputs.numbers], dtype=np.bool_)
        self._never_missing = np.array([not entry.missing for entry in inputs.numbers], dtype=np.bool_)

    def findings(self, columns: Mapping[str, Any]) -> list[UnseenFinding]:
        """What is odd in a batch.

        Args:
            columns: The features by name, each of shape (rows,): numbers as float64 with NaN, categories as arrays of
                strings with NA.
        """
        return [
            *self._in_numbers(columns),
            *(found for seen in self._categories for found in _in_category(*seen, columns)),
        ]

    def _in_numbers(self, columns: Mapping[str, Any]) -> Iterator[UnseenFinding]:
        if not self._numbers:
            return
        values = np.stack([columns[entry.name] for entry in self._numbers], axis=1)
        outside = (values < self._least) | (values > self._greatest)
        broken = self._whole & np.isfinite(values) & (values != np.rint(values)) & ~outside
        tails = ((values < self._low) | (values > self._high)) & ~outside
        lacking = self._never_missing & np.isnan(values)
        for place in np.flatnonzero((outside | broken | tails | lacking).any(axis=0)):
            marks = (outside[:, place], broken[:, place], tails[:, place], lacking[:, place])
            yield from _in_number(self._numbers[place], values[:, place], *marks)


def _in_number(
    entry: NumberInput, values: npt.NDArray[np.float64], outside: Flags, broken: Flags, tails: Flags, lacking: Flags
) -> Iterator[UnseenFinding]:
    cases = (
        (outside, f"outside {_ends(entry.least, entry.greatest)}, all that training saw"),
        (broken, "that are no whole numbers, as all in training were"),
        (tails, f"outside {_ends(entry.low, entry.high)}, where 99.8 % of the training rows are (other units?)"),
    )
    for where, words in cases:
        if where is not tails or where.sum() > max(_TAIL_ROWS, _TAIL_SHARE * len(values)):
            yield from _finding(entry.name, where, words, f": {values[np.argmax(where)]:g}" if where.any() else "")
    yield from _finding(entry.name, lacking, _ALWAYS)


def _in_category(
    entry: CategoryInput, frequent: frozenset[str], rare: frozenset[str], columns: Mapping[str, Any]
) -> Iterator[UnseenFinding]:
    values = np.asarray(columns[entry.name], dtype=object)
    missing = np.asarray(pd.isna(values), dtype=np.bool_)
    if not entry.missing:
        yield from _finding(entry.name, missing, _ALWAYS)
    given = dict.fromkeys(values[~missing])  # in the order of the rows
    strange = [value for value in given if value not in frequent and rare_digest(entry.name, value) not in rare]
    if strange:
        shown = ", ".join(_described(value, entry) for value in strange[:_SHOWN_VALUES])
        more = f" and {len(strange) - _SHOWN_VALUES} more" if len(strange) > _SHOWN_VALUES else ""
        known = "not seen in training" if entry.listed else "not among the most frequent of training"
        where = np.asarray(pd.Series(values).isin(strange), dtype=np.bool_)
        yield from _finding(entry.name, where, f"with values {known}", f": {shown}{more}")


def unseen_features(findings: list[UnseenFinding], rows: int) -> list[str]:
    """For each row the features whose value training never saw, joined by commas; empty where there is none."""
    named: list[list[str]] = [[] for _ in range(rows)]
    for finding in findings:
        for row in np.flatnonzero(finding.rows):
            if finding.feature not in named[row]:
                named[row].append(finding.feature)
    return [", ".join(names) for names in named]


def _finding(feature: str, where: Flags, words: str, example: str = "") -> Iterator[UnseenFinding]:
    """A finding where there is one; an example value follows the first row."""
    if where.any():
        count, first = int(where.sum()), int(np.argmax(where))
        yield UnseenFinding(feature, where, f"{count:,} of {len(where):,} rows {words}, first row {first}{example}")


def _ends(low: float | None, high: float | None) -> str:
    return "nothing" if low is None or high is None else f"{low:g} to {high:g}"


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

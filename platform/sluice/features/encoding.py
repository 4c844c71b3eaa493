"""From a table's columns to the numbers that models see: the same for every family, learned on the training rows.

A missing number stays NaN. A string becomes a code: 0 where it is missing, 1 where it was too rare in training or never
seen, else its place in the vocabulary plus 2. Regressions and networks take any number of codes. scikit-learn's
histogram-based trees take 256 categories: of a column with more values they see the most frequent as categories, and in
further columns, for every value, the class shares of its training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.features.columns import Floats as Floats  # readers of features need not know where columns are read
from sluice.features.columns import feature_column as feature_column
from sluice.features.columns import number_column as number_column
from sluice.features.columns import text_column as text_column
from sluice.problems.task import Task

Integers = npt.NDArray[np.int64]

MISSING, OTHER, FIRST = 0, 1, 2
MOST_CATEGORIES = 253
"""The values of a column that trees see as categories of their own."""
LEAST_COUNT = 5
"""A value seen less often in training says more about chance than about the label."""


@dataclass(frozen=True)
class Encoder:
    """What was learned about the feature columns.

    Attributes:
        numeric: Columns with numbers.
        vocabularies: For each column with strings, the values that have a code of their own, most frequent first.
        shares: For trees, by column with more than MOST_CATEGORIES values: what is said of each code in numbers, shape
            (codes, numbers).
    """

    numeric: tuple[str, ...]
    vocabularies: dict[str, tuple[str, ...]]
    shares: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each string column has, the codes for missing and for other values included."""
        return tuple(len(values) + FIRST for values in self.vocabularies.values())

    def numbers(self, rows: pd.DataFrame) -> Floats:
        """The numeric columns, shape (rows, numeric columns); NaN where missing or beyond LARGEST_NUMBER.

        Raises:
            BadInput: A column is missing or does not hold numbers.
        """
        columns = [number_column(rows, name) for name in self.numeric]
        return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))

    def codes(self, rows: pd.DataFrame) -> Integers:
        """The string columns' codes, shape (rows, string columns).

        Raises:
            BadInput: A column is missing.
        """
        columns = [_codes(text_column(rows, name), values) for name, values in self.vocabularies.items()]
        return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0), np.int64)

    def matrix(self, rows: pd.DataFrame) -> Floats:
        """Codes, then numbers, then class shares, shape (rows, features). Raises as `numbers` and `codes`."""
        codes = self.codes(rows)
        places = {name: place for place, name in enumerate(self.vocabularies)}
        said = [np.asarray(table)[codes[:, places[name]]] for name, table in self.shares.items()]
        return np.hstack([self.categories(codes).astype(np.float64), self.numbers(rows), *said])

    def categories(self, codes: Integers) -> Integers:
        """The codes where trees are told class shares beside them: the rarer values have one code together."""
        found = codes.copy()
        for place, name in enumerate(self.vocabularies):
            if name in self.shares:
                found[codes[:, place] >= MOST_CATEGORIES + FIRST, place] = OTHER
        return found

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        body: dict[str, Any] = {"vocabularies": [list(values) for values in self.vocabularies.values()]}
        return body | ({"shares": self.shares} if self.shares else {})


def learn_encoder(rows: pd.DataFrame, task: Task) -> Encoder:
    """Learn the vocabularies from training rows.

    Raises:
        BadInput: A feature column is missing.
    """
    vocabularies = {}
    for name in task.categorical:
        counts = text_column(rows, name).value_counts()
        frequent = counts[counts >= LEAST_COUNT]
        ordered = sorted(frequent.items(), key=lambda entry: (-entry[1], entry[0]))  # ties must not depend on row order
        vocabularies[name] = tuple(str(value) for value, _ in ordered)
    return Encoder(task.numeric, vocabularies)


def encoder_from_body(body: Mapping[str, Any], task: Task) -> Encoder:
    """The inverse of `Encoder.body`; the columns are the task's.

    Raises:
        ValueError: There are not as many vocabularies as columns, one repeats a value, or shares do not fit one.
    """
    vocabularies = {
        name: tuple(str(value) for value in values)
        for name, values in zip(task.categorical, body["vocabularies"], strict=True)
    }
    for name, values in vocabularies.items():
        if len(set(values)) != len(values):
            raise ValueError(f"vocabulary of {name!r} repeats a value")
    shares = {str(name): _shares(table) for name, table in body.get("shares", {}).items()}
    if any(len(table) != len(vocabularies[name]) + FIRST for name, table in shares.items()):
        raise ValueError("the class shares are not those of the vocabulary")
    return Encoder(task.numeric, vocabularies, shares)


def _shares(table: Any) -> tuple[tuple[float, ...], ...]:  # noqa: ANN401 - JSON
    numbers = np.array(table, dtype=np.float64)
    if numbers.ndim != 2 or not np.isfinite(numbers).all():
        raise ValueError("class shares are a table of finite numbers")
    return tuple(map(tuple, numbers.tolist()))


def _codes(column: pd.Series, values: tuple[str, ...]) -> Integers:
    places = pd.Index(values, dtype="string").get_indexer(pd.Index(column)).astype(np.int64)
    codes = np.where(places < 0, OTHER, places + FIRST)
    codes[column.isna().to_numpy()] = MISSING
    return codes

"""From a table's columns to the numbers that models see: the same for every family, learned on the training rows.

A missing number stays NaN. A string becomes a code: 0 where it is missing, 1 where it was too rare in training or never
seen, else its place in the vocabulary plus 2. Codes stay below 256, the most categories that scikit-learn's
histogram-based trees take.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from components.common.columns import Floats as Floats  # readers of features need not know where columns are read
from components.common.columns import feature_column as feature_column
from components.common.columns import number_column as number_column
from components.common.columns import text_column as text_column
from components.common.tasks import Task

Integers = npt.NDArray[np.int64]

MISSING, OTHER, FIRST = 0, 1, 2
LARGEST_VOCABULARY = 253
LEAST_COUNT = 5
"""A value seen less often in training says more about chance than about the label."""


@dataclass(frozen=True)
class Encoder:
    """What was learned about the feature columns.

    Attributes:
        numeric: Columns with numbers.
        vocabularies: For each column with strings, the values that have a code of their own, most frequent first.
    """

    numeric: tuple[str, ...]
    vocabularies: dict[str, tuple[str, ...]]

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
        """Codes, then numbers, shape (rows, features). Raises as `numbers` and `codes`."""
        return np.hstack([self.codes(rows).astype(np.float64), self.numbers(rows)])

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        return {"vocabularies": [list(values) for values in self.vocabularies.values()]}


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
        vocabularies[name] = tuple(str(value) for value, _ in ordered[:LARGEST_VOCABULARY])
    return Encoder(task.numeric, vocabularies)


def encoder_from_body(body: Mapping[str, Any], task: Task) -> Encoder:
    """The inverse of `Encoder.body`; the columns are the task's.

    Raises:
        ValueError: There are not as many vocabularies as columns, or one repeats a value or is too long.
    """
    vocabularies = {
        name: tuple(str(value) for value in values)
        for name, values in zip(task.categorical, body["vocabularies"], strict=True)
    }
    for name, values in vocabularies.items():
        if len(set(values)) != len(values) or len(values) > LARGEST_VOCABULARY:
            raise ValueError(f"vocabulary of {name!r} repeats a value or has more than {LARGEST_VOCABULARY}")
    return Encoder(task.numeric, vocabularies)


def _codes(column: pd.Series, values: tuple[str, ...]) -> Integers:
    places = pd.Index(values, dtype="string").get_indexer(pd.Index(column)).astype(np.int64)
    codes = np.where(places < 0, OTHER, places + FIRST)
    codes[column.isna().to_numpy()] = MISSING
    return codes

"""Rows that a model judged: what it said of them, what is known of them, and their labels where these have come."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.problems.task import BINARY, REGRESSION

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def to_learn_from(features: Floats) -> Floats:
    """The same with 0 in columns that have no value at all, which scikit-learn's histogram trees refuse."""
    empty = np.isnan(features).all(axis=0)
    return np.where(empty, 0.0, features) if empty.any() else features


@dataclass(frozen=True)
class JudgedRows:
    """Rows that a model judged.

    Attributes:
        problem: `binary`, `multiclass` or `regression`.
        values: Probabilities, shape (rows, classes), each row summing to 1; or the numbers forecast, shape (rows,).
        features: What is known of the rows, shape (rows, features): numbers with NaN for missing, categories as codes.
        called: The class called, shape (rows,), by a threshold where there is one; None for the most probable one, and
            for numbers.
        labels: Class codes or numbers, shape (rows,), NaN where a label has not come; None where none has.
    """

    problem: str
    values: Floats
    features: Floats
    called: Integers | None = None
    labels: Floats | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def regression(self) -> bool:
        """Whether a number was forecast."""
        return self.problem == REGRESSION

    @property
    def binary(self) -> bool:
        """Whether there are two classes; the second is then the positive one."""
        return self.problem == BINARY

    @property
    def known(self) -> Floats:
        """Features and forecast side by side: by these rows are told apart, and errors learned."""
        told = self.values if self.regression else self.values[:, 1:]
        return np.column_stack([self.features, told])

    @cached_property
    def said(self) -> Integers:
        """The class called, shape (rows,)."""
        return self.values.argmax(axis=1) if self.called is None else self.called

    @cached_property
    def labelled(self) -> Flags:
        """Which rows have a label, shape (rows,)."""
        return np.zeros(len(self), np.bool_) if self.labels is None else np.isfinite(self.labels)

    def subset(self, rows: NDArray[Any]) -> "JudgedRows":
        """Some of the rows: a mask, or their places."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        return replace(
            self,
            values=self.values[rows],
            features=self.features[rows],
            called=None if self.called is None else self.called[rows],
            labels=None if self.labels is None else self.labels[rows],
        )

    def drawn(self, most: int, seed: int) -> "JudgedRows":
        """A random part of at most so many rows, in their order."""
        if len(self) <= most:
            return self
        return self.subset(np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False)))

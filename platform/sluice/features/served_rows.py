"""From the table that a caller holds to the feature columns that a model judges, and what is odd about them."""

from typing import Any

import numpy as np
import pandas as pd

from sluice.core.errors import BadInput
from sluice.features.columns import exact_numbers, feature_column, text_column
from sluice.features.model_inputs import ModelInputs
from sluice.features.row_features import RowFeatures
from sluice.features.unseen_values import SeenValues, UnseenFinding
from sluice.problems.task import Task


class ServedRows:
    """Makes a model's feature columns from whatever table holds them, or holds what they are computed from."""

    def __init__(self, task: Task, inputs: ModelInputs | None) -> None:
        self._task, self._inputs = task, inputs
        self._seen = SeenValues(inputs) if inputs else None
        self._remade = frozenset(inputs.row_wise.remade if inputs and inputs.row_wise else ())
        self._row_features = RowFeatures(inputs.row_wise) if inputs and inputs.row_wise else None

    def features(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        """The feature columns in the models' order, and what is odd about them.

        Args:
            rows: Feature columns in any order and of any natural type, among any others. A feature that is not there is
                computed from its raw columns where the model says how; one that training rows lacked too may be absent.

        Raises:
            BadInput: A feature cannot be had, or a column holds values of a wrong type.
        """
        if not len(rows.columns):
            raise BadInput(f"the table has no column that the model knows; give {', '.join(self._task.features)}")
        return self._read(rows, self._computed(rows))

    def made(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        """As `features`, where every column of that name is the feature itself, made by the code of the training."""
        return self._read(rows, pd.DataFrame())

    @property
    def optional(self) -> frozenset[str]:
        """The features that may be absent, for rows of the training lacked them too."""
        return self._inputs.optional if self._inputs else frozenset()

    def _read(self, rows: pd.DataFrame, made: pd.DataFrame) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        absent = [name for name in self._task.features if name not in rows.columns and name not in made]
        self._check_absent(absent, rows)
        columns = {name: self._column(rows, made, name) for name in self._task.features}
        table = pd.DataFrame(columns, index=rows.index)
        findings = self._seen.findings(columns) if self._seen else []
        return table, [*findings, *(_absence(name, len(rows)) for name in absent)]

    def _computed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The features that are computed from raw columns, where these are all there.

        They are those that are not there, and those that are changed from a raw column of their own name: a table that
        has the column may hold either, and raw rows are what a caller has.
        """
        row_wise = self._inputs.row_wise if self._inputs else None
        known = row_wise.features if row_wise else {}
        wanted = [name for name in self._task.features if name not in rows.columns or name in self._remade]
        names = [name for name in wanted if name in known and all(raw in rows.columns for raw in known[name])]
        return self._row_features.compute(rows, names) if self._row_features and names else pd.DataFrame()

    def _check_absent(self, absent: list[str], rows: pd.DataFrame) -> None:
        for name in absent:
            if self._inputs and name in self._inputs.optional:
                continue
            raw = [column for column in self._raw(name) if column not in rows.columns]
            ways = f", and so is {' and '.join(map(repr, raw))}, from which it would be computed" if raw else ""
            known = ", ".join(map(str, rows.columns))
            raise BadInput(f"feature {name!r} is missing{ways}; add one or the other to the columns {known}")

    def _raw(self, name: str) -> tuple[str, ...]:
        row_wise = self._inputs.row_wise if self._inputs else None
        return row_wise.features.get(name, ()) if row_wise else ()

    def _column(self, rows: pd.DataFrame, made: pd.DataFrame, name: str) -> Any:  # noqa: ANN401 - arrays of several kinds
        """A feature as given, else as computed, else missing throughout."""
        source = made if name in made.columns else rows
        if name in self._task.numeric:
            return exact_numbers(source, name) if name in source.columns else np.full(len(rows), np.nan)
        if name == self._task.image:
            return feature_column(source, name).array
        return (
            text_column(source, name).array if name in source.columns else pd.array([pd.NA] * len(rows), dtype="string")
        )


def _absence(name: str, rows: int) -> UnseenFinding:
    return UnseenFinding(name, np.zeros(rows, np.bool_), "not in the table, so it counts as missing in every row")

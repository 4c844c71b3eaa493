"""Features computed from raw columns of the same row, when a model is asked, by the very query of training.

The query stands among the model's files, behind their digest, and never comes from the caller. It runs in a DuckDB in
memory that opens no file and reaches for no network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sluice.core.errors import BadInput
from sluice.features.closed_duckdb import open_closed, quoted
from sluice.features.columns import exact_numbers, text_column
from sluice.features.model_inputs import RowWise

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMBERS = (*_WHOLE, "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")


class RowFeatures:
    """A model's query, ready to run."""

    def __init__(self, row_wise: RowWise) -> None:
        self._row_wise = row_wise
        self._engine: Any = None  # opened once: that takes longer than most queries

    def compute(self, rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """Compute features of a table's rows.

        Args:
            rows: Has all raw columns that the features rest on; any other raw column may be absent.
            names: Which of the query's features.

        Returns:
            The features by name, with the index of `rows`.

        Raises:
            BadInput: A raw column holds values of another type.
        """
        kinds = self._row_wise.columns
        given = pd.DataFrame({name: _raw(rows, name, kind) for name, kind in kinds.items() if name in rows.columns})
        self._engine = self._engine or open_closed()
        with self._engine.cursor() as engine:  # its temporary tables are its own: calls may overlap
            create_table(engine, self._row_wise.table, kinds)
            _fill(engine, given, self._row_wise)
            made: pd.DataFrame = engine.execute(self._row_wise.sql).df()
        if len(made) != len(rows):
            raise BadInput(f"the model's query made {len(made)} rows of {len(rows)}; train the model again")
        return made[list(names)].set_axis(rows.index)


def create_table(engine: Any, table: str, columns: Mapping[str, str]) -> None:  # noqa: ANN401 - duckdb's is untyped
    """Create an empty table of raw rows, which only this connection sees."""
    body = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    engine.execute(f"CREATE TEMP TABLE {quoted(table)} ({body})")


def _fill(engine: Any, given: pd.DataFrame, row_wise: RowWise) -> None:  # noqa: ANN401 - as above
    import duckdb

    view = f"given_{row_wise.table}"
    engine.register(view, given)
    names = ", ".join(map(quoted, given.columns))
    try:
        engine.execute(f"INSERT INTO {quoted(row_wise.table)} ({names}) SELECT {names} FROM {quoted(view)}")  # noqa: S608 - quoted names of the model's own file
    except duckdb.Error as error:
        wanted = ", ".join(f"{name} ({row_wise.columns[name]})" for name in given.columns)
        raise BadInput(f"a raw column holds a value of another type: {error}; wanted are {wanted}") from None


def _raw(rows: pd.DataFrame, name: str, kind: str) -> pd.Series:
    """A raw column as numbers or as texts, which DuckDB turns into its type."""
    if not kind.startswith(_NUMBERS):
        return text_column(rows, name)
    values = exact_numbers(rows, name)
    broken = np.isfinite(values) & (values != np.rint(values)) & kind.startswith(_WHOLE)
    if broken.any():
        row = int(np.argmax(broken))
        raise BadInput(f"column {name!r}, row {row}: {values[row]:g} where whole numbers are wanted")
    return pd.Series(np.where(np.isinf(values), np.nan, values), index=rows.index)

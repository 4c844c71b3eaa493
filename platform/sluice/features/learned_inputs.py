"""Learning what a model takes from its training rows, and finding the query that computed its features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.provenance import ancestry
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.features.closed_duckdb import closed_duckdb, quoted
from sluice.features.columns import number_column, text_column
from sluice.features.encoding import LEAST_COUNT
from sluice.features.model_inputs import CategoryInput, ModelInputs, NumberInput, RowWise, rare_digest
from sluice.features.row_features import create_table
from sluice.problems.task import Task
from sluice.storage.stores import Store

MOST_VALUES = 10_000
"""Beyond so many categories of one feature, the model's files no longer list those seen."""
_TAIL = 0.001


def learn_inputs(rows: pd.DataFrame, task: Task, row_wise: RowWise | None = None) -> ModelInputs:
    """What training saw.

    Args:
        rows: The training rows, with the task's feature columns.
        task: Names the features.
        row_wise: How features follow from raw columns.

    Raises:
        BadInput: A feature column is missing or does not hold numbers where it should.
    """
    return ModelInputs(
        rows=len(rows),
        numbers=tuple(_number(rows, name) for name in task.numeric),
        categories=tuple(_category(rows, name) for name in task.categorical),
        row_wise=row_wise,
    )


def row_wise_features(store: Store, dataset: Bundle, task: Task) -> RowWise | None:
    """How a dataset's features follow from raw columns of their own rows, as `prepare` has recorded it.

    Args:
        store: Where the datasets are that it was made from.
        dataset: What is learned from.
        task: Names the features; only those are kept.

    Returns:
        None where no step recorded it, no feature follows from its own row, or the record is no longer in the store.
    """
    try:
        lineage = ancestry(store, dataset.id)
    except BadInput:  # a model can be learned without it
        return None
    for bundle in reversed(lineage):
        details = bundle.manifest.details
        if details.get("row_wise"):
            return _row_wise(details["row_wise"], task)
    return None


def _row_wise(body: Mapping[str, Any], task: Task) -> RowWise | None:
    import duckdb

    table, sql = str(body["table"]), str(body["sql"])
    try:
        columns, results = _columns(sql, table, body["columns"])
    except duckdb.Error as error:
        progress(f"a server of this model cannot compute its features from raw columns: {error}")
        return None
    used = _columns_used(sql)
    made = {name: tuple(used.get(name, columns)) for name in results if name in task.features}
    changed = tuple(sorted(name for name in _remade(sql) if name in made and name in columns))
    return RowWise(table, columns, sql, made, changed) if made else None


def _remade(sql: str) -> list[str]:
    """The results of a query over one table that have the name of a raw column of theirs and are not that column.

    What only leaves out values that break the contract is counted as well: to do so again changes nothing.
    """
    import sqlglot
    from sqlglot import expressions

    query = sqlglot.parse_one(sql, dialect="duckdb")
    if not isinstance(query, expressions.Select):
        return []
    return [
        each.alias_or_name
        for each in query.selects
        if not isinstance(each.unalias(), expressions.Column)
        and any(column.name == each.alias_or_name for column in each.find_all(expressions.Column))
    ]


def _columns_used(sql: str) -> dict[str, list[str]]:
    """The raw columns in the formula of each result of a query over one table; empty where it is no plain SELECT."""
    import sqlglot
    from sqlglot import expressions

    query = sqlglot.parse_one(sql, dialect="duckdb")
    if not isinstance(query, expressions.Select) or query.find(expressions.Subquery, expressions.CTE):
        return {}
    found = {each.alias_or_name: each.find_all(expressions.Column) for each in query.selects}
    return {name: sorted({column.name for column in columns}) for name, columns in found.items()}


def _columns(sql: str, table: str, kinds: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The raw columns' types as DuckDB names them, and the columns that a query over them yields."""
    with closed_duckdb() as engine:
        create_table(engine, table, {str(name): _duckdb_type(str(kind)) for name, kind in kinds.items()})
        columns = {str(row[0]): str(row[1]) for row in engine.execute(f"DESCRIBE {quoted(table)}").fetchall()}
        return columns, [str(row[0]) for row in engine.execute(f"DESCRIBE {sql}").fetchall()]


def _duckdb_type(kind: str) -> str:
    """A type in DuckDB's words, whether it is told in those or in Ibis's."""
    import ibis
    from ibis.backends.sql.datatypes import DuckDBType

    try:
        return str(DuckDBType.to_string(ibis.dtype(kind)))
    except Exception:  # noqa: BLE001 - Ibis has no one error for a word that it does not know
        return kind


def _number(rows: pd.DataFrame, name: str) -> NumberInput:
    values = number_column(rows, name)
    known = values[~np.isnan(values)]
    missing = len(values) - len(known)
    if not len(known):
        return NumberInput(name, missing, None, None, None, None, whole=False)
    low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
    whole = bool((known == np.rint(known)).all())
    return NumberInput(name, missing, float(known.min()), float(known.max()), float(low), float(high), whole)


def _category(rows: pd.DataFrame, name: str) -> CategoryInput:
    column = text_column(rows, name)
    counts = column.value_counts()
    ordered = sorted(((str(value), int(count)) for value, count in counts.items()), key=lambda e: (-e[1], e[0]))
    kept = ordered[:MOST_VALUES]
    return CategoryInput(
        name=name,
        missing=int(column.isna().sum()),
        values=tuple(value for value, count in kept if count >= LEAST_COUNT),
        rare=tuple(sorted(rare_digest(name, value) for value, count in kept if count < LEAST_COUNT)),
        listed=len(kept) == len(ordered),
    )

"""Features that a single row of one table gives: those that can be computed anew for a row that was never in a lake."""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.operations as ops

from sluice.leakage.traced_values import ROW_WISE


def row_wise(table: ibis.Table, names: Sequence[str], given: Mapping[str, ibis.Table], rows: str) -> dict[str, Any]:
    """What of the table that is learned from follows row by row from the table of its events.

    Args:
        table: What is learned from.
        names: Its features.
        given: The physical tables that it may read, by name.
        rows: The table of the events: the one whose rows the question is asked of.

    Returns:
        `{table, features, columns, sql}`: the events' table, the features that are functions of one row of it, the
        columns that they need with their types, and a SELECT of DuckDB's that gives these features from a table of that
        name with these columns. Empty where there is no such feature.
    """
    tables = {each.op(): name for name, each in given.items()}
    values = {name: _resolved(ops.Field(table.op(), name), tables) for name in names}
    events = given[rows].op()
    own = {name: value for name, value in values.items() if value is not None and value.relations <= {events}}
    if not own:
        return {}
    used = {each.name for value in own.values() for each in value.find(ops.Field, filter=ops.Value)}
    columns = {name: str(kind) for name, kind in events.schema.items() if name in used}
    raw = ops.UnboundTable(tables[events], ibis.schema(columns)) if columns else events
    moved = {ops.Field(events, name): ops.Field(raw, name) for name in columns}
    query = ops.Project(raw, {name: value.replace(moved, filter=ops.Value) for name, value in own.items()})
    sql = ibis.to_sql(query.to_expr(), dialect="duckdb")
    return {"table": tables[events], "features": sorted(own), "columns": columns, "sql": str(sql)}


def reads(table: ibis.Table, physical: ibis.Table) -> bool:
    """Whether an expression takes anything from a physical table."""
    return _holds(table.op(), physical.op())


def reads_other_rows(table: ibis.Table, rows: ibis.Table) -> bool:
    """Whether a row that is learned from may depend on further rows of the events' table, beside its own.

    Args:
        table: What is learned from.
        rows: The physical table of the events.

    Returns:
        False only where that is sure: the table is the events' own, row by row, perhaps with others joined to it.
    """
    return not _keeps_rows(table.op(), rows.op())


def _keeps_rows(relation: ops.Relation, events: ops.Relation) -> bool:
    if relation == events:
        return True
    if isinstance(relation, ops.JoinChain):
        others = [link.table for link in relation.rest]
        return _keeps_rows(relation.first, events) and not any(_holds(each, events) for each in others)
    if isinstance(relation, ops.DropColumns | ops.JoinReference | ops.SelfReference):
        return _keeps_rows(relation.parent, events)
    if isinstance(relation, ops.Project | ops.Filter | ops.Sort):
        values = relation.__args__[1]
        values = values.values() if isinstance(relation, ops.Project) else values
        return not any(_over_rows(value) for value in values) and _keeps_rows(relation.parent, events)
    return False


def _holds(relation: ops.Node, events: ops.Relation) -> bool:
    return bool(relation.find(lambda node: node == events))


def _over_rows(value: ops.Node) -> bool:
    """Whether a value looks at several rows: a window, an aggregate or a query of its own."""
    return bool(value.find((ops.WindowFunction, ops.Reduction, ops.Analytic, ops.Subquery), filter=ops.Value))


def _resolved(value: ops.Value, tables: Mapping[ops.Relation, str]) -> Any:  # noqa: ANN401 - Ibis's operations
    """The same value in terms of a physical table's columns, or None where more than one row decides it."""
    if isinstance(value, ops.Field):
        return _field(value, tables)
    if type(value) not in ROW_WISE:
        return None
    if any(type(part) not in ROW_WISE | {ops.Field} for part in value.find(ops.Value, filter=ops.Value)):
        return None
    fields = value.find(ops.Field, filter=ops.Value)
    found = {each: _field(each, tables) for each in fields}
    return None if None in found.values() else value.replace(found, filter=ops.Value)


def _field(value: ops.Field, tables: Mapping[ops.Relation, str]) -> Any:  # noqa: ANN401 - Ibis's operations
    relation = value.rel
    if relation in tables:
        return value
    if isinstance(relation, ops.DropColumns | ops.Filter | ops.Sort | ops.JoinReference | ops.SelfReference):
        return _field(ops.Field(relation.parent, value.name), tables)
    if isinstance(relation, ops.Project):
        return _resolved(relation.values[value.name], tables)
    if isinstance(relation, ops.JoinChain):
        inner = relation.values[value.name]
        fields = inner.find(ops.Field, filter=ops.Value)
        return _resolved(inner, tables) if all(each.rel == relation.first for each in fields) else None
    return None

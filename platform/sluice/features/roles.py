"""What the columns of the table that is learned from are for: key, time, label and the rest."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import ibis

from sluice.contract.reading import Column, Contract
from sluice.core.column_names import free_name, repeated
from sluice.core.errors import BadInput
from sluice.features.building import check_columns
from sluice.features.choice import near

LEFT_OUT = "left_out"
"""The column in which a prepare function names why a row cannot be learned from; null where it can."""
ROW_NUMBER = "row_number"
"""The key of a table that has none: each row's place in it, as it was read."""


class Rows(Protocol):
    """Which rows are asked about, as a project declares it."""

    @property
    def table(self) -> str:
        """The lake's table that they come from."""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that identify a row; none for the contract's."""

    @property
    def time(self) -> str | None:
        """When the question is asked of a row."""

    @property
    def group(self) -> str | None:
        """Whose equal values mark rows that depend on each other."""


def key_of(rows: Rows, contract: Contract, table: ibis.Table) -> tuple[tuple[str, ...], str | None]:
    """The columns that identify a row: the project's, else the contract's, else one for the row's place.

    Args:
        rows: What the project declares.
        contract: The lake's.
        table: The declared table.

    Returns:
        The key, and the name of the column for the row's place where the key is that.
    """
    stated = contract.tables.get(rows.table)
    if key := rows.key or (stated.key if stated else ()):
        return key, None
    name = free_name(ROW_NUMBER, table.columns)
    return (name,), name


def with_row_numbers(tables: Mapping[str, ibis.Table], name: str, column: str, engine: Any) -> dict[str, ibis.Table]:  # noqa: ANN401 - see engines
    """The tables, one of them with a column for each row's place, counted from 0.

    The engine keeps the order of the files' rows, which is that of the lake's. A row's place is a column like the
    others from here on, so that the leakage gate can trace it.

    Args:
        tables: By name.
        name: The one that gets it.
        column: The new column.
        engine: The Ibis backend that holds them; the new table takes the old one's place in it.
    """
    numbered = tables[name].mutate(ibis.row_number().name(column))
    kept = engine.create_table(free_name(f"{name}_numbered", tables), numbered)
    return {**tables, name: kept}


def contract_with(contract: Contract, rows: Rows, place: str | None) -> Contract:
    """The lake's contract, with what a project adds to it.

    Args:
        contract: As the lake has it.
        rows: Their time dates the table's rows where the contract names none.
        place: The column for the row's place, or None.
    """
    table = contract.tables.get(rows.table)
    if table is None:
        return contract
    if place:
        table = replace(table, columns={**table.columns, place: Column("int64", description="The row's place.")})
    time = table.columns.get(rows.time or "")
    if time and not table.dated_by and time.type in ("timestamp", "date") and not time.nullable:
        table = replace(table, time=rows.time)
    return replace(contract, tables={**contract.tables, rows.table: table})


def check_roles(table: ibis.Table, roles: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Check that a table has the columns that a project names.

    Args:
        table: What is learned from.
        roles: By the project's word, such as `rows.key`, the columns.
        where: What gave the table.

    Raises:
        BadInput: A column is missing or named twice, or `left_out` is no text.
    """
    check_columns(table, where)
    for role, names in roles.items():
        if twice := repeated(names):
            raise BadInput(f"{role} names {twice!r} twice; name it once")
        for name in names:
            if name not in table.columns:
                raise BadInput(f"{role}: {where} has no column {name!r}{near(name, table.columns)}")
    if LEFT_OUT in table.columns:
        kind = table[LEFT_OUT].type()
        if not (kind.is_string() or kind.is_null()):
            raise BadInput(
                f"{where}: column {LEFT_OUT!r} is of type {kind}; it names in words why a row cannot be learned from"
            )


def check_time(table: ibis.Table, name: str) -> None:
    """Refuse a time that is none.

    Raises:
        BadInput: The column is neither a timestamp nor a date.
    """
    kind = table[name].type()
    if not (kind.is_timestamp() or kind.is_date()):
        raise BadInput(f"rows.time: column {name!r} is of type {kind}; give it type timestamp or date in the contract")

"""Tables of a SQL database into Parquet, a chunk at a time: memory does not grow with the table."""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import NoSuchTableError

from sluice.contract.reading import TableContract
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.engine.parquet import ARROW_TYPES, WrittenParquet, write_parquet
from sluice.sources.databases import Database, connected
from sluice.sources.sqlite_bounds import Guard, guarded
from sluice.sources.typed_values import WrongValue, to_arrow
from sluice.sources.value_refusals import shown, wrong_value

_CHUNK_ROWS = 16_384
_CHUNK_BYTES = 64 << 20
_AT_ONCE = 8  # rows between two looks at their size


def read_sql(database: Database, contract: TableContract, target: Path) -> WrittenParquet:
    """Read one table into one Parquet file, ordered by its key: a database has no order of its own.

    The database counts the rows too, in the same transaction, and both numbers must be the same.

    Args:
        database: Where the table is.
        contract: The table's name there, its columns and its key. Without a key all columns order the rows.
        target: The Parquet file, with exactly these columns in this order.

    Raises:
        BadInput: The message names the database, the table, and where it can the row, the column and the value.
        EnvironmentFault: The database failed, or the disk is full.
    """
    name = contract.source["table"]
    where = f"{database.name}, table {name!r}"
    schema = pa.schema([(column, ARROW_TYPES[stated.type]) for column, stated in contract.columns.items()])
    with (
        connected(database) as connection,
        guarded(connection, database, where) as guard,
        _rare_collections(),
    ):
        query = _query(connection, database, name, contract)
        rows = _batches(connection, query, where, contract, guard)
        return write_parquet(_counted(rows, connection, query, where, guard), schema, target)


def _counted(
    batches: Iterator[Any], connection: sa.Connection, query: sa.Select[Any], where: str, guard: Guard | None
) -> Iterator[Any]:
    """The batches, and after the last one the comparison with what the database itself counts.

    Raises:
        BadInput: An SQLite file counts otherwise: its query is not the same twice, or the file is damaged.
        EnvironmentFault: A server does.
    """
    rows = 0
    for batch in batches:
        rows += len(batch)
        yield batch
    if guard:
        guard.took(0, where)  # the seconds without a row begin anew
    every = sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
    counted = int(connection.execute(every).scalar_one())
    if counted == rows:
        return
    said = f"{where}: {rows:,} rows were read where the database counts {counted:,}"
    if guard:
        raise BadInput(
            f"{said}; make the same rows come twice (a view may ask for random numbers or the time), or restore the "
            "file from a copy where `PRAGMA integrity_check` finds it damaged"
        )
    raise EnvironmentFault(
        f"{said}; rows were written meanwhile, or a view does not give the same twice: run it again when nobody writes"
    )


def _query(connection: sa.Connection, database: Database, name: str, contract: TableContract) -> sa.Select[Any]:
    """Select the contract's columns; untyped, so that values come as the driver has them."""
    space, _, table = name.rpartition(".")
    inspector = sa.inspect(connection)
    try:
        found = [column["name"] for column in inspector.get_columns(table, space or None)]
    except NoSuchTableError:
        names = ", ".join(sorted([*inspector.get_table_names(space or None), *inspector.get_view_names(space or None)]))
        raise BadInput(f"{database.name} has no table {name!r}; it has: {shown(names)}; mend contract.yaml") from None
    for column in contract.columns:
        if column not in found:
            raise BadInput(
                f"{database.name}, table {name!r}: column {column!r} is missing; the table has: {', '.join(found)}; "
                "add the column, or take it out of contract.yaml"
            )
    columns: dict[str, sa.ColumnClause[Any]] = {column: sa.column(column) for column in contract.columns}
    source = sa.table(table, *columns.values(), schema=space or None)
    order = [columns[column] for column in contract.key or contract.columns]
    return sa.select(*columns.values()).select_from(source).order_by(*order)


def _batches(
    connection: sa.Connection, query: sa.Select[Any], where: str, contract: TableContract, guard: Guard | None
) -> Iterator[Any]:
    before = 0
    for rows in _chunks(connection.execute(query)):
        values = list(zip(*rows, strict=True))
        arrays = []
        for place, (name, column) in enumerate(contract.columns.items()):
            try:
                arrays.append(to_arrow(values[place], column.type))
            except WrongValue as wrong:
                row = _row(rows[wrong.row], before + wrong.row, contract)
                raise BadInput(wrong_value(f"{where}, {row}", name, wrong.value, column.type)) from None
        before += len(rows)
        if guard:
            guard.took(sum(array.nbytes for array in arrays), where)
        yield pa.RecordBatch.from_arrays(arrays, names=list(contract.columns))


def _chunks(result: sa.Result[Any]) -> Iterator[list[Sequence[Any]]]:
    """Rows in lists of _CHUNK_ROWS, or of fewer where they are large."""
    rows: list[Sequence[Any]] = []
    size = 0
    while some := list(islice(result, _AT_ONCE)):
        rows += some
        size += sum(map(sys.getsizeof, chain.from_iterable(some)))
        if len(rows) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Have Python look for cycles more rarely: rows have none, and the search took a third of the time."""
    before = gc.get_threshold()
    gc.set_threshold(8 * _CHUNK_ROWS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _row(values: Sequence[Any], number: int, contract: TableContract) -> str:
    """How a person finds a row: by its key, or else by its number in the order of all columns."""
    named: Mapping[str, Any] = dict(zip(contract.columns, values, strict=True))
    if not contract.key:
        return f"row {number + 1}"
    return "row " + ", ".join(f"{column}={shown(named[column])}" for column in contract.key)

"""A lake's tables as their data contract has them, opened for a look: what of them does not fit is told, not read."""

# ruff: noqa: S608 - all names in the SQL are ours: c0, c1, …; a path is quoted

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sluice.contract.reading import TableContract
from sluice.core.errors import BadInput
from sluice.project_tools.data_files import CSV_OPTIONS, Table, quoted_path
from sluice.project_tools.text_types import typed
from sluice.sources.csv_header import read_header
from sluice.sources.source_files import SourceFile, check_readable, find


@dataclass(frozen=True)
class WrongValues:
    """Values of a column that are not of its type.

    Attributes:
        column: The column.
        rows: In how many rows.
        example: One of them.
    """

    column: str
    rows: int
    example: str


@dataclass(frozen=True)
class Opened:
    """A table that was opened.

    Attributes:
        table: With the contract's columns and types.
        wrong: Values that are not of their column's type; they count as missing here.
    """

    table: Table
    wrong: tuple[WrongValues, ...]


def open_table(connection: duckdb.DuckDBPyConnection, lake: Path, stated: TableContract, name: str) -> Opened | None:
    """Open a table of CSV or JSON files.

    Args:
        connection: From `data_files.looking`.
        lake: The lake's folder.
        stated: What the contract says of the table.
        name: The table's name in DuckDB.

    Returns:
        None for a table of a database, which is not looked at here.

    Raises:
        BadInput: A file is not there or lacks a column, or is no CSV or JSON; the message names it.
    """
    kinds = {column: stated.columns[column].type for column in stated.columns}
    if "csv" in stated.source:
        files = find(lake, stated.source["csv"])
        try:
            return _open_csv(connection, files, kinds, name)
        except duckdb.Error as error:
            reason = str(error).strip().partition("\n")[0]
            raise BadInput(f"{files[0].name} cannot be read: {reason}; mend the file, or write it anew") from None
    if "json" in stated.source:
        return _open_json(connection, find(lake, stated.source["json"])[0], stated, name)
    return None


def _open_csv(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], kinds: dict[str, str], name: str
) -> Opened:
    parts = []
    for file in files:
        check_readable(file)
        header = read_header(file, kinds)
        types = ", ".join(f"'h{place}': 'VARCHAR'" for place in range(len(header)))
        places = ", ".join(f"h{header.index(column)} AS c{i}" for i, column in enumerate(kinds))
        source = f"read_csv({quoted_path(file.path)}, columns={{{types}}}, header=true, delim=',', {CSV_OPTIONS})"
        parts.append(f"SELECT {places} FROM {source}")
    connection.execute(f"CREATE TABLE {name}_text AS {' UNION ALL '.join(parts)}")
    values = ", ".join(f"{typed(f'c{i}', kind)} AS c{i}" for i, kind in enumerate(kinds.values()))
    connection.execute(f"CREATE TABLE {name} AS SELECT {values} FROM {name}_text")
    wrong = tuple(_wrong(connection, name, kinds))
    (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
    return Opened(Table(name, kinds, int(rows)), wrong)


def _wrong(connection: duckdb.DuckDBPyConnection, name: str, kinds: dict[str, str]) -> list[WrongValues]:
    looked = [i for i, kind in enumerate(kinds.values()) if kind != "string"]
    if not looked:
        return []
    texts = connection.execute(f"SELECT {', '.join(f'count(c{i})' for i in looked)} FROM {name}_text").fetchone() or ()
    values = connection.execute(f"SELECT {', '.join(f'count(c{i})' for i in looked)} FROM {name}").fetchone() or ()
    found = []
    for i, there, read in zip(looked, texts, values, strict=True):
        if read < there:
            column, kind = list(kinds.items())[i]
            other = f"SELECT c{i} FROM {name}_text WHERE c{i} IS NOT NULL AND {typed(f'c{i}', kind)} IS NULL LIMIT 1"
            example = (connection.execute(other).fetchone() or ("",))[0]
            found.append(WrongValues(column, int(there - read), str(example)[:60]))
    return found


def _open_json(connection: duckdb.DuckDBPyConnection, file: SourceFile, stated: TableContract, name: str) -> Opened:
    import tempfile

    from sluice.sources.json_tables import read_json

    check_readable(file)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        written = read_json(file, stated.columns, Path(scratch) / "part.parquet")
        columns = ", ".join(f'"{_quoted(column)}" AS c{i}' for i, column in enumerate(stated.columns))
        source = quoted_path(Path(scratch) / "part.parquet")
        connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM read_parquet({source})")
    return Opened(Table(name, {column: each.type for column, each in stated.columns.items()}, written.rows), ())


def _quoted(name: str) -> str:
    return name.replace('"', '""')

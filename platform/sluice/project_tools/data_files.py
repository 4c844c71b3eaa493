"""A user's data files as tables of DuckDB, for looking at them: CSV, JSON and Parquet.

Columns are called `c0`, `c1`, … there, for a name of a file can be anything, and engines ignore case.
"""

# ruff: noqa: S608 - all names in the SQL are ours: c0, c1, …; a path is quoted

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.project_tools.text_types import DUCKDB_TYPES, contract_type, typed

FIRST_ROWS = 20_000
"""Types are guessed from so many rows, and then held to the whole file."""
TABLE_BYTES = 1 << 30
"""A larger file is read again for each question, instead of being held."""
_ORDER = ("bool", "int64", "float64", "date", "timestamp")
_NULLS = "['NA', '']"
CSV_OPTIONS = (
    f"quote='\"', escape='\"', nullstr={_NULLS}, allow_quoted_nulls=false, strict_mode=true, auto_detect=false"
)


@dataclass(frozen=True)
class Table:
    """Files that were opened as one table.

    Attributes:
        name: As DuckDB knows it.
        columns: The contract's type of each column, by name; `sql` gives its name in DuckDB.
        rows: How many there are.
        notes: What of the files could not be used, or is read in another way than one may think, by column.
        changed: Whether the step ingest can only read it once it is written anew (other separators, Parquet).
    """

    name: str
    columns: dict[str, str]
    rows: int
    notes: dict[str, str] = field(default_factory=dict)
    changed: bool = False

    def sql(self, column: str) -> str:
        """A column's name in DuckDB."""
        return f"c{list(self.columns).index(column)}"


@contextmanager
def looking() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory that spills to a temporary folder and never reaches for a network."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        options: dict[str, Any] = {"autoinstall_known_extensions": "false", "temp_directory": scratch}
        if limit := settings().engine.memory:
            options["memory_limit"] = limit
        connection = duckdb.connect(config=options)
        try:
            connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def open_files(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> Table:
    """Open files of one kind and of the same columns as a table, with the types that fit all their values.

    Args:
        connection: From `looking`.
        name: The table's name in DuckDB.
        files: CSV files (UTF-8), or one Parquet or JSON file.

    Raises:
        BadInput: A file is not there, is of another kind, or cannot be read; the message names it.
    """
    kinds = {path.suffix.lower() for path in files}
    for path in files:
        if not path.is_file():
            raise BadInput(f"{path} is not there, or is no file; give the path of a CSV, Parquet or JSON file")
    if kinds == {".csv"} or kinds == {".tsv"} or kinds == {".txt"}:
        return _open_csv(connection, name, files)
    if len(files) == 1 and kinds <= {".parquet", ".pq"}:
        return _open_typed(connection, name, files[0], f"read_parquet({quoted_path(files[0])})", changed=True)
    if len(files) == 1 and kinds == {".json"}:
        return _open_json(connection, name, files[0])
    raise BadInput(f"{files[0]}: no reader for {', '.join(sorted(kinds))}; give CSV files, a Parquet or a JSON file")


def _open_csv(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> Table:
    from sluice.sources.csv_header import read_header
    from sluice.sources.source_files import SourceFile

    separator = _separator(files[0])
    header = read_header(SourceFile(files[0], str(files[0])), [])
    if separator != ",":
        header = [part.strip().strip('"') for part in _first_line(files[0]).split(separator)]
    for path in files[1:]:
        if _first_line(path) != _first_line(files[0]):
            raise BadInput(f"{path} has another header than {files[0]}; give files of one table, or one file")
    names, notes = _named(header, files[0])
    types = ", ".join(f"'h{place}': 'VARCHAR'" for place in range(len(header)))
    paths = ", ".join(map(quoted_path, files))
    source = f"read_csv([{paths}], columns={{{types}}}, header=true, delim='{separator}', {CSV_OPTIONS})"
    columns = ", ".join(f"h{place} AS c{i}" for i, place in enumerate(names.values()))
    text = f"SELECT {columns} FROM {source}"
    if sum(path.stat().st_size for path in files) <= TABLE_BYTES:
        _run(connection, f"CREATE TABLE {name}_text AS {text}", files[0])
        text = f"SELECT * FROM {name}_text"
    kinds = _guess(connection, text, list(names), notes, files[0])
    values = ", ".join(f"{typed(f'c{i}', kind)} AS c{i}" for i, kind in enumerate(kinds.values()))
    return _hold(connection, name, f"SELECT {values} FROM ({text})", kinds, files, notes, changed=separator != ",")


def _named(header: Sequence[str], path: Path) -> tuple[dict[str, int], dict[str, str]]:
    """The columns' places by name; those without a name are left out."""
    names: dict[str, int] = {}
    notes: dict[str, str] = {}
    for place, column in enumerate(header):
        if not column.strip():
            notes[f"column {place + 1}"] = "has no name (row numbers that pandas wrote?): left out"
        elif column.casefold() in {known.casefold() for known in names}:
            raise BadInput(f"{path}, line 1: column {column!r} stands there twice (case does not count); rename one")
        else:
            names[column] = place
    if not names:
        raise BadInput(f"{path}, line 1: no column has a name; write a header")
    return names, notes


def _guess(
    connection: duckdb.DuckDBPyConnection, text: str, names: Sequence[str], notes: dict[str, str], path: Path
) -> dict[str, str]:
    """The narrowest type of each column that all its values have: from the first rows, then held to all."""
    first = f"SELECT * FROM ({text}) LIMIT {FIRST_ROWS}"
    fitting = _fitting(connection, first, dict.fromkeys(range(len(names)), _ORDER), path)
    left = dict(enumerate(fitting))
    chosen: dict[int, str] = {i: "string" for i, kinds in left.items() if not kinds}
    while open_columns := {i: (kinds[0],) for i, kinds in left.items() if i not in chosen}:
        for i, kinds in zip(open_columns, _fitting(connection, text, open_columns, path), strict=True):
            if kinds:
                chosen[i] = kinds[0]
            elif not left[i][1:]:
                chosen[i] = "string"
            left[i] = left[i][1:]
    found = {name: chosen[i] for i, name in enumerate(names)}
    _note_almost_numbers(connection, first, found, notes, path)
    return found


def _fitting(
    connection: duckdb.DuckDBPyConnection, text: str, kinds: Mapping[int, tuple[str, ...]], path: Path
) -> list[tuple[str, ...]]:
    """Of the types given for each column, those that all its values have."""
    counts = []
    for i, candidates in kinds.items():
        counts.append(f"count(c{i})")
        counts += [f"count({_guarded(f'c{i}', kind)})" for kind in candidates]
    found = list(_run(connection, f"SELECT {', '.join(counts)} FROM ({text})", path).fetchone() or ())
    fits = []
    for candidates in kinds.values():
        there, *each = found[: 1 + len(candidates)]
        del found[: 1 + len(candidates)]
        fits.append(tuple(kind for kind, n in zip(candidates, each, strict=True) if n == there and there))
    return fits


def _guarded(column: str, kind: str) -> str:
    """As `typed`, but a code with leading zeros is no number, and `1` and `yes` are no truth values."""
    value = typed(column, kind)
    if kind == "bool":
        return f"CASE WHEN lower({column}) IN ('true', 'false') THEN {value} END"
    if kind in ("int64", "float64"):
        return f"CASE WHEN NOT regexp_full_match(trim({column}), '[+-]?0[0-9]+') THEN {value} END"
    return value


def _note_almost_numbers(
    connection: duckdb.DuckDBPyConnection, first: str, kinds: dict[str, str], notes: dict[str, str], path: Path
) -> None:
    """Texts that are numbers but for a few, such as `?` for what is missing."""
    for i, (name, kind) in enumerate(kinds.items()):
        if kind != "string":
            continue
        number = typed(f"c{i}", "float64")
        counts = _run(connection, f"SELECT count(c{i}), count({number}) FROM ({first})", path).fetchone() or (0, 0)
        if counts[0] and 0.8 <= counts[1] / counts[0] < 1:
            others = f"SELECT c{i}, count(*) n FROM ({first}) WHERE c{i} IS NOT NULL AND {number} IS NULL "
            rows = _run(connection, f"{others} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 3", path).fetchall()
            odd = ", ".join(repr(value[:20]) for value, _ in rows)
            notes[name] = f"numbers but for {odd}: read as text; leave empty what is missing, and run init again"


def _open_typed(connection: duckdb.DuckDBPyConnection, name: str, path: Path, source: str, *, changed: bool) -> Table:
    described = _run(connection, f"DESCRIBE SELECT * FROM {source}", path).fetchall()
    names, notes = _named([str(row[0]) for row in described], path)
    kinds: dict[str, str] = {}
    values = []
    for column in names:
        duck = str(described[names[column]][1])
        kind = contract_type(duck)
        if kind is None:
            notes[column] = f"is {duck.lower()[:40]}, which no model takes: left out"
            continue
        quoted = '"' + column.replace('"', '""') + '"'
        values.append(f"CAST({quoted} AS {DUCKDB_TYPES[kind]}) AS c{len(kinds)}")
        kinds[column] = kind
    if not kinds:
        raise BadInput(f"{path} has no column of numbers, texts or times; give another file")
    select = f"SELECT {', '.join(values)} FROM {source}"
    columns = _narrowed(connection, select, kinds, path)
    return _hold(connection, name, f"SELECT {columns} FROM ({select})", kinds, [path], notes, changed=changed)


def _narrowed(connection: duckdb.DuckDBPyConnection, select: str, kinds: dict[str, str], path: Path) -> str:
    """The columns as SQL, where texts that are all times become times; numbers stay what they are."""
    texts = [i for i, kind in enumerate(kinds.values()) if kind == "string"]
    fits = _fitting(connection, select, dict.fromkeys(texts, ("date", "timestamp")), path) if texts else []
    for i, found in zip(texts, fits, strict=True):
        kinds[list(kinds)[i]] = found[0] if found else "string"
    return ", ".join(
        f"{typed(f'c{i}', kind) if i in texts else f'c{i}'} AS c{i}" for i, kind in enumerate(kinds.values())
    )


def _open_json(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> Table:
    import pyarrow as pa

    from sluice.sources.json_tables import _records
    from sluice.sources.source_files import SourceFile

    records = _records(SourceFile(path, str(path)))
    names, notes = _named(list(dict.fromkeys(key for record in records for key in record)), path)
    kinds: dict[str, str] = {}
    arrays: list[Any] = []
    for column in names:
        values = [record.get(column) for record in records]
        kind = _json_kind({type(value) for value in values if value is not None})
        if kind is None:
            notes[column] = "holds values of several kinds, or lists: left out"
            continue
        kinds[column] = kind
        arrays.append(pa.array(values, {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}.get(kind)))
    if not kinds:
        raise BadInput(f"{path} has no column of numbers, texts or truth values; give another file")
    whole = pa.table(arrays, names=[f"c{i}" for i in range(len(kinds))])
    connection.register(f"{name}_json", whole)
    columns = _narrowed(connection, f"SELECT * FROM {name}_json", kinds, path)
    return _hold(connection, name, f"SELECT {columns} FROM {name}_json", kinds, [path], notes, changed=False)


def _json_kind(found: set[type]) -> str | None:
    if not found or found == {str}:
        return "string"
    if found == {bool}:
        return "bool"
    if found == {int}:
        return "int64"
    return "float64" if found <= {int, float} else None


def _hold(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    select: str,
    kinds: dict[str, str],
    files: Sequence[Path],
    notes: dict[str, str],
    *,
    changed: bool,
) -> Table:
    held = "TABLE" if sum(path.stat().st_size for path in files) <= TABLE_BYTES else "VIEW"
    _run(connection, f"CREATE {held} {name} AS {select}", files[0])
    (rows,) = _run(connection, f"SELECT count(*) FROM {name}", files[0]).fetchone() or (0,)
    if not rows:
        raise BadInput(f"{files[0]} has no row; put the data there")
    return Table(name, kinds, int(rows), notes, changed)


def _run(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> duckdb.DuckDBPyConnection:
    try:
        return connection.execute(sql)
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0].partition("Error: ")[2] or str(error)
        raise BadInput(f"{path} cannot be read: {reason}; mend the file, or write it anew") from None


def _separator(path: Path) -> str:
    """The separator of a CSV file: a comma, unless its first line has none but others."""
    line = _first_line(path)
    if "," in line:
        return ","
    return max((";", "\t", "|"), key=line.count) if any(sign in line for sign in ";\t|") else ","


def _first_line(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.readline(1 << 20).decode("utf-8-sig", "replace").rstrip("\r\n")


def quoted_path(path: Path) -> str:
    """A file's path as SQL."""
    return "'" + str(path).replace("'", "''") + "'"

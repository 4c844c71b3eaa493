"""The rows that are watched, as they lie: a Parquet or CSV file, or a folder of Parquet files such as a prediction log.

DuckDB reads them; rows reach Python as counts, or as a random part. A form says which columns are what.
"""

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.problems.task import BINARY, MULTICLASS, REGRESSION

OURS = "sluice_"
MOMENT, ROLE = "sluice_moment", "sluice_role"
_NOTE = b"sluice.predictions"
_PROBABILITY, _PREDICTION = "probability_", "prediction"
_MEMORY = "128MB"
_MOST_THREADS = 4  # each holds a part of a file, beyond what the limit counts
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")


@dataclass(frozen=True)
class RowForm:
    """Which columns of a table are what.

    Attributes:
        features: Columns by name: `number` or `category`.
        problem: `binary`, `multiclass`, `regression`, or empty where there is no forecast.
        classes: The classes' names, in the order of `forecasts`; none for a number.
        forecasts: The columns with a probability for each class, or the one with the number forecast.
        called: The column with the class called, or None.
        label: The column with the label, or None.
        time: The column with each row's moment, or None.
        other: Columns that are none of these: keys, moments, and what the log says of a row.
    """

    features: dict[str, str]
    problem: str = ""
    classes: tuple[str, ...] = ()
    forecasts: tuple[str, ...] = ()
    called: str | None = None
    label: str | None = None
    time: str | None = None
    other: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowTable:
    """A table that DuckDB reads.

    Attributes:
        name: As messages say it.
        sql: What stands behind FROM.
        columns: DuckDB's types by column.
        rows: How many rows it has.
        note: What a file of the prediction log says of itself, else empty.
        where: A condition that chooses rows, or empty.
    """

    name: str
    sql: str
    columns: dict[str, str]
    rows: int
    note: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    connection: duckdb.DuckDBPyConnection = field(repr=False, compare=False, kw_only=True)

    @property
    def source(self) -> str:
        """FROM and its condition."""
        return f"FROM {self.sql}" + (f" WHERE {self.where}" if self.where else "")

    def query(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Rows of a query on it.

        Raises:
            BadInput: The file broke off, or holds what its type does not say.
        """
        with _told(self.name):
            return self.connection.execute(f"SELECT {select} {self.source} {rest}").fetchall()

    def within(self, condition: str) -> "RowTable":
        """Those rows of it that meet a condition."""
        both = f"({self.where}) AND ({condition})" if self.where else condition
        chosen = replace(self, where=both)
        return replace(chosen, rows=int(chosen.query("count(*)")[0][0]))

    def with_names(self, names: Mapping[str, str]) -> "RowTable":
        """The same with columns under other names too; names: the column's own name by the new one."""
        if not names:
            return self
        added = ", ".join(f"{quoted(old)} AS {quoted(new)}" for new, old in names.items())
        kept = ", ".join(quoted(name) for name in self.columns if name not in names)
        places = ", filename, file_row_number" if "file_row_number" in self.sql else ""
        chosen = f" WHERE {self.where}" if self.where else ""
        sql = f"(SELECT {kept}{places}, {added} FROM {self.sql}{chosen})"  # noqa: S608 - quoted
        return replace(
            self, sql=sql, where="", columns=self.columns | {new: self.columns[old] for new, old in names.items()}
        )

    @property
    def masked(self) -> tuple[str, ...]:
        """Columns whose values a prediction log keeps masked, or not at all."""
        fields = self.note.get("fields", ())
        return (*(str(each["name"]) for each in fields if each.get("hashed")), *map(str, self.note.get("dropped", ())))

    def _as_said(self, name: str, kind: str) -> str:
        """A column as what it is said to be: what cannot be a number is missing."""
        if kind == "number" and kind_of(self.columns[name]) != "number":
            return f"TRY_CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}"
        return quoted(name)

    def part(self, columns: Sequence[str], most: int, kinds: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - pyarrow has no stubs
        """A part of at most about so many rows, the same every time: by a digest of each row's place in its file."""
        every = max(1, -(-self.rows // most))
        names = ", ".join(self._as_said(name, (kinds or {}).get(name, "")) for name in columns)
        chosen = f"{self.where} AND " if self.where else ""
        condition = (
            f"WHERE {chosen}hash(filename, file_row_number) % {every} = 0"
            if every > 1
            else self.source.partition(self.sql)[2]
        )
        with _told(self.name):
            return self.connection.sql(f"SELECT {names} FROM {self.sql} {condition}").to_arrow_table()  # noqa: S608


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What DuckDB finds wrong with a file, as the one who asked can act on it."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise BadInput(f"{name} cannot be read ({str(error).partition(chr(10))[0][:300]}); write it anew") from None


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def connection(memory: str = _MEMORY, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory that reaches for no network."""
    settings: dict[str, Any] = {
        "memory_limit": memory,
        "preserve_insertion_order": True,
        "enable_external_file_cache": False,  # files lie in the system's own cache; a second one only takes memory
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    settings["threads"] = threads or min(os.cpu_count() or 1, _MOST_THREADS)
    opened = duckdb.connect(config=settings)
    opened.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    try:
        yield opened
    finally:
        opened.close()


def open_table(path: Path, opened: duckdb.DuckDBPyConnection, *, champion: bool = True) -> RowTable:
    """A file or a folder of files.

    Args:
        path: The file or folder.
        opened: The DuckDB that reads it.
        champion: Whether only a champion's rows are wanted, where rows say in which role they were judged.

    Raises:
        BadInput: It is not there, of no known kind, has no row, or cannot be read.
    """
    if not path.exists():
        raise BadInput(f"{path} is not there; check the path")
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"folder {path} holds no .parquet file; name a file, or the folder of a prediction log")
    ending = files[0].suffix.lower()
    if ending not in (".parquet", ".pq", ".csv"):
        raise BadInput(f"{path}: no reader for {ending or 'a name without ending'}; give a .parquet or .csv file")
    listed = ", ".join(literal(glob.escape(str(each))) for each in files)
    note: Mapping[str, Any] = {}
    if ending == ".csv":
        sql = _typed_csv(f"read_csv([{listed}], all_varchar = true)", path, opened)
    else:
        sql = f"read_parquet([{listed}], union_by_name = true, filename = true, file_row_number = true)"
        note = _note(files[0])
    try:
        described = opened.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()  # noqa: S608 - literals
        rows = int(opened.execute(f"SELECT count(*) FROM {sql}").fetchall()[0][0])  # noqa: S608
    except duckdb.Error as error:
        raise BadInput(f"{path} cannot be read ({str(error).partition(chr(10))[0][:300]}); write it anew") from None
    if not rows:
        raise BadInput(f"{path} has no row; put the data there")
    columns = {str(row[0]): str(row[1]) for row in described if row[0] not in ("filename", "file_row_number")}
    table = RowTable(str(path), sql, columns, rows, note, connection=opened)
    return table.within(f"{quoted(ROLE)} = 'champion'") if champion and ROLE in columns else table


def _typed_csv(read: str, path: Path, opened: duckdb.DuckDBPyConnection) -> str:
    """A CSV file's columns as numbers or moments where every value is one; DuckDB's guess would fail on later rows."""
    try:
        names = [str(row[0]) for row in opened.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()]  # noqa: S608
        wanted = [
            f"count({column}), count(TRY_CAST({column} AS DOUBLE)), count(TRY_CAST({column} AS TIMESTAMP))"
            for column in map(quoted, names)
        ]
        counts = opened.execute(f"SELECT {', '.join(wanted)} FROM {read}").fetchall()[0]  # noqa: S608
    except duckdb.Error as error:
        raise BadInput(f"{path} cannot be read ({str(error).partition(chr(10))[0][:300]}); write it anew") from None
    columns = []
    for place, name in enumerate(names):
        there, numbers, moments = counts[3 * place : 3 * place + 3]
        kind = "DOUBLE" if there and numbers == there else "TIMESTAMP" if there and moments == there else "VARCHAR"
        columns.append(f"TRY_CAST({quoted(name)} AS {kind}) AS {quoted(name)}")
    return f"(SELECT {', '.join(columns)}, '' AS filename, row_number() OVER () AS file_row_number FROM {read})"  # noqa: S608


def _note(file: Path) -> Mapping[str, Any]:
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{file} is no Parquet file that can be read ({str(error)[:200]})") from None
    return dict(json.loads(metadata[_NOTE])) if _NOTE in metadata else {}


def form_of(
    table: RowTable, label: str = "", time: str = "", features: Sequence[str] = (), left_out: Sequence[str] = ()
) -> RowForm:
    """What the columns of a table are.

    Args:
        table: Raw columns, and what a model said of them: as the prediction log names it, or as `sluice predict` does
            (`prediction`, `probability_CLASS`).
        label: The column with the label; a column of that name need not be there.
        time: The column with each row's moment; the log's own where it is not said.
        features: The columns to watch; by default all that are numbers or texts and nothing else.
        left_out: Columns that are not watched.

    Raises:
        BadInput: A column that was named is not there.
    """
    for name in (*([time] if time else []), *features, *left_out):
        if name not in table.columns:
            raise BadInput(f"{table.name} has no column {name!r}{near(name, list(table.columns))}")
    moment = time or (MOMENT if MOMENT in table.columns else None)
    problem, classes, forecasts, called = _forecast(table)
    said = {*forecasts, called, label, moment}
    chosen: dict[str, str] = {}
    other: list[str] = []
    for name, kind in table.columns.items():
        if name in said:
            continue
        what = "" if name.startswith(OURS) or name in left_out or (features and name not in features) else kind_of(kind)
        if what:
            chosen[name] = what
        else:
            other.append(name)
    known = label if label in table.columns else None
    return RowForm(chosen, problem, classes, forecasts, called, known, moment, tuple(other))


def _forecast(table: RowTable) -> tuple[str, tuple[str, ...], tuple[str, ...], str | None]:
    names = list(table.columns)
    if table.note:
        classes = tuple(map(str, table.note.get("classes", ())))
        if not classes:
            return REGRESSION, (), (f"{OURS}forecast",), None
        columns = tuple(f"{OURS}{_PROBABILITY}{place}" for place in range(len(classes)))
        return BINARY if len(classes) == 2 else MULTICLASS, classes, columns, f"{OURS}called"
    columns = tuple(name for name in names if name.startswith(_PROBABILITY))
    if len(columns) == 1:
        raise BadInput(
            f"{table.name} has one column of probabilities, {columns[0]!r}; give one for each class, such as "
            "probability_no and probability_yes"
        )
    called = _PREDICTION if _PREDICTION in names else None
    if columns:
        classes = tuple(name.removeprefix(_PROBABILITY) for name in columns)
        return BINARY if len(classes) == 2 else MULTICLASS, classes, columns, called
    if called and kind_of(table.columns[called]) == "number":
        return REGRESSION, (), (called,), None
    return "", (), (), None


def kind_of(duckdb_type: str) -> str:
    """`number`, `category`, or empty for what is not watched."""
    if duckdb_type.startswith((*_NUMBERS, *_FLOATS)):
        return "number"
    return "category" if duckdb_type in ("VARCHAR", "BOOLEAN") or duckdb_type.startswith("ENUM") else ""


def codes(values: Any, known: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401 - pyarrow
    """Texts as codes: a place in `known`, one beyond for any other, NaN for missing."""
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    places = pc.index_in(texts, pa.array(list(known), pa.string())).combine_chunks()
    found = places.to_numpy(zero_copy_only=False).astype(float)
    missing = pc.is_null(texts).combine_chunks().to_numpy(zero_copy_only=False)
    return np.where(missing, np.nan, np.where(np.isnan(found), float(len(known)), found))

"""Random typed tables for property-based tests, and the ways to write them as a lake would hold them."""

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from sluice.contract.reading import Column
from sluice.core.errors import BadInput
from sluice.engine.parquet import ARROW_TYPES

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT | st.sampled_from(["NA", "", '"', ",", "\n", "\r\n", " x ", "é", "1.5"]),
    "int64": _INTEGERS | st.integers(-100, 100),
    "float64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
}
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    str.strip
)


def check_refusal(error: BadInput, name: str) -> None:
    """A refusal is one line, not too long, that names the file."""
    assert name in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 600


@dataclass(frozen=True)
class RandomTable:
    """A table: the types of its columns, and its rows."""

    kinds: dict[str, str]
    rows: list[list[Any]]

    @property
    def columns(self) -> dict[str, Column]:
        """As a contract has them."""
        return {name: Column(type=kind, nullable=True) for name, kind in self.kinds.items()}

    def arrow(self) -> Any:
        """What a reader must deliver."""
        schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in self.kinds.items()])
        return pa.Table.from_pylist([dict(zip(self.kinds, row, strict=True)) for row in self.rows], schema)


@st.composite
def random_tables(draw: Callable[[st.SearchStrategy[Any]], Any], least_columns: int = 1) -> RandomTable:
    """Tables of one to five columns and one to eight rows, any value missing here and there."""
    names = draw(st.lists(_NAMES, min_size=least_columns, max_size=5, unique_by=str.casefold))
    kinds = {name: draw(st.sampled_from(sorted(VALUES))) for name in names}
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds.values())).map(list)
    return RandomTable(kinds, draw(st.lists(row, min_size=1, max_size=8)))


def csv_bytes(table: RandomTable, order: list[int] | None = None, end: str = "\n") -> bytes:
    """The table as CSV, strings quoted and missing values as NA, its columns perhaps in another order."""
    order = order if order is not None else list(range(len(table.kinds)))
    names, kinds = list(table.kinds), list(table.kinds.values())
    lines = [",".join(_quoted(names[place]) for place in order)]
    lines += [",".join(_cell(row[place], kinds[place]) for place in order) for row in table.rows]
    return (end.join(lines) + end).encode()


def json_bytes(table: RandomTable) -> bytes:
    """The table as a JSON array of objects; a missing value is null or no key at all."""
    rows = [{name: _plain(value, "T") for name, value in zip(table.kinds, row, strict=True)} for row in table.rows]
    return json.dumps(
        [{k: v for k, v in row.items() if v is not None or n == 0} for n, row in enumerate(rows)]
    ).encode()


def write_sqlite(path: Path, table: RandomTable) -> None:
    """The table as `t` in an SQLite database, with the types that SQLite has."""
    types = {"string": "TEXT", "int64": "INTEGER", "float64": "REAL", "bool": "BOOLEAN"}
    names = ['"' + name.replace('"', '""') + '"' for name in table.kinds]
    columns = [f"{name} {types.get(kind, 'TEXT')}" for name, kind in zip(names, table.kinds.values(), strict=True)]
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE TABLE t ({', '.join(columns)})")
        cells = [[_plain(value, " ") for value in row] for row in table.rows]
        database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", cells)
        database.commit()


def _plain(value: Any, between: str) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=between)
    return value.isoformat() if isinstance(value, date) else value


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return "NA"
    if kind == "timestamp":
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return _quoted(value) if kind == "string" else str(value)


def _quoted(text: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="").writerow([text])
    return stream.getvalue()

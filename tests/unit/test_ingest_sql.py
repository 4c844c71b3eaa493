"""Tables of a real SQLite database are read to the letter, or refused in one line that shows no secret."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common.contracts import Column, TableContract
from components.common.errors import BadInput, EnvironmentFault, SluiceError
from components.ingest import databases, sql_tables
from components.ingest.databases import locate
from components.ingest.sql_tables import read_sql
from tests.unit.random_tables import RandomTable, check_refusal, random_tables, write_sqlite

URL = "sqlite:///t.db"
COLUMNS = {"id": Column("int64"), "name": Column("string", nullable=True), "at": Column("timestamp", nullable=True)}
ANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _make(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "t.db")) as database:
        database.executescript(script)


def _contract(columns: dict[str, Column] = COLUMNS, key: tuple[str, ...] = (), table: str = "t") -> TableContract:
    return TableContract({"sql": URL, "table": table}, columns, key)


def _read(folder: Path, contract: TableContract, url: str = URL) -> list[dict[str, Any]]:
    target = folder / "out" / "t.parquet"
    target.unlink(missing_ok=True)
    try:
        read_sql(locate(folder, url), contract, target)
    except SluiceError as error:
        check_refusal(error, "t.db")
        if list(target.parent.glob("*")):
            raise AssertionError("something is half-written") from error
        raise
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return rows


@ANY
@given(table=random_tables())
def test_what_was_written_is_read_back(tmp_path: Path, table: RandomTable) -> None:
    (tmp_path / "t.db").unlink(missing_ok=True)
    write_sqlite(tmp_path / "t.db", table)
    rows = _read(tmp_path, _contract(table.columns))
    assert sorted(map(repr, rows)) == sorted(repr(_positive_zero(row)) for row in table.arrow().to_pylist())


def _positive_zero(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite keeps whole numbers of a REAL column as integers, which know no -0.0."""
    return {name: value + 0.0 if isinstance(value, float) else value for name, value in row.items()}


@ANY
@given(data=st.data())
def test_of_a_changed_file_the_rows_or_the_refusal_are_right(tmp_path: Path, data: st.DataObject) -> None:
    (tmp_path / "t.db").unlink(missing_ok=True)
    _make(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, at TEXT);" + "INSERT INTO t (name) VALUES ('x');" * 9,
    )
    content = bytearray((tmp_path / "t.db").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "t.db").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    known = _sqlite(tmp_path / "t.db")
    try:
        rows = _read(tmp_path, _contract(key=("id",)))
    except BadInput as error:
        _check_refusal_is_true(known, str(error))
    else:
        assert isinstance(known, list), f"SQLite itself says: {known}"
        assert [(row["id"], row["name"]) for row in rows] == [(number, name) for number, name, _ in known]
        assert all(row["at"] is None for row, (_, _, at) in zip(rows, known, strict=True) if at is None)


def _sqlite(path: Path) -> list[tuple[Any, ...]] | str:
    """The rows as SQLite gives them without SQLAlchemy and us, or what it says against it."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute("SELECT id, name, at FROM t ORDER BY id").fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return str(error)


def _check_refusal_is_true(known: list[tuple[Any, ...]] | str, said: str) -> None:
    if found := re.search(r", row id=(.*): column '(\w+)' has (.*), which is no (\w+);", said):
        assert isinstance(known, list) or known, said
        kinds = {"id": int, "name": str, "at": str}
        place = list(kinds).index(found[2])
        wrong = [
            row for row in known if isinstance(row, tuple) and repr(row[0])[:60] == found[1].removesuffix("…")[:60]
        ]
        assert not isinstance(known, list) or any(
            repr(row[place])[:60] == found[3].removesuffix("…")[:60] for row in wrong
        )
        assert found[4] == {"id": "int64", "name": "string", "at": "timestamp"}[found[2]]
        if found[2] != "at" and isinstance(known, list):
            assert any(not isinstance(row[place], kinds[found[2]]) for row in wrong)
    else:
        assert isinstance(known, str), f"{said}, yet SQLite gives {known}"
        assert re.search(r"has no table 't'|column '\w+' is missing", said) or known.split(":")[0][:30] in said, known


def test_rows_come_in_the_order_of_the_key_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ", ".join(f"({(n * 37) % 101}, 'n{n}', '2013-01-01 10:00:{n % 60:02d}.000000')" for n in range(101))
    _make(tmp_path, f"CREATE TABLE t (id INTEGER, name TEXT, at DATETIME); INSERT INTO t VALUES {values}")
    read = []
    for rows in (7, 1000):
        monkeypatch.setattr(sql_tables, "_CHUNK_ROWS", rows)
        read.append(_read(tmp_path, _contract(key=("id",))))
    assert read[0] == read[1]
    assert [row["id"] for row in read[0]] == list(range(101))
    assert str(read[0][0]["at"]) == "2013-01-01 10:00:00"


TABLE = "CREATE TABLE t (id, name, at); INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', NULL);"


@pytest.mark.parametrize(
    ("script", "contract", "said"),
    [
        ("CREATE TABLE u (a); CREATE VIEW v AS SELECT 1 AS b", _contract(), "has no table 't'; it has: 'u, v'"),
        ("CREATE TABLE t (id, at)", _contract(), "column 'name' is missing; the table has: id, at"),
        (
            TABLE + "INSERT INTO t VALUES ('x', 'c', 'noon')",
            _contract(key=("name",)),
            "row name='c': column 'id' has 'x'",
        ),
        (
            TABLE + "INSERT INTO t VALUES (3, 'c', 'noon')",
            _contract(),
            "row 3: column 'at' has 'noon', which is no timestamp",
        ),
        (TABLE + "INSERT INTO t VALUES (2.5, 'c', NULL)", _contract(), "column 'id' has 2.5, which is no int64"),
        (
            TABLE + "INSERT INTO t VALUES (3, x'ff', NULL)",
            _contract(),
            r"column 'name' has b'\xff', which is no string",
        ),
        (TABLE + "INSERT INTO t VALUES (3, CAST(x'ff' AS TEXT), NULL)", _contract(), "UTF-8"),
        (TABLE + "INSERT INTO t VALUES (3, 7, NULL)", _contract(), "column 'name' has 7, which is no string"),
    ],
)
def test_a_defect_is_named(tmp_path: Path, script: str, contract: TableContract, said: str) -> None:
    _make(tmp_path, script)
    with pytest.raises(BadInput) as caught:
        _read(tmp_path, contract)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be looked at" * 100, b"SQLite format 3\0", b"x"]
)
def test_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.db").write_bytes(content)
    with pytest.raises(BadInput, match=r"t\.db cannot be read as an SQLite database|has no table"):
        _read(tmp_path, _contract())


def test_a_database_is_opened_read_only(tmp_path: Path) -> None:
    _make(tmp_path, TABLE)
    with databases.connected(locate(tmp_path, URL)) as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("DELETE FROM t")


def test_a_locked_database_is_a_fault_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, TABLE)
    create = databases.sa.create_engine
    monkeypatch.setattr(databases.sa, "create_engine", lambda url: create(url, connect_args={"timeout": 0.1}))
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EnvironmentFault, match=r"t\.db: database is locked; wait"):
            _read(tmp_path, _contract())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///other.db", "no file matches 'other.db'"),
        ("sqlite:////etc/passwd", "leads out of the lake"),
        ("sqlite:///../t.db", "leads out of the lake"),
        ("sqlite://", "source"),
        ("no url", "is no database URL"),
        ("postgresql://ann:hunter2@db/sales", "holds a password"),
        ("postgresql://db:port/sales", "is no database URL"),
        ("${NOT_SET_ANYWHERE}", "needs the environment variable NOT_SET_ANYWHERE"),
        ("mydb://host/x", "no driver for 'mydb'"),
    ],
)
def test_a_bad_address_is_refused(tmp_path: Path, url: str, said: str) -> None:
    _make(tmp_path, TABLE)
    with pytest.raises(BadInput) as caught, databases.connected(locate(tmp_path, url)):
        pass
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_url_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, TABLE)
    monkeypatch.setenv("LAKE_DB", "t.db")
    assert len(_read(tmp_path, _contract(), "sqlite:///${LAKE_DB}")) == 2


def test_a_server_is_named_without_its_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_DB_URL", "mysql+none://ann:hunter2@db.example:3306/sales?ssl_key=hunter2")
    database = locate(tmp_path, "${LAKE_DB_URL}")
    assert database.name == "mysql+none://db.example:3306/sales"
    with pytest.raises(BadInput, match=r"db\.example") as caught, databases.connected(database):
        pass
    assert "hunter2" not in str(caught.value)

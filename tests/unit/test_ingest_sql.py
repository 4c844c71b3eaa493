"""Tables of a real SQLite database are read to the letter, or refused in one line that shows no secret."""

import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.reading import Column, TableContract
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.sources import databases, sql_tables
from sluice.sources.databases import locate
from sluice.sources.sql_tables import read_sql
from tests.unit.random_tables import RandomTable, check_refusal, random_tables, write_sqlite

URL, SOURCE = "sqlite:///t.db", "${SLUICE_SOURCE_SALES}"
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


def test_a_broken_description_of_a_table_is_told_as_damage(tmp_path: Path) -> None:
    """SQLite quotes it in its own refusal, which Python then cannot read."""
    _make(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, at TEXT)")
    content = (tmp_path / "t.db").read_bytes()
    (tmp_path / "t.db").write_bytes(content.replace(b"CREATE TABLE t (", b"CREATE TABLE t \x80"))
    with pytest.raises(
        BadInput, match=r"the file is damaged \('utf-8' codec can't decode .*\); restore it from a copy"
    ):
        _read(tmp_path, _contract(key=("id",)))


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
        ("postgresql://ann:hunter2@db/sales", "put its whole URL into a variable"),
        ("postgresql://ann:hunter2@x@db/sales", "put its whole URL into a variable"),
        ("postgresql://db/sales?password=hunter2", "put its whole URL into a variable"),
        ("postgresql://db:port/sales", "is no database URL"),
        ("mydb://host/x", "put its whole URL into a variable"),
        ("${SLUICE_SOURCE_NOT_SET}", "needs the environment variable SLUICE_SOURCE_NOT_SET"),
        ("${LAKE_DB_URL}", "begins with SLUICE_SOURCE_"),
        ("sqlite:///${SLUICE_SOURCE_FILE}", "stands for the whole URL"),
        ("${SLUICE_SOURCE_A}${SLUICE_SOURCE_B}", "stands for the whole URL"),
        ("postgresql://ann:hunter2@${SLUICE_SOURCE_HOST}/x", "stands for the whole URL"),
    ],
)
def test_a_bad_address_is_refused(tmp_path: Path, url: str, said: str) -> None:
    _make(tmp_path, TABLE)
    with pytest.raises(BadInput) as caught, databases.connected(locate(tmp_path, url)):
        pass
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


# What a variable may hold, and what is said of it; `hunter2` and all else of it must never be.
HELD = [
    ("mysql+none://ann:hunter2@db.example:3306/sales?ssl_key=hunter2", "no driver for 'mysql.none'"),
    ("postgresql://ann:hunter2@secret@db.example/sales", "two different hosts"),
    ("postgresql://ann:hunter2/secret@db.example/sales", "two different hosts"),
    ("postgresql://ann:80#hunter2@db.example/sales", "two different hosts"),
    ("hunter2", "is no database URL"),
    ("sqlite:///hunter2.db", "names an SQLite file"),
    ("postgresql+psycopg2://ann:hunter2@127.0.0.1:9/sales?hunter2=1", "does not take its URL|invalid"),
]


@pytest.mark.parametrize(("held", "said"), HELD)
def test_nothing_of_a_variable_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str, said: str) -> None:
    monkeypatch.setenv("SLUICE_SOURCE_SALES", held)
    if "psycopg2" in held:
        pytest.importorskip("psycopg2")
    with pytest.raises(SluiceError, match=said) as caught, databases.connected(locate(tmp_path, SOURCE)):
        pass
    assert "SLUICE_SOURCE_SALES" in str(caught.value)
    for part in ("hunter2", "secret", "ann", "db.example", "sales"):
        assert part not in str(caught.value)


def test_a_driver_that_quotes_the_url_tells_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_SOURCE_SALES", "postgresql://ann:hunter2@db.example:1/sales")
    monkeypatch.setattr(databases, "_WAITS", ())

    class Driver(Exception):
        pass

    def connect() -> None:
        raise sa.exc.OperationalError("", {}, Driver('cannot log ann in to "sales" at db.example:1 with hunter2'))

    found = locate(tmp_path, SOURCE)
    monkeypatch.setattr(databases.sa, "create_engine", lambda _: SimpleNamespace(connect=connect, dispose=lambda: None))
    with pytest.raises(EnvironmentFault) as caught, databases.connected(found):
        pass
    assert 'database ${SLUICE_SOURCE_SALES}: cannot log *** in to "***" at ***:1 with ***' in str(caught.value)


@settings(max_examples=60)
@given(
    st.sampled_from(["AWS_SECRET_ACCESS_KEY", "HOME", "LAKE_DB_URL", "MLFLOW_TRACKING_PASSWORD"]),
    st.sampled_from(["{}", "sqlite:///{}", "sqlite:///{}.db", "postgresql://{}/x", "{}://x", "postgresql://a:{}@h/x"]),
    st.sampled_from(["${{{}}}", "$${{{}}}", "${{ {} }}", "${{SLUICE_SOURCE_{}}}", "${{{}:-x}}"]),
)
def test_no_address_shows_a_variable_of_another_name(name: str, address: str, form: str) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as lake:
        patch.setenv(name, "correct-horse-battery")
        with pytest.raises(BadInput) as caught:
            locate(Path(lake), address.format(form.format(name)))
    assert "correct-horse" not in str(caught.value)


def test_a_view_that_is_not_the_same_twice_is_refused(tmp_path: Path) -> None:
    _make(
        tmp_path,
        "CREATE TABLE s (id INTEGER, name TEXT, at TEXT);"
        + "INSERT INTO s VALUES (1, 'x', NULL);" * 200
        + "CREATE VIEW t AS SELECT * FROM s WHERE abs(random() % 2) = 1;",
    )
    with pytest.raises(
        BadInput, match=r"t\.db, table 't': \d+ rows were read where the database counts \d+; make the same"
    ):
        _read(tmp_path, _contract())


def test_rows_that_a_reader_loses_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the fault: a driver's, SQLAlchemy's or ours."""
    _make(tmp_path, TABLE)
    real = sql_tables._chunks
    monkeypatch.setattr(sql_tables, "_chunks", lambda result: (rows[:-1] for rows in real(result)))
    with pytest.raises(BadInput, match="1 rows were read where the database counts 2"):
        _read(tmp_path, _contract())


def test_nobody_writes_between_the_rows_and_their_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, TABLE)
    real, said = sql_tables._chunks, []

    def meddled(result: Any) -> Any:
        yield from real(result)
        with closing(sqlite3.connect(tmp_path / "t.db", timeout=0)) as other:
            try:
                other.executescript("DELETE FROM t")
            except sqlite3.OperationalError as error:
                said.append(str(error))

    monkeypatch.setattr(sql_tables, "_chunks", meddled)
    assert len(_read(tmp_path, _contract())) == 2
    assert said == ["database is locked"]


@pytest.mark.parametrize(
    ("url", "level"),
    [("postgresql://h/d", "REPEATABLE READ"), ("mysql://h/d", "REPEATABLE READ"), ("oracle://h/d", None)],
)
def test_a_server_is_asked_for_rows_of_one_moment(url: str, level: str | None) -> None:
    found = databases._options(databases.Database(sa.make_url(url), "${SLUICE_SOURCE_SALES}", None))
    assert found.get("isolation_level") == level

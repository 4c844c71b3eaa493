"""Tables of real servers, PostgreSQL and MariaDB: the rows are those of one moment, and counted by the server too.

They run from the images of `make kind HERMETIC=1`, on a port of this machine's loopback, and are removed at the end.
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from sluice.contract.reading import Column, TableContract
from sluice.core.errors import EnvironmentFault
from sluice.sources import sql_tables
from sluice.sources.databases import locate
from sluice.sources.sql_tables import read_sql
from tests.conftest import free_port

ROWS = 40_000  # more than two chunks
START_SECONDS = 240.0
SOURCE = "SLUICE_SOURCE_SHOP"
CONTRACT = TableContract(
    {"sql": f"${{{SOURCE}}}", "table": "orders"},
    {"id": Column("int64"), "name": Column("string", nullable=True), "at": Column("timestamp", nullable=True)},
    ("id",),
)


@dataclass(frozen=True)
class Kind:
    """A kind of server: its image, the port and the variables that it takes, and a URL of SQLAlchemy's."""

    image: str
    port: int
    settings: tuple[str, ...]
    scheme: str
    driver: str


KINDS = {
    "postgresql": Kind(
        "sluice.local/postgresql:17",
        5432,
        ("POSTGRES_PASSWORD={password}", "POSTGRES_USER=shop", "POSTGRES_DB=shop"),
        "postgresql+psycopg2",
        "psycopg2",
    ),
    "mariadb": Kind(
        "sluice.local/mariadb:11.8",
        3306,
        (
            "MARIADB_ROOT_PASSWORD={password}",
            "MARIADB_USER=shop",
            "MARIADB_PASSWORD={password}",
            "MARIADB_DATABASE=shop",
        ),
        "mysql+pymysql",
        "pymysql",
    ),
}


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def missing(kind: Kind) -> str:
    """What the test needs and this machine lacks; empty for nothing."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "no Docker engine answers: install Docker Engine 24 or newer, or start it"
    if not docker("image", "ls", "--quiet", kind.image):
        return f"no image {kind.image}: `python platform/hermetic/build.py` builds it"
    if not importlib.util.find_spec(kind.driver):
        return f"no driver {kind.driver}: `make install`"
    return ""


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A server with a table of ROWS orders."""
    kind, password, port = KINDS[request.param], secrets.token_hex(12), free_port()
    if lacks := missing(kind):
        pytest.skip(lacks)
    settings = [word for each in kind.settings for word in ("--env", each.format(password=password))]
    publish = f"127.0.0.1:{port}:{kind.port}"
    name = docker("run", "--detach", "--rm", "--publish", publish, "--label", "sluice-test", *settings, kind.image)
    engine = sa.create_engine(f"{kind.scheme}://shop:{password}@127.0.0.1:{port}/shop")
    try:
        wait_for(engine, name)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, at TIMESTAMP NULL)"))
            rows = [{"id": n * 7919 % ROWS, "name": f"é{n}" if n % 3 else None} for n in range(ROWS)]
            connection.execute(sa.text("INSERT INTO orders VALUES (:id, :name, '2013-01-01 10:00:00')"), rows)
        yield engine
    finally:
        engine.dispose()
        docker("rm", "--force", name)


def wait_for(engine: sa.Engine, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            engine.connect().close()
            return
        except sa.exc.OperationalError:
            assert time.monotonic() < deadline, docker("logs", name)
            time.sleep(0.2)


@pytest.fixture(autouse=True)
def _named(server: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOURCE, server.url.render_as_string(hide_password=False))


def read(folder: Path) -> list[int]:
    read_sql(locate(folder, CONTRACT.source["sql"]), CONTRACT, folder / "out" / "orders.parquet")
    ids: list[int] = pq.read_table(folder / "out" / "orders.parquet")["id"].to_pylist()
    return ids


def test_every_row_is_read_in_the_order_of_the_key(tmp_path: Path) -> None:
    assert read(tmp_path) == list(range(ROWS))


def test_rows_that_are_written_meanwhile_belong_to_another_moment(
    server: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows before and behind the place of reading come and go, and are committed, before the server counts."""
    real, written = sql_tables._chunks, []

    def chunks(result: object) -> Iterator[object]:
        for number, rows in enumerate(real(result)):  # type: ignore[arg-type]
            if number == 1:
                with server.begin() as connection:
                    connection.execute(sa.text(f"INSERT INTO orders (id) VALUES (-1), ({ROWS}), ({ROWS + 1})"))
                    connection.execute(sa.text(f"DELETE FROM orders WHERE id IN (5, {ROWS - 5})"))
                written.append(number)
            yield rows

    monkeypatch.setattr(sql_tables, "_chunks", chunks)
    try:
        assert read(tmp_path) == list(range(ROWS))
        assert written
        monkeypatch.setattr(sql_tables, "_chunks", real)
        after = read(tmp_path)
        assert len(after) == ROWS + 1
        assert (after[0], after[-1]) == (-1, ROWS + 1)
    finally:
        with server.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM orders WHERE id < 0 OR id >= {ROWS}"))
            connection.execute(sa.text(f"INSERT INTO orders VALUES (5, 'x', NULL), ({ROWS - 5}, 'x', NULL)"))


def test_a_row_that_got_lost_on_the_way_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sql_tables._chunks
    monkeypatch.setattr(sql_tables, "_chunks", lambda result: (rows[1:] for rows in real(result)))
    with pytest.raises(EnvironmentFault, match=rf"rows were read where the database counts {ROWS:,}; rows were"):
        read(tmp_path)
    assert not list((tmp_path / "out").glob("*"))


def test_no_login_is_shown(server: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = server.url.set(password="another-secret").render_as_string(hide_password=False)
    monkeypatch.setenv(SOURCE, wrong)
    with pytest.raises(EnvironmentFault) as refused:
        read(tmp_path)
    assert "another-secret" not in str(refused.value)
    assert str(os.environ[SOURCE]) not in str(refused.value)

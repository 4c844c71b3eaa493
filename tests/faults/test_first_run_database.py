"""MLflow's database of a new home: several first runs at once, and first runs that are killed while it is made."""

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from sluice.core.errors import BadInput
from sluice.registry import tracking_database
from sluice.registry.tracking_database import database_file, ensure_database

SECONDS = 240.0
FORK = multiprocessing.get_context("fork")  # MLflow is imported already: the children begin at once


@pytest.fixture(autouse=True)
def _imported(
    tracked_home: Path, databases_are_copies: Callable[[str, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow, once for all, and its own migrations."""
    from sluice.registry.mlflow_access import mlflow_module

    mlflow_module()
    monkeypatch.setattr(tracking_database, "_make", databases_are_copies)


def tables(place: Path) -> int:
    with sqlite3.connect(place) as connection:
        return int(connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])


def usable(place: Path) -> bool:
    import mlflow

    name = "works"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{place}", registry_uri=f"sqlite:///{place}")
    client.create_registered_model(name)
    return [entry.name for entry in client.search_registered_models()] == [name]


def test_first_runs_at_once_make_one_database(tmp_path: Path) -> None:
    place = tmp_path / "new" / "mlflow.db"
    barrier = FORK.Barrier(3)

    def begin() -> None:
        barrier.wait(SECONDS)
        ensure_database(f"sqlite:///{place}")

    processes = [FORK.Process(target=begin) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in place.parent.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    assert usable(place)


@pytest.mark.parametrize("most_tables", [0, 1, 12, 30])
def test_a_first_run_that_is_killed_leaves_a_home_that_works(tmp_path: Path, most_tables: int) -> None:
    place = tmp_path / "new" / "mlflow.db"
    process = FORK.Process(target=ensure_database, args=(f"sqlite:///{place}",))
    process.start()
    kill_when(process, place.parent, most_tables)
    assert not place.exists(), "half a database must not stand there"
    ensure_database(f"sqlite:///{place}")
    assert sorted(path.name for path in place.parent.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    assert usable(place)


def kill_when(process: ForkProcess, folder: Path, most_tables: int) -> None:
    """SIGKILL the process once what it makes has more than so many tables."""
    deadline = time.monotonic() + SECONDS
    while True:
        assert time.monotonic() < deadline, "no database was begun"
        for made in folder.glob(".staging-mlflow-*/mlflow.db"):
            try:
                reached = tables(made) > most_tables
            except sqlite3.Error:
                continue
            if reached:
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join(SECONDS)
                assert process.exitcode == -signal.SIGKILL
                return
        time.sleep(0.001)


def test_what_a_killed_run_of_an_earlier_release_left_is_named(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE experiments (name TEXT)")
    with pytest.raises(BadInput, match=r"mlflow\.db: MLflow's tables were never finished there .* move it away"):
        ensure_database(f"sqlite:///{place}")
    with sqlite3.connect(place) as connection:  # some migrations were done
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")
    with pytest.raises(BadInput, match="never finished"):
        ensure_database(f"sqlite:///{place}")
    assert tables(place) == 2, "nobody's data is touched"


def test_an_older_database_that_was_used_is_left_to_mlflow(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE experiments (name TEXT)")
        connection.execute("INSERT INTO experiments VALUES ('Default')")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")
    ensure_database(f"sqlite:///{place}")


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////a/b.db", Path("/a/b.db")),
        ("sqlite:///b.db", Path("b.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://host/name", None),
        ("http://host:5000", None),
    ],
)
def test_only_a_file_is_made(uri: str, file: Path | None) -> None:
    assert database_file(uri) == file

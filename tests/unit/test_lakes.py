"""A lake in a folder and the same lake in a bucket are read alike, and nothing is passed over without a word."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.artifacts.bundles import Bundle
from sluice.components.ingest.run import run
from sluice.core.errors import BadInput
from sluice.sources import lakes
from sluice.sources.source_files import find, may_mean
from sluice.storage.local_store import LocalStore
from sluice.storage.stores import Store

CONTRACT = "name: x\ntables:\n  t:\n    source: {csv: '%s'}\n    columns: {a: {type: int64}}\n"
PATTERNS = ["**/*.csv", "*.csv", "*/*.csv", "a/**/*.csv", "**/a*", "a/*", "[ab].csv", "?.csv", "a/../b.csv", "./a.csv"]


class Bucket(LocalStore):
    """A folder that is seen through its keys alone, with the empty objects that consoles of S3 make of folders."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        every = list(super().keys(prefix))
        folders = {f"{parent.as_posix()}/" for key in every for parent in Path(key).parents if parent != Path()}
        yield from sorted({*every, *folders})

    def local_path(self, key: str) -> Path | None:
        return None


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))


def _read(lake: Path, kind: type[LocalStore], folder: Path) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lakes, "open_lake", lambda address: _opened(address, kind))
        return run(str(lake), summary=folder / "summary.md")


def _opened(address: str, kind: type[LocalStore]) -> Store:
    return kind(Path(address))


def _lay_out(lake: Path, files: list[str], pattern: str) -> None:
    for file in files:
        (lake / file).parent.mkdir(parents=True, exist_ok=True)
        (lake / file).write_text("a\n1\n")
    (lake / "contract.yaml").write_text(CONTRACT % pattern)


def test_a_bucket_gives_what_a_folder_gives(tmp_path: Path) -> None:
    _lay_out(tmp_path / "lake", ["1.csv", "a/2.csv", "a/b/3.csv", "a/b/4.txt"], "**/*.csv")
    read = [_read(tmp_path / "lake", kind, tmp_path) for kind in (LocalStore, Bucket)]
    assert [bundle.rows for bundle in read] == [3, 3]
    assert read[0].id == read[1].id
    places = [[source["path"] for source in bundle.manifest.details["sources"]] for bundle in read]
    assert places == [["1.csv", "a/2.csv", "a/b/3.csv"]] * 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.sets(
        st.sampled_from(["a.csv", "b.csv", "A.csv", "a/a.csv", "a/b.csv", "a/b/a.csv", "b/a.CSV"]), min_size=1
    ),
    pattern=st.sampled_from(PATTERNS),
)
def test_every_file_that_a_folder_gives_is_copied_from_a_bucket(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], pattern: str
) -> None:
    lake = tmp_path_factory.mktemp("lake")
    _lay_out(lake, sorted(files), pattern)
    found = (
        {path.relative_to(lake).as_posix() for path in lake.glob(pattern) if path.is_file()}
        if ".." not in pattern
        else set()
    )
    assert found <= {file for file in files if may_mean(pattern, file)}


@pytest.mark.parametrize("kind", [LocalStore, Bucket])
@pytest.mark.parametrize("pattern", ["*.csv", "2.csv", "**/[0-9].csv"])
def test_a_file_that_only_its_case_keeps_out_is_refused(tmp_path: Path, kind: type[LocalStore], pattern: str) -> None:
    _lay_out(tmp_path / "lake", ["1.csv", "2.CSV"], pattern)
    with pytest.raises(BadInput, match=r"means 2\.CSV but for its case; rename it, or name it alike"):
        _read(tmp_path / "lake", kind, tmp_path)


def test_a_file_of_its_own_name_is_found_beside_another_case(tmp_path: Path) -> None:
    _lay_out(tmp_path, ["1.csv", "1.CSV"], "1.csv")
    assert [file.name for file in find(tmp_path, "1.csv")] == ["1.csv"]


SQL = "name: x\ntables:\n  t:\n    source: {sql: 'sqlite:///t.db', table: t}\n    columns: {a: {type: int64}}\n"


@pytest.mark.parametrize("kind", [LocalStore, Bucket])
def test_rows_in_a_write_ahead_log_are_refused(tmp_path: Path, kind: type[LocalStore]) -> None:
    """They would be read, yet the digest that is recorded is of the file without them."""
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "contract.yaml").write_text(SQL)
    with closing(sqlite3.connect(lake / "t.db", isolation_level=None)) as writer:
        writer.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        with pytest.raises(
            BadInput, match=r"t\.db: rows of it stand in t\.db-wal, apart from the file; close the prog"
        ):
            _read(lake, kind, tmp_path)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert _read(lake, kind, tmp_path).rows == 1


def test_a_log_that_begins_while_rows_are_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.components.ingest import run as ingestion

    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "contract.yaml").write_text(SQL)
    with closing(sqlite3.connect(lake / "t.db", isolation_level=None)) as writer:
        writer.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        read = ingestion.read_sql

        def meddle(*arguments: object) -> object:
            writer.execute("INSERT INTO t VALUES (2)")
            return read(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(ingestion, "read_sql", meddle)
        with pytest.raises(BadInput, match=r"rows of it stand in t\.db-wal"):
            _read(lake, LocalStore, tmp_path)


def test_nothing_is_left_beside_a_database(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "contract.yaml").write_text(SQL)
    with closing(sqlite3.connect(lake / "t.db")) as writer:
        writer.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    before = sorted(path.name for path in lake.iterdir())
    assert _read(lake, LocalStore, tmp_path).rows == 1
    assert sorted(path.name for path in lake.iterdir()) == before == ["contract.yaml", "t.db"]

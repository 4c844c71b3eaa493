"""A lake becomes one dataset: the same data the same id, whatever the threads, the place and the store."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice.artifacts.bundles import Bundle, open_bundle
from sluice.components.ingest.component import ingest
from sluice.components.ingest.run import run
from sluice.contract.reading import contract_from_body
from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput, SluiceError
from sluice.engine.datasets import read_dataset
from sluice.sources import csv_tables
from sluice.sources.source_files import SourceFile, check_readable, hashed
from sluice.storage.stores import Store, open_store

CONTRACT = """
name: shop
tables:
  sales:
    source: {csv: "sales/*.csv"}
    key: [id]
    columns:
      id: {type: int64}
      item: {type: string, nullable: true}
      at: {type: timestamp}
  items:
    source: {json: items.json}
    columns:
      item: {type: string}
      price: {type: float64}
  staff:
    source: {sql: "sqlite:///shop.db", table: staff}
    key: [name]
    columns:
      name: {type: string}
      since: {type: date}
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))


def _lake(folder: Path) -> Path:
    (folder / "sales").mkdir(parents=True)
    (folder / "sales/2.csv").write_text("at,item,id\n2013-01-02 00:00:00,NA,3\n")
    (folder / "sales/1.csv").write_text('id,item,at,note\n1,pen,2013-01-01T00:00:00Z,"a, b"\n2,ink,2013-01-01,\n')
    (folder / "items.json").write_text(json.dumps([{"item": "pen", "price": 1}, {"item": "ink", "price": 2.5}]))
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.executescript("CREATE TABLE staff (name TEXT PRIMARY KEY, since DATE)")
        database.executescript("INSERT INTO staff VALUES ('zoe', '2012-05-01'), ('ann', '2010-01-31')")
    (folder / "contract.yaml").write_text(CONTRACT)
    return folder


def _run(lake: Path | str, folder: Path) -> Bundle:
    return run(str(lake), summary=folder / "summary.md")


def _nothing_published(folder: Path) -> bool:
    return not [path for path in (folder / "store").rglob("*") if path.is_file() or path.name.startswith(".")]


def test_a_lake_is_one_dataset_with_its_contract_and_sources(tmp_path: Path) -> None:
    lake = _lake(tmp_path / "lake")
    bundle = _run(lake, tmp_path)
    with read_dataset(bundle.uri) as (opened, tables):
        assert [row["id"] for row in tables["sales"].to_pyarrow().to_pylist()] == [1, 2, 3]
        assert tables["items"].to_pyarrow().to_pylist() == [
            {"item": "pen", "price": 1.0},
            {"item": "ink", "price": 2.5},
        ]
        assert [row["name"] for row in tables["staff"].to_pyarrow().to_pylist()] == ["ann", "zoe"]
    details = opened.manifest.details
    assert set(contract_from_body(details["contract"], "").tables) == {"sales", "items", "staff"}
    assert [(source["table"], source["path"], source["rows"]) for source in details["sources"]] == [
        ("sales", "sales/1.csv", 2),
        ("sales", "sales/2.csv", 1),
        ("items", "items.json", 2),
        ("staff", "shop.db", 2),
    ]
    for source in details["sources"]:
        assert source["sha256"] == sha256_file(lake / source["path"])
        assert source["bytes"] == (lake / source["path"]).stat().st_size
    assert "| sales | 2 | 3 | `sales/1.csv` |" in (tmp_path / "summary.md").read_text()
    assert not list((tmp_path / "store").glob(".*")), "the workspace is gone"


def test_the_same_lake_elsewhere_has_the_same_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(_lake(tmp_path / "lake"), tmp_path)
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "other"))
    second = _run(_lake(tmp_path / "deeper/lake"), tmp_path)
    assert first.id == second.id
    (tmp_path / "lake/contract.yaml").write_text(CONTRACT.replace("nullable: true", "nullable: true, unit: piece"))
    assert _run(tmp_path / "lake", tmp_path).id != first.id, "the contract is part of what the dataset is"


def test_threads_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million rows: DuckDB's own COPY gives other bytes with each run of two threads."""
    lake = tmp_path / "lake"
    (lake / "sales").mkdir(parents=True)
    lines = (
        f"{n},{'NA' if n % 7 == 0 else f'item {n % 999}'},2013-01-01 00:{n % 60:02d}:00\n" for n in range(2_000_000)
    )
    (lake / "sales/1.csv").write_text("id,item,at\n" + "".join(lines))
    (lake / "contract.yaml").write_text(CONTRACT.partition("  items:")[0])
    ids = set()
    for place, threads in enumerate((1, 2, 2)):
        engine = csv_tables.duckdb_engine
        monkeypatch.setattr(
            csv_tables, "duckdb_engine", lambda threads=threads, engine=engine, **k: engine(threads=threads, **k)
        )
        monkeypatch.setenv("SLUICE_STORE", str(tmp_path / f"store{place}"))
        ids.add(_run(lake, tmp_path).id)
        monkeypatch.undo()
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    assert len(ids) == 1


def test_a_lake_and_a_store_of_any_kind(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake lies in the store, as a key of it."""
    monkeypatch.setenv("SLUICE_STORE", store.uri)
    folder = _lake(tmp_path / "made")
    for path in folder.rglob("*"):
        if path.is_file():
            store.put_file(f"lakes/shop/{path.relative_to(folder).as_posix()}", path)
    store.put_bytes("lakes/shop/unrelated/large.bin", b"x")
    bundle = _run("lakes/shop", tmp_path)
    assert bundle.rows == 7
    assert open_bundle(bundle.uri).manifest.notes["lake"] == f"{store.uri}/lakes/shop"
    assert len(list(open_store(bundle.uri).keys(""))) == 5


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("contract.yaml", None, "has no contract.yaml"),
        ("contract.yaml", b"\xff", "contract.yaml is not UTF-8"),
        ("contract.yaml", b"tables: {", "contract.yaml is not YAML"),
        ("items.json", None, "no file matches 'items.json'"),
        ("items.json", b"", "items.json is empty"),
        ("items.json", b"[]", "items.json has no row"),
        ("shop.db", b"junk" * 999, "shop.db cannot be read as an SQLite database"),
        ("sales/1.csv", b"id,item\n1,2\n", "sales/1.csv, line 1: column 'at' is missing"),
        ("sales/2.csv", b"id,item,at\n1,2\n", "sales/2.csv, line 2: 2 values where the header has 3"),
        ("sales/2.csv", b"id,item,at\n" + b"1,two,\n" * 200_000 + b"1,t\0o,\n", "sales/2.csv, line 200002: a NUL byte"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_published(
    tmp_path: Path, path: str, content: bytes | None, said: str
) -> None:
    lake = _lake(tmp_path / "lake")
    (lake / path).unlink()
    if content is not None:
        (lake / path).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        _run(lake, tmp_path)
    assert said in str(caught.value)
    assert _nothing_published(tmp_path)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    lake = _lake(tmp_path / "lake")
    with closing(sqlite3.connect(lake / "shop.db")) as database:
        database.executescript("DELETE FROM staff")
    with pytest.raises(BadInput, match="table 'staff' is empty"):
        _run(lake, tmp_path)
    assert _nothing_published(tmp_path)


def test_a_folder_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    lake = _lake(tmp_path / "lake")
    (lake / "sales/3.csv").mkdir()
    with pytest.raises(BadInput, match=r"sales/3\.csv is not a file"):
        _run(lake, tmp_path)


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that every user may look into, and no right to do more: root reads whatever the modes say."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    folder.chmod(0o755)
    user, group = os.geteuid(), os.getegid()
    yield folder
    if user == 0:
        os.seteuid(user)
        os.setegid(group)
    shutil.rmtree(folder)


def test_a_file_without_read_access_is_named(nobody: Path) -> None:
    path = nobody / "1.csv"
    path.write_text("id\n1\n")
    path.chmod(0)
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    with pytest.raises(BadInput, match=r"sales/1\.csv cannot be read \(Permission denied\); check its owner and mode"):
        check_readable(SourceFile(path, "sales/1.csv"))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = _lake(tmp_path / "lake")
    write = csv_tables.write_parquet

    def meddle(*arguments: object) -> object:
        with (lake / "sales/1.csv").open("a") as stream:
            stream.write("9,late,2013-01-01,\n")
        return write(*arguments)

    monkeypatch.setattr(csv_tables, "write_parquet", meddle)
    with pytest.raises(BadInput, match=r"sales/1\.csv changed while it was read"):
        _run(lake, tmp_path)
    assert _nothing_published(tmp_path)


@pytest.mark.parametrize("pattern", ["../secret.csv", "/etc/*.csv", "a/**b/*.csv", ""])
def test_a_source_stays_inside_the_lake(tmp_path: Path, pattern: str) -> None:
    lake = _lake(tmp_path / "lake")
    (lake / "contract.yaml").write_text(CONTRACT.replace("sales/*.csv", pattern))
    with pytest.raises(SluiceError, match=r"source|no file matches"):
        _run(lake, tmp_path)


def test_the_component_hands_on_what_the_step_made(tmp_path: Path) -> None:
    class Artifact:
        def __init__(self, name: str) -> None:
            self.path, self.uri, self.metadata = str(tmp_path / name), "", {}

    tables, summary = Artifact("tables"), Artifact("summary")
    returned = ingest.python_func(tables=tables, summary=summary, lake=str(_lake(tmp_path / "lake")))
    bundle = open_bundle(tables.uri, "dataset")
    assert tables.metadata == bundle.metadata()
    assert returned == tables.uri
    assert pq.read_table(Path(tables.uri) / "staff/part-00000.parquet").num_rows == 2
    assert Path(summary.path).read_text().startswith("# 7 rows")


def test_a_machine_without_posix_fadvise_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)  # as on macOS
    (tmp_path / "a.csv").write_text("x\n1\n")
    with hashed(SourceFile(tmp_path / "a.csv", "a.csv")) as digest:
        pass
    assert digest.result().sha256 == sha256_file(tmp_path / "a.csv")

"""Homes and lakes at hostile paths, homes that were moved or copied, homes that are none."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from kfp import dsl
from rich.console import Console

from sluice.components.ingest.run import run
from sluice.core.errors import BadInput, SluiceError
from sluice.core.home import make_home
from sluice.engine.datasets import read_dataset
from sluice.pipelines._learning import Outputs
from sluice.registry.mlflow_access import mlflow_module, tracking_uri
from sluice.registry.moved_homes import follow_move
from sluice.registry.tracking import tracked_run
from sluice.running.catalog import Pipeline
from sluice.running.local_run import run_pipeline
from tests.examples import DIGITS

HOSTILE = [
    "a b",
    "a#b",
    "a%b",
    "python3",
    "a[b]c",
    "*",
    "{x}{$}",
    "it's",
    'say "x"',
    "$HOME `id`",
    "é",
    "a;b&c=d|e",
    "a:b@c",
    "-x",
    "~x",
    "a\\b",
]
MISREAD = ["what?", "a{{b", "a%20b", "a\nb", "a\x1bb", os.fsdecode(b"a\xffb")]
CONTRACT = """
name: small
license: none
tables:
  c: {source: {csv: "w/*.csv"}, columns: {x: {type: int64}}}
  j: {source: {json: j.json}, columns: {x: {type: int64}}}
  s: {source: {sql: "sqlite:///t.db", table: t}, columns: {x: {type: int64}}}
"""


def _lay_out(lake: Path, value: int) -> None:
    (lake / "w").mkdir(parents=True)
    (lake / "w" / "a.csv").write_text(f"x\n{value}\n")
    (lake / "j.json").write_text(f'[{{"x": {value}}}]')
    with closing(sqlite3.connect(lake / "t.db")) as database:
        database.executescript(f"CREATE TABLE t (x INTEGER); INSERT INTO t VALUES ({value})")
    (lake / "contract.yaml").write_text(CONTRACT)


def _go(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _track(text: str) -> str:
    """Log a file to a new run; the run's id."""
    with tracked_run("a") as run_id:
        mlflow_module().log_text(text, "plots/a-1.txt")
    return run_id


def _tracked(run_id: str) -> str:
    mlflow = mlflow_module()
    return str(mlflow.artifacts.load_text(f"{mlflow.MlflowClient().get_run(run_id).info.artifact_uri}/plots/a-1.txt"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_path_changes_nothing(
    name: str, tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other = tmp_path / "homes" / name, tmp_path / "homes" / "abcx"
    for value, place in enumerate((other, home), start=1):  # whoever takes the path for a pattern finds the other too
        place.mkdir(parents=True)
        shutil.copyfile(tracked_home / "mlflow.db", place / "mlflow.db")
        _go(monkeypatch, place)
        _lay_out(place / "store" / "lakes" / "small", value)
        uri = run("lakes/small", summary=place / "summary.md").uri
    assert Path(uri).is_relative_to(home)
    with read_dataset(uri) as (_, tables):
        assert {table: list(rows.execute()["x"]) for table, rows in tables.items()} == {"c": [2], "j": [2], "s": [2]}
    assert _tracked(_track("here")) == "here"
    assert [path.read_text() for path in (home / "mlartifacts").rglob("a-1.txt")] == ["here"]
    assert sorted(place.name for place in home.parent.iterdir()) == sorted({name, "abcx"})


@pytest.mark.parametrize("name", MISREAD)
def test_a_path_that_mlflow_takes_for_another_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _go(monkeypatch, tmp_path / name)
    with pytest.raises(BadInput, match=r"SLUICE_HOME=.*name another folder") as refused:
        mlflow_module()
    assert str(refused.value).isprintable()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking_uri() == "http://127.0.0.1:9"


def test_a_home_that_was_moved_keeps_its_files(
    tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _track("first")
    moved = tmp_path / "moved to" / "another %d # place"
    moved.parent.mkdir()
    tracked_home.rename(moved)
    _go(monkeypatch, moved)
    assert _tracked(first) == "first"
    assert _tracked(_track("second")) == "second"
    assert sorted(path.read_text() for path in moved.rglob("a-1.txt")) == ["first", "second"]
    assert not tracked_home.exists()
    assert not follow_move(moved)


@pytest.mark.long  # tests/local/test_homes.py moves a whole run's home
def test_a_run_goes_well_in_a_hostile_home_and_after_it_was_moved(
    tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KFP's runner and a step's own process; what an earlier run has left holds addresses, and is not reused."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    _lay_out(tracked_home / "store" / "lakes" / "small", 1)
    place = tracked_home
    for name in ("python3 [x] {$} 1%", "moved * 'it\" #é $HOME;&"):
        place = place.rename(tmp_path / name)
        _go(monkeypatch, place)
        done = run_pipeline(Pipeline("small", "", (), small), {}, Console(quiet=True), quiet=True)
        assert Path(done.result["dataset"]).is_relative_to(place)
        assert Path(done.result["report"]).read_text() == "<p>"
        assert done.result["tracked"].startswith((place / "mlartifacts").as_uri())
        assert done.report.is_relative_to(place)


@dsl.component(base_image="python:3.13", install_kfp_package=False)
def work(report: dsl.Output[dsl.HTML], result: dsl.Output[dsl.Artifact]) -> None:
    import json
    from pathlib import Path

    from sluice.components.ingest.run import run
    from sluice.registry.mlflow_access import mlflow_module
    from sluice.registry.tracking import tracked_run
    from sluice.steps.step import step

    with step("ingest"):
        Path(report.path).write_text("<p>")
        uri = run("lakes/small", summary=Path(f"{report.path}.md")).uri
        with tracked_run("ingest"):
            mlflow_module().log_text("here", "a.txt")
            tracked = mlflow_module().active_run().info.artifact_uri
        told = {"dataset": uri, "tracked": tracked, "report": report.path}
        Path(result.path).write_text(json.dumps(told))


@dsl.pipeline(name="small")
def small() -> Outputs:
    done = work()
    return Outputs(done.outputs["report"], done.outputs["result"])


def test_a_copy_of_a_home_has_files_of_its_own(
    tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _track("first")
    copy = tmp_path / "copy"
    shutil.copytree(tracked_home, copy)
    _go(monkeypatch, copy)
    shutil.rmtree(tracked_home / "mlartifacts")
    assert _tracked(first) == "first"
    _track("second")
    assert not (tracked_home / "mlartifacts").exists()


def test_every_place_of_a_file_follows(tracked_home: Path, tmp_path: Path) -> None:
    """Also those of models and versions; what a person keeps elsewhere stays, as does what only looks alike."""
    _track("first")
    old, elsewhere = (tracked_home / "mlartifacts").as_uri(), (tmp_path / "else" / "mlartifacts").as_uri()
    (tmp_path / "else" / "mlartifacts").mkdir(parents=True)
    places = [f"{old}/models/m-1/artifacts", f"{old}-not/a", "models:/m-1", f"{elsewhere}/m", "s3://bucket/mlartifacts"]
    with closing(sqlite3.connect(tracked_home / "mlflow.db", isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("INSERT INTO registered_models (name) VALUES ('m')")
        rows = "INSERT INTO model_versions (name, version, source, storage_location) VALUES ('m', ?, ?, ?)"
        database.executemany(rows, [(number, place, place) for number, place in enumerate(places)])
        database.execute("INSERT INTO experiments (name, artifact_location) VALUES ('else', ?)", (elsewhere,))
    moved = tracked_home.rename(tmp_path / "moved")
    assert follow_move(moved) == [old]
    new = f"{(moved / 'mlartifacts').as_uri()}/models/m-1/artifacts"
    with closing(sqlite3.connect(moved / "mlflow.db")) as database:
        found = database.execute("SELECT source, storage_location FROM model_versions ORDER BY version").fetchall()
        assert found == [(place, place) for place in (new, *places[1:])]
        assert (elsewhere,) in database.execute("SELECT artifact_location FROM experiments").fetchall()


def test_another_name_of_the_same_folder_changes_nothing(
    tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _track("first")
    (tmp_path / "link").symlink_to(tracked_home)
    assert not follow_move(tmp_path / "link")


def test_a_database_that_is_none_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(SluiceError, match=rf"{quote(str(tmp_path))}/mlflow.db: file is not a database"):
        follow_move(tmp_path)


def _nothing(place: Path) -> None:
    place.parent.mkdir()


def _file(place: Path) -> None:
    place.parent.mkdir()
    place.write_text("")


def _file_above(place: Path) -> None:
    place.parent.write_text("")


def _dangling(place: Path) -> None:
    place.parent.mkdir()
    place.symlink_to(place.parent / "nowhere")


@pytest.mark.parametrize("make", [_file, _file_above, _dangling])
def test_a_home_that_is_no_folder_is_refused(tmp_path: Path, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(make)
    make(tmp_path / "a" / "home")
    _go(monkeypatch, tmp_path / "a" / "home")
    with pytest.raises(BadInput, match=r"SLUICE_HOME='.*/a/home': .* is no folder; move it away, or name another"):
        make_home()


READ_ONLY = """
import os, sys
import sklearn.datasets, PIL.PngImagePlugin
import encodings.utf_8_sig, importlib, pkgutil
import sluice.cli.main, sluice.cli.listing, sluice.cli.run_summary
for package in ("core", "storage", "artifacts", "project", "parameters", "running"):
    folder = importlib.import_module(f"sluice.{package}").__path__
    for module in pkgutil.iter_modules(folder):
        importlib.import_module(f"sluice.{package}.{module.name}")
from sluice.running.catalog import find_pipeline
find_pipeline("supervised_images")
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.argv = ["sluice", *sys.argv[1:]]
sluice.cli.main.main()
"""


@pytest.fixture
def read_only_home(empty_tracking: Path) -> Iterator[Path]:
    """Where others can reach it, as pytest's own folders are not."""
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    (home / "mlflow.db").chmod(0o444)
    home.chmod(0o555)
    yield home
    home.chmod(0o755)
    shutil.rmtree(home)


@pytest.mark.parametrize(
    "words", [("run", DIGITS), pytest.param(("lake", DIGITS, "lakes/digits"), marks=pytest.mark.long)]
)
def test_a_home_that_is_read_only_is_told_in_a_line(read_only_home: Path, words: tuple[str, ...]) -> None:
    """Root may write everywhere, so the process becomes nobody once all is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"SLUICE_HOME": str(read_only_home)}
    command = [sys.executable, "-c", READ_ONLY, *words]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert re.search(rf"error: {read_only_home}.*access denied", done.stderr), done.stderr

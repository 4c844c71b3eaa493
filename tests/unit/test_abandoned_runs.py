"""What a killed run leaves is found by the next command: its MLflow run, whenever it was killed, and its folders."""

import json
import tempfile
from pathlib import Path

import mlflow
import pytest

from sluice.artifacts.bundles import workspace
from sluice.registry.mlflow_access import mlflow_module
from sluice.running import abandoned_runs
from sluice.running.abandoned_runs import SCRATCH_PREFIX, close_abandoned, notes
from sluice.storage.locations import default_store

RUN = "20260101-000000-supervised-abcd"


@pytest.fixture
def home(tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SLUICE_RUN", RUN)
    monkeypatch.delenv("SLUICE_MLFLOW_RUN", raising=False)
    return tracked_home


def leave(home: Path, noted: dict[str, str]) -> None:
    """A lifeline that nobody holds."""
    folder = home / "runs" / RUN
    (folder / "steps").mkdir(parents=True)
    (folder / "lifeline").write_text(json.dumps(noted))


def opened(tags: dict[str, str]) -> str:
    return str(mlflow_module().MlflowClient().create_run("0", tags=tags).info.run_id)


def status(run: str) -> str:
    return str(mlflow.MlflowClient().get_run(run).info.status)


def test_a_run_that_was_killed_before_it_could_note_its_mlflow_run_is_found(home: Path) -> None:
    run = opened({"sluice.run": RUN})
    candidate = opened({"sluice.run": RUN, "mlflow.parentRunId": run})
    another = opened({"sluice.run": "another"})
    leave(home, notes("unused"))
    assert close_abandoned() == [run]
    assert [status(each) for each in (run, candidate, another)] == ["KILLED", "KILLED", "RUNNING"]
    assert close_abandoned() == []


@pytest.mark.parametrize("database", [True, False], ids=["no run opened", "no database made"])
def test_a_run_that_was_killed_before_mlflow_knew_of_it_is_forgotten(home: Path, database: bool) -> None:
    if not database:
        (home / "mlflow.db").unlink()
    leave(home, notes("unused"))
    assert close_abandoned() == []
    assert not (home / "runs" / RUN / "lifeline").exists()
    assert (home / "mlflow.db").exists() == database


def test_the_folders_of_a_killed_run_are_removed_and_no_others(home: Path, tmp_path: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX))
    (scratch / "workspace-x").mkdir()
    store = Path(default_store().uri)
    for name in (f".staging-{RUN}-abc", ".staging-abc", f".staging-{RUN[:-1]}-abc", "datasets"):
        (store / name).mkdir(parents=True)
    leave(home, notes(str(scratch)))
    close_abandoned()
    assert not scratch.exists()
    assert sorted(path.name for path in store.iterdir()) == [f".staging-{RUN[:-1]}-abc", ".staging-abc", "datasets"]


@pytest.mark.parametrize("scratch", ["precious", "deep/sluice-run-x", ".", ""])
def test_a_forged_note_removes_nothing(home: Path, tmp_path: Path, scratch: str) -> None:
    place = tmp_path / scratch
    place.mkdir(parents=True, exist_ok=True)
    (place / "kept").touch()
    (tmp_path / ".staging-kept").mkdir()
    leave(home, notes(str(place) if scratch else "") | {abandoned_runs._ID: "../x", "store": str(tmp_path)})
    close_abandoned()
    assert (place / "kept").exists()
    assert (tmp_path / ".staging-kept").exists()


def test_a_workspace_is_named_for_its_run(home: Path) -> None:
    with workspace(default_store()) as folder:
        assert folder.name.startswith(f".staging-{RUN}-")

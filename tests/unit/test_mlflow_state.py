"""Tests that share a process share nothing of MLflow's: neither where it tracks nor what it has open."""

import os
import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import fluent

from tests.mlflow_state import restore

LEAKED = "sqlite:///leaked-registry.db"


def set_all(folder: Path, empty_tracking: Path) -> None:
    """Leave behind all that MLflow keeps beyond a call."""
    shutil.copyfile(empty_tracking, folder / "leaked.db")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/leaked.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("leaked", str(folder / "artifacts")))
    mlflow.start_run()
    mlflow.start_run(nested=True)
    mlflow.end_run()
    mlflow.set_active_model(name="leaked")
    mlflow.set_registry_uri(LEAKED)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "4321"


@pytest.fixture(scope="module", autouse=True)
def _set_before(tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path) -> None:
    """What the fixture of a module does comes before each test's own fixtures."""
    before = dict(os.environ)
    set_all(tmp_path_factory.mktemp("leaked"), empty_tracking)
    restore(before)


@pytest.mark.parametrize("_", ["first", "second"])
def test_nothing_of_another_test_is_left(
    _: str, tmp_path: Path, empty_tracking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two comes second finds what the first left behind."""
    monkeypatch.chdir(tmp_path)  # MLflow tracks in the working directory, where it is not told better
    assert mlflow.active_run() is None
    assert mlflow.last_active_run() is None
    assert mlflow.get_active_model_id() is None
    assert fluent._active_experiment_id is None
    assert not {"MLFLOW_EXPERIMENT_ID", "MLFLOW_REGISTRY_URI", "MLFLOW_ACTIVE_MODEL_ID"} & set(os.environ)
    assert os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") != "4321"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://asked-for.invalid")  # this counts, where no call was
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == "http://asked-for.invalid"
    set_all(tmp_path, empty_tracking)

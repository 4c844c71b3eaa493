"""A home of its own for each test, and MLflow's database made once for all of them."""

import shutil
from pathlib import Path

import pytest

from components.common.mlflow_access import mlflow_module, tracking_faults

_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")


@pytest.fixture(scope="session")
def empty_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without content: making it takes seconds, copying it nothing."""
    home = tmp_path_factory.mktemp("tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(home))
        for name in _VARIABLES:
            patch.delenv(name, raising=False)
        with tracking_faults():
            mlflow_module().MlflowClient().search_registered_models()
    return home / "mlflow.db"


@pytest.fixture
def tracked_home(empty_tracking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with an empty MLflow database; no variable of the person who tests reaches the test."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    monkeypatch.setenv("SLUICE_HOME", str(home))
    for name in (*_VARIABLES, "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE"):
        monkeypatch.delenv(name, raising=False)
    return home

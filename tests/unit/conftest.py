"""A home of its own for each test, and MLflow's database made once for all of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from tests.unit.api_server import Server

if TYPE_CHECKING:  # it imports all steps, which the process that hands out tests has no need of
    from tests.unit.predict_world import Registered

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
    _use(monkeypatch, home)
    return home


@pytest.fixture(scope="session")
def registered_projects(empty_tracking: Path, tmp_path_factory: pytest.TempPathFactory) -> "Registered":
    """Two projects with code of their own, each registered; the folder of that code is gone."""
    from tests.unit import predict_world

    scratch = tmp_path_factory.mktemp("projects")
    home = scratch / "home"
    home.mkdir()
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, home)
        found = predict_world.Registered(home, predict_world.run_houses(scratch), predict_world.run_visits(scratch))
    for name in ("code", "code2"):
        shutil.rmtree(scratch / name)
    return found


@pytest.fixture
def projects(registered_projects: "Registered", monkeypatch: pytest.MonkeyPatch) -> "Registered":
    """The same, where this test looks for them."""
    _use(monkeypatch, registered_projects.home)
    return registered_projects


def _use(patch: pytest.MonkeyPatch, home: Path) -> None:
    patch.setenv("SLUICE_HOME", str(home))
    for name in (*_VARIABLES, "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE"):
        patch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    """An API of our own."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kubeconfig of the person who tests reaches the test."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    for name in ("SLUICE_KFP", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, no_cluster: None) -> Path:
    """A kubeconfig whose current context is `server`."""
    path = tmp_path / "kubeconfig"
    entry = {"cluster": "here", "user": "me"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server.url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": entry}],
    }
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return path

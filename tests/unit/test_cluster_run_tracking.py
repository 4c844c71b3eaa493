"""What the command tells MLflow of a run on a cluster: its name, its parameters, and how it ended."""

from pathlib import Path
from typing import Any

import pytest

from sluice.cluster.connection import Cluster
from sluice.cluster.run_tracking import announce, settle
from sluice.core.step_images import step_images
from sluice.core.variable_groups.cluster import ImageVariables
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.tracking import child_run, tracked_run
from sluice.running.catalog import find_pipeline
from tests.unit.api_server import Server

PIPELINE = find_pipeline("supervised_images")
RUN, OTHER = "4f1c0de0", "5f1c0de0"


@pytest.fixture
def cluster(server: Server, tracked_home: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    uri = f"sqlite:///{tracked_home}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("SLUICE_PIPELINE", "supervised_images")
    for run in (RUN, OTHER):
        ends(server, run, "RUNNING")
    return Cluster(server.url, {"MLFLOW_TRACKING_URI": uri}, step_images(ImageVariables({})), None)


def ends(server: Server, run: str, state: str) -> None:
    told: dict[str, Any] = {"run_id": run, "display_name": "a", "state": state}
    server.answers[f"/apis/v2beta1/runs/{run}"] = (200, told)
    server.answers[f"/apis/v1beta1/runs/{run}"] = (200, {})


def runs() -> dict[str, Any]:
    client = mlflow_module().MlflowClient()
    found = [run for entry in client.search_experiments() for run in client.search_runs([entry.experiment_id])]
    return {run.info.run_name: run for run in found}


def test_a_run_has_its_name_in_kfp_and_its_parameters(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(cluster, PIPELINE, RUN, "the first try", {"seed": 7})
    monkeypatch.setenv("SLUICE_RUN", RUN)
    with tracked_run("train") as run, child_run("logistic"):
        pass
    found = runs()
    assert set(found) == {"the first try", "logistic"}
    assert found["the first try"].info.run_id == run
    params = found["the first try"].data.params
    assert params["seed"] == "7"
    assert set(params) == {parameter.name for parameter in PIPELINE.parameters}
    settle(cluster, RUN, "no reason")
    assert runs()["the first try"].info.status == "RUNNING", "it goes on"


def test_a_run_whose_first_step_was_quicker_gets_its_name_too(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as pod:
        pod.setenv("SLUICE_RUN", RUN)
        with tracked_run("ingest") as run:
            pass
    announce(cluster, PIPELINE, RUN, "the first try", {})
    assert runs()["the first try"].info.run_id == run


@pytest.mark.parametrize(
    ("state", "status"), [("FAILED", "FAILED"), ("CANCELED", "KILLED"), ("CANCELING", "KILLED"), ("RUNNING", "RUNNING")]
)
def test_what_the_steps_could_not_tell_is_told(cluster: Cluster, server: Server, state: str, status: str) -> None:
    announce(cluster, PIPELINE, RUN, "the first try", {})
    ends(server, RUN, state)
    settle(cluster, RUN, "step train: OOMKilled")
    run = runs()["the first try"]
    assert run.info.status == status
    assert run.data.tags.get("sluice.error") == (None if status == "RUNNING" else "step train: OOMKilled")


def test_a_run_that_nobody_followed_is_ended_by_the_next_one(cluster: Cluster, server: Server) -> None:
    announce(cluster, PIPELINE, OTHER, "nobody looks", {})
    announce(cluster, PIPELINE, "of a laptop, which KFP does not know", "elsewhere", {})
    ends(server, OTHER, "FAILED")
    announce(cluster, PIPELINE, RUN, "the second try", {})
    status = {name: run.info.status for name, run in runs().items()}
    assert status == {"nobody looks": "FAILED", "elsewhere": "RUNNING", "the second try": "RUNNING"}


def test_a_run_is_started_and_ended_without_mlflow(cluster: Cluster, server: Server) -> None:
    away = Cluster(server.url, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, step_images(ImageVariables({})), None)
    announce(away, PIPELINE, RUN, "the first try", {})
    settle(away, RUN, "cancelled")

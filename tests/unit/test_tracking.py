"""Tracking: the default place, the variables of KFP's plugin, what a run remembers, and a server that is down."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import git
import ibis
import pyarrow as pa
import pytest

from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.engine.datasets import write_dataset
from sluice.registry import pipeline_runs
from sluice.registry.mlflow_access import mlflow_module, tracking_uri
from sluice.registry.tracking import child_run, fail_pipeline_run, finish_pipeline_run, log_dataset, tracked_run
from sluice.steps.step import step
from sluice.storage.locations import default_store


@pytest.fixture(autouse=True)
def place(tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_PIPELINE", "supervised")
    return tmp_path


def run_of(run_id: str) -> Any:
    return mlflow_module().MlflowClient().get_run(run_id)


def test_a_run_remembers_where_it_came_from_and_what_it_read(place: Path) -> None:
    table = ibis.duckdb.connect().create_table("rows", pa.table({"a": [1, 2]}))
    bundle = write_dataset(default_store(), {"rows": table}, producer("split", {}))
    with tracked_run("train") as parent:
        log_dataset(bundle, "training")
        with child_run("logistic") as child:
            mlflow_module().log_metric("log_loss", 0.5)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert tracking_uri() == f"sqlite:///{place}/home/mlflow.db"
    run = run_of(parent)
    assert run.info.status == "FINISHED"
    assert run.data.tags["sluice.pipeline"] == "supervised"
    assert run.data.tags["sluice.dataset.training"] == bundle.id
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("split", bundle.id[:36])
    assert bundle.uri in entry.dataset.source
    assert run_of(child).data.tags["mlflow.parentRunId"] == parent
    assert run_of(child).data.metrics == {"log_loss": 0.5}
    experiment = mlflow_module().get_experiment(run.info.experiment_id)
    assert experiment.name == "supervised"
    assert experiment.artifact_location == (place / "home" / "mlartifacts").as_uri()


def test_the_variables_of_kfps_plugin_are_honoured(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    client = mlflow_module().MlflowClient()
    experiment = client.create_experiment("given", artifact_location=str(place / "a"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    with tracked_run("train") as first:
        pass
    assert run_of(first).info.experiment_id == experiment
    parent = client.create_run(experiment, run_name="my run", tags={"kfp.pipeline_run_id": "4f1c"}).info.run_id
    task = client.create_run(experiment, run_name="train", tags={"mlflow.parentRunId": parent}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    monkeypatch.setenv("SLUICE_RUN", "4f1c")
    with tracked_run("a step") as second, child_run("logistic") as child:
        pass
    assert second == task
    assert (run_of(task).info.run_name, run_of(task).info.status) == ("train", "RUNNING"), "KFP names and ends it"
    assert run_of(child).data.tags["mlflow.parentRunId"] == task
    assert run_of(child).info.experiment_id == experiment
    fail_pipeline_run("train", BadInput("no rows"))
    for run in (task, parent):
        assert run_of(run).data.tags["sluice.error"] == "step train: no rows"
        assert run_of(run).info.status == "RUNNING"
    finish_pipeline_run()
    assert run_of(parent).info.status == "RUNNING"


def test_the_run_that_kfps_plugin_opened_is_the_pipelines_though_pods_are_not_told(in_pods: None) -> None:
    client = mlflow_module().MlflowClient()
    other = client.create_experiment("kfp")
    opened = client.create_run(other, run_name="my run", tags={"kfp.pipeline_run_id": "4f1c0de0-9a"}).info.run_id
    with tracked_run("train") as run, child_run("logistic") as child:
        assert run == opened
    assert run_of(opened).info.run_name == "my run"
    assert run_of(child).info.experiment_id == other


def test_an_unknown_experiment_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.raises(BadInput, match="MLFLOW_EXPERIMENT_ID='4711'"), tracked_run("train"):
        pass


def test_a_run_that_breaks_is_marked_failed() -> None:
    seen = ""

    def breaks() -> None:
        nonlocal seen
        with tracked_run("train") as seen:
            raise BadInput("column label is missing")

    with pytest.raises(BadInput, match="column label"):
        breaks()
    assert run_of(seen).info.status == "FAILED"
    assert mlflow_module().active_run() is None


def test_a_server_that_is_down_is_named_after_bounded_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:hidden@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begin = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught, tracked_run("train"):
        pass
    assert time.monotonic() - begin < 30
    assert f"MLflow at http://127.0.0.1:{port} failed" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def in_pods(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod without KFP's plugin: a run's id, a tracking server, and nobody who opened an MLflow run."""
    monkeypatch.setenv("SLUICE_RUN", "4f1c0de0-9a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/home/mlflow.db")


def test_the_steps_of_one_run_share_one_run_that_the_last_ends(in_pods: None) -> None:
    with tracked_run("train") as first:
        assert run_of(first).info.status == "RUNNING"
    assert run_of(first).info.status == "RUNNING", "the next steps belong to it"
    with tracked_run("register") as second:
        pass
    assert second == first
    run = run_of(first)
    assert run.data.tags["sluice.run"] == "4f1c0de0-9a"
    assert run.info.run_name.endswith("-supervised-4f1c")
    finish_pipeline_run()
    assert run_of(first).info.status == "FINISHED"


def test_another_run_has_a_run_of_its_own(in_pods: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracked_run("train") as first:
        pass
    monkeypatch.setenv("SLUICE_RUN", "other")
    with tracked_run("train") as second:
        pass
    assert second != first


def test_of_two_that_open_it_at_once_the_first_counts(in_pods: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, really = [True], pipeline_runs.find
    client = mlflow_module().MlflowClient()
    experiment = pipeline_runs.experiment_id(mlflow_module())
    other = client.create_run(experiment, tags={"sluice.run": "4f1c0de0-9a"}, start_time=1).info.run_id
    # Sees nothing the first time, as a step does that looks a moment before the other has opened the run.
    monkeypatch.setattr(pipeline_runs, "find", lambda *given: None if looks and looks.pop() else really(*given))
    with tracked_run("train") as mine:
        assert mine == other
    assert [run.info.run_id for run in client.search_runs([experiment])] == [other]


def test_a_step_that_fails_ends_the_shared_run_as_failed(in_pods: None, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SLUICE_TERMINATION_LOG", str(tmp_path / "log"))
    with pytest.raises(SystemExit), step("validate"):
        raise BadInput("flights: 3 rows break the contract")
    (run,) = mlflow_module().MlflowClient().search_runs(["1"])
    assert run.info.status == "FAILED"
    assert run.data.tags["sluice.run"] == "4f1c0de0-9a"
    assert run.data.tags["sluice.error"] == "step validate: flights: 3 rows break the contract"


def test_a_step_that_is_told_to_end_ends_the_shared_run_and_its_children_as_killed(
    in_pods: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_TERMINATION_LOG", str(tmp_path / "log"))
    client = mlflow_module().MlflowClient()
    children = []

    def body() -> None:
        with step("train"), tracked_run("train") as run:
            info = run_of(run).info
            tags = {"mlflow.parentRunId": run}
            children.append(client.create_run(info.experiment_id, tags=tags).info.run_id)  # of another process
            with child_run("logistic") as child:
                children.append(child)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)

    with pytest.raises(SystemExit) as caught:
        body()
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    runs = client.search_runs(["1"])
    assert len(runs) == 3
    assert {run.info.status for run in runs} == {"KILLED"}
    (top,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert top.data.tags["sluice.error"] == "step train: ended by SIGTERM"
    assert (tmp_path / "log").read_text() == "step train failed with exit code 143: ended by SIGTERM"


def test_the_reason_of_a_failure_tells_no_secret(in_pods: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    with tracked_run("train") as run:
        pass
    said = "cannot reach http://me:pass@store:9000/x\nwith wJalrXUtnFEMI"
    fail_pipeline_run("train", RuntimeError(said))
    told = run_of(run).data.tags["sluice.error"]
    assert told == "step train: RuntimeError: cannot reach http://store:9000/x with ***"


def test_a_tracking_server_that_is_down_hides_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_RUN", "4f1c0de0-9a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    fail_pipeline_run("train", BadInput("no rows"))


def test_a_server_that_was_given_up_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_RUN", "4f1c0de0-9a")
    monkeypatch.setenv("SLUICE_TERMINATION_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    calls: list[str | None] = []
    monkeypatch.setattr(
        "sluice.registry.tracking.pipeline_run_id",
        lambda _: calls.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES")),
    )
    with pytest.raises(SystemExit), step("train"), tracked_run("train"):
        pytest.fail("there is no server")
    assert calls == ["1", "0"]
    assert (tmp_path / "log").read_text().startswith("step train failed with exit code 1: MLflow at")


@pytest.mark.parametrize("named", ["", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"])
def test_an_experiment_that_was_deleted_is_told_in_a_line(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = mlflow_module().MlflowClient()
    name = "other" if named else "supervised"
    number = client.create_experiment(name)
    client.delete_experiment(number)
    if named:
        monkeypatch.setenv(named, number if named.endswith("ID") else name)
    said = rf"experiment '{name}' was deleted: restore it .*--experiment-id {number}"
    with pytest.raises(BadInput, match=said), tracked_run("train"):
        pass
    client.restore_experiment(number)
    with tracked_run("train") as run:
        assert run_of(run).info.experiment_id == number


def test_a_run_that_was_deleted_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracked_run("train") as run:
        pass
    mlflow_module().MlflowClient().delete_run(run)
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with pytest.raises(BadInput, match=r"in the deleted state.*restore it there.*MLFLOW_RUN_ID"), tracked_run("train"):
        pass


def test_another_project_s_repository_is_not_recorded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself MLflow tags the repository that the running program lies in, and its remote, token and all."""
    program = place / "theirs" / "program.py"
    program.parent.mkdir()
    program.write_text("")
    repository = git.Repo.init(program.parent)
    repository.index.add([str(program)])
    repository.index.commit("theirs")
    repository.create_remote("origin", "https://token-word@git.example/theirs")
    monkeypatch.setattr("sys.argv", [str(program)])
    monkeypatch.setenv("SLUICE_COMMIT", "ab" * 20 + "+dirty")
    monkeypatch.setenv("SLUICE_RUN", "r")
    with tracked_run("train") as parent, child_run("one") as child:
        pass
    for run in (parent, child):
        tags = run_of(run).data.tags
        assert {key: value for key, value in tags.items() if ".git." in key} == {"mlflow.source.git.commit": "ab" * 20}
        assert "token-word" not in str(tags)

"""Distributed training as KFP runs it: two workers on two nodes, one of them lost, a run cancelled."""

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.artifacts.bundles import open_bundle
from sluice.modeling.distributed.naming import job_key
from sluice.storage.stores import Store, open_store
from tests.examples import FLIGHTS
from tests.kind.cluster import FINAL, Cluster

# Without early stopping's luck: long enough to be disturbed in the middle.
PARAMETERS = {"lake": "lakes/flights", "sample_fraction": 0.6, "epochs": 12}
STEP = "train-distributed"
JOBSET = "jobset.sigs.k8s.io/jobset-name"


def parameters(**more: Any) -> dict[str, Any]:
    """How often it saves is no part of what it learns, but of KFP's cache key: this step alone runs, and always."""
    return {**PARAMETERS, "checkpoint_seconds": 1 + secrets.randbelow(10_000) / 100_000, **more}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The flights' project with the pipeline that trains on several workers."""
    folder = tmp_path_factory.mktemp("distributed")
    shutil.copy(f"{FLIGHTS}/prepare.py", folder)
    declared = Path(FLIGHTS, "sluice.yaml").read_text(encoding="utf-8")
    (folder / "sluice.yaml").write_text(f"{declared}pipeline: supervised_distributed\n", encoding="utf-8")
    return str(folder)


def train_jobs(cluster: Cluster, run: str) -> list[dict[str, Any]]:
    found = json.loads(cluster.kubectl("get", "trainjobs", "--selector", f"pipeline/runid={run}", "--output", "json"))
    return list(found["items"])


def train_job(cluster: Cluster, run: str) -> dict[str, Any]:
    cluster.until(lambda: train_jobs(cluster, run), 600, f"the TrainJob of run {run}")
    return train_jobs(cluster, run)[0]


def pods(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    words = ("get", "pods", "--selector", f"{JOBSET}={job}", "--output", "json")
    return list(json.loads(cluster.kubectl(*words))["items"])


def step_log(cluster: Cluster, run: str) -> str:
    """What the step train_distributed has printed: the pod of this run that speaks of its TrainJob."""
    for pod in json.loads(cluster.kubectl("get", "pods", "--selector", f"pipeline/runid={run}", "--output", "json"))[
        "items"
    ]:
        text = cluster.kubectl("logs", pod["metadata"]["name"], "--container", "main", check=False)
        if "TrainJob" in text:
            return text
    return ""


def models(store: Store, run: str, job: str) -> str:
    return str(json.loads(store.get_bytes(f"{job_key(run, job)}/result.json"))["models"])


@pytest.fixture(scope="module")
def disturbed(cluster: Cluster, lake: str, project: str) -> Iterator[tuple[str, str]]:
    """A run that lost a worker after its first checkpoint, and the name of its TrainJob.

    What comes after the training is as in every other run, and is cancelled in the end.
    """
    run = cluster.submit(project, parameters())
    job = train_job(cluster, run)["metadata"]["name"]
    key = f"{job_key(run, job)}/checkpoint.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.access().items():
            patch.setenv(name, value)
        store = open_store("s3://sluice")
        cluster.until(lambda: store.exists(key), 600, f"the first checkpoint of {job}")
    victim = next(pod["metadata"]["name"] for pod in pods(cluster, job) if "-node-0-1-" in pod["metadata"]["name"])
    cluster.kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
    trained(cluster, run)
    yield run, job
    if cluster.state(run) not in FINAL:
        cluster.kfp.terminate_run(run)


def trained(cluster: Cluster, run: str) -> None:
    """Wait until the step that trains has succeeded."""

    def state() -> str:
        return cluster.tasks(run).get(STEP, "")

    cluster.until(lambda: state() in FINAL or cluster.state(run) in FINAL, 900, lambda: step_log(cluster, run))
    assert state() == "SUCCEEDED", step_log(cluster, run)


def test_two_workers_on_two_nodes_train_a_model_though_one_is_killed(
    cluster: Cluster, store: Store, disturbed: tuple[str, str]
) -> None:
    run, job = disturbed
    nodes = {pod["spec"]["nodeName"] for pod in pods(cluster, job)}
    assert len(nodes) == 2
    bundle = open_bundle(models(store, run, job), "model")
    assert bundle.manifest.producer.parameters["workers"] == 2
    assert not store.exists(f"{job_key(run, job)}/checkpoint.safetensors")
    log = step_log(cluster, run)
    assert "worker 0: " in log
    assert "validation log loss" in log
    assert "restarted 1 of 2 from the last checkpoint" in log
    assert "resumed from step" in log


def test_the_runs_workflow_owns_the_trainjob(cluster: Cluster, disturbed: tuple[str, str]) -> None:
    (job,) = train_jobs(cluster, disturbed[0])
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner["kind"] == "Workflow"
    env = {entry["name"]: entry for entry in job["spec"]["trainer"]["env"]}
    assert "value" not in env["AWS_SECRET_ACCESS_KEY"]
    assert cluster.secret("sluice-steps")["AWS_SECRET_ACCESS_KEY"] not in json.dumps(job)


@pytest.mark.long  # another whole run
def test_a_killed_worker_changes_nothing(
    cluster: Cluster, store: Store, disturbed: tuple[str, str], project: str
) -> None:
    run = cluster.submit(project, parameters())
    job = train_job(cluster, run)["metadata"]["name"]
    trained(cluster, run)
    again, before = open_bundle(models(store, run, job)), open_bundle(models(store, *disturbed))
    assert again.id == before.id, "the id is made of every weight's bits"


@pytest.mark.long  # the steps before it again; the workflow owns the TrainJob, as the test above sees
def test_cancelling_the_run_removes_the_trainjob(cluster: Cluster, project: str) -> None:
    run = cluster.submit(project, parameters(epochs=60))
    job = train_job(cluster, run)["metadata"]["name"]
    cluster.until(lambda: any(p["status"]["phase"] == "Running" for p in pods(cluster, job)), 300, f"workers of {job}")
    cluster.kfp.terminate_run(run)
    cluster.until(lambda: not train_jobs(cluster, run), 120, f"TrainJob {job} to be deleted")
    cluster.until(lambda: not pods(cluster, job), 120, f"the workers of {job} to be deleted")


@pytest.mark.long  # the steps before it again, for one line
def test_a_runtime_that_is_not_there_is_one_line(cluster: Cluster, project: str) -> None:
    cluster.kubectl("delete", "trainingruntime", "torch-gpu", "--ignore-not-found")
    try:
        run = cluster.submit(project, parameters(runtime="torch-gpu"))
        assert cluster.wait(run, 600) == "FAILED"
        assert "runtime 'torch-gpu' is not in namespace" in cluster.run_logs(run)
    finally:
        restore_runtime(cluster, "torch-gpu")


def restore_runtime(cluster: Cluster, name: str) -> None:
    data = json.loads(cluster.kubectl("get", "configmap", "training-runtimes", "--output", "json"))["data"]
    cluster.kubectl("apply", "--filename", "-", stdin=data[f"{name}.yaml"])

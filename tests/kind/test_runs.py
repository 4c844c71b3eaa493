"""The main job on a real cluster, as a user runs it, and checked from outside: KFP's API, MLflow's API, the store."""

import json
import re
import subprocess
from typing import Any

import pytest
from kfp import dsl

from sluice.cluster.step_environment import use_stores
from sluice.storage.stores import Store
from tests.examples import FLIGHTS
from tests.image_programs import build
from tests.kind.cluster import ROOT, Cluster
from tests.sluice_command import QUICKEST

QUICK = ("-p", "lake=lakes/flights", *QUICKEST)
Done = subprocess.CompletedProcess[str]
STEPS = ("ingest", "validate", "prepare", "sample", "split", "train", "evaluate", "register", "report")


@pytest.fixture(scope="session")
def first_run(cluster: Cluster, lake: str) -> Done:
    """One submitted run of supervised, waited for; what the terminal showed."""
    # not --fresh: KFP keeps no results of such a run for the next one
    return cluster.sluice("submit", FLIGHTS, *QUICK)


@pytest.fixture(scope="session")
def again(cluster: Cluster, first_run: Done) -> dict[str, Any]:
    """The same run once more, its results reused."""
    return dict(json.loads(cluster.sluice("submit", FLIGHTS, "--json", *QUICK).stdout))


def test_the_terminal_tells_the_same_story_as_on_a_laptop(first_run: Done) -> None:
    for step in STEPS:
        assert re.search(rf"[✓=] {step} ", first_run.stdout), first_run.stdout  # = on a cluster that has run it before
    assert re.search(r"promoted|unchanged|refused", first_run.stdout)
    assert "log loss" in first_run.stdout
    assert "sluice lineage flights-late" in first_run.stdout


def test_a_second_run_reuses_what_did_not_change(first_run: Done, again: dict[str, Any]) -> None:
    reused = {name for name, seconds in again["seconds_by_step"].items() if seconds is None}
    assert {"validate", "prepare", "sample", "split", "train"} <= reused
    assert again["result"]["decision"] in ("unchanged", "refused")
    registered = re.search(r"flights-late version (\d+)", first_run.stdout)
    assert registered
    assert str(again["result"]["version"]) == registered[1], "the same model is no new version"


def test_the_drivers_of_a_run_share_one_pod(cluster: Cluster, again: dict[str, Any]) -> None:
    """It is gone with the run; the drivers' tasks stay in the workflow, with what they decided."""
    own = ("-l", f"pipeline/runid={again['run']}")
    assert "driver" not in cluster.kubectl("get", "pods", *own, "-o", "name")
    nodes = json.loads(cluster.kubectl("get", "workflows", *own, "-o", "json"))["items"][0]["status"]["nodes"].values()
    drivers = [node for node in nodes if node["displayName"].endswith("-driver")]
    assert len(drivers) == len(STEPS) + 1
    assert {node["type"] for node in drivers} == {"Plugin"}
    assert all(node["outputs"]["parameters"] for node in drivers)
    cluster.until(
        lambda: "-agent" not in cluster.kubectl("get", "pods", *own, "-o", "name"), 60, "the agent to be gone"
    )


def test_the_report_lies_in_the_object_store(again: dict[str, Any], store: Store) -> None:
    keys = list(store.keys(f"runs/{again['run']}/"))
    (report,) = [key for key in keys if key.endswith(".html")]
    page = store.get_bytes(report).decode()
    assert page.count("<svg") >= 6
    assert not re.search(r'(?:src|href)="https?://', page)


def test_mlflow_has_one_parent_run_of_the_commit_with_the_steps_below_it(
    cluster: Cluster, again: dict[str, Any], mlflow_client: Any
) -> None:
    experiments = [e.experiment_id for e in mlflow_client.search_experiments()]
    found = mlflow_client.search_runs(experiments, filter_string=f"tags.`sluice.run` = '{again['run']}'")
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    version = mlflow_client.get_model_version_by_alias("flights-late", "champion")
    assert version.tags
    commit = revision(cluster.step_image())
    assert parent.data.tags["sluice.commit"] == commit
    known = (
        subprocess.run(["git", "cat-file", "-e", commit], cwd=ROOT, check=False, capture_output=True).returncode == 0
    )
    if known:  # a cached image may be of a branch that this clone has not
        content = [*build.CONTENT, build.DOCKERFILE, ".dockerignore"]
        subprocess.run(["git", "diff", "--exit-code", "--stat", commit, "HEAD", "--", *content], cwd=ROOT, check=True)


def test_lineage_answers_the_same_questions(cluster: Cluster, again: dict[str, Any]) -> None:
    text = cluster.sluice("lineage", "flights-late@champion", "--cluster", "--json").stdout
    for word in ("operations.db", "weather/2013-01.csv", "airlines.json", "stratified", "sample", "split", "promoted"):
        assert word in text, word


def test_a_failing_step_ends_failed_with_its_reason(cluster: Cluster, lake: str) -> None:
    done = cluster.sluice("submit", FLIGHTS, "-p", "as_of=2020-01-01", *QUICK, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "step validate:" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    run = re.search(r"^run (\S+)", done.stdout, re.MULTILINE)
    assert run, done.stdout
    assert cluster.state(run[1]) == "FAILED"
    assert cluster.tasks(run[1])["validate"] == "FAILED"
    workflows = cluster.kubectl("get", "workflows", "-l", f"pipeline/runid={run[1]}", "-o", "json")
    nodes = json.loads(workflows)["items"][0]["status"]["nodes"].values()
    said = [node.get("message", "") for node in nodes]
    assert any("2020-01-01" in message for message in said), f"KFP's pages show none of it: {said}"


@pytest.mark.long  # another whole run; the operator's tests fuse theirs, and tests/local/test_fused.py compares
def test_the_whole_dag_in_one_pod_gives_the_same_artifacts(
    cluster: Cluster, again: dict[str, Any], mlflow_client: Any
) -> None:
    fused = json.loads(cluster.sluice("submit", FLIGHTS, "--fused", "--json", *QUICK).stdout)
    assert fused["result"]["datasets"] == again["result"]["datasets"]
    assert fused["result"]["candidates"] == again["result"]["candidates"]
    pods = cluster.kubectl("get", "pods", "-l", f"pipeline/runid={fused['run']}", "-o", "name").split()
    executors = [pod for pod in pods if "impl" in pod]
    assert len(executors) == 1, pods
    experiments = [e.experiment_id for e in mlflow_client.search_experiments()]
    found = mlflow_client.search_runs(experiments, filter_string=f"tags.`sluice.run` = '{fused['run']}'")
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert "supervised-fused" in parent.info.run_name


def revision(image: str) -> str:
    """The commit that an image says its content is of; a later one that changes none of it has the same image."""
    label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
    return subprocess.check_output(["docker", "image", "inspect", "--format", label, image], text=True).strip()


def own_pipeline(image: str) -> Any:
    """A pipeline of a user who knows KFP and this chart's guide: two steps on one of our images."""

    @dsl.component(base_image=image, packages_to_install=["pandas"])
    def reach_the_stores(note: dsl.Output[dsl.Dataset]) -> str:
        import os
        from pathlib import Path

        import mlflow

        from sluice.storage.locations import default_store

        Path(note.path).write_text("by way of KFP")
        default_store().put_bytes(f"own/{os.environ['SLUICE_RUN']}", b"by way of the store")
        mlflow.set_experiment("own")
        with mlflow.start_run(run_name=os.environ["SLUICE_RUN"]) as run:
            mlflow.log_metric("one", 1.0)
        Path(os.environ["HOME"], "cache").write_text("HOME can be written to")
        return str(run.info.run_id)

    @dsl.component(base_image=image, packages_to_install=["kfp==99.0"])
    def compiled_by_a_newer_sdk() -> None:
        pass

    @dsl.pipeline(name="own")
    def own() -> None:
        use_stores(reach_the_stores()).set_caching_options(False)  # it runs where the test runs once more, too
        compiled_by_a_newer_sdk()

    return own


def test_a_plain_component_of_kfp_runs_on_our_image_and_reaches_the_stores(
    cluster: Cluster, store: Store, mlflow_client: Any
) -> None:
    run = str(cluster.kfp.create_run_from_pipeline_func(own_pipeline(cluster.step_image())).run_id)
    assert cluster.wait(run, 300) == "FAILED"
    assert cluster.tasks(run)["reach-the-stores"] == "SUCCEEDED", cluster.run_logs(run)
    assert store.get_bytes(f"own/{run}") == b"by way of the store"
    experiment = mlflow_client.get_experiment_by_name("own").experiment_id
    names = [each.info.run_name for each in mlflow_client.search_runs([experiment])]
    assert run in names
    nodes = json.loads(cluster.kubectl("get", "workflows", "-l", f"pipeline/runid={run}", "-o", "json"))
    said = [node.get("message", "") for node in nodes["items"][0]["status"]["nodes"].values()]
    assert any("this image has kfp" in text and "install_kfp_package=False" in text for text in said), said

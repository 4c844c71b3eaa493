"""A run is submitted, followed and its result fetched; or its step's own line is what a person reads."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from urllib3 import Retry

from sluice.artifacts.run_results import read_result
from sluice.cluster.access import Kubernetes, Target
from sluice.cluster.connection import KFP, OBJECT_STORE, Cluster
from sluice.cluster.resources import parse_settings
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.submit import Order, finish, start
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.step_images import step_images
from sluice.core.variable_groups.cluster import ImageVariables
from sluice.running.catalog import find_pipeline
from sluice.storage.stores import open_store
from tests.unit.api_server import Server
from tests.unit.test_cluster_steps import REASON, manifest, node

PIPELINE = find_pipeline("supervised_images")
API, RUN = "/apis/v2beta1", "4f1c0de0"


@pytest.fixture
def cluster(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    server.answers[f"{API}/healthz"] = (200, {"tag_name": "2.17.0"})
    server.answers[f"{API}/experiments"] = (200, {"experiments": [{"experiment_id": "e"}]})
    server.answers[f"{API}/runs"] = (200, {"run_id": RUN})
    return Cluster(server.url, {"SLUICE_STORE": str(tmp_path / "store")}, step_images(ImageVariables({})), None)


def sent(server: Server) -> dict[str, Any]:
    ((_, _, body),) = [asked for asked in server.asked if asked[0] == "POST"]
    return json.loads(body)


def ended(server: Server, state: str, **nodes: dict[str, Any]) -> None:
    """The run as KFP tells it once it ended."""
    server.answers[f"{API}/runs/{RUN}"] = (200, {"run_id": RUN, "display_name": "a", "state": state})
    told = {"pipeline_runtime": {"workflow_manifest": json.dumps(manifest(**nodes))}}
    server.answers[f"/apis/v1beta1/runs/{RUN}"] = (200, told)


def test_a_pipeline_that_kfp_has_in_this_version_is_referred_to(cluster: Cluster, server: Server) -> None:
    spec = compile_for_cluster(PIPELINE, cluster.images)
    server.answers[f"{API}/pipelines"] = (200, {"pipelines": [{"pipeline_id": "p", "display_name": spec.name}]})
    versions = {"pipeline_versions": [{"pipeline_version_id": "v", "display_name": spec.version}]}
    server.answers[f"{API}/pipelines/p/versions"] = (200, versions)
    assert start(cluster, Order(PIPELINE, {"seed": 7})) == RUN
    body = sent(server)
    assert body["pipeline_version_reference"] == {"pipeline_id": "p", "pipeline_version_id": "v"}
    assert body["runtime_config"]["parameters"] == {"seed": 7}
    assert "pipeline_spec" not in body


def test_any_other_is_sent_along_with_what_kubernetes_needs(cluster: Cluster, server: Server) -> None:
    server.answers[f"{API}/pipelines"] = (200, {})
    start(cluster, Order(PIPELINE, {}, fused=True, name="mine"))
    body = sent(server)
    assert body["display_name"] == "mine"
    assert body["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "supervised-images-fused"
    assert body["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]


FAULT = (500, {"message": "Failed to start transaction: invalid connection"})


def test_resources_that_are_asked_for_are_sent_along(cluster: Cluster, server: Server) -> None:
    """Over the chart's, which the release's ConfigMap carries."""
    server.answers[f"{API}/pipelines"] = (200, {})
    chart = {**cluster.variables, "SLUICE_STEP_RESOURCES": '{"train": {"memory": "3Gi"}, "*": {"cpu": "1"}}'}
    order = Order(PIPELINE, {}, resources=parse_settings(["train.memory=5Gi", "evaluate.gpu=1"]))
    assert start(replace(cluster, variables=chart), order) == RUN
    executors = sent(server)["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    train, evaluate = (executors[f"exec-{step}"]["container"]["resources"] for step in ("train", "evaluate"))
    assert (train["resourceMemoryLimit"], train["resourceCpuLimit"]) == ("5Gi", "1")
    assert evaluate["accelerator"]["resourceType"] == "nvidia.com/gpu"


def test_what_a_site_forbids_is_not_submitted(cluster: Cluster, server: Server) -> None:
    rules = {"SLUICE_PROJECT_CODE": "false", "SLUICE_MAX_RESOURCES": '{"memory": "8Gi"}'}
    strict = replace(cluster, variables={**cluster.variables, **rules})
    with pytest.raises(BadInput, match="Sluice's own steps alone, not the project's code"):
        start(strict, Order(PIPELINE, {"code": "code/1.zip"}))
    assert not server.asked, "it is said before anything is asked of KFP"
    for words, line in {
        "train.memory=16Gi": r"steps\.train\.memory: 16Gi is more than this site gives a step: 8Gi",
        "trian.memory=1Gi": r"steps\.trian: the pipeline has no such step \(did you mean 'train'\?\)",
    }.items():
        with pytest.raises(BadInput, match=line):
            start(strict, Order(PIPELINE, {}, resources=parse_settings([words])))
    assert not [asked for asked in server.asked if asked[0] == "POST"]


def test_a_question_that_kfp_fails_at_is_asked_again(cluster: Cluster, server: Server) -> None:
    server.answers[f"{API}/pipelines"] = (200, {})
    server.before[f"{API}/pipelines"] = [FAULT, FAULT]
    assert start(cluster, Order(PIPELINE, {})) == RUN


def test_an_order_that_kfp_fails_at_is_not_given_again(cluster: Cluster, server: Server) -> None:
    server.answers[f"{API}/pipelines"] = (200, {})
    server.answers[f"{API}/runs"] = FAULT
    with pytest.raises(EnvironmentFault, match=r"HTTP status 500: Failed to start transaction: invalid connection"):
        start(cluster, Order(PIPELINE, {}))
    assert [asked[0] for asked in server.asked].count("POST") == 1


def follow(cluster: Cluster, shown: io.StringIO) -> Any:
    console = Console(file=shown, width=200)
    return finish(cluster, PIPELINE, RUN, console, fused=False, quiet=False, seconds=30)


def test_a_run_that_succeeds_is_told_step_by_step_and_its_result_fetched(
    cluster: Cluster, server: Server, tmp_path: Path
) -> None:
    done = node("Succeeded")
    ended(
        server,
        "SUCCEEDED",
        **{
            "split-driver": done,
            "split": done,
            "split.executor": node("Skipped"),
            "train-driver": done,
            "train": done,
            "train.executor": done,
        },
    )
    store = open_store(str(tmp_path / "store"))
    store.put_bytes(f"runs/{RUN}/result.json", b'{"decision": "promoted"}')
    store.put_bytes(f"runs/{RUN}/report.html", b"<html>")
    shown = io.StringIO()
    result = follow(cluster, shown)
    assert result.result == {"decision": "promoted"}
    assert result.report.read_text() == "<html>"
    assert result.times.seconds == {"split": None, "train": 7.0}
    assert "= split" in shown.getvalue()
    assert "✓ train" in shown.getvalue()


class PortThatComesBack:
    """The way to the object store, which leads to a pod that is gone until it is mended often enough."""

    def __init__(self, store: Path) -> None:
        self.store, self.mended = store, 0

    def mend(self, seconds: float) -> None:
        self.mended += 1
        if self.mended == 1:
            raise EnvironmentFault("no way to Service minio-service")
        if self.mended == 3:
            publish_result(self.store, b'{"decision": "promoted"}')


def publish_result(folder: Path, result: bytes) -> None:
    store = open_store(str(folder))
    store.put_bytes(f"runs/{RUN}/result.json", result)
    store.put_bytes(f"runs/{RUN}/report.html", b"<html>")


def lately(folder: Path) -> Any:
    """`read_result` of a store that answers only once it has the result."""

    def read(store: Any, run: str) -> dict[str, Any]:
        if not (folder / f"runs/{run}/result.json").exists():
            raise EnvironmentFault("the store does not answer")
        return read_result(store, run)

    return read


def test_a_result_is_fetched_once_the_object_store_s_pod_was_replaced(
    cluster: Cluster, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sluice.cluster.waiting.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("sluice.cluster.submit.read_result", lately(tmp_path / "store"))
    ended(server, "SUCCEEDED")
    way: Any = PortThatComesBack(tmp_path / "store")
    reached = replace(cluster, _forwards={OBJECT_STORE: way})
    assert follow(reached, io.StringIO()).result == {"decision": "promoted"}
    assert way.mended == 3
    assert capsys.readouterr().out == "", "standard output may be JSON"


def test_a_result_that_stays_out_of_reach_names_the_command_that_fetches_it(
    cluster: Cluster, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.cluster.submit.FETCH_SECONDS", 0.0)
    monkeypatch.setattr("sluice.cluster.submit.read_result", lately(tmp_path / "store"))
    ended(server, "SUCCEEDED")
    with pytest.raises(EnvironmentFault, match=rf"run {RUN} succeeded.*`sluice follow {RUN} supervised_images`"):
        follow(cluster, io.StringIO())


def test_kfp_that_is_away_for_a_while_ends_nothing(
    cluster: Cluster, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a way to it that cannot be opened again at once."""
    monkeypatch.setattr("sluice.cluster.following.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("sluice.cluster.kfp_api._retries", lambda: Retry(0))
    ended(server, "SUCCEEDED")
    server.before[f"{API}/runs/{RUN}"] = [FAULT] * 4
    publish_result(tmp_path / "store", b"{}")
    way: Any = PortThatComesBack(tmp_path / "elsewhere")
    follow(replace(cluster, _forwards={KFP: way}), io.StringIO())
    assert way.mended == 4


def test_a_failed_run_ends_with_the_steps_own_line(cluster: Cluster, server: Server) -> None:
    begun = node("Succeeded")
    ended(
        server,
        "FAILED",
        **{"split-driver": begun, "split": node("Failed"), "split.executor": node("Failed", message=REASON)},
    )
    with pytest.raises(BadInput, match=r"^step validate: flights: 3 rows break the contract$"):
        follow(cluster, io.StringIO())


@pytest.mark.parametrize(
    ("state", "message", "error", "named"),
    [
        ("FAILED", "main: OOMKilled (exit code 137)", EnvironmentFault, "step split: main: OOMKilled"),
        (  # of the end of a log the last line
            "FAILED",
            "main: Error (exit code 1): Traceback (most recent call last):\n  File x\nKeyError: 'a'\n",
            EnvironmentFault,
            r"step split: main: Error \(exit code 1\): Traceback .* … KeyError: 'a'; its pod",
        ),
        ("CANCELED", "", BadInput, f"run {RUN} was cancelled"),
    ],
)
def test_other_ends_are_named_too(
    cluster: Cluster, server: Server, state: str, message: str, error: type[Exception], named: str
) -> None:
    ended(server, state, **{"split": node("Failed"), "split.executor": node("Failed", message=message)})
    with pytest.raises(error, match=named):
        follow(cluster, io.StringIO())


def test_an_image_that_cannot_be_had_ends_the_wait(
    cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.cluster.following.STUCK_SECONDS", 0.0)
    monkeypatch.setattr("sluice.cluster.following.PAUSE_SECONDS", 0.01)
    waiting = node("Pending", message="ImagePullBackOff: Back-off pulling image sluice/python-tabular:0.1.0")
    ended(server, "RUNNING", **{"split-driver": node("Succeeded"), "split": node("Running"), "split.executor": waiting})
    with pytest.raises(EnvironmentFault, match=r"step split cannot start: ImagePullBackOff.*python-tabular:0\.1\.0"):
        follow(cluster, io.StringIO())


@pytest.mark.usefixtures("kubeconfig")
def test_a_pod_of_no_step_that_lacks_its_image_ends_the_wait_too(
    cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod that the run's drivers share stands for no node of the workflow."""
    monkeypatch.setattr("sluice.cluster.following.STUCK_SECONDS", 0.0)
    monkeypatch.setattr("sluice.cluster.following.ASK_PODS_SECONDS", 0.0)
    monkeypatch.setattr("sluice.cluster.following.PAUSE_SECONDS", 0.01)
    state = {"waiting": {"reason": "ErrImagePull", "message": "no such image sluice/kfp-driver:0.1.0"}}
    container = {"name": "kfp-driver", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    pod = {"metadata": {"name": "a-123-agent"}, "status": {"containerStatuses": [container]}}
    server.answers["/api/v1/namespaces/sluice/pods"] = (200, {"items": [pod]})
    ended(server, "RUNNING", **{"split-driver": node("Pending")})
    reachable = replace(cluster, kubernetes=Kubernetes(Target()))
    named = "a pod of the run cannot start: a-123-agent: ErrImagePull: no such image sluice/kfp-driver:0.1.0"
    with pytest.raises(EnvironmentFault, match=named):
        follow(reachable, io.StringIO())


def test_a_run_that_does_not_end_is_left_in_time(
    cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.cluster.following.PAUSE_SECONDS", 0.01)
    ended(server, "RUNNING")
    with pytest.raises(EnvironmentFault, match=f"run {RUN} did not end within 0 s"):
        finish(cluster, PIPELINE, RUN, Console(file=io.StringIO()), fused=False, quiet=True, seconds=0.05)

"""What the chart's Job does: pipelines uploaded once for each version, runtimes read, waits that end."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sluice.cluster import setup, waiting
from sluice.cluster.access import Kubernetes, Target
from sluice.cluster.buckets import make_buckets, require_answer
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.runtimes import apply_runtimes, documents
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.uploads import all_specs, upload
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.running.catalog import find_pipeline
from tests.conftest import MinioServer
from tests.unit.api_server import Server

API = "/apis/v2beta1"


def test_a_version_that_stands_is_not_uploaded_again(server: Server) -> None:
    spec = compile_for_cluster(find_pipeline("supervised"))
    server.answers[f"{API}/pipelines"] = (200, {"pipelines": [{"pipeline_id": "p", "display_name": spec.name}]})
    versions = {"pipeline_versions": [{"pipeline_version_id": "v", "display_name": spec.version}]}
    server.answers[f"{API}/pipelines/p/versions"] = (200, versions)
    assert not upload(KfpApi(server.url), spec)
    assert {method for method, _, _ in server.asked} == {"GET"}


def test_a_new_version_joins_the_pipeline_that_is_there(server: Server) -> None:
    spec = compile_for_cluster(find_pipeline("supervised"))
    server.answers[f"{API}/pipelines"] = (200, {"pipelines": [{"pipeline_id": "p", "display_name": spec.name}]})
    server.answers[f"{API}/pipelines/p/versions"] = (200, {})
    server.answers[f"{API}/pipelines/upload_version"] = (200, {"pipeline_version_id": "v"})
    assert upload(KfpApi(server.url), spec)
    ((_, path, body),) = [asked for asked in server.asked if asked[0] == "POST"]
    assert f"name={spec.version}" in path
    assert "pipelineid=p" in path
    assert b"pipelineInfo" in body


def test_every_pipeline_has_a_fused_sister() -> None:
    names = [spec.name for spec in all_specs({}, choices=True)]
    assert len(names) == len(set(names))
    assert {name for name in names if not name.endswith("-fused")} == {
        name.removesuffix("-fused") for name in names if name.endswith("-fused")
    }


@pytest.mark.parametrize(
    ("tag", "takes"), [("2.17.0", True), ("2.16.0", True), ("v2.16.1", True), ("2.14.3", False), ("unknown", False)]
)
def test_choices_are_kept_from_servers_that_refuse_them(server: Server, tag: str, takes: bool) -> None:
    server.answers[f"{API}/healthz"] = (200, {"tag_name": tag})
    assert KfpApi(server.url).takes_choices() is takes


def test_what_the_server_refuses_is_bad_input_in_its_words(server: Server) -> None:
    server.answers[f"{API}/runs"] = (400, {"message": "invalid pipeline job inputs: seed is no integer"})
    with pytest.raises(BadInput, match=f"KFP at {server.url} refuses: invalid pipeline job inputs: seed is no integer"):
        KfpApi(server.url).create_run("a", "e", ("p", "v"), {})


def test_a_server_that_is_gone_is_a_fault(server: Server) -> None:
    server.close()
    with pytest.raises(EnvironmentFault, match=rf"KFP at {server.url} does not answer \(.*refused"):
        KfpApi(server.url).version()


RUNTIME = "kind: TrainingRuntime\nmetadata: {name: torch-cpu}\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [("a: [", "no YAML"), ("kind: Secret\nmetadata: {name: a}", "Secret where"), ("just text", "str where")],
)
def test_what_is_no_runtime_is_named_by_its_key(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=f"ConfigMap training-runtimes, b.yaml: .*{named}"):
        list(documents({"a.yaml": RUNTIME, "b.yaml": text}, "training-runtimes"))


def test_one_value_may_hold_several_runtimes() -> None:
    found = list(documents({"a.yaml": f"{RUNTIME}---\n{RUNTIME}"}, "training-runtimes"))
    assert [entry["metadata"]["name"] for entry in found] == ["torch-cpu", "torch-cpu"]


def test_a_wait_ends_and_names_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.01)

    def never() -> Any:
        raise EnvironmentFault("connection refused")

    with pytest.raises(EnvironmentFault, match="waited 0 s for the object store: connection refused"):
        waiting.wait_for("the object store", 0.05, never)


def test_bad_input_ends_a_wait_at_once() -> None:
    def refuses() -> Any:
        raise BadInput("no such bucket")

    with pytest.raises(BadInput, match="no such bucket"):
        waiting.wait_for("the object store", 60, refuses)


def test_runtimes_are_applied_for_the_config_map_that_owns_them(server: Server, kubeconfig: Path) -> None:
    place = "/api/v1/namespaces/sluice/configmaps/training-runtimes"
    stored = {"metadata": {"name": "training-runtimes", "uid": "u-1"}, "data": {"a.yaml": RUNTIME}}
    server.answers[place] = (200, stored)
    runtime = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/sluice/trainingruntimes/torch-cpu"
    server.answers[runtime] = (200, {})
    assert apply_runtimes(Kubernetes(Target()), "training-runtimes", 5) == ["torch-cpu"]
    ((_, path, body),) = [asked for asked in server.asked if asked[0] == "PATCH"]
    assert "fieldManager=sluice-setup" in path
    (owner,) = json.loads(body)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("ConfigMap", "training-runtimes", "u-1")


def test_runtimes_are_applied_where_runs_live(
    server: Server, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SLUICE_SETUP_RUNTIMES": "training-runtimes",
        "SLUICE_RUNS_NAMESPACE": "sluice-runs",
        "SLUICE_SETUP_BUCKETS": "",
        "SLUICE_KFP": "",
    }.items():
        monkeypatch.setenv(name, value)
    stored = {"metadata": {"name": "training-runtimes", "uid": "u-1"}, "data": {"a.yaml": RUNTIME}}
    server.answers["/api/v1/namespaces/sluice-runs/configmaps/training-runtimes"] = (200, stored)
    runtime = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/sluice-runs/trainingruntimes/torch-cpu"
    server.answers[runtime] = (200, {})
    setup.run()
    assert [path.partition("?")[0] for method, path, _ in server.asked if method == "PATCH"] == [runtime]


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (422, "spec.template: Required value", BadInput),
        (500, "failed calling webhook: context deadline exceeded", EnvironmentFault),
    ],
)
def test_a_webhook_that_is_not_up_is_waited_for_and_a_refusal_is_not(
    server: Server, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str, error: Any
) -> None:
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.01)
    stored = {"metadata": {"name": "training-runtimes", "uid": "u-1"}, "data": {"a.yaml": RUNTIME}}
    server.answers["/api/v1/namespaces/sluice/configmaps/training-runtimes"] = (200, stored)
    runtime = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/sluice/trainingruntimes/torch-cpu"
    server.answers[runtime] = (status, {"message": message})
    with pytest.raises(error, match=message):
        apply_runtimes(Kubernetes(Target()), "training-runtimes", 2.0)
    tries = sum(method == "PATCH" for method, _, _ in server.asked)
    assert (tries == 1) is (error is BadInput)


@pytest.mark.minio
def test_buckets_are_made_once(s3: MinioServer) -> None:
    name = f"setup-{os.urandom(4).hex()}"
    require_answer()
    assert make_buckets([name]) == [name]
    assert make_buckets([name]) == []

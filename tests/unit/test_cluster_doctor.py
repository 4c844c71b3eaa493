"""What `sluice doctor --cluster` says of pods that do not run."""

import base64
import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.cluster.access import Target
from sluice.cluster.doctor import examine, trouble
from sluice.cluster.step_environment import ACCOUNTS, CONFIG_KEYS, RUNS_NAMESPACE, SECRET_KEYS
from tests.unit.api_server import Server


def pod(
    phase: str = "Running",
    waiting: tuple[str, str] | None = None,
    reason: str = "",
    owner: str = "ReplicaSet",
    deleted: str | None = None,
    **conditions: tuple[str, str],
) -> Any:
    state = SimpleNamespace(waiting=SimpleNamespace(reason=waiting[0], message=waiting[1]) if waiting else None)
    container = SimpleNamespace(name="main", image="sluice/platform:0.1.0", state=state)
    told = [SimpleNamespace(type=t, status=s, message=m, reason=reason) for t, (s, m) in conditions.items()]
    status = SimpleNamespace(phase=phase, init_container_statuses=None, container_statuses=[container], conditions=told)
    owners = [SimpleNamespace(kind=owner)]
    metadata = SimpleNamespace(name="ml-pipeline-0", owner_references=owners, deletion_timestamp=deleted)
    return SimpleNamespace(metadata=metadata, status=status)


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (pod(), ""),
        (pod("Succeeded", Ready=("False", "")), ""),
        (pod("Pending", ("ImagePullBackOff", "")), "image sluice/platform:0.1.0 cannot be pulled (ImagePullBackOff)"),
        (pod("Running", ("CrashLoopBackOff", "back-off")), "container main waits (CrashLoopBackOff: back-off)"),
        (pod("Pending", PodScheduled=("False", "0/2 nodes: Insufficient memory")), "finds no node (0/2 nodes"),
        (pod("Running", Ready=("False", "containers with unready status")), "is not Ready (containers with unready"),
        (pod("Running", reason="PodCompleted", Ready=("False", "")), ""),
        (pod("Pending", ("ContainerCreating", "")), ""),
        # of a run, of a TrainJob: they start and end, and are never asked for anything
        (pod("Pending", owner="Workflow", Ready=("False", "containers with unready status: [wait main]")), ""),
        (pod("Running", owner="Workflow", Ready=("False", "containers with unready status: [main]")), ""),
        (pod("Running", owner="Job", Ready=("False", "containers with unready status: [node]")), ""),
        (pod("Pending", ("ErrImagePull", ""), owner="Workflow"), "cannot be pulled (ErrImagePull)"),
        (pod("Pending", owner="Job", PodScheduled=("False", "0/2 nodes: no GPU")), "finds no node (0/2 nodes"),
        # being replaced
        (pod("Running", deleted="2026-11-21T10:00:00Z", Ready=("False", "containers with unready status")), ""),
    ],
)
def test_a_pods_trouble_is_one_line(found: Any, named: str) -> None:
    said = trouble(found)
    assert named in said
    assert bool(said) is bool(named)
    assert "\n" not in said


def test_a_kind_that_make_built_counts_and_such_a_kubectl_does_not(
    no_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def told(program: str) -> str:
        finding = next(found for found in examine(Target()) if found.name == program)
        assert isinstance(finding.message, str), "it is printed as JSON, too"
        return f"{finding.level}: {finding.message}"

    assert told("kind") == "warning: not on the PATH; only `make kind` needs it"
    tools = tmp_path / "sluice/hermetic/tools"
    tools.mkdir(parents=True)
    for program in ("kind", "kubectl"):
        (tools / program).touch(mode=0o755)
    assert told("kind") == f"ok: {tools / 'kind'}"
    assert told("kubectl") == "error: not on the PATH; install it"


PLACE = "/api/v1/namespaces/sluice"
KUBECTL = """#!{python}
# Forwards to what the test serves; no Service is named minio-service.
import socket, sys
if "service/minio-service" in sys.argv:
    sys.exit('Error from server (NotFound): services "minio-service" not found')
with socket.create_server(("127.0.0.1", 0)) as server:
    print(f"Forwarding from 127.0.0.1:{{server.getsockname()[1]}} -> 1", flush=True)
    while True:
        caller, _ = server.accept()
        body = b'{{"tag_name": "2.17.0", "registered_models": []}}'
        with caller:
            caller.recv(9000)
            head = b"HTTP/1.0 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
            caller.sendall(head % len(body) + body)
"""


def workload(name: str, replicas: int, **conditions: str) -> dict[str, Any]:
    told = [{"type": kind, "status": "True", "message": message} for kind, message in conditions.items()]
    container = {"name": "a", "image": "a"}
    template = {"spec": {"containers": [container]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template},
        "status": {"conditions": told},
    }


def account(name: str) -> dict[str, str]:
    return {key: base64.b64encode(f"{name} {key}".encode()).decode() for key in SECRET_KEYS}


def helm_keeps(*names: str) -> dict[str, Any]:
    """The Secret of a release whose manifest has these Deployments."""
    objects = [{"kind": "ConfigMap", "metadata": {"name": "sluice-steps"}}]
    objects += [{"kind": "Deployment", "metadata": {"name": name}} for name in names]
    release = json.dumps({"manifest": "\n---\n".join(map(json.dumps, objects))}).encode()
    return {"data": {"release": base64.b64encode(base64.b64encode(gzip.compress(release))).decode()}}


@pytest.fixture
def release(kubeconfig: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A cluster with a release of two Deployments, seen by an API server of our own."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    config = dict.fromkeys(CONFIG_KEYS, "1")
    config |= {"AWS_ENDPOINT_URL": "http://minio-service:9000", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    build = dict.fromkeys(("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "major"), "1")
    server.answers |= {
        "/version/": (200, build | {"minor": "35", "platform": "a", "gitVersion": "v1.35.4"}),
        f"{PLACE}/configmaps/sluice-steps": (200, {"data": config}),
        **{f"{PLACE}/secrets/{name}": (200, {"data": account(name)}) for name in ACCOUNTS},
        f"{PLACE}/services": (200, {"items": []}),
        "/apis/networking.k8s.io/v1/namespaces/sluice/ingresses": (200, {"items": []}),
        f"{PLACE}/secrets": (200, {"items": [helm_keeps("mlflow", "workflow-controller")]}),
        f"{PLACE}/pods": (200, {"items": []}),
        "/apis/apps/v1/namespaces/sluice/statefulsets": (200, {"items": []}),
    }
    deployments(server, workload("mlflow", 1), workload("workflow-controller", 1))
    return server


def deployments(server: Server, *items: dict[str, Any]) -> None:
    server.answers["/apis/apps/v1/namespaces/sluice/deployments"] = (200, {"items": list(items)})


def said(name: str) -> list[str]:
    return [f"{found.level}: {found.message}" for found in examine(Target()) if found.name == name]


def test_a_deployment_that_is_gone_or_has_no_pods_is_named(release: Server) -> None:
    assert said("workloads") == ["ok: 2 Deployments and StatefulSets: all that Helm installed"]
    deployments(release, workload("mlflow", 0))
    assert said("workloads") == [
        "error: Deployment mlflow is scaled to 0; `kubectl scale deployment mlflow --replicas=1 --namespace sluice`",
        "error: Deployment workflow-controller is missing; `helm upgrade` with the release's values makes it again",
    ]
    deployments(release, workload("mlflow", 1, ReplicaFailure="exceeded quota"), workload("workflow-controller", 1))
    (line,) = said("workloads")
    assert "Deployment mlflow gets no pods (exceeded quota)" in line


@pytest.mark.parametrize("answer", [(403, {"message": "forbidden"}), (200, {"items": [{"data": {"release": "%%"}}]})])
def test_where_helm_s_list_cannot_be_read_that_is_said(release: Server, answer: tuple[int, Any]) -> None:
    release.answers[f"{PLACE}/secrets"] = answer
    assert said("workloads") == [
        "ok: 2 Deployments and StatefulSets: Helm's own list cannot be read; one may be missing"
    ]
    deployments(release)
    assert said("workloads") == ["error: namespace sluice has no Deployment of Sluice"]


def test_one_broken_part_hides_no_other_and_doctor_does_not_send_to_itself(release: Server) -> None:
    release.answers[f"{PLACE}/pods"] = (403, {"message": "forbidden"})
    found = list(examine(Target()))
    levels = {each.name: each.level for each in found if each.name not in ("docker", "kind", "kubectl", "crds")}
    assert levels == {
        "cluster": "ok",
        "settings": "ok",
        "workloads": "ok",
        "pods": "error",
        "open": "warning",
        "kfp": "ok",
        "s3": "error",
        "mlflow": "ok",
    }
    (store,) = [each.message for each in found if each.name == "s3"]
    assert "no way to Service minio-service" in store
    assert not [each for each in found if "doctor" in each.message]


def test_without_its_settings_kfp_is_still_asked(release: Server) -> None:
    del release.answers[f"{PLACE}/configmaps/sluice-steps"]
    levels = {each.name: each.level for each in examine(Target())}
    assert (levels["settings"], levels["kfp"], levels["s3"]) == ("error", "ok", "error")


def test_what_is_open_or_shared_is_said(release: Server) -> None:
    assert said("accounts") == []
    assert [line.partition(" (")[0] for line in said("open")] == [
        "warning: the object store is called over http",
        "warning: MLflow is called over http",
    ]
    config = release.answers[f"{PLACE}/configmaps/sluice-steps"][1]["data"]
    for store, told in (("http://minio-service:9000", True), ("http://s3.example.org", False)):
        config["SLUICE_STORE_ENDPOINT"] = store
        assert any("no gateway stands before the object store" in line for line in said("open")) is told
    del config["SLUICE_STORE_ENDPOINT"]
    for tracking, told in (("http://mlflow:5000", True), ("http://mlflow.example.org", False)):
        config["SLUICE_MLFLOW_ENDPOINT"] = tracking
        assert any("no gateway stands before MLflow" in line for line in said("open")) is told
    del config["SLUICE_MLFLOW_ENDPOINT"]
    encrypted = {"AWS_ENDPOINT_URL": "https://minio-service:9000", "MLFLOW_TRACKING_URI": "https://mlflow:5000"}
    release.answers[f"{PLACE}/configmaps/sluice-steps"][1]["data"] |= encrypted
    doors = [
        {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}
        for name in ("mlflow", "minio-service", "another")
    ]
    release.answers[f"{PLACE}/services"] = (200, {"items": doors})
    (line,) = said("open")
    assert "Service another answers outside the cluster (NodePort, port 1) over http" in line
    port = {"port": 8888, "nodePort": 30888}
    service = {"metadata": {"name": "ml-pipeline"}, "spec": {"type": "NodePort", "ports": [port]}}
    release.answers[f"{PLACE}/services"] = (200, {"items": [service]})
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "ml-pipeline-ui"}}}
    rules = [{"host": "kfp.example.org", "http": {"paths": [path]}}]
    ingress: dict[str, Any] = {"metadata": {"name": "pages"}, "spec": {"rules": rules, "tls": [{"hosts": ["x"]}]}}
    place = "/apis/networking.k8s.io/v1/namespaces/sluice/ingresses"
    release.answers[place] = (200, {"items": [ingress]})
    service_line, ingress_line, *_ = said("open")
    assert (
        "Service ml-pipeline answers outside the cluster (NodePort, port 30888): KFP's API, without a login"
        in service_line
    )
    assert (
        "Ingress pages (kfp.example.org) leads to KFP's pages, and its API behind them, without a login" in ingress_line
    )
    ingress["metadata"]["annotations"] = {"sluice.dev/login": "proxy"}
    assert not [line for line in said("open") if "Ingress" in line]
    release.answers[f"{PLACE}/secrets/sluice-register"] = release.answers[f"{PLACE}/secrets/sluice-steps"]
    shared = said("accounts")
    assert ["promotions" in line for line in shared] == [True, False]
    assert "move aliases" in shared[1]


APART = "/api/v1/namespaces/sluice-runs"


def live_apart(release: Server) -> None:
    """The release says that its runs live in sluice-runs, and its chart has made there what steps read."""
    _, config = release.answers[f"{PLACE}/configmaps/sluice-steps"]
    release.answers[f"{PLACE}/configmaps/sluice-steps"] = (
        200,
        {"data": config["data"] | {RUNS_NAMESPACE: "sluice-runs"}},
    )
    for name in ("configmaps/sluice-steps", "secrets/sluice-steps", "secrets/sluice-register"):
        release.answers[f"{APART}/{name}"] = release.answers[f"{PLACE}/{name}"]
    release.answers[f"{APART}/pods"] = (200, {"items": []})


def test_runs_that_live_apart_need_their_accounts_there_the_same_as_the_release_s(release: Server) -> None:
    assert said("runs") == []
    live_apart(release)
    assert said("runs") == ["ok: they live in namespace sluice-runs, apart from the platform's Secrets"]
    release.answers[f"{APART}/secrets/sluice-steps"] = (200, {"data": account("old")})
    del release.answers[f"{APART}/secrets/sluice-register"]
    stale, absent = said("runs")
    assert stale.startswith(
        "error: namespace sluice-runs, where runs live, has another Secret sluice-steps key AWS_ACC"
    )
    assert "lacks the ConfigMap sluice-steps or the Secret sluice-register; `helm upgrade`" in absent


def test_pods_of_runs_that_live_apart_are_looked_at_too(release: Server) -> None:
    live_apart(release)
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no"}}
    container = {"name": "main", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    step = {"metadata": {"name": "step"}, "status": {"phase": "Pending", "containerStatuses": [container]}}
    release.answers[f"{APART}/pods"] = (200, {"items": [step]})
    (line,) = said("pods")
    assert line.startswith("error: namespace sluice-runs: pod step: image a cannot be pulled (ErrImagePull)")


def test_without_a_cluster_the_rest_is_not_looked_at(no_cluster: None) -> None:
    findings = list(examine(Target()))
    assert findings[-1].name == "cluster"
    assert findings[-1].level == "error"
    assert "SLUICE_KFP" in findings[-1].message

"""What the gateway asks of Kubernetes, asked of a real API server with the account that the chart gives it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sluice.run_gateway import pods as module
from sluice.run_gateway.pods import Away, Cluster, Pods
from sluice.run_gateway.requests import Refused
from sluice.run_gateway.rules import Caller
from tests.charts.api_server import NAMESPACE, ApiServer, running
from tests.charts.rendering import Manifest, manifests, of_kind
from tests.kind.attacks import train_job

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "automountServiceAccountToken": False,
    "containers": [{"name": "main", "image": "x", "securityContext": RESTRICTED}],
}
TEMPLATE = {"spec": {**POD, "restartPolicy": "Never"}}
JOB_SET = {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": TEMPLATE}}}]}


class World:
    """An API server with a run's objects.

    Attributes:
        server: As its administrator.
    """

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    def make(self, group: str, kind: str, name: str, spec: Any, owner: Manifest | None = None, **more: Any) -> Manifest:
        """Make an object; a reference to it."""
        metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE, **more}
        if owner:
            metadata["ownerReferences"] = [{**owner, "controller": True}]
        self.server.apply([{"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}])
        uid = self.server.kubectl(
            "get", f"{kind}.{group.rpartition('/')[0]}".rstrip("."), name, "-o=jsonpath={.metadata.uid}"
        )
        assert uid.stdout, uid.stderr
        return {"apiVersion": group, "kind": kind, "name": name, "uid": uid.stdout}

    def run(self, name: str, address: str, phase: str = "Running") -> None:
        """Tell what a kubelet would of a pod."""
        status = f'{{"status":{{"phase":"{phase}","podIP":"{address}","podIPs":[{{"ip":"{address}"}}]}}}}'
        done = self.server.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", f"--patch={status}")
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("api")
    whole = manifests(crds=True)
    own = [i for i in of_kind(whole, "ServiceAccount", "Role", "RoleBinding") if i["metadata"]["name"] == "run-gateway"]
    with running(home) as server, pytest.MonkeyPatch.context() as patch:
        server.apply(list(of_kind(whole, "CustomResourceDefinition")))
        server.apply(own)
        account = home / "account"
        account.mkdir()
        (account / "token").write_text(server.kubectl("create", "token", "run-gateway").stdout.strip())
        (account / "ca.crt").write_bytes((home / "certs/apiserver.crt").read_bytes())
        url = urlsplit(next(word for word in server._command if word.startswith("--server=")).partition("=")[2])
        patch.setattr(module, "_ACCOUNT", Path(account))
        patch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
        patch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
        yield World(server)


@pytest.fixture(scope="module")
def workflow(world: World) -> Manifest:
    """A reference to a run's Workflow."""
    labels = {"pipeline/runid": "run-1"}
    return world.make("argoproj.io/v1alpha1", "Workflow", "flow", {"entrypoint": "x", "templates": []}, labels=labels)


def look() -> Pods:
    return Pods(Cluster(), NAMESPACE)


def test_it_is_ready_once_the_api_answers(world: World) -> None:
    look().look()


def test_a_steps_pod_is_found_by_its_address(world: World, workflow: Manifest) -> None:
    for name, phase in (("ended", "Succeeded"), ("broken", "Failed")):
        world.make("v1", "Pod", name, POD)
        world.run(name, "10.0.0.1", phase)
    with pytest.raises(Away, match="0 pods"):
        look().caller("10.0.0.1")
    world.make("v1", "Pod", "step", POD, workflow)
    world.run("step", "10.0.0.1")
    assert look().caller("10.0.0.1") == Caller("run-1", "flow", NAMESPACE)


def test_a_worker_is_found_by_way_of_its_trainjob(world: World, workflow: Manifest) -> None:
    selector = {"matchLabels": {"a": "b"}}
    budget = world.make("policy/v1", "PodDisruptionBudget", "flow", {"minAvailable": 0, "selector": selector}, workflow)
    job = world.make("trainer.kubeflow.org/v1alpha1", "TrainJob", "train", train_job()["spec"], budget)
    jobs = world.make("jobset.x-k8s.io/v1alpha2", "JobSet", "train", JOB_SET, job)
    node = world.make("batch/v1", "Job", "train-node-0", {"template": TEMPLATE}, jobs)
    world.make("v1", "Pod", "worker", POD, node)
    world.run("worker", "10.0.0.2")
    assert look().caller("10.0.0.2") == Caller("run-1", "flow", NAMESPACE)


def test_a_pod_of_the_platform_is_of_no_run(world: World) -> None:
    world.make("v1", "Pod", "platform", POD)
    world.run("platform", "10.0.0.3")
    with pytest.raises(Refused, match="pod platform is of no run"):
        look().caller("10.0.0.3")


def test_with_a_token_that_has_ended_it_waits(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes((module._ACCOUNT / "ca.crt").read_bytes())
    (tmp_path / "token").write_text("ended")
    monkeypatch.setattr(module, "_ACCOUNT", tmp_path)
    with pytest.raises(Away, match="401"):
        look().caller("10.0.0.1")

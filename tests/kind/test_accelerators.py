"""GPUs and TPUs are asked for, waited for and found: with accelerators that nodes only claim to have."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from sluice.modeling.distributed import explaining
from sluice.modeling.distributed.observing import Worker
from tests.kind.cluster import ROOT, Cluster

IDLE = ["python", "-c", "import signal; signal.pause()"]
JOBSET = "jobset.sigs.k8s.io/jobset-name"
POOL = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "2x4",
}
Start = Callable[[str, int], str]


def worker_node(cluster: Cluster) -> str:
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output", "json"))["items"]
    return str(next(n["metadata"]["name"] for n in nodes if not control_plane(n)))


def control_plane(node: dict[str, Any]) -> bool:
    return "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]


def offered(cluster: Cluster, node: str) -> dict[str, str]:
    return dict(json.loads(cluster.kubectl("get", "node", node, "--output", "json"))["status"]["allocatable"])


@pytest.fixture
def advertise(cluster: Cluster) -> Iterator[Callable[[str, str, int], None]]:
    """Let a node claim extended resources for the time of a test. Source: Kubernetes documentation, "Advertise
    Extended Resources for a Node".
    """
    claimed: set[tuple[str, str]] = set()

    def patch(node: str, body: list[dict[str, Any]]) -> None:
        words = ("patch", "node", node, "--subresource=status", "--type=json", "--patch", json.dumps(body))
        cluster.kubectl(*words)

    def claim(node: str, resource: str, count: int) -> None:
        path = f"/status/capacity/{resource.replace('/', '~1')}"
        patch(node, [{"op": "add", "path": path, "value": str(count)}])
        claimed.add((node, path))
        cluster.until(lambda: resource in offered(cluster, node), 60, f"{node} to offer {resource}")

    yield claim
    for node, path in claimed:
        patch(node, [{"op": "remove", "path": path}])


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """Start the example's TrainJob of a runtime with workers that only wait; its name."""
    started: list[str] = []

    def make(runtime: str, workers: int) -> str:
        body = yaml.safe_load((ROOT / f"manifests/examples/trainjob-{runtime}.yaml").read_text())
        name = f"test-{runtime}"
        body["metadata"] = {"name": name}
        body["spec"]["trainer"] |= {"command": IDLE, "numNodes": workers}
        body["spec"]["trainer"].pop("image", None)
        cluster.kubectl("create", "--filename", "-", stdin=yaml.safe_dump(body))
        started.append(name)
        cluster.until(lambda: len(pods(cluster, name)) == workers, 120, f"{workers} pods of {name}")
        return name

    yield make
    for name in started:
        cluster.kubectl("delete", "trainjob", name, "--wait")


def pods(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    words = ("get", "pods", "--selector", f"{JOBSET}={job}", "--output", "json")
    return list(json.loads(cluster.kubectl(*words))["items"])


def bound(cluster: Cluster, job: str) -> list[str]:
    return [pod["spec"]["nodeName"] for pod in pods(cluster, job) if pod["spec"].get("nodeName")]


def why(cluster: Cluster, job: str, wanted: int) -> str:
    return explaining.waiting([Worker(pod) for pod in pods(cluster, job)], wanted, [], {})


def test_a_worker_waits_for_its_gpu_and_the_step_would_say_so(
    cluster: Cluster, advertise: Callable[[str, str, int], None], start: Start
) -> None:
    node = worker_node(cluster)
    advertise(node, "nvidia.com/gpu", 1)
    job = start("torch-gpu", 2)
    cluster.until(lambda: bound(cluster, job) == [node], 120, f"one worker of {job} on {node}")
    cluster.until(lambda: "Insufficient nvidia.com/gpu" in why(cluster, job, 2), 60, "the reason that the other waits")
    assert "1 pending: worker" in why(cluster, job, 2) or "2 pending: worker" in why(cluster, job, 2)
    container = pods(cluster, job)[0]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" in {t["key"] for t in pods(cluster, job)[0]["spec"]["tolerations"]}
    advertise(node, "nvidia.com/gpu", 2)
    cluster.until(lambda: bound(cluster, job) == [node, node], 120, "the other worker, once there is a second GPU")


def test_a_tpu_worker_finds_its_node_pool(
    cluster: Cluster, advertise: Callable[[str, str, int], None], start: Start
) -> None:
    node = worker_node(cluster)
    advertise(node, "google.com/tpu", 4)
    job = start("jax-tpu", 1)
    cluster.until(lambda: "has no node" in why(cluster, job, 1), 60, "the reason that the worker waits")
    assert not bound(cluster, job), "no node is of that pool yet"
    cluster.kubectl("label", "node", node, *(f"{key}={value}" for key, value in POOL.items()))
    try:
        cluster.until(lambda: bound(cluster, job) == [node], 120, f"the worker of {job} on {node}")
        spec = pods(cluster, job)[0]["spec"]
        assert spec["nodeSelector"] == POOL
        assert spec["containers"][0]["resources"]["limits"]["google.com/tpu"] == "4"
    finally:
        cluster.kubectl("label", "node", node, *(f"{key}-" for key in POOL))

"""The chart's NetworkPolicies, enforced: a step reaches what it needs, and nobody what is none of their business."""

import json
from collections.abc import Mapping

import pytest

from tests.kind.cluster import Cluster

# Each target's fate, once it is as wanted or a deadline is over: a new pod's policies may take a moment.
PROBE = """
import json, socket, sys, time
fates = {}
for place, wanted in json.loads(sys.argv[1]).items():
    host, port = place.split(":")
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
            fates[place] = "open"
        except OSError as error:
            fates[place] = "closed" if isinstance(error, TimeoutError) else repr(error)
        if fates[place] == wanted or time.monotonic() > end:
            break
        time.sleep(0.2)
print(json.dumps(fates))
"""
STEP = {"pipelines.kubeflow.org/v2_component": "true"}
SHUT = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
CASES = {
    "a-step": (
        STEP,
        {
            "run-gateway:9000": "open",
            "run-gateway:8887": "open",
            "minio-service:9000": "closed",
            "run-gateway:5000": "open",
            "mlflow:5000": "closed",
            "ml-pipeline:8887": "closed",
            "ml-pipeline:8888": "closed",
            "metadata-grpc-service:8080": "open",
            "mysql:3306": "closed",
            "postgresql:5432": "closed",
        },
    ),
    "a-stranger": (
        {},
        {
            "run-gateway:9000": "closed",
            "minio-service:9000": "closed",
            "mlflow:5000": "closed",
            "ml-pipeline:8888": "closed",
            "mysql:3306": "closed",
            "postgresql:5432": "closed",
        },
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_pod_reaches_what_its_labels_say(cluster: Cluster, name: str) -> None:
    labels, wanted = CASES[name]
    assert probe(cluster, name, labels, wanted) == wanted


def probe(cluster: Cluster, name: str, labels: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Which places a pod with these labels can connect to."""
    pod = f"test-network-{name}"
    container = {
        "name": "main",
        "image": cluster.step_image(),
        "command": ["python", "-c", PROBE, json.dumps(wanted)],
        "securityContext": SHUT,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod, "labels": dict(labels)},
        "spec": {"restartPolicy": "Never", "securityContext": security, "containers": [container]},
    }
    cluster.kubectl("delete", "pod", pod, "--ignore-not-found", "--wait")
    cluster.kubectl("create", "--filename", "-", stdin=json.dumps(body))
    try:
        cluster.until(
            lambda: cluster.core.read_namespaced_pod(pod, cluster.namespace).status.phase in ("Succeeded", "Failed"),
            300,
            f"pod {pod} to end",
        )
        return dict(json.loads(cluster.kubectl("logs", pod)))
    finally:
        cluster.kubectl("delete", "pod", pod, "--wait=false")

"""Whether a release has the Deployments and StatefulSets that it was installed with, for `sluice doctor --cluster`.

What belongs to it is read where Helm keeps it, in the Secret of the release's present revision: what somebody deleted
is in no other list of the cluster.

Source: helm.sh/helm/v3/pkg/storage/driver: a release is JSON, compressed by gzip, in base64, in a Secret's data.
"""

import base64
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from sluice.cluster.access import TIMEOUT, Kubernetes
from sluice.cluster.step_environment import NAME
from sluice.core.errors import SluiceError
from sluice.running.doctor import DoctorFinding

KINDS = ("Deployment", "StatefulSet")
PART_OF = "app.kubernetes.io/part-of=sluice"
HELM = "owner=helm,status=deployed"
MAX_BYTES = 16 << 20  # of a release, unpacked
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Workload(NamedTuple):
    """A Deployment or a StatefulSet.

    Attributes:
        kind: Its kind.
        name: Its name.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def workloads(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    """Each one that is missing, scaled to nothing, or refused its pods; what is wrong with pods, they tell themselves.

    Raises:
        EnvironmentFault: The cluster does not answer or denies access.
    """
    found, wanted = _present(kubernetes), _installed(kubernetes)
    troubles = [
        f"{each} is missing; `helm upgrade` with the release's values makes it again" for each in wanted - found.keys()
    ]
    troubles += [said for each, item in found.items() if (said := _trouble(each, item, kubernetes.target.namespace))]
    for said in sorted(troubles):
        yield DoctorFinding("workloads", "error", said)
    if not found:
        yield DoctorFinding(
            "workloads", "error", f"namespace {kubernetes.target.namespace} has no Deployment of Sluice"
        )
    elif not troubles:
        known = "all that Helm installed" if wanted else "Helm's own list cannot be read; one may be missing"
        yield DoctorFinding("workloads", "ok", f"{len(found)} Deployments and StatefulSets: {known}")


def _trouble(each: Workload, item: Any, namespace: str) -> str:  # noqa: ANN401 - a V1Deployment or a V1StatefulSet
    if not item.spec.replicas:
        command = f"kubectl scale {each.kind.lower()} {each.name} --replicas=1 --namespace {namespace}"
        return f"{each} is scaled to 0; `{command}`"
    for condition in (item.status.conditions or []) if item.status else []:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return f"{each} gets no pods ({condition.message}); change what refuses them, or the values"
    return ""


def _present(kubernetes: Kubernetes) -> dict[Workload, Any]:
    """What the namespace has of a release."""
    from kubernetes import client

    apps, namespace = client.AppsV1Api(kubernetes.client), kubernetes.target.namespace
    listed = dict(zip(KINDS, (apps.list_namespaced_deployment, apps.list_namespaced_stateful_set), strict=True))
    found = {}
    for kind, ask in listed.items():
        with kubernetes.answers(f"{kind}s"):
            for item in ask(namespace, label_selector=PART_OF, _request_timeout=TIMEOUT).items:
                found[Workload(kind, item.metadata.name)] = item
    return found


def _installed(kubernetes: Kubernetes) -> set[Workload]:
    """What Helm installed with the ConfigMap that our releases have; nothing where its Secrets cannot be read."""
    namespace = kubernetes.target.namespace
    try:
        with kubernetes.answers("Secrets of Helm"):
            secrets = kubernetes.core.list_namespaced_secret(namespace, label_selector=HELM, _request_timeout=TIMEOUT)
    except SluiceError:
        return set()  # a role that may not read them, or another tool that installed the chart
    for secret in secrets.items:
        objects = list(_manifest((secret.data or {}).get("release", "")))
        if any(item["kind"] == "ConfigMap" and item["metadata"]["name"] == NAME for item in objects):
            return {Workload(item["kind"], item["metadata"]["name"]) for item in objects if item["kind"] in KINDS}
    return set()


def _manifest(release: str) -> Iterator[dict[str, Any]]:
    """The objects of a release as Helm keeps it."""
    try:
        packed = base64.b64decode(base64.b64decode(release))
        with gzip.open(io.BytesIO(packed)) as stream:
            text = json.loads(stream.read(MAX_BYTES))["manifest"]
        documents = list(yaml.load_all(text, Loader))
    except (ValueError, KeyError, OSError, EOFError, yaml.YAMLError):
        return  # of another version of Helm
    for document in documents:
        if isinstance(document, dict) and document.get("kind") and document.get("metadata", {}).get("name"):
            yield document

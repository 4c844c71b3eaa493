"""`sluice doctor --cluster`: whether a cluster has what Sluice needs, each finding with the way out."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sluice.cluster.access import TIMEOUT, Kubernetes, Target
from sluice.cluster.open_doors import open_doors, shared_accounts
from sluice.cluster.runs_apart import namespaces, runs_apart
from sluice.cluster.services import services
from sluice.cluster.step_environment import ACCOUNTS, CONFIG_KEYS, NAME, SECRET_KEYS
from sluice.cluster.workflow_steps import NO_IMAGE
from sluice.cluster.workloads import workloads
from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.running.doctor import DoctorFinding

CRDS = ("workflows.argoproj.io", "scheduledworkflows.kubeflow.org")
TRAINING_CRDS = ("trainjobs.trainer.kubeflow.org", "jobsets.jobset.x-k8s.io")
DOCKER_SECONDS = 10
ABSENT = 404


def examine(target: Target) -> Iterator[DoctorFinding]:
    """Look at the tools of this machine, then at the cluster, each part for itself: one that is broken hides no other.

    Only where there is no cluster, or it does not answer, nothing of it is looked at.
    """
    yield from (_docker(), _kind(), _kubectl())
    try:
        kubernetes = Kubernetes(target)
        version = _version(kubernetes)
    except SluiceError as error:
        yield DoctorFinding("cluster", "error", str(error))
        return
    yield DoctorFinding("cluster", "ok", f"{kubernetes.client.configuration.host} answers, Kubernetes {version}")
    yield from _safely("crds", lambda: _crds(kubernetes))
    yield from _safely("settings", lambda: _settings(kubernetes))
    yield from _safely("runs", lambda: runs_apart(kubernetes))
    yield from _safely("workloads", lambda: workloads(kubernetes))
    yield from _safely("pods", lambda: _pods(kubernetes))
    yield from _safely("open", lambda: open_doors(kubernetes))
    yield from services(target)


def _version(kubernetes: Kubernetes) -> str:
    """The cluster's, which it tells everybody."""
    from kubernetes import client

    with kubernetes.answers("version"):
        return str(client.VersionApi(kubernetes.client).get_code(_request_timeout=TIMEOUT).git_version)


def _docker() -> DoctorFinding:
    if not shutil.which("docker"):
        return DoctorFinding("docker", "warning", "not on the PATH; only `make kind` and building images need it")
    try:
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return DoctorFinding(
            "docker", "warning", f"its engine did not answer within {DOCKER_SECONDS} s; start it again"
        )
    if done.returncode:
        return DoctorFinding("docker", "warning", "its engine is not running; `make kind` needs it: start Docker")
    return DoctorFinding("docker", "ok", f"engine {done.stdout.strip()} runs")


def _kind() -> DoctorFinding:
    """On the PATH, or where `make kind` looks for what it built itself."""
    cache = Path(settings().system.cache or Path.home() / ".cache")
    found = shutil.which("kind") or shutil.which(str(cache / "sluice/hermetic/tools/kind"))
    if found:
        return DoctorFinding("kind", "ok", found)
    return DoctorFinding("kind", "warning", "not on the PATH; only `make kind` needs it")


def _kubectl() -> DoctorFinding:
    """On the PATH: forwarded ports take it from nowhere else."""
    found = shutil.which("kubectl")
    if found:
        return DoctorFinding("kubectl", "ok", found)
    return DoctorFinding("kubectl", "error", "not on the PATH; install it")


def _safely(name: str, look: Callable[[], Iterator[DoctorFinding]]) -> Iterator[DoctorFinding]:
    try:
        yield from look()
    except SluiceError as error:
        yield DoctorFinding(name, "error", str(error))


def _crds(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    missing = [name for name in CRDS if not _has_crd(kubernetes, name)]
    if missing:
        way_out = "install the chart with crds.enabled=true, or apply manifests/crds"
        yield DoctorFinding("crds", "error", f"the cluster lacks {', '.join(missing)}; {way_out}")
    else:
        yield DoctorFinding("crds", "ok", "those of workflows are there")
    absent = [name for name in TRAINING_CRDS if not _has_crd(kubernetes, name)]
    if absent:
        yield DoctorFinding("crds", "warning", f"the cluster lacks {', '.join(absent)}: no distributed training there")


def _has_crd(kubernetes: Kubernetes, name: str) -> bool:
    """Whether the API serves the kind; reading the definition itself takes rights that few people have."""
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    plural, _, group = name.partition(".")
    with kubernetes.answers(f"API group {group}"):
        try:
            served = client.ApisApi(kubernetes.client).get_api_versions(_request_timeout=TIMEOUT)
            versions = [entry.preferred_version.version for entry in served.groups if entry.name == group]
            if not versions:
                return False
            found = client.CustomObjectsApi(kubernetes.client).get_api_resources(group, versions[0])
        except ApiException as error:
            if error.status == ABSENT:
                return False
            raise
    return any(resource.name == plural for resource in found.resources)


def _settings(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    """The ConfigMap, and each Secret with accounts: of the steps, of the one that registers, of people."""
    found = {name: kubernetes.settings(NAME, name) for name in ACCOUNTS}
    missing = [f"ConfigMap {NAME} key {key}" for key in CONFIG_KEYS if key not in found[NAME][0]]
    missing += [f"Secret {name} key {key}" for name in ACCOUNTS for key in SECRET_KEYS if key not in found[name][1]]
    if missing:
        yield DoctorFinding("settings", "error", f"missing: {', '.join(missing)}; upgrade the release, or add them")
    else:
        yield DoctorFinding(
            "settings", "ok", f"ConfigMap {NAME} and the Secrets {', '.join(ACCOUNTS)} have all that steps need"
        )
    yield from shared_accounts({name: secret for name, (_, secret) in found.items()})


def _pods(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    pods, troubles = [], []
    for namespace in namespaces(kubernetes):
        with kubernetes.answers(f"pods of namespace {namespace}"):
            found = kubernetes.core.list_namespaced_pod(namespace, _request_timeout=TIMEOUT).items
        where = "" if namespace == kubernetes.target.namespace else f"namespace {namespace}: "
        troubles += [f"{where}{said}" for pod in found if (said := trouble(pod))]
        pods += found
    for said in troubles:
        yield DoctorFinding("pods", "error", said)
    if not troubles:
        running = sum(pod.status.phase == "Running" for pod in pods)
        yield DoctorFinding("pods", "ok" if running else "warning", f"{running} run, nothing is wrong with any of them")


def trouble(pod: Any) -> str:  # noqa: ANN401 - a V1Pod
    """What is wrong with a pod, with the way out; empty when nothing is.

    A pod that ended or is ending is no trouble, nor is one of a run, a Job or a TrainJob that is not Ready: it starts,
    works and ends, and nobody calls it.
    """
    name, status = pod.metadata.name, pod.status
    if status.phase in ("Succeeded", "Failed") or getattr(pod.metadata, "deletion_timestamp", None):
        return ""
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        waiting = container.state.waiting if container.state else None
        if waiting and waiting.reason in NO_IMAGE:
            way_out = "push or load it (`kind load docker-image`), or correct the image's name in the values"
            return f"pod {name}: image {container.image} cannot be pulled ({waiting.reason}); {way_out}"
        if waiting and waiting.reason not in ("ContainerCreating", "PodInitializing"):
            said = f"{waiting.reason}: {waiting.message or 'no message'}"
            return f"pod {name}: container {container.name} waits ({said}); see `kubectl logs {name} --previous`"
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"pod {name} finds no node ({condition.message}); give the cluster room, or lower the requests"
        ending = condition.reason == "PodCompleted"  # its phase follows
        if condition.type == "Ready" and condition.status == "False" and _serves(pod) and not ending:
            return (
                f"pod {name} is not Ready ({condition.message or condition.reason}); see `kubectl describe pod {name}`"
            )
    return ""


def _serves(pod: Any) -> bool:  # noqa: ANN401 - a V1Pod
    """Whether a pod is to stay: what a Deployment or the like keeps up."""
    owners = getattr(pod.metadata, "owner_references", None) or []
    return all(owner.kind in ("ReplicaSet", "StatefulSet", "DaemonSet") for owner in owners)

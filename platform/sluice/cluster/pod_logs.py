"""What a run's pods say, where the cluster lets us read it; never a reason to fail."""

from collections.abc import Iterator
from typing import Any

from sluice.cluster.access import TIMEOUT, Kubernetes
from sluice.cluster.workflow_steps import NO_IMAGE
from sluice.core.progress import PROGRESS

RUN_LABEL, NODE = "pipeline/runid", "workflows.argoproj.io/node-name"
LINES = 40


class PodLogs:
    """Reads the progress lines of a run's steps, and why a pod of it waits."""

    def __init__(self, kubernetes: Kubernetes | None, run: str, namespace: str) -> None:
        """With no Kubernetes there is nothing to read; the namespace is that of the run's pods."""
        self._kubernetes, self._run, self._namespace = kubernetes, run, namespace

    def latest(self, step: str) -> str:
        """The last progress line of a running step, or empty."""
        if self._kubernetes is None:
            return ""
        try:
            return self._read(self._kubernetes, step)
        except Exception:  # noqa: BLE001 - whatever keeps us from the log, the run itself goes on
            return ""

    def lacking_image(self) -> str:
        """Which pod of the run waits for an image, and why; empty where none does."""
        if self._kubernetes is None:
            return ""
        try:
            return next(_lacking(self._pods(self._kubernetes)), "")
        except Exception:  # noqa: BLE001 - as above
            return ""

    def _pods(self, kubernetes: Kubernetes) -> list[Any]:
        found = kubernetes.core.list_namespaced_pod(
            self._namespace, label_selector=f"{RUN_LABEL}={self._run}", _request_timeout=TIMEOUT
        )
        return list(found.items)

    def _read(self, kubernetes: Kubernetes, step: str) -> str:
        for pod in self._pods(kubernetes):
            if f".root.{step}.executor" in (pod.metadata.annotations or {}).get(NODE, ""):
                text = kubernetes.core.read_namespaced_pod_log(
                    pod.metadata.name, self._namespace, container="main", tail_lines=LINES, _request_timeout=TIMEOUT
                )
                said = [line for line in text.splitlines() if PROGRESS in line]
                return said[-1].partition(PROGRESS)[2] if said else ""
        return ""


def _lacking(pods: list[Any]) -> Iterator[str]:
    for pod in pods:
        status = pod.status
        for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
            waiting = container.state.waiting if container.state else None
            if waiting and waiting.reason in NO_IMAGE:
                yield f"{pod.metadata.name}: {waiting.reason}: {waiting.message or container.image}"

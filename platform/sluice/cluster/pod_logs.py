"""The latest word of a step's pod, where the cluster lets us read it; never a reason to fail."""

from components.common.steps import PROGRESS
from sluice.cluster.access import TIMEOUT, Kubernetes

RUN_LABEL, NODE = "pipeline/runid", "workflows.argoproj.io/node-name"
LINES = 40


class PodLogs:
    """Reads the progress lines of a run's steps."""

    def __init__(self, kubernetes: Kubernetes | None, run: str) -> None:
        """With no Kubernetes there is nothing to read."""
        self._kubernetes, self._run = kubernetes, run

    def latest(self, step: str) -> str:
        """The last progress line of a running step, or empty."""
        if self._kubernetes is None:
            return ""
        try:
            return self._read(self._kubernetes, step)
        except Exception:  # noqa: BLE001 - whatever keeps us from the log, the run itself goes on
            return ""

    def _read(self, kubernetes: Kubernetes, step: str) -> str:
        namespace = kubernetes.target.namespace
        pods = kubernetes.core.list_namespaced_pod(
            namespace, label_selector=f"{RUN_LABEL}={self._run}", _request_timeout=TIMEOUT
        )
        for pod in pods.items:
            if f".root.{step}.executor" in (pod.metadata.annotations or {}).get(NODE, ""):
                text = kubernetes.core.read_namespaced_pod_log(
                    pod.metadata.name, namespace, container="main", tail_lines=LINES, _request_timeout=TIMEOUT
                )
                said = [line for line in text.splitlines() if PROGRESS in line]
                return said[-1].partition(PROGRESS)[2] if said else ""
        return ""

"""Watches a TrainJob's pods and streams its rank 0's log, in threads of their own.

A restart deletes the pods before it, with their logs and their last words: who asks later finds neither. So every pod
is remembered as it last was, and the log is read while it is written.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.core.progress import PROGRESS, progress

Object = dict[str, Any]
_PAUSE_SECONDS, _LAST_WORDS_SECONDS = 0.5, 10.0
_ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
_RANK = "batch.kubernetes.io/job-completion-index"


class PodSource(Protocol):
    """Where pods and logs come from: `trainjobs.TrainJobs`."""

    def watch_pods(self, name: str) -> Iterator[tuple[str, Object]]: ...  # noqa: D102 - see the class
    def log(self, pod: str) -> Iterator[str]: ...  # noqa: D102 - see the class


@dataclass(frozen=True)
class Worker:
    """A pod as it last was."""

    pod: Object
    deleted: bool = False

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def node(self) -> str:
        """The node that it was bound to, or empty."""
        return str(self.pod["spec"].get("nodeName", ""))

    @property
    def rank(self) -> int:
        """Its number in the job, from 0."""
        meta = self.pod["metadata"]
        return int({**meta.get("annotations", {}), **meta.get("labels", {})}.get(_RANK, 0))

    @property
    def attempt(self) -> int:
        """How often the job had been started again when this pod was made."""
        return int(self.pod["metadata"].get("labels", {}).get(_ATTEMPT, 0))

    @property
    def leaving(self) -> bool:
        """Whether it is being deleted."""
        return "deletionTimestamp" in self.pod["metadata"]

    @property
    def state(self) -> Object:
        """Its container's state: `{waiting: …}`, `{running: …}`, `{terminated: …}`, or empty before there is one."""
        statuses = self.pod.get("status", {}).get("containerStatuses") or [{}]
        found: Object = statuses[0].get("state", {})
        return found


class Observer:
    """What is known of a TrainJob's pods, those that are no more included."""

    def __init__(self, source: PodSource, name: str) -> None:
        self._source, self._name = source, name
        self._workers: dict[str, Worker] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()

    def workers(self) -> list[Worker]:
        """All pods ever seen, in the order of their creation."""
        with self._lock:
            return sorted(self._workers.values(), key=lambda w: str(w.pod["metadata"].get("creationTimestamp", "")))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch and stream for the time of the `with` block; its end waits for rank 0's last words."""
        threads = [threading.Thread(target=target, daemon=True) for target in (self._watch, self._stream)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            threads[1].join(_LAST_WORDS_SECONDS)

    def _watch(self) -> None:
        while not self._ended.is_set():
            for kind, pod in self._source.watch_pods(self._name):
                with self._lock:
                    self._workers[pod["metadata"]["uid"]] = Worker(pod, kind == "DELETED")
                if self._ended.is_set():
                    return
            self._ended.wait(_PAUSE_SECONDS)

    def _stream(self) -> None:
        done: set[str] = set()
        while True:
            ended = self._ended.is_set()  # looked at before the pods are: what came until then is still told
            for worker in self.workers():
                if worker.rank == 0 and worker.name not in done and {"running", "terminated"} & set(worker.state):
                    self._tell(worker)
                    done.add(worker.name)
            if ended:
                return
            self._ended.wait(_PAUSE_SECONDS)

    def _tell(self, worker: Worker) -> None:
        """A pod's log to its end; where the connection breaks, from the line after the last one."""
        last = ""
        while True:
            for line in self._source.log(worker.name):
                stamp, _, text = line.partition(" ")
                # torchrun takes its own end by a restart for a defect, and has much to say about it.
                if stamp > last and (text.startswith(PROGRESS) or not self._now(worker).leaving):
                    progress(f"worker 0: {text.removeprefix(PROGRESS)}")
                last = max(last, stamp)
            now = self._now(worker)
            if now.deleted or "terminated" in now.state or self._ended.wait(_PAUSE_SECONDS):
                return

    def _now(self, worker: Worker) -> Worker:
        with self._lock:
            return self._workers[worker.pod["metadata"]["uid"]]

"""Looking at what tells nobody when it changes, each at its own pace, in threads; only who works looks."""

import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.operator.on_cluster.ended_runs import EndedRuns
from sluice.operator.on_cluster.kfp_runs import KfpRuns
from sluice.operator.on_cluster.process_metrics import ProcessMetrics
from sluice.operator.on_cluster.process_settings import Pauses
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.on_cluster.run_queues import EVERYBODY, RunQueues
from sluice.operator.on_cluster.watchers import Watchers
from sluice.operator.on_cluster.work_queue import Key, WorkQueue


class Looker:
    """Threads that put into the queue what a change is of interest to."""

    def __init__(
        self,
        runs: KfpRuns,
        watchers: Watchers,
        index: ResourceIndex,
        queue: WorkQueue,
        pauses: Pauses,
        metrics: ProcessMetrics,
        namespace: str,
        queues: RunQueues,
    ) -> None:
        self._runs, self._watchers, self._index, self._queue = runs, watchers, index, queue
        self._pauses, self._metrics, self._queues = pauses, metrics, queues
        self._namespace, self._ended_in_kfp = namespace, EndedRuns(runs.api)
        self._ended, self._gone = threading.Event(), threading.Event()
        self._gone.set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Look from now on."""
        looks: dict[str, tuple[float, Callable[[], Iterable[str]]]] = {
            "runs": (self._pauses.runs, self._runs.look),
            "lakes": (self._pauses.lakes, lambda: self._interested(lakes=self._watchers.lakes.look())),
            "queues": (self._pauses.queues, self._queued),
            "registry": (self._pauses.registry, self._registry),
            "orphans": (self._pauses.runs, self._orphans),
            "ended": (self._pauses.ended, self._ended_runs),
            "windows": (self._pauses.windows, lambda: self._interested(models=self._watchers.windows.look())),
            "young": (self._pauses.young, lambda: self._interested(models=self._watchers.windows.look_at_young())),
        }
        for name, (pause, look) in looks.items():
            thread = threading.Thread(target=self._follow, args=(name, pause, look), name=f"look-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End; what is being asked is not waited for."""
        self._ended.set()

    def _follow(self, name: str, pause: float, look: Callable[[], Iterable[str]]) -> None:
        told = 0.0
        while not self._ended.wait(pause):
            try:
                for name_of_one in look():
                    for kind in self._kinds(name_of_one):
                        self._queue.add(Key(kind, name_of_one))
            except SluiceError as error:
                self._metrics.looks.labels(name).inc()
                if time.monotonic() - told > 60:
                    told = time.monotonic()
                    progress(f"looking at {name}: {error}")

    def resource_gone(self) -> None:
        """A resource is gone: its runs are ended, if it has any."""
        self._gone.set()

    def _orphans(self) -> list[str]:
        """Only in the beginning and after a resource has gone: KFP is asked for all its newest runs."""
        if self._gone.is_set():
            self._gone.clear()
            try:
                self._runs.end_orphans(self._namespace, lambda name: bool(self._kinds(name)))
            except SluiceError:
                self._gone.set()
                raise
        return []

    def _ended_runs(self) -> list[str]:
        self._ended_in_kfp.look()
        return []

    def _queued(self) -> set[str]:
        names = self._queues.look()
        if EVERYBODY not in names:
            return names
        return {known.name for kind in ("ContinuousTraining", "Backfill") for known in self._index.of_kind(kind)}

    def _kinds(self, name: str) -> list[str]:
        """Runs are named after a ContinuousTraining or a Backfill."""
        return [kind for kind in ("ContinuousTraining", "Backfill") if self._index.get(kind, name)]

    def _registry(self) -> set[str]:
        models = self._watchers.registry.look()
        for server in self._watchers.servers_of(self._index, models):
            self._queue.add(Key("ModelServer", server))
        return self._interested(models=models)

    def _interested(self, lakes: AbstractSet[str] = frozenset(), models: AbstractSet[str] = frozenset()) -> set[str]:
        return self._watchers.interested(self._index, lakes=lakes, models=models)

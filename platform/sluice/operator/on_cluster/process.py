"""The operator's process: it watches, keeps one queue, and reconciles what may have changed.

kopf watches the resources, and nothing else of kopf is used: its handlers fill an index. No annotation, no finalizer
and no timer is left on a resource, so that whoever applies them from Git sees no drift.
"""

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from sluice.cluster.kfp_api import KfpApi
from sluice.core.errors import BadInput, SluiceError
from sluice.core.progress import progress
from sluice.operator.on_cluster.backfills import Backfills
from sluice.operator.on_cluster.cluster_world import KIND, ClusterWorld, Parts
from sluice.operator.on_cluster.event_inbox import EventInbox
from sluice.operator.on_cluster.kfp_runs import KfpRuns
from sluice.operator.on_cluster.kubernetes_api import PLURALS, KubernetesApi, resource
from sluice.operator.on_cluster.lake_rows import LakeRows
from sluice.operator.on_cluster.lease import Lease
from sluice.operator.on_cluster.looking import Looker
from sluice.operator.on_cluster.model_servers import ModelServers
from sluice.operator.on_cluster.process_metrics import ProcessMetrics
from sluice.operator.on_cluster.process_settings import ProcessSettings
from sluice.operator.on_cluster.projects import Projects
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.on_cluster.run_queues import RunQueues
from sluice.operator.on_cluster.servers_seen import ServersSeen
from sluice.operator.on_cluster.watchers import LakesWatcher, RegistryWatcher, Watchers, WindowsWatcher
from sluice.operator.on_cluster.watching import watch
from sluice.operator.on_cluster.web import EventDoor, probes
from sluice.operator.on_cluster.work_queue import Key, WorkQueue
from sluice.operator.reconciling import reconcile
from sluice.operator.worlds import Conflict
from sluice.serving.registered import open_registry
from sluice.storage.locations import default_store

Reconciler = Callable[[str], datetime | None]


def main(words: list[str]) -> int:
    """Work until SIGTERM.

    Returns:
        The exit code: 0 ended by a signal, 1 a service is away or the Lease was lost, 2 the settings are wrong.
    """
    if len(words) != 1:
        print("usage: python -m sluice.operator SETTINGS.json", file=sys.stderr)  # noqa: T201 - the pod's log
        return BadInput.exit_code
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(Process(ProcessSettings.read(Path(words[0]))).run())
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    return 0


class Process:
    """All parts of the process."""

    def __init__(self, settings: ProcessSettings) -> None:
        """Nothing is asked yet."""
        self.settings = settings
        self.api = KubernetesApi(settings.kubernetes, connections=settings.workers + 4)
        # An answer that does not come must leave time to ask again while the Lease is held.
        asked = KubernetesApi(settings.kubernetes, connections=2, seconds=settings.lease.seconds / 4)
        self.lease = Lease(asked, settings.namespace, settings.lease)
        self.metrics, self.index, self.queue, self.inbox = ProcessMetrics(), ResourceIndex(), WorkQueue(), EventInbox()
        self.runs = KfpRuns(KfpApi(settings.kfp))
        pauses = settings.pauses
        self.watchers = Watchers(
            LakesWatcher(pauses.lakes, LakeRows(default_store)),
            RegistryWatcher(open_registry, default_store),
            WindowsWatcher(default_store, pauses.windows),
            ServersSeen(self.index),
        )
        kueue = settings.kueue
        self.queues = RunQueues(
            self.api,
            settings.namespace,
            lambda: self.index.queues() | ({kueue.queue} - {""}),
            self.index.has,
            enabled=kueue.enabled,
        )
        parts = Parts(
            self.api,
            self.runs,
            self.index,
            self.inbox,
            self.queue,
            self.watchers,
            default_store,
            lambda: self.lease.held,
            lambda outcome: self.metrics.decisions.labels(outcome).inc(),
            self.queues,
            kueue.queue,
        )
        self.world = ClusterWorld(settings.namespace, parts)
        self.looker = Looker(
            self.runs, self.watchers, self.index, self.queue, pauses, self.metrics, settings.namespace, self.queues
        )
        servers = ModelServers(
            self.api, settings.namespace, settings.where(), self.watchers.registry, lambda: self.lease.held
        )
        self.reconcilers: dict[str, Reconciler] = {
            KIND: self._train,
            "Project": Projects(self.api, settings.namespace, self.runs.api, lambda: self.lease.held).reconcile,
            "ModelServer": servers.reconcile,
            "Backfill": Backfills(self.world).reconcile,
        }
        self._workers: list[threading.Thread] = []
        self._synced = False
        self._gauges()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            EnvironmentFault: The Kubernetes API is away when it begins.
        """
        async with AsyncExitStack() as stack:
            door = EventDoor(
                self.inbox,
                self.index.listeners,
                lambda name: self.queue.add(Key(KIND, name)),
                self.settings.token_files,
                lambda: self.lease.held,
                self.metrics,
            )
            await self._listen(
                stack, probes(self.metrics, self._not_ready, self._not_alive), self.settings.metrics_port
            )
            await asyncio.to_thread(self._fill)
            await self._listen(stack, door.app(), self.settings.port)
            stopped = asyncio.Event()
            watching = asyncio.create_task(
                watch(
                    self.settings, self.api, self._seen, lambda name: self.queue.add(Key("ModelServer", name)), stopped
                )
            )
            self.lease.run(self._begin, self._lost)
            try:
                await watching  # it ends by a signal
            finally:
                stopped.set()
                await asyncio.to_thread(self._end)

    async def _listen(self, stack: AsyncExitStack, app: web.Application, port: int) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.settings.host, port).start()
        progress(f"listening on {runner.addresses[0][1]}")

    def _fill(self) -> None:
        """Know all resources before anything is decided."""
        for kind in PLURALS:
            for body in self.api.items(resource(kind, self.settings.namespace)):
                self.index.put(kind, body)
        self._synced = True
        progress(f"{len(self.index.reconciled())} resources in namespace {self.settings.namespace}")

    def _seen(self, kind: str, event: str | None, body: dict[str, Any]) -> None:
        gone = event == "DELETED"
        keys = self.index.remove(kind, body["metadata"]["name"]) if gone else self.index.put(kind, body)
        for key in keys:
            self.queue.add(key)
        if gone and kind in (KIND, "Backfill"):
            self.queue.forget(Key(kind, body["metadata"]["name"]))
            self.looker.resource_gone()

    def _begin(self) -> None:
        progress(f"{self.lease.identity} holds the Lease, and works")
        for key in self.index.reconciled():
            self.queue.add(key)
        for number in range(self.settings.workers):
            worker = threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            worker.start()
            self._workers.append(worker)
        self.looker.start()

    def _lost(self) -> None:
        """Another one may work already: whatever is on its way here ends with the process."""
        progress("the Lease is lost")
        os._exit(1)

    def _end(self) -> None:
        self.queue.close()
        self.looker.stop()
        for worker in self._workers:
            worker.join(25)
        self.lease.stop()

    def _work(self) -> None:
        while (taken := self.queue.take()) is not None:
            key, due = taken
            began = self.queue.now()
            self.metrics.waited.observe(max(0.0, began - due))
            failed = self._reconciled(key)
            self.metrics.reconciled.labels(key.kind).observe(self.queue.now() - began)
            self.queue.done(key, failed=failed)

    def _reconciled(self, key: Key) -> bool:
        """Reconcile one resource; whether it has to be tried again."""
        reconciler = self.reconcilers.get(key.kind)
        if reconciler is None:
            return False
        try:
            wake = reconciler(key.name)
        except Conflict:
            return True  # somebody else wrote: look again
        except SluiceError as error:
            progress(f"{key.kind} {key.name}: {error}")
        except Exception:  # noqa: BLE001 - one resource must not stop the others
            progress(f"{key.kind} {key.name}: {traceback.format_exc()}")
        else:
            self.queue.add(key, _seconds(wake, self.settings.pauses.resync))
            return False
        self.metrics.failures.labels(key.kind).inc()
        return True

    def _train(self, name: str) -> datetime | None:
        try:
            wake = reconcile(self.world, self.settings.namespace, name)
        except BadInput as error:
            self.world.refuse(name, str(error))
            return None
        self.world.over(name)
        return wake

    def _not_ready(self) -> str:
        if not self._synced:
            return "the resources are not read yet"
        return "" if self.lease.held else "another operator works"

    def _not_alive(self) -> str:
        if self._workers and not all(worker.is_alive() for worker in self._workers):
            return "a worker has ended"
        return ""

    def _gauges(self) -> None:
        tell = self.metrics.gauge
        tell("queue_depth", "Resources that are due and not begun.", lambda: len(self.queue))
        tell("events_waiting", "Events that are not saved yet.", lambda: len(self.inbox))
        tell("lease_held", "Whether this process works.", lambda: self.lease.held)
        tell("kubernetes_requests", "Requests to the Kubernetes API so far.", lambda: self.api.requests)
        for kind, plural in PLURALS.items():
            tell(plural, f"Resources of kind {kind}.", partial(self._count, kind))

    def _count(self, kind: str) -> int:
        return len(self.index.of_kind(kind))


def _seconds(wake: datetime | None, resync: float) -> float:
    """Until a resource is looked at again: when it asked for that, and once in a while."""
    asked = (wake - datetime.now(UTC)).total_seconds() if wake else resync
    return min(max(0.0, asked), resync)

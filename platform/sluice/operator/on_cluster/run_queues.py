"""Kueue's queues: who waits in them for our runs, and where. One look is for all; nothing is asked unless one is named.

Whoever has a ticket here is a Workload in our own namespace. Kueue may be installed, removed and upgraded while the
operator works, so the version that it serves is asked for in each look.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sluice.core.errors import EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.operator.evidence import QueueSeen, Ticket
from sluice.operator.on_cluster.kfp_runs import run_name
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi
from sluice.operator.on_cluster.tickets import (
    KUEUE,
    Json,
    Owner,
    Place,
    Workload,
    new_workload,
    places,
    quota_given_back,
    read_workload,
    run_begun,
)
from sluice.operator.worlds import Conflict

_IDLE_SECONDS = 30.0
"""Between two looks while nobody waits or runs."""


@dataclass(frozen=True)
class _Look:
    """What one look told.

    Attributes:
        version: Of Kueue's API; empty where it is not served.
        workloads: All of the namespace.
        faults: Queues that no run can pass, with the reason.
        when: By the monotonic clock.
    """

    version: str
    workloads: list[Workload]
    faults: Mapping[str, str]
    when: float = field(default_factory=time.monotonic)
    lines: dict[str, dict[str, Place]] = field(default_factory=dict)

    def place(self, one: Workload) -> Place | None:
        """Where one stands that waits; all of its queue are placed at once."""
        if one.waits and one.queue not in self.lines:
            self.lines[one.queue] = places(self.workloads, one.queue, datetime.now(UTC))
        return self.lines.get(one.queue, {}).get(one.name)


class RunQueues:
    """See the module; from any thread."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        named: Callable[[], set[str]],
        there: Callable[[Owner], bool],
        *,
        enabled: bool = True,
    ) -> None:
        """Nothing is asked yet.

        Args:
            api: Kubernetes'.
            namespace: Of our resources, and of the queues.
            named: All queues that anything names.
            there: Whether there is a resource; of one that is gone no ticket stays.
            enabled: Whether this process may use Kueue; else nothing is asked, and no run can pass a queue.
        """
        self._enabled = enabled
        self._api, self._namespace, self._named, self._there = api, namespace, named, there
        self._lock = threading.Lock()
        self._last: _Look | None = None
        self._told: dict[str, list[Ticket]] = {}
        self._told_faults: Mapping[str, str] | None = None
        self._entered = False

    def seen(self, owner: Owner, queue: str) -> QueueSeen | None:
        """A queue with the tickets of a resource; None where none is named and none is left.

        Raises:
            EnvironmentFault: The Kubernetes API is away.
        """
        last = self._last
        if last is None or (queue and queue not in last.faults):
            if last is None and not queue:
                return None  # the first look finds what is left
            last = self._ask({queue} | self._named())
        return self._of(last, owner, queue)

    def enter(self, owner: Owner, queue: str, ticket: str, requests: Mapping[str, str], usual: float | None) -> None:
        """Let a run wait, unless it does already.

        Raises:
            BadInput: Kueue refuses it.
            EnvironmentFault: Kueue or the Kubernetes API is away.
        """
        last = self._last or self._ask({queue} | self._named())
        if not last.version:
            raise EnvironmentFault(last.faults.get(queue, "Kueue is not installed"))
        body = new_workload(owner, queue, ticket, requests, usual, last.version)
        try:
            made = self._api.create(self._path(last.version), body)
        except Conflict:
            return  # it waits already
        with self._lock:
            self._entered = True
            if self._last:
                self._last.workloads.append(read_workload(made))
                self._last.lines.clear()

    def begun(self, owner: Owner, ticket: str) -> None:
        """Tell Kueue that a ticket's run goes on, unless it knows."""
        self._patch(owner, ticket, run_begun)

    def again(self, owner: Owner, ticket: str) -> None:
        """Give an evicted ticket's quota back, so that it waits again; nothing where it has none."""
        self._patch(owner, ticket, quota_given_back)

    def _patch(self, owner: Owner, ticket: str, made: Callable[[Json, datetime], Json | None]) -> None:
        path = self._one(owner, ticket)
        body = self._api.get(path) if path else None
        patch = made(body, datetime.now(UTC)) if body else None
        if patch:
            self._api.merge(f"{path}/status", patch)

    def leave(self, owner: Owner, ticket: str) -> None:
        """Remove a ticket."""
        if path := self._one(owner, ticket):
            self._remove(path.rpartition("/")[2], path)

    def look(self) -> set[str]:
        """Look again; the names of resources whose tickets, or whose queue, are others than at the last look."""
        named = self._named()
        last = self._last
        busy = self._entered or self._told or (last and any(each.owner for each in last.workloads))
        idle = last is not None and not busy
        if last is not None and ((idle and not named) or (idle and time.monotonic() - last.when < _IDLE_SECONDS)):
            return set()
        self._entered = False
        now = self._ask(named)
        for gone in [each for each in now.workloads if each.owner and not self._there(each.owner)]:
            self._remove(gone.name, f"{self._path(now.version)}/{gone.name}")
        told = self._all(now)
        names = {name for name in told.keys() | self._told.keys() if told.get(name) != self._told.get(name)}
        self._told = told
        turned = self._told_faults is not None and self._told_faults != now.faults
        self._told_faults = now.faults
        return names | ({EVERYBODY} if turned else set())

    def _ask(self, queues: Iterable[str]) -> _Look:
        group = self._enabled and self._api.get(f"/apis/{KUEUE}")
        version = str(group["preferredVersion"]["version"]) if group else ""
        workloads = [read_workload(each) for each in self._api.items(self._path(version))] if version else []
        faults = {queue: self._fault(version, queue) for queue in queues if queue}
        found = _Look(version, workloads, faults)
        with self._lock:
            self._last = found
        return found

    def _fault(self, version: str, queue: str) -> str:
        if not self._enabled:
            return (
                f"the queue {queue} is named, and this operator may not use Kueue: set operator.kueue.enabled in the "
                "chart, or name no queue"
            )
        if not version:
            return f"the queue {queue} is named, and Kueue is not installed: install it, or name no queue"
        if self._api.get(f"/apis/{KUEUE}/{version}/namespaces/{self._namespace}/localqueues/{queue}") is None:
            return f"there is no LocalQueue {queue} in namespace {self._namespace}: make it, or name another queue"
        return ""

    def _of(self, look: _Look, owner: Owner, queue: str) -> QueueSeen | None:
        own = [each for each in look.workloads if each.owner == owner and not each.over]
        if not queue and not own:
            return None
        tickets = tuple(self._ticket(look, each) for each in own)
        return QueueSeen(name=queue, fault=look.faults.get(queue, ""), tickets=tickets)

    def _all(self, look: _Look) -> dict[str, list[Ticket]]:
        """All tickets by the names of their resources."""
        found: dict[str, list[Ticket]] = {}
        for each in look.workloads:
            if each.owner and not each.over:
                found.setdefault(each.owner.name, []).append(self._ticket(look, each))
        return found

    def _ticket(self, look: _Look, one: Workload) -> Ticket:
        state = "evicted" if one.evicted else "admitted" if one.admitted else "waiting"
        told = {"name": one.key, "state": state, "queue": one.queue, "begun": one.begun, "words": one.words}
        if place := look.place(one):
            told |= {"place": place.place, "waiting": place.waiting, "begins": place.begins}
        return Ticket.model_validate(told)

    def _path(self, version: str) -> str:
        return f"/apis/{KUEUE}/{version}/namespaces/{self._namespace}/workloads"

    def _one(self, owner: Owner, ticket: str) -> str:
        last = self._last or self._ask(self._named())
        return f"{self._path(last.version)}/{run_name(owner.name, ticket)}" if last.version else ""

    def _remove(self, name: str, path: str) -> None:
        try:
            self._api.delete(path)
        except SluiceError as error:
            progress(f"Workload {name} stays for now: {error}")
            raise
        with self._lock:
            if self._last:
                self._last.workloads[:] = [each for each in self._last.workloads if each.name != name]
                self._last.lines.clear()


EVERYBODY = "*"
"""In place of a resource's name: all that may have named a queue."""

"""What is known of the resources in the namespace: filled by watching, asked by everything else, from any thread.

It tells which resource something is of interest to. Decisions are never made from it alone: whoever decides reads the
resource again.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sluice.operator.evidence import EventSeen
from sluice.operator.on_cluster.tickets import Owner
from sluice.operator.on_cluster.work_queue import Key

Json = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A resource.

    Attributes:
        name: Its name.
        uid: Its uid.
        generation: Of its specification.
        spec: Its specification, not checked.
        status: Its status; empty for a ContinuousTraining, whose status is long and asked for when it is needed.
        created: When it was made, RFC 3339.
        deleted: Whether it is being deleted.
    """

    name: str
    uid: str
    generation: int
    spec: Json
    status: Json
    created: str = ""
    deleted: bool = False

    @classmethod
    def of(cls, kind: str, body: Json) -> "Known":
        """Of a document."""
        head = body["metadata"]
        status = {} if kind == "ContinuousTraining" else dict(body.get("status") or {})
        return cls(
            head["name"],
            head["uid"],
            int(head.get("generation", 1)),
            dict(body.get("spec") or {}),
            status,
            head.get("creationTimestamp", ""),
            bool(head.get("deletionTimestamp")),
        )


class ResourceIndex:
    """All resources by kind and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[Key, Known] = {}

    def put(self, kind: str, body: Json) -> list[Key]:
        """A resource is there or was changed; what has to be looked at for it: nothing where only a status changed."""
        known, key = Known.of(kind, body), Key(kind, body["metadata"]["name"])
        with self._lock:
            before = self._all.get(key)
            self._all[key] = known
        if before and _same(before, known):
            return []
        return self._touched(key, known)

    def remove(self, kind: str, name: str) -> list[Key]:
        """A resource is gone; what has to be looked at for it."""
        key = Key(kind, name)
        with self._lock:
            before = self._all.pop(key, None)
        return [] if before is None or kind == "ContinuousTraining" else self._touched(key, before)

    def get(self, kind: str, name: str) -> Known | None:
        """A resource as it was seen last."""
        with self._lock:
            return self._all.get(Key(kind, name))

    def of_kind(self, kind: str) -> list[Known]:
        """All of a kind."""
        with self._lock:
            return [known for key, known in self._all.items() if key.kind == kind]

    def reconciled(self) -> list[Key]:
        """Everything that is reconciled."""
        with self._lock:
            return [key for key in self._all if key.kind != "Request"]

    def trainings(self, field: str, value: str) -> list[str]:
        """The ContinuousTrainings whose specification has a value in a field."""
        return [known.name for known in self.of_kind("ContinuousTraining") if known.spec.get(field) == value]

    def queues(self) -> set[str]:
        """The queues that any resource names."""
        with self._lock:
            return {str(each.spec["queue"]) for each in self._all.values() if each.spec.get("queue")}

    def has(self, owner: Owner) -> bool:
        """Whether there is a resource, and not another one of its name."""
        known = self.get(owner.kind, owner.name)
        return known is not None and known.uid == owner.uid

    def listeners(self, event: EventSeen) -> list[str]:
        """The ContinuousTrainings with a trigger for an event."""
        return [
            known.name
            for known in self.of_kind("ContinuousTraining")
            if not known.deleted and any(_listens(trigger, event) for trigger in known.spec.get("triggers") or ())
        ]

    def requests(self, target: str) -> list[Known]:
        """The Requests about a ContinuousTraining that nobody has answered, oldest first."""
        found = [known for known in self.of_kind("Request") if known.spec.get("target") == target]
        return sorted((each for each in found if not answered(each.status)), key=lambda each: (each.created, each.name))

    def _touched(self, key: Key, known: Known) -> list[Key]:
        return list(dict.fromkeys(self._interested(key, known)))

    def _interested(self, key: Key, known: Known) -> Iterator[Key]:
        if key.kind == "Request":
            yield Key("ContinuousTraining", str(known.spec.get("target", "")))
            return
        yield key
        if key.kind == "ModelServer":
            model = str(known.spec.get("model", "")).partition("@")[0]
            yield from (Key("ContinuousTraining", name) for name in self.trainings("model", model))
        if key.kind == "Project":
            for kind in ("ContinuousTraining", "Backfill"):
                yield from (Key(kind, each.name) for each in self.of_kind(kind) if each.spec.get("project") == key.name)


def answered(status: Json) -> bool:
    """Whether a Request's status holds an answer."""
    return "accepted" in status


def _same(before: Known, now: Known) -> bool:
    unchanged = (before.uid, before.generation, before.deleted) == (now.uid, now.generation, now.deleted)
    return unchanged and answered(before.status) == answered(now.status) and _ready(before) == _ready(now)


def _ready(known: Known) -> str:
    return next((str(c.get("status")) for c in known.status.get("conditions", ()) if c.get("type") == "Ready"), "")


def _listens(trigger: Json, event: EventSeen) -> bool:
    wanted = trigger.get("event")
    if wanted is None:
        return False
    kind, source = wanted.get("type") or "", wanted.get("source") or ""
    return (not kind or kind == event.type) and event.source.startswith(source)

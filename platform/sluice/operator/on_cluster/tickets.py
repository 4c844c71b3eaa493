"""Workloads of Kueue as the operator reads and writes them: one for each run that has to pass a queue.

Source: sigs.k8s.io/kueue, apis/kueue/v1beta2/workload_types.go and what its job controllers do with a Workload whose
quota is taken back (pkg/controller/jobframework/reconciler.go), read at v0.17.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any

from sluice.operator.on_cluster.kfp_runs import run_name
from sluice.operator.parts import API_VERSION, GROUP

Json = dict[str, Any]
KUEUE = "kueue.x-k8s.io"
OF, KIND_OF = f"{GROUP}/run-of", f"{GROUP}/run-of-kind"
KEY, USUAL = f"{GROUP}/intent", f"{GROUP}/usual-seconds"
_REQUEUED = ("Preempted", "EvictedDueToNodeFailures", "NodeFailures")  # those that Kueue lets wait again at once


@dataclass(frozen=True)
class Owner:
    """The resource that a run is for."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Workload:
    """What is known of a Workload, ours or anybody's.

    Attributes:
        name: Its name.
        queue: The LocalQueue that it is in.
        owner: The resource of ours that it is for; None for anybody else's.
        key: Its ticket's name; empty for anybody else's.
        priority: The higher, the sooner.
        created: When it entered the queue.
        reserved: Since when it has quota; None while it has none.
        admitted: Whether its run may begin.
        evicted: Whether its quota is taken back, and its run has to end.
        begun: Whether Kueue was told that its run goes on.
        over: Whether it is done with.
        usual: Seconds that its run is likely to take; None where nobody knows.
        words: What Kueue says of it.
    """

    name: str
    queue: str
    owner: Owner | None
    key: str
    priority: int
    created: datetime
    reserved: datetime | None
    admitted: bool
    evicted: bool
    begun: bool
    over: bool
    usual: float | None
    words: str

    @property
    def waits(self) -> bool:
        """Whether it waits for quota."""
        return self.reserved is None and not self.over


@dataclass(frozen=True)
class Place:
    """Where one stands that waits: its place, 1 for the next, of how many; and an estimate of when it has quota."""

    place: int
    waiting: int
    begins: datetime | None


def read_workload(body: Mapping[str, Any]) -> Workload:
    """A Workload's document."""
    head, spec = body["metadata"], body.get("spec", {})
    labels, notes = head.get("labels") or {}, head.get("annotations") or {}
    conditions = _conditions(body)
    reserved = conditions.get("QuotaReserved", {})
    has_quota = _holds(conditions, "QuotaReserved")
    active = spec.get("active", True)
    evicted = has_quota and (_holds(conditions, "Evicted") or not active)
    words = conditions.get("Evicted" if evicted else "QuotaReserved", {}).get("message", "")
    if not active:
        words = f"Workload {head['name']} was deactivated; set its spec.active to true"
    elif has_quota and not evicted:
        words = ""
    uid = next((each["uid"] for each in head.get("ownerReferences") or () if each["apiVersion"] == API_VERSION), "")
    ours = Owner(labels.get(KIND_OF, ""), labels.get(OF, ""), uid) if KEY in notes and OF in labels else None
    return Workload(
        name=head["name"],
        queue=spec.get("queueName", ""),
        owner=ours,
        key=notes.get(KEY, "") if ours else "",
        priority=int(spec.get("priority") or 0),
        created=_moment(head["creationTimestamp"]),
        reserved=_moment(reserved["lastTransitionTime"]) if has_quota else None,
        admitted=_holds(conditions, "Admitted") and not evicted,
        evicted=evicted,
        begun=_holds(conditions, "PodsReady"),
        over=_holds(conditions, "Finished"),
        usual=_seconds(notes.get(USUAL, "")),
        words=" ".join(words.split())[:300],
    )


def new_workload(
    owner: Owner, queue: str, key: str, requests: Mapping[str, str], usual: float | None, version: str
) -> Json:
    """The document of a Workload: one pod, as big as the run ever is at one time.

    Args:
        owner: The resource that the run is for; with it the Workload goes.
        queue: The LocalQueue.
        key: The ticket's name.
        requests: By resource, as Kubernetes writes quantities.
        usual: Seconds that earlier runs took.
        version: Of Kueue's API.
    """
    container = {"name": "run", "image": "run", "resources": {"requests": dict(requests)}}
    notes = {KEY: key} | ({USUAL: f"{usual:.0f}"} if usual is not None else {})
    reference = {"apiVersion": API_VERSION, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
    return {
        "apiVersion": f"{KUEUE}/{version}",
        "kind": "Workload",
        "metadata": {
            "name": run_name(owner.name, key),
            "labels": {OF: owner.name, KIND_OF: owner.kind},
            "annotations": notes,
            "ownerReferences": [reference],
        },
        "spec": {
            "queueName": queue,
            "podSets": [
                {
                    "name": "main",
                    "count": 1,
                    "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
                }
            ],
        },
    }


def run_begun(body: Mapping[str, Any], now: datetime) -> Json | None:
    """The patch of an admitted Workload's status that says that its run goes on; None where that is said.

    With `waitForPodsReady` Kueue takes back the quota of what says nothing for a while.
    """
    if _holds(_conditions(body), "PodsReady") or not _holds(_conditions(body), "Admitted"):
        return None
    return _told(body, now, ("PodsReady", True, "Started", "The run has begun in KFP"))


def quota_given_back(body: Mapping[str, Any], now: datetime) -> Json | None:
    """The patch of an evicted Workload's status that lets it wait again; None where it is not evicted.

    Kueue keeps the quota of what it evicted until whoever runs it says that nothing of it runs any more.
    """
    conditions = _conditions(body)
    evicted = conditions.get("Evicted", {})
    if evicted.get("status") != "True" or not _holds(conditions, "QuotaReserved"):
        return None
    reason, words = evicted.get("reason", "Evicted"), evicted.get("message", "")
    patch = _told(
        body,
        now,
        ("Requeued", reason in _REQUEUED, reason, words),
        ("QuotaReserved", False, "Pending", words),
        ("Admitted", False, "NoReservation", "The workload has no reservation"),
        ("PodsReady", False, "WaitForStart", "The run has ended"),
    )
    patch["status"]["admission"] = None
    return patch


def _told(body: Mapping[str, Any], now: datetime, *told: tuple[str, bool, str, str]) -> Json:
    """A patch with these conditions and all others; it is refused where somebody wrote in between."""
    conditions = _conditions(body)
    at = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    for kind, holds, why, message in told:
        before = conditions.get(kind, {})
        since = before["lastTransitionTime"] if before.get("status") == str(holds) else at
        conditions[kind] = {
            "type": kind, "status": str(holds), "reason": why, "message": message, "lastTransitionTime": since,
            "observedGeneration": body["metadata"].get("generation", 1),
        }  # fmt: skip
    version = {"resourceVersion": body["metadata"]["resourceVersion"]}
    return {"metadata": version, "status": {"conditions": list(conditions.values())}}


def _conditions(body: Mapping[str, Any]) -> dict[str, Json]:
    return {each["type"]: dict(each) for each in body.get("status", {}).get("conditions") or ()}


def in_order(workloads: list[Workload], queue: str) -> list[Workload]:
    """Those that wait in a queue, the next one first: by priority, then by age, as Kueue takes them."""
    found = [each for each in workloads if each.queue == queue and each.waits]
    return sorted(found, key=lambda each: (-each.priority, each.created, each.name))


def places(workloads: list[Workload], queue: str, now: datetime) -> dict[str, Place]:
    """Where each one that waits in a queue stands, by name, and when it is likely to have quota.

    It is taken that what has quota now ends after its usual time, that each end lets the next one in, and that who has
    no usual time of its own takes as long as the others do. Sizes are not looked at.
    """
    line = in_order(workloads, queue)
    begins = _begins(line, [each for each in workloads if each.queue == queue and each.reserved and not each.over], now)
    return {each.name: Place(place, len(line), begins.get(each.name)) for place, each in enumerate(line, 1)}


def _begins(line: list[Workload], running: list[Workload], now: datetime) -> dict[str, datetime]:
    known = sorted(each.usual for each in (*line, *running) if each.usual is not None)
    if not known or not running:
        return {}
    middle = known[len(known) // 2]
    ends = [max(now, each.reserved + _length(each, middle)) for each in running if each.reserved]
    heapify(ends)
    found = {}
    for each in line:
        found[each.name] = _rounded(begin := heappop(ends), now)
        heappush(ends, begin + _length(each, middle))
    return found


def _length(workload: Workload, middle: float) -> timedelta:
    return timedelta(seconds=workload.usual if workload.usual is not None else middle)


def _rounded(begin: datetime, now: datetime) -> datetime:
    """Up to a full minute, ten minutes or hour, by how far it is: so an estimate seldom changes."""
    wait = begin - now
    step = 60 if wait < timedelta(minutes=10) else 600 if wait < timedelta(hours=2) else 3600
    return datetime.fromtimestamp(-(-begin.timestamp() // step) * step, UTC)


def _holds(conditions: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _seconds(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdecimal() else None

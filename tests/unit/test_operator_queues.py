"""Runs that wait for quota: what their tickets decide, how these stand in line, and how big they are."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.cluster.run_requests import run_requests
from sluice.cluster.spec import compile_for_cluster
from sluice.core.errors import BadInput
from sluice.operator import evidence as seen
from sluice.operator.actions import CancelRun, Queue, StartRun
from sluice.operator.backfilling import BackfillState, advance
from sluice.operator.on_cluster.tickets import (
    Owner,
    Workload,
    in_order,
    new_workload,
    places,
    quota_given_back,
    read_workload,
    run_begun,
)
from sluice.operator.queueing import successor_key
from sluice.operator.reconciling import reconcile
from sluice.operator.specs import BackfillSpec
from sluice.running.catalog import find_pipeline
from tests.unit.operator_worlds import BEGIN, SUBJECT, KilledHere, MemoryWorld, training

MINUTE = timedelta(minutes=1)


def world(queue: str = "runs", **fields: object) -> MemoryWorld:
    """A world whose lake asks for a run, which has to pass a queue."""
    fields = {"triggers": [{"name": "new", "data": {}}], "cost": {"perRun": 5}} | fields
    found = MemoryWorld(training(queue=queue, **fields), queued=seen.QueueSeen(name=queue))
    found.lake("d1", 100)
    return found


def look(place: MemoryWorld) -> None:
    """Reconcile until nothing changes any more."""
    for _ in range(4):
        reconcile(place, "team", "late")
    before = place.state
    reconcile(place, "team", "late")
    assert place.state == before


def condition(place: MemoryWorld) -> tuple[str, str, str]:
    found = next(each for each in place.state.conditions if each.type == "Queued")
    return found.status, found.reason, found.message


def test_a_run_waits_with_a_place_and_begins_once_it_is_admitted() -> None:
    place = world()
    look(place)
    assert not place.runs
    place.tell(place=2, waiting=3, begins=BEGIN + 20 * MINUTE, words="insufficient quota for cpu")
    look(place)
    assert not place.runs
    assert place.state.phase == "Queued"
    status, reason, message = condition(place)
    assert (status, reason) == ("True", "Waiting")
    assert "place 2 of 3 in the queue runs" in message
    assert "2026-01-01 12:20 UTC (an estimate)" in message
    assert "Kueue: insufficient quota for cpu" in message
    assert (place.state.intents[0].place, place.state.intents[0].begins) == (2, BEGIN + 20 * MINUTE)
    waits = [each for each in place.kept.values() if each.rule == "queue"]
    assert [each.inputs["place"] for each in waits] == [1, 2]
    place.clock += 9 * 60 * MINUTE  # long after it was ordered
    place.tell(state="admitted")
    look(place)
    assert len(place.runs) == 1
    assert place.queued
    assert [each.begun for each in place.queued.tickets or ()] == [True]
    assert condition(place)[:2] == ("False", "NothingWaits")
    assert place.state.phase == "Training"
    assert place.state.intents[0].place is None
    place.end(place.open[0], "succeeded")
    look(place)
    assert place.queued
    assert place.queued.tickets == ()
    assert [each.runs for each in place.state.days.values()] == [1]


def test_a_run_that_began_after_a_long_wait_is_not_gone_at_once() -> None:
    place = world()
    look(place)
    place.clock += 9 * 60 * MINUTE
    place.tell(state="admitted")
    look(place)
    held, place.runs = place.runs, {}  # KFP's list lags behind
    look(place)
    assert place.state.intents[0].state == "running"
    place.runs = held


def test_quota_that_is_taken_back_ends_the_run_and_another_waits_in_its_place() -> None:
    place = world()
    look(place)
    place.tell(state="admitted")
    look(place)
    [first] = place.open
    place.tell(state="evicted", words="preempted for a run of more weight")
    look(place)
    assert place.runs[first].state == "cancelled"
    assert place.queued
    [ticket] = place.queued.tickets or ()
    assert (ticket.name, ticket.state) == (first, "waiting")
    assert len(place.runs) == 1
    before, now = place.state.intents
    assert (before.key, before.state) == (first, "cancelled")
    assert (now.key, now.state, now.ticket) == (successor_key(first), "ordered", first)
    assert any("preempted for a run" in each.words for each in place.kept.values() if each.rule == "evicted")
    place.tell(state="admitted")
    look(place)
    assert place.open == [successor_key(first)]
    assert (place.state.failures, [each.runs for each in place.state.days.values()]) == (0, [1])
    place.end(place.open[0], "succeeded")
    look(place)
    assert place.queued.tickets == ()
    assert place.state.learned["lake"].dataset == "d1"
    assert len(place.runs) == 2


def test_a_person_who_ends_a_run_is_not_overruled() -> None:
    place = world()
    look(place)
    place.tell(state="admitted")
    look(place)
    place.end(place.open[0], "cancelled")
    look(place)
    assert len(place.runs) == 1
    assert place.queued
    assert place.queued.tickets == ()


def test_a_queue_that_is_not_there_is_told_and_nothing_begins() -> None:
    place = world()
    place.queued = seen.QueueSeen(name="runs", fault="there is no LocalQueue runs in namespace team: make it")
    look(place)
    assert condition(place) == ("Unknown", "NoQueue", "there is no LocalQueue runs in namespace team: make it")
    place.queued = seen.QueueSeen(name="runs", tickets=None)
    look(place)
    assert condition(place)[1] == "NotAsked"
    assert not place.runs
    place.queued = seen.QueueSeen(name="runs")
    look(place)
    place.tell(state="admitted")
    look(place)
    assert len(place.runs) == 1


def test_another_queue_is_entered_and_no_queue_is_left() -> None:
    place = world()
    look(place)
    place.queued = place.queued and place.queued.model_copy(update={"name": "other"})
    look(place)
    assert place.queued
    assert [each.queue for each in place.queued.tickets or ()] == ["other"]
    place.queued = place.queued.model_copy(update={"name": ""})
    look(place)
    assert len(place.runs) == 1
    assert place.queued.tickets == ()


def test_who_is_deleted_leaves_no_ticket() -> None:
    place = world()
    look(place)
    place.deleted = True
    look(place)
    assert place.queued
    assert place.queued.tickets == ()
    assert not place.runs


def test_a_pipeline_that_is_not_there_fails_the_intent() -> None:
    def trouble(call: str) -> None:
        if call == "queue":
            raise BadInput("KFP has no pipeline supervised; put it there")

    place = world(retries=0)
    place.trouble = trouble
    look(place)
    assert place.state.intents[0].state == "failed"
    assert "put it there" in place.state.decisions[-1].words or "put it there" in str(place.state.decisions)


@pytest.mark.parametrize("call", ["queue", "queue done", "start_run", "start_run done", "save done", "cancel_run"])
@pytest.mark.parametrize("times", [1, 2])
def test_who_is_killed_loses_nothing_and_doubles_nothing(call: str, times: int) -> None:
    place, left = world(), times

    def killed(name: str) -> None:
        nonlocal left
        if name == call and left:
            left -= 1
            raise KilledHere

    def lived() -> None:
        for _ in range(6):
            try:
                reconcile(place, "team", "late")
            except KilledHere:
                continue

    place.trouble = killed
    lived()
    place.tell(state="admitted")
    lived()
    assert len(place.runs) == 1
    place.tell(state="evicted")
    lived()
    place.tell(state="admitted")
    lived()
    assert [run.state for run in place.runs.values()] == ["cancelled", "running"]


# -- Backfills


def filled(spec: BackfillSpec, state: BackfillState, runs: list[seen.RunSeen], *tickets: seen.Ticket) -> Any:
    queue = seen.QueueSeen(name="runs", tickets=tickets)
    return advance(SUBJECT, spec, state, runs, "c" * 64, BEGIN, queue=queue)


def test_partitions_wait_too_and_one_that_is_evicted_runs_again() -> None:
    given = {"project": "flights", "parameter": "month", "first": "2013-01", "last": "2013-02", "queue": "runs"}
    spec = BackfillSpec.model_validate(given)
    first = filled(spec, BackfillState(), [])
    [enter] = first.actions
    assert enter == Queue("enter", enter.ticket, first.state.running["2013-01"])
    ticket = seen.Ticket(name=enter.ticket, state="waiting", queue="runs", place=1, waiting=1)
    waits = filled(spec, first.state, [], ticket)
    assert waits.actions == ()
    assert "place 1 of 1 in the queue runs" in waits.state.words
    admitted = ticket.model_copy(update={"state": "admitted", "place": None})
    [begin] = filled(spec, waits.state, [], admitted).actions
    assert isinstance(begin, StartRun)
    run = seen.RunSeen(key=begin.key, id="r", state="running")
    assert filled(spec, waits.state, [run], admitted).actions == (Queue("begun", enter.ticket, begin.key),)
    taken = ticket.model_copy(update={"state": "evicted", "place": None, "words": "preempted"})
    ends = filled(spec, waits.state, [run], taken)
    assert ends.actions == (CancelRun(begin.key, "preempted"),)
    again = filled(spec, ends.state, [run.model_copy(update={"state": "cancelled"})], taken)
    assert again.state.ended == {}
    assert again.actions == (Queue("again", enter.ticket, successor_key(begin.key)),)
    [second] = filled(spec, again.state, [], admitted).actions
    assert second.key == successor_key(begin.key)
    assert second.parameters["month"] == "2013-01"
    done = seen.RunSeen(key=second.key, id="s", state="succeeded")
    after = filled(spec, again.state, [done], admitted)
    assert [each.step for each in after.actions if isinstance(each, Queue)] == ["enter", "leave"]
    assert after.state.ended == {"2013-01": "succeeded"}


# -- Workloads


def held(
    name: str, minute: int, *, priority: int = 0, reserved: int | None = None, usual: float | None = 600
) -> Workload:
    return Workload(
        name=name, queue="runs", owner=Owner("ContinuousTraining", name, "uid"), key=name, priority=priority,
        created=BEGIN + minute * MINUTE, reserved=None if reserved is None else BEGIN + reserved * MINUTE,
        admitted=reserved is not None, evicted=False, begun=False, over=False, usual=usual, words="",
    )  # fmt: skip


def test_places_go_by_priority_then_by_age() -> None:
    line = [held("c", 3), held("a", 1), held("runs", 0, reserved=0), held("first", 9, priority=5), held("b", 2)]
    assert [each.name for each in in_order(line, "runs")] == ["first", "a", "b", "c"]
    assert in_order(line, "other") == []


def test_the_estimate_lets_one_in_for_each_that_ends() -> None:
    now = BEGIN + 5 * MINUTE
    running = [held("x", 0, reserved=0, usual=600), held("y", 0, reserved=3, usual=1200)]
    line = [held("a", 1, usual=300), held("b", 2, usual=None), held("c", 3)]
    # x ends at minute 10; a after it at 15, b then; y ends at 23, and c takes its place
    assert begins([*running, *line], now) == [BEGIN + 10 * MINUTE, _tens(15), _tens(23)]
    assert begins(line, now) == [None, None, None]  # nothing runs that could end
    assert begins([held("x", 0, reserved=0, usual=None), held("a", 1, usual=None)], now) == [None]
    late = [held("x", 0, reserved=0), held("a", 1)]
    assert begins(late, BEGIN + 90 * MINUTE) == [BEGIN + 90 * MINUTE]  # it takes longer than usual


def begins(workloads: list[Workload], now: datetime) -> list[datetime | None]:
    return [each.begins for each in places(workloads, "runs", now).values()]


def _tens(minute: int) -> datetime:
    return BEGIN + -(-minute // 10) * 10 * MINUTE


def workload(**conditions: tuple[str, str, str]) -> dict[str, Any]:
    """As Kueue 0.17 writes it; each condition with status, reason and message."""
    body = new_workload(Owner("ContinuousTraining", "late", "u1"), "runs", "k" * 64, {"cpu": "200m"}, 90.4, "v1beta2")
    body["metadata"] |= {"creationTimestamp": "2026-01-01T12:00:00Z", "resourceVersion": "7", "generation": 2}
    told = [
        {"type": kind, "status": status, "reason": reason, "message": message,
         "lastTransitionTime": "2026-01-01T12:01:00Z"}
        for kind, (status, reason, message) in conditions.items()
    ]  # fmt: skip
    return body | {"status": {"conditions": told, "admission": {"clusterQueue": "all"}}}


def test_a_workload_is_read_as_kueue_means_it() -> None:
    plain = read_workload(workload())
    assert (plain.owner, plain.key, plain.usual) == (Owner("ContinuousTraining", "late", "u1"), "k" * 64, 90.0)
    assert (plain.waits, plain.admitted, plain.evicted) == (True, False, False)
    stuck = read_workload(workload(QuotaReserved=("False", "Pending", "no\n quota")))
    assert (stuck.waits, stuck.words) == (True, "no quota")
    reserved = read_workload(workload(QuotaReserved=("True", "QuotaReserved", "")))
    assert (reserved.waits, reserved.admitted) == (False, False)  # its admission checks are not done
    whole = {"QuotaReserved": ("True", "QuotaReserved", ""), "Admitted": ("True", "Admitted", "")}
    assert read_workload(workload(**whole)).admitted
    begun = run_begun(workload(**whole), BEGIN)
    assert begun
    assert read_workload(workload() | {"status": begun["status"]}).begun
    assert run_begun(workload() | {"status": begun["status"]}, BEGIN) is None
    assert run_begun(workload(), BEGIN) is None
    taken = workload(**whole, Evicted=("True", "Preempted", "for another"))
    found = read_workload(taken)
    assert (found.evicted, found.admitted, found.words) == (True, False, "for another")
    patch = quota_given_back(taken, BEGIN)
    assert patch
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["status"]["admission"] is None
    after = read_workload(taken | {"status": patch["status"]})
    assert (after.waits, after.evicted, after.admitted) == (True, False, False)
    assert quota_given_back(taken | {"status": patch["status"]}, BEGIN) is None
    foreign = workload()
    foreign["metadata"] |= {"annotations": {}, "labels": {}}
    assert read_workload(foreign).owner is None
    stopped = workload(**whole)
    stopped["spec"]["active"] = False
    assert read_workload(stopped).evicted
    assert "spec.active" in read_workload(stopped).words


# -- requests


def spec_of(
    edges: dict[str, list[str]], requests: dict[str, dict[str, Any]], **tasks: dict[str, Any]
) -> dict[str, Any]:
    return {
        "root": {
            "dag": {
                "tasks": {
                    name: {"componentRef": {"name": name}, "dependentTasks": before, **tasks.get(name, {})}
                    for name, before in edges.items()
                }
            }
        },
        "components": {name: {"executorLabel": name} for name in edges},
        "deploymentSpec": {"executors": {name: {"container": {"resources": requests[name]}} for name in edges}},
    }


def test_what_may_run_together_is_counted_together() -> None:
    small = {"resourceCpuRequest": "250m", "resourceMemoryRequest": "1Gi"}
    big = {
        "resourceCpuRequest": "1",
        "resourceMemoryLimit": "3Gi",
        "accelerator": {"count": "1", "type": "nvidia.com/gpu"},
    }
    edges = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    found = run_requests(spec_of(edges, {"a": small, "b": small, "c": big, "d": small}))
    assert found == {"cpu": "1250m", "memory": str(4 * 2**30), "nvidia.com/gpu": "1"}
    loop = {"parameterIterator": {"items": {"raw": "[1,2,3]"}}, "iteratorPolicy": {"parallelismLimit": 2}}
    assert run_requests(spec_of({"a": []}, {"a": small}, a=loop))["cpu"] == "500m"
    placeholder = {"resourceCpuRequest": "{{$.inputs.parameters['cpu']}}"}
    assert run_requests(spec_of({"a": []}, {"a": placeholder})) == {}
    many = {f"t{n}": ([f"t{n - 1}"] if n else []) for n in range(20)}
    assert run_requests(spec_of(many, dict.fromkeys(many, small)))["cpu"] == "5000m"  # an upper bound all the same


def test_a_fused_run_is_one_pod() -> None:
    supervised = find_pipeline("supervised")
    fused = run_requests(compile_for_cluster(supervised, fused=True).pipeline)
    apart = run_requests(compile_for_cluster(supervised).pipeline)
    assert fused == {"cpu": "200m", "memory": str(2**30)}
    assert int(apart["cpu"][:-1]) >= 200
    assert int(apart["memory"]) >= 2**30

"""The operator's process while a part of its world is away, and under a storm of events: nothing lost, nothing double.

KFP is a stand-in (kfp_stand_in); the Kubernetes API server, the registry's database and the store are real, and are
taken away and given back. SLUICE_OPERATOR_EVENTS=10000 sends so many events (`make fuzz`).
"""

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.operator.evidence import EventSeen
from sluice.operator.keys import event_mark, marks_of
from tests.charts.api_server import ApiServer
from tests.charts.kfp_stand_in import StandIn
from tests.charts.operator_process import Operator, event, operators, project, status, training

pytestmark = pytest.mark.xdist_group("api_server")
Json = dict[str, Any]
EVENTS = int(os.environ.get("SLUICE_OPERATOR_EVENTS", "300"))
SENDERS = 8
ON_EVENTS = [{"name": "arrived", "event": {"type": "com.example.arrived"}}]


@pytest.fixture
def operator(operator_api: ApiServer, kfp: StandIn, registry: Path, tmp_path: Path) -> Iterator[Operator]:
    """One that works, and a ContinuousTraining that listens to events."""
    (tmp_path / "sluice").mkdir()
    shutil.copy(registry, tmp_path / "sluice")
    (tmp_path / "certs").symlink_to(operator_api.home / "certs")
    operator_api.kubectl("delete", "continuoustrainings,requests,backfills,modelservers,projects", "--all")
    operator_api.kubectl("delete", "lease", "sluice-operator")
    operator_api.apply([project(), training("late", triggers=ON_EVENTS, concurrency=20)])
    with operators(operator_api, tmp_path, kfp.url) as make:
        made = make(lease={"name": "sluice-operator", "seconds": 10})  # which a busy machine does not lose
        made.start()
        made.ready()
        yield made


def condition(api: ApiServer, kind: str) -> Json:
    return next((each for each in status(api, "late").get("conditions", ()) if each["type"] == kind), {})


def taken(operator: Operator, number: int) -> Callable[[], bool]:
    """Send an event, as its sender does until it is taken."""
    return lambda: operator.send(event(number)) == 202


def one_run_each(operator: Operator, kfp: StandIn, count: int) -> None:
    operator.until(lambda: len(kfp.live()) == count, f"{count} runs: {kfp.live()}")
    assert set(kfp.live().values()) == {1}, kfp.live()


def test_an_api_server_that_ends_and_begins_again(operator_api: ApiServer, kfp: StandIn, operator: Operator) -> None:
    """Longer than the Lease is held, so the process ends, too; the kubelet, here the test, begins another."""
    operator.until(taken(operator, 1), "the first event to be taken")
    one_run_each(operator, kfp, 1)
    operator_api.stop()
    try:
        assert operator.send(event(2)) != 202, "nothing is confirmed that is in no status"
        assert operator.ended(60) == 1, operator.log()
        assert "the Lease is lost" in operator.log()
    finally:
        operator_api.start()
    operator.start()
    operator.ready()
    for number in (1, 2):
        operator.until(taken(operator, number), f"event {number} to be taken")
    one_run_each(operator, kfp, 2)


def test_a_registry_that_is_away_is_said_and_keeps_no_run_from_beginning(
    operator_api: ApiServer, kfp: StandIn, operator: Operator
) -> None:
    database = operator.home / "sluice/mlflow.db"
    kept = database.rename(operator.home / "kept.db")
    database.write_bytes(b"no database")
    operator.kill()  # whatever was known of it is forgotten
    operator.start()
    operator.ready()
    operator.until(taken(operator, 1), "the event to be taken")
    one_run_each(operator, kfp, 1)
    operator.until(lambda: condition(operator_api, "Ready").get("status") == "Unknown", "the condition")
    assert "registry" in condition(operator_api, "Ready")["message"]
    kept.rename(database)
    operator.until(taken(operator, 2), "the next event to be taken")
    operator.until(lambda: condition(operator_api, "Ready").get("status") == "True", "the condition")
    one_run_each(operator, kfp, 2)


def test_a_store_that_is_away_delays_and_doubles_nothing(
    operator_api: ApiServer, kfp: StandIn, operator: Operator
) -> None:
    """No run begins that is on no record; all begin when there is a place for the record again."""
    store = operator.home / "store"
    operator.until(lambda: status(operator_api, "late").get("decisions"), "a first look")
    shutil.move(store, operator.home / "away")
    store.write_text("a file where the store was")
    taken_first = [operator.send(event(number)) for number in range(3)]
    assert not kfp.begun(), taken_first
    store.unlink()
    shutil.move(operator.home / "away", store)
    for number in range(3):
        operator.until(taken(operator, number), f"event {number} to be taken")
    operator.until(lambda: kfp.live(), "a run")
    operator.until(lambda: len(list(store.rglob("decisions/**/*.json"))) >= 2, "the decisions to be on record")
    assert set(kfp.live().values()) == {1}


def test_kfp_that_is_away_while_many_events_come(operator_api: ApiServer, kfp: StandIn, operator: Operator) -> None:
    kfp.away = True
    for number in range(5):
        operator.until(taken(operator, number), f"event {number} to be taken")  # in the status: KFP is not asked
    assert not kfp.begun()
    kfp.lose, kfp.double, kfp.away = 1, 1, False
    operator.until(lambda: kfp.live() and set(kfp.live().values()) == {1}, "runs after KFP came back")
    begun = {each["key"] for each in status(operator_api, "late")["intents"]}
    operator.until(lambda: len(kfp.live()) == len(begun), f"a run for each of {len(begun)} intents: {kfp.live()}")


def storm(seed: int) -> list[Json]:
    """EVENTS events, each one of ten times fewer: doubled, in any order, some of them late by days."""
    rng = random.Random(seed)
    distinct = []
    for number in range(EVENTS // 10):
        late = {"time": f"2026-{rng.randint(1, 9):02}-11T00:00:00Z"} if rng.random() < 0.3 else {}
        distinct.append(event(number) | late)
    sent = [rng.choice(distinct) for _ in range(EVENTS - len(distinct))] + distinct
    rng.shuffle(sent)
    return sent


def finish(kfp: StandIn) -> None:
    """Runs end, but none that was doubled and is not ended yet: no run of KFP's is over before anybody looks at it."""
    if set(kfp.live().values()) <= {1}:
        kfp.finish()


def test_a_storm_of_doubled_reordered_and_late_events_loses_and_doubles_nothing(
    operator_api: ApiServer, kfp: StandIn, operator: Operator
) -> None:
    """All senders at once, each sending what was not taken again; KFP loses answers and doubles what it is told."""
    sent = storm(EVENTS)
    kfp.lose = kfp.double = 2
    refused = list[Json]()

    def send(own: list[Json]) -> None:
        for each in own:
            for _ in range(20):
                if operator.send(each) == 202:
                    break
            else:
                refused.append(each)

    threads = [threading.Thread(target=send, args=(sent[number::SENDERS],)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        finish(kfp)  # so that the next may begin
        threads[0].join(0.5)
        for thread in threads:
            thread.join(0.05)
    assert not refused, (len(refused), operator.log())
    wanted = {event_mark(EventSeen(id=each["id"], source=each["source"])) for each in sent}
    assert wanted <= set(marks_of(status(operator_api, "late")["events"])), "an event that was confirmed is forgotten"

    def calm() -> bool:
        finish(kfp)
        found = status(operator_api, "late")
        return not found.get("pending") and not any(
            each.get("state", "ordered") in ("ordered", "running") for each in found["intents"]
        )

    operator.until(calm, "all that waits to be dealt with", 240)
    doubled = {name: count for name, count in kfp.live().items() if count != 1}
    assert not doubled
    assert 1 <= len(kfp.live()) <= len(wanted)

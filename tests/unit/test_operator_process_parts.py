"""The queue, the inbox, the index and the runs of the operator's process, each by itself."""

import subprocess
import sys
import threading
import time

import pytest

from sluice.core.errors import EnvironmentFault
from sluice.operator.evidence import EventSeen
from sluice.operator.on_cluster.event_inbox import MOST, EventInbox
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.on_cluster.work_queue import FIRST_PAUSE, LONGEST_PAUSE, Key, WorkQueue

KEY, OTHER = Key("ContinuousTraining", "late"), Key("ContinuousTraining", "houses")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_handed_out_once_and_never_to_two() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add(KEY)
    queue.add(OTHER)
    first, second = queue.take(), queue.take()
    assert first
    assert second
    assert {first[0], second[0]} == {KEY, OTHER}
    queue.add(KEY)  # while somebody works on it
    assert len(queue) == 0
    queue.done(KEY)
    again = queue.take()
    assert again
    assert again[0] == KEY
    queue.close()
    assert queue.take() is None


def test_the_earliest_moment_counts() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(KEY, 100)
    queue.add(KEY, 10)
    queue.add(KEY, 50)
    assert len(queue) == 0
    clock.now = 11
    assert queue.take() == (KEY, 10)
    queue.add(KEY, 5)
    queue.done(KEY)
    clock.now = 200
    assert queue.take() == (KEY, 16)


def test_failures_wait_ever_longer_but_not_for_ever() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(KEY)
    pauses = []
    for _ in range(12):
        assert queue.take()
        pauses.append(queue.done(KEY, failed=True) or 0)
        clock.now += 100
    assert 0.8 * FIRST_PAUSE <= pauses[0] <= 1.2 * FIRST_PAUSE
    assert pauses[0] < pauses[3] < pauses[5]
    assert max(pauses) <= 1.2 * LONGEST_PAUSE
    assert queue.take()
    queue.done(KEY)
    queue.add(KEY)
    assert queue.take()
    assert (queue.done(KEY, failed=True) or 0) < 1


def event(number: int) -> EventSeen:
    return EventSeen(id=str(number), source="/tests")


def test_a_sender_is_told_when_all_have_saved() -> None:
    inbox, told = EventInbox(), list[str]()
    assert inbox.put([(event(1), ["late", "houses"])], lambda: told.append("first"))
    assert inbox.put([(event(1), ["late"]), (event(2), [])], lambda: told.append("again"))
    assert inbox.put([(event(3), [])], lambda: told.append("nobody's"))
    assert told == ["nobody's"]
    assert len(inbox) == 2
    seen = inbox.of("late")
    assert inbox.put([(event(4), ["late"])], lambda: told.append("later"))
    inbox.saved("late", seen)
    assert told == ["nobody's", "again"]
    inbox.drop("houses")
    assert told == ["nobody's", "again", "first"]
    assert inbox.of("late") == (event(4),)


def test_an_inbox_has_an_end() -> None:
    inbox = EventInbox()
    assert inbox.put([(event(n), ["late"]) for n in range(MOST)], lambda: None)
    assert not inbox.put([(event(MOST), ["late"])], lambda: None)
    assert len(inbox) == MOST


def resource(name: str, generation: int = 1, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": generation}, "spec": spec}


def test_only_what_changes_a_decision_is_looked_at() -> None:
    index = ResourceIndex()
    assert index.put("ContinuousTraining", resource("late", project="flights")) == [KEY]
    assert index.put("ContinuousTraining", resource("late", project="flights") | {"status": {"phase": "Idle"}}) == []
    assert index.put("ContinuousTraining", resource("late", 2, project="flights")) == [KEY]
    assert index.put("Project", resource("flights")) == [Key("Project", "flights"), KEY]
    asked = resource("one", target="late", action="train")
    assert index.put("Request", asked) == [KEY]
    assert [known.name for known in index.requests("late")] == ["one"]
    index.put("Request", asked | {"status": {"accepted": True}})
    assert index.requests("late") == []
    assert index.remove("ContinuousTraining", "late") == []


def test_an_event_goes_to_those_who_listen() -> None:
    index = ResourceIndex()
    triggers = [{"name": "t", "event": {"type": "a", "source": "s3://lakes"}}]
    index.put("ContinuousTraining", resource("late", triggers=triggers))
    index.put("ContinuousTraining", resource("deaf", triggers=[{"name": "t", "schedule": {"cron": "0 3 * * *"}}]))
    index.put("ContinuousTraining", resource("all", triggers=[{"name": "t", "event": {}}]))
    assert index.listeners(EventSeen(id="1", source="s3://lakes/x", type="a")) == ["late", "all"]
    assert index.listeners(EventSeen(id="1", source="s3://other", type="a")) == ["all"]


def test_workers_take_turns() -> None:
    """1,000 keys, 4 workers: each key at most once at a time, none forgotten."""
    queue, busy, done, lock = WorkQueue(), set[Key](), dict[Key, int](), threading.Lock()

    def work() -> None:
        while taken := queue.take():
            with lock:
                assert taken[0] not in busy
                busy.add(taken[0])
            with lock:
                busy.discard(taken[0])
                done[taken[0]] = done.get(taken[0], 0) + 1
            queue.done(taken[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    keys = [Key("ContinuousTraining", str(n % 100)) for n in range(1000)]
    for key in keys:
        queue.add(key)
    end = time.monotonic() + 20
    while len(done) < 100 or len(queue):
        assert time.monotonic() < end
        time.sleep(0.01)
    queue.close()
    for thread in threads:
        thread.join(5)
    assert set(done) == set(keys)


def test_a_lost_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """KFP did not say whether a run began: nothing is begun until it would have been seen."""
    from sluice.cluster.kfp_api import KfpApi, Listed
    from sluice.operator.on_cluster import kfp_runs

    asked = list[str]()

    class Away(KfpApi):
        def __init__(self) -> None:
            self.there: list[Listed] = []

        def runs_named(self, name: str) -> list[Listed]:
            return [each for each in self.there if each.name == name]

        def experiment(self, name: str) -> str:
            return name

        def create_run(self, name: str, *_: object, **__: object) -> str:
            asked.append(name)
            raise EnvironmentFault("no answer")

    api = Away()
    runs = kfp_runs.KfpRuns(api)
    order = kfp_runs.Order("late", "k" * 64, ("p", "v"), {}, "")
    for _ in range(3):
        with pytest.raises(EnvironmentFault):
            runs.begin(order)
    assert len(asked) == 1
    api.there.append(Listed("r1", kfp_runs.run_name("late", "k" * 64), "RUNNING", "2026-01-02T03:04:05+00:00", None))
    assert runs.begin(order) == "r1"
    assert len(asked) == 1


def test_alert_rules_ask_for_what_is_told() -> None:
    import re
    from pathlib import Path

    import promql_parser

    from sluice.operator.on_cluster.alert_rules import RULES, text
    from sluice.operator.on_cluster.process_metrics import ProcessMetrics

    metrics = ProcessMetrics()
    for name in ("lease_held", "queue_depth"):
        metrics.gauge(name, name, lambda: 1.0)
    metrics.failures.labels("Project").inc()
    told = metrics.text().decode()
    for rule in RULES:
        promql_parser.parse(rule.expression)
        for name in re.findall(r"sluice_operator_\w+", rule.expression):
            assert f"\n{name}" in told, name
    written = Path(__file__).parents[2] / "manifests/monitoring/operator-alert-rules.yaml"
    assert written.read_text() == text()


def test_the_process_holds_none_of_the_libraries_that_models_take() -> None:
    """Each of them takes more memory than all resources of a namespace together."""
    code = (
        "import sys; import sluice.operator.on_cluster.process\n"
        "heavy = {'scipy', 'pandas', 'pyarrow', 'sklearn', 'mlflow', 'kfp', 'kubernetes.client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

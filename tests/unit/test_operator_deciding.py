"""The rules by which the operator decides, each on a world in memory."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator import evidence as seen
from sluice.operator.reconciling import reconcile
from sluice.operator.state import EVENTS_REMEMBERED, Decision
from tests.unit.operator_worlds import BEGIN, KilledHere, MemoryWorld, training

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROWS = {"name": "rows", "data": {"rows": 100}}
NIGHTLY = {"name": "nightly", "schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}}
TOLD = {"name": "told", "event": {"type": "new", "source": "bucket"}}


def world(**fields: object) -> MemoryWorld:
    return MemoryWorld(training(**fields))


def look(place: MemoryWorld, later: timedelta = timedelta(0)) -> Decision:
    """Reconcile, later; the newest decision. Looking again at once changes nothing."""
    place.clock += later
    reconcile(place, "team", "late")
    state = place.state
    reconcile(place, "team", "late")
    before = place.state
    reconcile(place, "team", "late")
    assert place.state == before
    assert {each.key for each in state.intents} == {each.key for each in before.intents}
    return state.decisions[-1]


def ended(place: MemoryWorld, state: seen.RunState = "succeeded", *, passed: bool = True) -> None:
    """End all runs that are on their way, and see it."""
    for key in place.open:
        place.end(key, state, passed=passed)
    reconcile(place, "team", "late")


def request(place: MemoryWorld, action: str, **fields: object) -> str:
    uid = f"uid-{len(place.answers) + len(place.requests)}"
    place.requests[uid] = seen.RequestSeen(
        uid=uid, name=f"name-{uid}", action=action, by="ada", created=place.clock, **fields
    )  # type: ignore[arg-type]
    return uid


def trained(place: MemoryWorld, dataset: str = "d1", rows: int = 1000) -> MemoryWorld:
    """After a first run that succeeded."""
    place.lake(dataset, rows)
    look(place)
    ended(place)
    assert len(place.runs) == 1
    return place


def test_new_data_train_once_and_a_few_rows_do_not() -> None:
    place = trained(world(triggers=[ROWS]))
    assert look(place, HOUR).rule == "no trigger"
    place.lake("d2", 1050)
    decision = look(place, HOUR)
    assert (decision.outcome, len(place.runs)) == ("nothing", 1)
    assert "50 rows more" in decision.words
    assert decision.count == 2  # the same rule on other data
    place.lake("d3", 1100)
    assert look(place, HOUR).outcome == "start"
    assert len(place.runs) == 2


def test_a_touched_file_trains_nobody_and_data_that_come_back_neither() -> None:
    place = trained(world(triggers=[{"name": "any", "data": {}}]))
    place.lake("d1", 1000)  # arrived anew, the same content
    assert look(place, DAY).outcome == "nothing"
    place.lake("d2", 1000)
    look(place, HOUR)
    ended(place)
    place.lake("d1", 1000)
    decision = look(place, HOUR)
    assert (decision.rule, len(place.runs)) == ("same data", 2)


def test_what_is_new_waits_for_its_labels() -> None:
    place = trained(world(triggers=[{"name": "any", "data": {}}], labelDelay="7d"))
    place.lake("d2", 1500)
    decision = look(place, HOUR)
    assert (decision.outcome, decision.rule) == ("wait", "labels")
    assert place.woken == BEGIN + 7 * DAY
    place.lake("d3", 1600)  # what came first is ripe first
    assert look(place, 7 * DAY - HOUR - timedelta(seconds=1)).rule == "labels"
    assert look(place, timedelta(seconds=1)).outcome == "start"


def test_only_rows_with_labels_count_where_they_are_counted() -> None:
    place = world(triggers=[ROWS], labelDelay="7d")
    place.lake("d1", 1000, 1000)
    look(place)
    ended(place)
    place.lake("d2", 1500, 1050)
    assert look(place, HOUR).outcome == "nothing"
    place.lake("d3", 1500, 1100)
    assert look(place, HOUR).outcome == "start"


def test_a_new_partition_and_age_are_enough() -> None:
    spec = {"name": "new", "data": {"rows": 10**6, "age": "3d", "partition": "month"}}
    place = world(triggers=[spec])
    place.lake("d1", 1000, **{"2013-01": 1000})
    look(place)
    ended(place)
    place.lake("d2", 1010, **{"2013-01": 1010})
    assert look(place, HOUR).outcome == "nothing"
    assert place.woken == BEGIN + 3 * DAY
    assert look(place, 3 * DAY).outcome == "start"
    ended(place)
    place.lake("d3", 1011, **{"2013-01": 1010, "2013-02": 1})
    assert "month 2013-02 is new" in look(place, HOUR).words


def test_cooldown_concurrency_and_budget_hold_and_lose_nothing() -> None:
    spec = {"runsPerDay": 2}
    place = trained(world(triggers=[{"name": "any", "data": {}}], cooldown="6h", budget=spec))
    place.lake("d2", 1)
    assert look(place, HOUR).rule == "cooldown"
    assert look(place, 5 * HOUR).outcome == "start"
    place.lake("d3", 1)
    assert look(place, timedelta(minutes=1)).rule == "cooldown"
    ended(place)
    place.clock = BEGIN.replace(hour=23)
    assert look(place).rule == "cooldown"
    place.clock = BEGIN.replace(hour=23, minute=59)
    place.state = place.state.model_copy(update={"last_start": BEGIN})
    assert look(place).rule == "budget"
    assert look(place, HOUR).outcome == "start"


def test_money_a_month_holds_for_persons_too() -> None:
    place = world(cost={"perRun": 40}, budget={"perMonth": 100, "runsPerDay": 50}, concurrency=20)
    for _ in range(4):
        request(place, "train")
    look(place)
    assert len(place.runs) == 2
    assert len(place.requests) == 2
    decision = place.state.decisions[-1]
    assert (decision.outcome, decision.rule) == ("wait", "budget")
    assert "80.00 EUR of 100.00" in decision.words
    place.clock = datetime(2026, 2, 1, tzinfo=UTC)
    look(place)
    assert len(place.runs) == 4


def test_what_a_run_did_cost_takes_the_place_of_its_price() -> None:
    place = world(cost={"perRun": 40}, budget={"perMonth": 100, "runsPerDay": 50})
    request(place, "train")
    look(place)
    key = place.open[0]
    place.end(key, "succeeded")
    place.runs[key] = place.runs[key].model_copy(update={"cost": 90.0})
    request(place, "train")
    look(place)
    assert len(place.runs) == 1
    assert place.state.decisions[-1].rule == "budget"


def test_events_train_once_however_often_they_come() -> None:
    place = world(triggers=[TOLD])
    event = seen.EventSeen(id="1", source="bucket/a", type="new")
    place.events = [event, event, seen.EventSeen(id="2", source="bucket/a", type="new")]
    look(place)
    assert len(place.runs) == 1
    assert "and 1 before" in place.state.intents[-1].reason
    ended(place)
    look(place, DAY)
    place.events = [event]
    assert look(place, DAY).outcome != "start"
    place.events = [event.model_copy(update={"type": "old"}), seen.EventSeen(id="9", source="else", type="new")]
    look(place, DAY)
    assert len(place.runs) == 1
    assert any(each.rule == "event for nobody" for each in place.state.decisions)


def test_an_event_too_old_to_be_told_from_a_known_one_is_refused() -> None:
    place = world(triggers=[TOLD], suspend=True)
    for number in range(0, EVENTS_REMEMBERED + 1000, 1000):
        place.events = [
            seen.EventSeen(id=str(number + i), source="bucket", type="new", time=BEGIN) for i in range(1000)
        ]
        reconcile(place, "team", "late")
    assert place.state.pending[0].count == 6000
    assert len(place.state.events) <= EVENTS_REMEMBERED * 8
    assert len(place.state.model_dump_json()) < 100_000
    place.events = [seen.EventSeen(id="0", source="bucket", type="new", time=BEGIN - 2 * DAY)]
    look(place)
    assert any(each.rule == "too old an event" for each in place.state.decisions)


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("one", 1), ("all", 3)])
def test_missed_times_follow_their_policy(missed: str, runs: int) -> None:
    schedule = {"cron": "0 3 * * *", "missed": missed}
    place = world(triggers=[{"name": "nightly", "schedule": schedule}], budget={"runsPerDay": 100})
    look(place)
    place.clock = BEGIN + 3 * DAY  # three nights passed
    for _ in range(4):
        look(place)
        ended(place)
    assert len(place.runs) == runs
    place.clock = (BEGIN + 4 * DAY).replace(hour=3, minute=1)
    look(place)
    assert len(place.runs) == runs + 1


def test_times_are_those_of_the_time_zone_in_summer_and_winter() -> None:
    place = world(triggers=[NIGHTLY])
    look(place)
    assert place.woken == datetime(2026, 1, 2, 2, tzinfo=UTC)
    place.clock = datetime(2026, 7, 1, 12, tzinfo=UTC)
    look(place)
    assert place.woken == datetime(2026, 7, 2, 1, tzinfo=UTC)


def test_a_clock_that_jumps_repeats_and_loses_no_time() -> None:
    place = world(triggers=[{"name": "hourly", "schedule": {"cron": "0 * * * *"}}], budget={"runsPerDay": 100})
    look(place)
    for _ in range(3):
        look(place, HOUR)
        ended(place)
    assert len(place.runs) == 3
    look(place, -2 * HOUR)  # back by two: those times had their runs
    look(place, HOUR)
    look(place, HOUR)
    ended(place)
    assert len(place.runs) == 3
    look(place, HOUR)
    ended(place)
    assert len(place.runs) == 4
    look(place, 365 * DAY)  # a year ahead by mistake
    ended(place)
    assert len(place.runs) == 5
    look(place, -365 * DAY)
    look(place, HOUR)
    ended(place)
    assert len(place.runs) == 6


def test_a_run_that_fails_is_begun_again_and_then_left() -> None:
    place = world(triggers=[{"name": "any", "data": {}}], retries=1)
    place.lake("d1", 10)
    look(place)
    ended(place, "failed")
    look(place, timedelta(minutes=5))
    assert len(place.runs) == 1
    look(place, timedelta(minutes=5))
    assert len(place.runs) == 2
    ended(place, "failed")
    decision = look(place, 10 * DAY)
    assert len(place.runs) == 2
    assert decision.rule == "same data"
    assert place.state.phase == "Failing"
    ready = next(each for each in place.state.conditions if each.type == "Ready")
    assert (ready.status, ready.reason, ready.message) == ("False", "RunsFail", "the last 2 runs failed")
    place.lake("d2", 11)
    look(place, DAY)
    assert len(place.runs) == 3


def test_a_run_that_a_person_ends_is_not_begun_again() -> None:
    place = world(triggers=[{"name": "any", "data": {}}])
    place.lake("d1", 10)
    look(place)
    ended(place, "cancelled")
    assert look(place, DAY).rule == "same data"


def test_persons_train_on_the_same_data_during_cooldown_and_canary() -> None:
    place = trained(world(triggers=[ROWS], cooldown="30d"))
    place.canary = seen.CanarySeen(version="1", since=BEGIN)
    uid = request(place, "train", parameters={"rounds": 9})
    look(place)
    assert len(place.runs) == 2
    assert place.answers[uid].accepted
    assert place.orders[place.open[0]].parameters == {"rounds": 9}
    assert place.state.intents[-1].by == "ada"


def test_triggers_wait_for_a_canary() -> None:
    place = trained(world(triggers=[{"name": "any", "data": {}}]))
    place.lake("d2", 10)
    place.canary = seen.CanarySeen(version="1", since=BEGIN)
    assert look(place, HOUR).rule == "canary"
    place.canary = None
    assert look(place, HOUR).outcome == "start"


def test_suspended_nothing_begins_and_nothing_is_lost() -> None:
    place = world(triggers=[TOLD], suspend=True)
    place.events = [seen.EventSeen(id="1", source="bucket", type="new")]
    uid = request(place, "train")
    look(place)
    assert not place.runs
    place.events = []
    place.spec = training(triggers=[TOLD], concurrency=2)
    look(place, DAY)
    look(place)
    assert len(place.runs) == 2
    assert place.answers[uid].accepted


def approving(deadline: str = "3d") -> MemoryWorld:
    place = world(triggers=[{"name": "any", "data": {}}], promotion={"by": "approval", "deadline": deadline})
    place.lake("d1", 10)
    look(place)
    assert place.orders[place.open[0]].hold
    ended(place)
    assert not place.champions
    assert len(place.asked) == 1
    return place


def test_an_approval_promotes_and_names_the_person() -> None:
    place = approving()
    wrong = request(place, "approve", version="7")
    look(place, HOUR)
    assert not place.answers[wrong].accepted
    right = request(place, "approve", version="1", reason="looks well")
    look(place, HOUR)
    assert place.answers[right].accepted
    assert place.answers[right].words == "version 1 is champion: approved by ada: looks well"
    assert place.champions[-1].version == "1"
    decision = next(each for each in place.state.decisions if each.outcome == "promote")
    assert (decision.by, decision.rule) == ("ada", "approved")
    assert place.state.approval is None
    late = request(place, "approve", version="1")
    look(place, HOUR)
    assert not place.answers[late].accepted


def test_a_refusal_and_an_expired_approval_leave_the_champion() -> None:
    for how in ("refuse", "expire"):
        place = approving()
        if how == "refuse":
            request(place, "refuse", reason="no")
        else:
            assert place.woken == place.state.approval.deadline  # type: ignore[union-attr]
        look(place, 3 * DAY if how == "expire" else HOUR)
        assert place.state.approval is None
        assert any(each.outcome == "refuse" for each in place.state.decisions)
        uid = request(place, "approve", version="1")
        look(place, HOUR)
        assert not place.answers[uid].accepted
        assert not place.champions


def test_a_newer_version_takes_the_place_of_one_that_waits() -> None:
    place = approving()
    place.lake("d2", 20)
    look(place, HOUR)
    ended(place)
    assert place.state.approval
    assert place.state.approval.version == "2"
    assert any(each.rule == "superseded" for each in place.state.decisions)


def two_champions(**fields: object) -> MemoryWorld:
    place = world(**fields)
    place.crown("1")
    place.clock += DAY
    place.crown("2")
    return place


def test_a_bad_champion_is_rolled_back_by_its_labels_once() -> None:
    place = two_champions(rollback={"performance": {"worse": 0.05}})
    place.clock += DAY
    place.window(0.2, noise=0.2)  # not surely so
    assert look(place).outcome == "nothing"
    place.window(0.2)
    look(place)
    assert place.champions[-1].version == "1"
    decision = next(each for each in place.state.decisions if each.outcome == "roll back")
    assert decision.rule == "worse than judged"
    assert "0.2" in decision.words
    assert look(place, HOUR).outcome == "nothing"
    place.clock += DAY
    place.window(0.3)  # of version 1 now: version 2 is no good champion to go back to
    assert look(place).outcome == "nothing"
    assert place.champions[-1].version == "1"
    assert any(each.rule == "no good champion" for each in place.state.decisions)


def test_an_old_champion_is_not_rolled_back_by_itself() -> None:
    place = two_champions(rollback={"performance": {"worse": 0.05}, "within": "10d"})
    place.clock += 11 * DAY
    place.window(0.2)
    assert look(place).outcome == "nothing"


def test_servers_that_do_not_answer_roll_back_after_a_while() -> None:
    place = two_champions(rollback={"unhealthy": "30s"})
    place.server = seen.ServerSeen(version="2", healthy=False, since=place.clock, reason="no pod is ready")
    assert look(place, timedelta(seconds=29)).outcome == "nothing"
    assert place.woken == place.clock + timedelta(seconds=1)
    look(place, timedelta(seconds=1))
    assert place.champions[-1].version == "1"


def test_persons_roll_back_and_promote() -> None:
    place = two_champions()
    request(place, "rollback", reason="complaints")
    look(place)
    assert place.champions[-1].version == "1"
    request(place, "promote", version="2", reason="it was the weather")
    look(place, HOUR)
    assert place.champions[-1].version == "2"
    uid = request(place, "promote", version="2", reason="again")
    look(place, HOUR)
    assert not place.answers[uid].accepted


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_who_asks_is_answered_once_the_registry_agrees(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias has to stand where it was asked to stand: that it was set is no answer."""
    place = two_champions()
    to = "3" if action == "promote" else "1"
    move = "promote" if action == "promote" else "roll_back"
    done, asked = getattr(MemoryWorld, move), list[object]()
    monkeypatch.setattr(MemoryWorld, move, lambda _self, _loaded, order: asked.append(order))  # it does not take hold
    uid = request(place, action, reason="complaints", **({"version": to} if action == "promote" else {}))
    wake = reconcile(place, "team", "late")
    assert asked
    assert uid not in place.answers
    assert wake is not None
    assert wake <= place.clock + timedelta(seconds=10)
    monkeypatch.setattr(MemoryWorld, move, done)
    look(place, timedelta(seconds=5))
    assert place.champions[-1].version == to
    assert place.answers[uid].accepted
    assert place.answers[uid].words.startswith(f"version {to} is champion: ")
    assert "asked for by ada: complaints" in place.answers[uid].words
    assert len([each for each in place.state.decisions if each.outcome in ("promote", "roll back")]) == 1


def test_who_asks_is_told_what_the_registry_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    place = two_champions()

    def refuse(*_: object) -> None:
        raise BadInput("its files were changed")

    monkeypatch.setattr(MemoryWorld, "promote", refuse)
    uid = request(place, "promote", version="3", reason="it was the weather")
    look(place)
    assert not place.answers[uid].accepted
    assert place.answers[uid].words == "the champion stays: its files were changed"
    assert place.champions[-1].version == "2"


def test_performance_trains_by_labels_that_have_come_and_by_estimates() -> None:
    trigger = {"name": "worse", "performance": {"worse": 0.05, "windows": 2}}
    place = world(triggers=[trigger], labelDelay="5d")
    place.crown("1")
    place.lake("d1", 1000)
    look(place)
    place.lake("d2", 2000)
    place.clock += DAY
    place.window(0.1, by="estimated")
    assert look(place).outcome == "nothing"
    place.clock += DAY
    place.window(0.1, settled=False)  # labels are not there yet
    assert look(place).outcome == "nothing"
    assert look(place, 5 * DAY).outcome == "start"


def test_performance_that_is_acted_on_trains_once() -> None:
    place = world(triggers=[{"name": "worse", "performance": {"worse": 0.05}}])
    place.crown("1")
    place.lake("d1", 1000)
    look(place)
    place.lake("d2", 2000)
    place.window(0.1)
    assert look(place, HOUR).outcome == "start"
    ended(place, passed=False)
    place.lake("d3", 3000)
    assert look(place, HOUR).outcome == "nothing"


def test_drift_alone_on_the_same_data_trains_nobody() -> None:
    place = trained(world(triggers=[{"name": "moved", "drift": {}}, {"name": "any", "data": {}}]))
    place.window(0.0)
    place.windows[-1] = place.windows[-1].model_copy(update={"inputs": 1.5})
    assert look(place, HOUR).rule == "same data"


def test_evidence_only_is_told_and_trains_nobody() -> None:
    trigger = TOLD | {"evidenceOnly": True}
    place = world(triggers=[trigger])
    place.events = [seen.EventSeen(id="1", source="bucket", type="new")]
    look(place)
    assert not place.runs
    assert any("(evidence only)" in each.words for each in place.kept.values())


def test_an_upstream_model_trains_when_its_version_changes() -> None:
    place = world(triggers=[{"name": "up", "model": {"name": "weather"}}])
    version = seen.VersionSeen(model="weather", version="1", digest="a", since=BEGIN)
    place.upstream = (version,)
    assert look(place).outcome == "nothing"
    place.upstream = (version.model_copy(update={"version": "2", "digest": "b"}),)
    assert look(place, HOUR).outcome == "start"
    ended(place)
    assert look(place, HOUR).outcome == "nothing"


def test_costs_decide_under_policy_cost() -> None:
    cost = {"perRun": 10, "perUnitLoss": 1, "rowsPerDay": 1000, "horizon": "30d"}
    place = world(triggers=[{"name": "any", "data": {}}], policy="cost", cost=cost)
    place.lake("d1", 1000)
    assert look(place).rule == "trigger"  # no champion: there is nothing to weigh
    ended(place)
    for day in range(12):
        place.clock += DAY
        place.lake(f"day-{day}", 1000 + day)
        place.window(0.0, noise=0.0005)
        decision = look(place)
        assert (decision.outcome, decision.rule) == ("nothing", "a run costs more")
    assert decision.cost
    assert decision.cost.run == 10
    for _ in range(3):
        place.clock += DAY
        place.window(0.05, noise=0.0005)
    decision = look(place)
    assert (decision.outcome, decision.rule) == ("start", "stale costs more")
    assert decision.cost
    assert decision.cost.saved > 10


def test_a_refused_run_is_a_failure_on_record() -> None:
    place = world(triggers=[{"name": "any", "data": {}}])
    place.lake("d1", 10)

    def refuse(call: str) -> None:
        if call == "start_run":
            raise BadInput("pipeline supervised has no parameter 'rnds'")

    place.trouble = refuse
    reconcile(place, "team", "late")
    place.trouble = lambda _: None
    assert "rnds" in place.state.decisions[-1].words
    assert look(place, DAY).rule == "same data"


def test_while_kfp_is_away_the_intent_stays() -> None:
    place = world(triggers=[TOLD])
    place.events = [seen.EventSeen(id="1", source="bucket", type="new")]
    place.faults = (seen.Fault(part="runs", words="KFP is away"),)
    with pytest.raises(EnvironmentFault):
        reconcile(place, "team", "late")
    place.events = []
    assert [each.state for each in place.state.intents] == ["ordered"]
    place.faults = ()
    look(place, HOUR)
    assert len(place.runs) == 1


def test_deletion_ends_what_runs() -> None:
    place = world(triggers=[{"name": "any", "data": {}}])
    place.lake("d1", 10)
    look(place)
    place.deleted = True
    reconcile(place, "team", "late")
    assert [run.state for run in place.runs.values()] == ["cancelled"]


def test_a_record_that_was_not_kept_is_kept_by_the_next() -> None:
    place = world(triggers=[{"name": "any", "data": {}}])
    place.lake("d1", 10)

    def kill(call: str) -> None:
        if call == "save done":
            raise KilledHere

    place.trouble = kill
    with pytest.raises(KilledHere):
        reconcile(place, "team", "late")
    assert not place.kept
    place.trouble = lambda _: None
    reconcile(place, "team", "late")
    assert [each.outcome for each in place.kept.values()][:1] == ["start"]


def test_the_lineage_numbers_every_decision() -> None:
    place = trained(world(triggers=[ROWS]))
    for number in range(15):
        place.lake(f"x{number}", 1001)
        look(place, HOUR)
    assert sorted(place.kept) == list(range(1, place.state.decided + 1))
    assert len(place.state.decisions) <= 10


def test_freshness_says_since_when_and_why() -> None:
    place = trained(world(triggers=[ROWS]))
    assert place.state.freshness.stale_since is None
    place.lake("d2", 1010)
    look(place, HOUR)
    place.lake("d3", 1020)
    look(place, 9 * DAY)
    assert place.state.freshness.stale_since == BEGIN
    assert "20 rows more" in place.state.freshness.words
    stale = next(each for each in place.state.conditions if each.type == "Fresh")
    assert stale.status == "False"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"triggers": [{"name": "a"}]}, "nothing"),
        ({"triggers": [ROWS, ROWS]}, "two triggers"),
        ({"triggers": [{"name": "a", "schedule": {"cron": "61 * * * *"}}]}, "no schedule"),
        ({"triggers": [{"name": "a", "schedule": {"cron": "0 0 31 2 *"}}]}, "no schedule"),
        ({"triggers": [{"name": "a", "schedule": {"cron": "0 3 * * *", "timeZone": "Mars/Base"}}]}, "time zone"),
        ({"cooldown": "5 hours"}, "cooldown"),
        ({"policy": "cost"}, "cost.perRun"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        training(**fields)

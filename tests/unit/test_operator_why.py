"""`sluice why`: what was decided, from the store; and backfills."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.digests import canonical_json
from sluice.core.errors import BadInput
from sluice.operator.backfilling import BackfillState, advance, partitions_of
from sluice.operator.decision_records import read_decisions
from sluice.operator.evidence import RunSeen
from sluice.operator.reconciling import reconcile
from sluice.operator.specs import BackfillSpec
from sluice.operator.state import Freshness
from sluice.operator.why import staleness_words
from sluice.operator.worlds import Subject
from sluice.storage.local_store import LocalStore
from tests.unit.operator_worlds import BEGIN, SUBJECT, MemoryWorld, training

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A store with the decisions of a week, as a laptop and as a cluster keep them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    world = MemoryWorld(training(triggers=[{"name": "rows", "data": {"rows": 100}}]))
    world.lake("d1", 1000)
    reconcile(world, "team", "late")
    world.end(world.open[0], "succeeded")
    for day in range(7):
        world.clock += DAY
        world.lake(f"day-{day}", 1001 + day)
        reconcile(world, "team", "late")
    from sluice.storage.locations import default_store

    kept = default_store()
    for number, decision in world.kept.items():
        document = {"schema": 1, "namespace": "team", "name": "late", **decision.document()}
        kept.put_if_absent(f"decisions/team/late-ct/uid-{number:08d}.json", canonical_json(document))
    kept.put_if_absent("decisions/team/other/000001.json", canonical_json(world.kept[1].document() | {"model": "else"}))
    assert isinstance(kept, LocalStore)
    return kept


@pytest.mark.usefixtures("store")
def test_why_tells_each_decision_and_how_stale_the_model_is() -> None:
    done = CliRunner().invoke(app, ["why", "late", "--whole"])
    assert done.exit_code == 0, done.exception
    told = done.output
    assert "start (trigger)" in told
    assert "a run begins: rows: nothing was learned from dataset d1 yet" in told
    assert "stale, because the lake lake has 7 rows more" in told
    assert "code: ccc" in told


def test_why_as_json_by_name_and_of_nobody(store: LocalStore) -> None:
    found = json.loads(CliRunner().invoke(app, ["why", "late-ct", "--json", "--last", "3"]).output)
    assert [each["name"] for each in found] == ["late-ct"] * 3
    assert len(read_decisions(store, "late")) > 3
    assert [each.name for each in read_decisions(store, "else")] == ["other"]
    done = CliRunner().invoke(app, ["why", "nobody"])
    assert isinstance(done.exception, BadInput)


def test_a_model_is_fresh_or_so_many_days_stale() -> None:
    stale = Freshness(stale_since=BEGIN, words="the lake has 5 rows more")
    assert staleness_words(stale, BEGIN + 9 * DAY) == "this model is 9 days stale, because the lake has 5 rows more"
    assert staleness_words(stale, BEGIN + DAY / 2) == "this model is 12 hours stale, because the lake has 5 rows more"
    assert staleness_words(Freshness(words="nothing newer"), BEGIN) == "this model is fresh: nothing newer"


def backfill(**fields: object) -> BackfillSpec:
    return BackfillSpec.model_validate({"project": "flights", "parameter": "month"} | fields)


def test_partitions_are_days_weeks_and_months() -> None:
    assert partitions_of(backfill(first="2012-11", last="2013-02")) == ["2012-11", "2012-12", "2013-01", "2013-02"]
    assert partitions_of(backfill(first="2013-02-27", last="2013-03-01", every="day"))[-1] == "2013-03-01"
    assert partitions_of(backfill(first="2013-01-01", last="2013-01-31", every="week"))[-1] == "2013-01-29"
    for wrong in ({"first": "2013-13", "last": "2013-14"}, {"first": "2013-01-01", "last": "2013-01-02"}):
        with pytest.raises(ValueError, match="2013-01"):
            partitions_of(backfill(**wrong))


@pytest.mark.parametrize("on_failure", ["stop", "go on"])
def test_a_backfill_goes_in_order_so_many_at_a_time_and_each_once(on_failure: str) -> None:
    spec = backfill(first="2013-01", last="2013-12", parallel=3, onFailure=on_failure)
    subject, state, runs, begun = Subject("team", "year", "u"), BackfillState(), dict[str, RunSeen](), list[str]()
    for turn in range(40):
        outcome = advance(subject, spec, state, list(runs.values()), "c" * 64, BEGIN)
        state = BackfillState.model_validate(json.loads(json.dumps(outcome.state.document())))
        for order in outcome.actions:
            if turn % 3 == 0:
                break  # killed before it was done: it is ordered again
            if order.key not in runs:
                begun.append(order.parameters["month"])
                runs[order.key] = RunSeen(key=order.key, id=order.key[:6], state="running")
        open_ones = [each for each in runs.values() if each.state == "running"]
        assert len(open_ones) <= 3
        if open_ones:
            month = begun[list(runs).index(open_ones[0].key)]
            end = "failed" if month == "2013-05" else "succeeded"
            runs[open_ones[0].key] = open_ones[0].model_copy(update={"state": end})
    assert begun == sorted(set(begun))
    assert len(begun) == (12 if on_failure == "go on" else 7)
    assert state.phase == "Failed"
    assert "failed: 2013-05" in state.words


def test_nothing_begins_without_code_or_while_suspended() -> None:
    for spec, code in (
        (backfill(first="2013-01", last="2013-02"), ""),
        (backfill(partitions=["a"], suspend=True), "c"),
    ):
        outcome = advance(SUBJECT, spec, BackfillState(), [], code, BEGIN)
        assert not outcome.actions

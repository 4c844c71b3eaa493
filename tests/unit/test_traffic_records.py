"""A canary's records: what servers count is added up, decided on, written down and carried out."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.digests import canonical_json
from sluice.core.errors import BadInput
from sluice.registry.promotions import promotions
from sluice.registry.versions import CHAMPION, version_by_alias
from sluice.serving.aliases import CHALLENGER
from sluice.serving.canary import Plan, difference
from sluice.serving.canary_counts import GROUPS, MOST_BLOCKS, Cells, Counts, is_valid, read_cells
from sluice.serving.canary_watch import Watch, begin, end
from sluice.serving.exchange import Answer
from sluice.serving.followed import Followed
from sluice.serving.losses import LossRows, loss_cells
from sluice.serving.registered import Registered, open_registry
from sluice.serving.traffic import Split
from sluice.serving.traffic_records import TrafficRecords, weight_by
from sluice.storage.locations import default_store
from sluice.storage.stores import Store
from tests.unit import small_world
from tests.unit.test_register import Pipeline
from tests.unit.traffic_world import MODEL, FakeRegistry, Served, digest_of, exchange, running

PLAN = Plan(steps=(0.1, 0.5), first_look=100)
FIRST, SECOND = (Registered(MODEL, number, digest_of(number)) for number in "12")


def counted(errors: float = 0.0, requests: int = 6000, seed: int = 0) -> dict[str, Any]:
    """What a server counted of a step: the challenger fails in so many more of its requests."""
    generator, cells = np.random.default_rng(seed), Cells()
    for arm in (0, 1):
        for moment in range(requests // 40):
            for _ in range(4):
                bad = generator.binomial(10, 0.002 + errors * arm)
                numbers = np.array([10.0, bad, 0.0, 10 * -6 + generator.normal()])
                cells.add(1_700_000_000 + moment, int(generator.integers(GROUPS)), arm, numbers)
    return cells.to_json()


def put(store: Store, place: str, cells: dict[str, Any], process: str = "p") -> None:
    store.put_bytes(f"traffic/{MODEL}/counts/{place}/{process}.json", canonical_json(cells))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    from sluice.storage.stores import open_store

    return open_store(str(tmp_path / "store"))


def watch_of(store: Store) -> Watch:
    return Watch(store, MODEL, FakeRegistry(champion="1", challenger="2"))


def test_records_are_chained_and_what_was_touched_shows(local: Store) -> None:
    records = TrafficRecords(local, MODEL)
    began = begin(records, FIRST, SECOND, PLAN, "to see", 1000.0)
    assert (began.number, began.canary, began.weight, began.when) == (1, 1, 0.1, "1970-01-01T00:16:40+00:00")
    with pytest.raises(BadInput, match="a canary of late/2 is running"):
        begin(TrafficRecords(local, MODEL), FIRST, SECOND, PLAN, "again", 1001.0)
    ended = end(records, "enough", 1002.0)
    assert (ended.canary, ended.weight, ended.running) == (1, 0.0, False)
    with pytest.raises(BadInput, match="no canary of late is running"):
        end(records, "enough", 1003.0)
    assert begin(records, FIRST, SECOND, PLAN, "again", 1004.0).canary == 3
    again = TrafficRecords(local, MODEL)
    assert again.refresh() == records.last
    key = f"traffic/{MODEL}/records/000002.json"
    local.put_bytes(key, local.get_bytes(key).replace(b"enough", b"badly!"))
    with pytest.raises(BadInput, match=r"000003\.json does not follow"):
        TrafficRecords(local, MODEL).refresh()
    local.put_bytes(key, b"{}")
    with pytest.raises(BadInput, match=r"000002\.json is no record of a canary"):
        TrafficRecords(local, MODEL).refresh()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(PLAN, steps=()), r"steps \(none\)"),
        (replace(PLAN, steps=(0.5, 0.1)), "steps 50, 10: give growing"),
        (replace(PLAN, steps=(0.5, 1.0)), "below 100"),
        (replace(PLAN, guards=("speed",)), "guard 'speed' is none of errors, slow, latency, loss"),
        (replace(PLAN, guards=()), "without a guard"),
        (replace(PLAN, alpha=0.0), "alpha=0"),
        (replace(PLAN, power=1.0), "power=1"),
    ],
)
def test_a_plan_that_is_none_is_refused(local: Store, plan: Plan, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        begin(TrafficRecords(local, MODEL), FIRST, SECOND, plan, "to see", 0.0)
    with pytest.raises(BadInput, match="is the champion's very model"):
        begin(TrafficRecords(local, MODEL), FIRST, replace(SECOND, digest=FIRST.digest), PLAN, "to see", 0.0)


def test_weights_are_those_of_the_pair_alone(local: Store) -> None:
    began = begin(TrafficRecords(local, MODEL), FIRST, SECOND, PLAN, "to see", 0.0)
    assert weight_by(began, FIRST.digest, SECOND.digest) == 0.1
    assert weight_by(began, SECOND.digest, FIRST.digest) == 0
    assert weight_by(began, FIRST.digest, "e" * 64) == 0
    assert weight_by(None, FIRST.digest, SECOND.digest) == 0


def test_a_bad_challenger_is_rolled_back_on_what_all_servers_counted(local: Store) -> None:
    watch = watch_of(local)
    assert watch.look(0.0) == (None, None)
    begin(watch.records, FIRST, SECOND, PLAN, "to see", 0.0)
    record, verdict = watch.look(1.0)
    assert record is None
    assert verdict is not None
    assert verdict.reason == "0 of 100 requests until the next look"
    put(local, "1-0", counted(), "one")
    put(local, "1-0", counted(0.08, seed=1), "other")
    record, verdict = watch.look(2.0)
    assert record is not None
    assert verdict is not None
    assert (record.event, record.weight, record.canary) == ("roll back", 0.0, 1)
    assert "the challenger is worse: errors 4." in record.reason
    assert record.verdict["findings"][0]["counts"] == [12000, 12000]
    kept = json.loads(local.get_bytes(f"traffic/{MODEL}/evidence/{record.evidence}.json"))
    again = difference(_arms(kept["requests"]))[0].value
    assert again == pytest.approx(record.verdict["findings"][0]["difference"])
    assert watch.look(3.0) == (None, None)


def _arms(cells: dict[str, Any]) -> Any:
    from sluice.serving.canary import Arms

    return Arms(*read_cells(cells).arms(0))


def test_holds_are_on_record_and_each_step_has_counts_of_its_own(local: Store) -> None:
    watch = watch_of(local)
    begin(watch.records, FIRST, SECOND, PLAN, "to see", 0.0)
    put(local, "1-0", counted(0.006, requests=440))
    record, _ = watch.look(1.0)
    assert record is not None
    assert (record.event, record.weight, record.state["looks"]) == ("hold", 0.1, 1)
    assert "not proven yet: errors" in record.reason
    assert watch.look(2.0)[0] is None, "until the next look"
    put(local, "1-0", counted())
    record, _ = watch.look(3.0)
    assert record is not None
    assert (record.event, record.weight, record.place) == ("advance", 0.5, "1-1")
    assert watch.look(4.0)[1].reason == "0 of 100 requests until the next look"  # type: ignore[union-attr]
    put(local, "1-1", {"width": 4})
    with pytest.raises(BadInput, match="holds no counts"):
        watch.look(5.0)


def test_labels_that_have_come_decide_with_the_rest(local: Store) -> None:
    class Known:
        def since(self, moment: float) -> LossRows:
            assert moment == 0.0
            count, generator = 4000, np.random.default_rng(0)
            losses = generator.exponential(0.5, count)
            worse = losses + 0.05 + generator.normal(0, 0.05, count)
            requests = [f"r{n}" for n in range(count)]
            return LossRows(
                requests * 2,
                [0] * 2 * count,
                [FIRST.digest] * count + [SECOND.digest] * count,
                [""] * 2 * count,
                np.tile(np.arange(count) / 20, 2),
                np.concatenate([losses, worse]),
            )

    watch = Watch(local, MODEL, FakeRegistry(champion="1", challenger="2"), losses=Known())
    begin(watch.records, FIRST, SECOND, replace(PLAN, guards=("errors", "loss")), "to see", 0.0)
    put(local, "1-0", counted())
    record, _ = watch.look(1.0)
    assert record is not None
    assert record.event == "roll back"
    assert "the challenger is worse: loss 0." in record.reason


def test_rows_that_both_judged_are_compared_with_themselves() -> None:
    rows = LossRows(
        ["a", "a", "a", "b", "c", "c"],
        [0, 0, 0, 0, 0, 1],
        ["x", "y", "x", "x", "x", "y"],
        [""] * 6,
        np.zeros(6),
        np.array([1.0, 2.0, 1.5, 9.0, 9.0, 9.0]),
    )
    cells = loss_cells(rows, "x", "y")
    np.testing.assert_array_equal(cells.arms(0)[0], [[1, 1.5, 1, 2.0]])  # the corrected one, and nothing unpaired
    alone = replace(rows, requests=list("abcdef"))
    assert loss_cells(alone, "x", "y").counts() == (4, 2)


MOMENTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 63), st.booleans()), max_size=50)


@given(MOMENTS, MOMENTS)
def test_cells_of_servers_add_up_in_fixed_memory(some: list[Any], more: list[Any]) -> None:
    def cells(seen: list[Any]) -> Cells:
        found = Cells()
        for moment, group, arm in seen:
            found.add(moment, group, int(arm), np.array([1.0, 2.0, 3.0, 4.0]))
        return found

    merged = read_cells(json.loads(canonical_json(cells(some).to_json())))
    merged.merge(cells(more))
    blocks, groups = merged.arms(1)
    assert len(blocks) <= MOST_BLOCKS
    np.testing.assert_allclose(blocks.sum(axis=0), groups.sum(axis=0))
    challengers = sum(arm for *_, arm in (*some, *more))
    assert merged.counts() == (len(some) + len(more) - challengers, challengers)
    assert groups[:, 1].sum() == 3 * merged.counts()[0]


def test_only_what_the_split_chose_is_counted(tmp_path: Path) -> None:
    served, split = Served(tmp_path / "served"), Split()
    counts = Counts(lambda: split.stand)
    split.weigh(lambda _champion, _challenger: 0.4)
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    split.settle(CHALLENGER, served.loaded("2", CHALLENGER))
    counts.observed(exchange(split.chosen("r", "s"), subject="s"))
    counts.begin("salt", 0.25)
    for number in range(60):
        loaded = split.chosen("", f"s{number}")
        counts.observed(exchange(loaded, subject=f"s{number}", moment=1000.0 + number, seconds=0.5))
        other = next(each for each in split.versions() if each is not loaded)
        counts.observed(exchange(other, subject=f"s{number}"))  # asked for by its name
    counts.failed(CHALLENGER)
    found = read_cells(counts.cells())
    assert sum(found.counts()) == 61
    assert 12 < found.counts()[1] < 36
    slow, errors = found.arms(1)[0].sum(axis=0), found.arms(0)[0].sum(axis=0)
    assert slow[1] + slow[3] == 60
    assert (errors[1], errors[3]) == (0, 1)


@pytest.mark.parametrize("values", [[[0.5, np.nan]], [[0.5, 0.6]], [[1.2, -0.2]], [np.inf]])
def test_an_answer_that_is_none_is_an_error(values: list[Any]) -> None:
    assert not is_valid(Answer(np.array(values), None))
    assert is_valid(Answer(np.array([[0.25, 0.75]]), None))
    assert is_valid(Answer(np.array([3.0, -5.0]), None))


def wait(seen: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_servers_follow_the_records_and_put_what_they_count_into_the_store(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.serving.followed.TELLING", 0.05)
    monkeypatch.setattr("sluice.serving.followed.RARELY", 0.05)
    served, registry = Served(tmp_path / "served"), FakeRegistry(champion="1", challenger="2")
    followed = Followed(MODEL, registry, served, local, slices=["carrier"], pause=0.02)
    watch = watch_of(local)
    with running(followed):
        wait(lambda: len(followed.versions()) == 2)
        assert followed.split.stand.weight == 0
        began = begin(watch.records, FIRST, SECOND, replace(PLAN, steps=(0.3, 0.6)), "to see", time.time())
        wait(lambda: followed.split.stand.weight == 0.3)
        for number in range(200):
            seen = exchange(followed.chosen(f"r{number}", ""), request=f"r{number}", moment=time.time())
            for observer in followed.observers:
                observer.observed(seen)
        counts = f"traffic/{MODEL}/counts/{began.place}/"
        wait(lambda: _counted(local, counts) == 200)
        end(watch.records, "enough", time.time())
        wait(lambda: followed.split.stand.weight == 0)
        registry.down = True
        wait(lambda: followed.numbers()["sluice_registry_up"] == 0)
        assert followed.chosen("r", "").name == "late/1"
    (key,) = local.keys(f"traffic/{MODEL}/servers/")
    told = json.loads(local.get_bytes(key))
    assert told["details"]["versions"] == {"champion": "late/1", "challenger": "late/2"}
    assert told["shadow"]["requests"] + told["shadow"]["left_out"] == 200
    assert sum(each["rows"] for each in told["shadow"]["slices"]["carrier"].values()) == told["shadow"]["rows"]


def _counted(store: Store, prefix: str) -> int:
    return sum(sum(read_cells(json.loads(store.get_bytes(key))).counts()) for key in store.keys(prefix))


@pytest.fixture
def two_versions(tracked_home: Path, tmp_path: Path) -> Path:
    """A registry where version 1 is champion and version 2, which the gate refused, challenger."""
    pipeline = Pipeline(small_world.splits(), tmp_path / "work")
    assert pipeline(small_world.GOOD).record.decision == "promoted"
    assert pipeline(small_world.WORSE).record.decision == "refused"
    return tracked_home


def test_a_promotion_by_canary_goes_the_way_of_all_promotions(two_versions: Path) -> None:
    runner, store = CliRunner(), default_store()
    _wrong_words(runner)
    done = runner.invoke(app, ["canary", MODEL, "--reason", "to see", "--steps", "50"], catch_exceptions=False)
    assert done.output.startswith("begin late/2 at 0.5, record 1: to see")
    put(store, "1-0", counted())
    watch = Watch(store, MODEL, open_registry())
    record, _ = watch.look(time.time())
    assert record is not None
    assert (record.event, record.weight) == ("promote", 0.0)
    champion = version_by_alias(MODEL, CHAMPION)
    assert champion is not None
    assert champion.version == "2"
    last = promotions(store, MODEL)[-1]
    assert (last.decision, last.version, last.replaced) == ("promoted", "2", "1")
    assert last.evidence["canary"] == {"record": 2, "cells": record.evidence}
    told = runner.invoke(app, ["traffic", MODEL], catch_exceptions=False).output
    assert "challenger late/2, champion late/2" in told
    assert "promote" in told
    body = json.loads(runner.invoke(app, ["traffic", MODEL, "--json"], catch_exceptions=False).output)
    assert [each["event"] for each in body["records"]] == ["begin", "promote"]
    assert body["records"][1] == json.loads(canonical_json(asdict(record)))
    watch.look(time.time())
    assert len(promotions(store, MODEL)) == 3, "carried out once"

    runner.invoke(app, ["rollback", MODEL, "--reason", "it disappoints"], catch_exceptions=False)
    watch.look(time.time())
    back = version_by_alias(MODEL, CHAMPION)
    assert back is not None
    assert back.version == "1", "a person's word stands"

    runner.invoke(app, ["canary", MODEL, "--reason", "once more", "--steps", "50"], catch_exceptions=False)
    put(store, "3-0", counted())
    assert watch.look(time.time())[0].event == "promote"  # type: ignore[union-attr]
    ended = watch.records.refresh()
    assert ended is not None
    assert (ended.event, ended.canary) == ("end", 3)
    assert "not promoted: A person took this model back (record 4: it disappoints)" in ended.reason
    assert promotions(store, MODEL)[-1].decision == "refused"
    assert watch.look(time.time()) == (None, None)


def _wrong_words(runner: CliRunner) -> None:
    for words, told in {
        ("canary", MODEL): "--reason is missing",
        ("canary", f"{MODEL}/9", "--reason", "x"): "no version late/9",
        ("canary", f"{MODEL}/1", "--reason", "x"): "late/1 is the champion's very model",
        ("canary", MODEL, "--reason", "x", "--steps", "a"): "--steps='a'",
        ("canary", MODEL, "--stop", "--reason", "x"): "no canary of late is running",
        ("canary", MODEL, "--watch"): "no canary of late is running; begin one with",
        ("traffic", "houses"): "no registered model 'houses'",
    }.items():
        error = runner.invoke(app, words).exception
        assert isinstance(error, BadInput)
        assert told in str(error)

"""The record of promotions: appended to, chained, safe between writers."""

import threading
from dataclasses import asdict
from itertools import pairwise

import pytest

from sluice.core.digests import canonical_json
from sluice.core.errors import BadInput
from sluice.registry.promotions import Chain, Decision, Promotion, Ruling, promotion_chain, promotions, record_promotion
from sluice.storage.stores import Store


def promote(store: Store, version: str) -> Promotion:
    ruling = Ruling("promoted", version, "d" * 64, "It is better.", {"checks": []})
    return record_promotion(store, "late", lambda _: ruling)


def test_records_come_back_in_order_and_name_who_decided(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_PIPELINE", "supervised")
    monkeypatch.setenv("SLUICE_RUN", "r1")
    written = [promote(store, str(number)) for number in range(1, 13)]
    assert promotions(store, "late") == written
    assert [record.number for record in written] == list(range(1, 13))
    assert "@" in written[0].who
    assert written[0].run == "supervised/r1"
    assert written[0].previous == ""
    assert len({record.previous for record in written}) == 12
    assert promotions(store, "other") == []


def test_writers_at_once_each_get_a_number(store: Store) -> None:
    threads = [threading.Thread(target=promote, args=(store, str(number))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [record.number for record in promotions(store, "late")] == [1, 2, 3, 4, 5, 6]
    assert {record.version for record in promotions(store, "late")} == set("012345")


def test_of_several_that_were_judged_against_the_same_champion_one_replaces_it(store: Store) -> None:
    promote(store, "0")
    for turn in range(4):
        _promote_at_once(store, [str(10 * (turn + 1) + number) for number in range(4)])
    chain = promotion_chain(store, "late")
    promoted = [record for record in chain.records if record.decision == "promoted"]
    assert len(promoted) == 5
    assert len(chain.records) == 17
    for before, after in pairwise(promoted):
        assert after.champion == {"version": before.version, "digest": before.digest}
        assert after.replaced == before.version
    assert chain.champion == promoted[-1]


def _promote_at_once(store: Store, names: list[str]) -> None:
    """Writers that wait for each other, each sure of the champion that it saw before."""
    barrier, seen = threading.Barrier(len(names)), promotion_chain(store, "late").champion

    def write(version: str) -> None:
        def judge(chain: Chain) -> Ruling:
            decision: Decision = "promoted" if chain.champion == seen else "refused"
            return Ruling(decision, version, version * 32, "It is better.", {})

        barrier.wait(60)
        record_promotion(store, "late", judge)

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)


def test_records_of_the_first_schema_are_read_and_followed(store: Store) -> None:
    old = {"number": 1, "model": "late", "decision": "promoted", "version": "1", "digest": "a", "replaced": None}
    old |= {"reason": "It was better.", "who": "a@b", "run": "", "when": "", "evidence": {}, "previous": ""}
    store.put_bytes("promotions/late/000001.json", canonical_json(old))
    assert promote(store, "2").champion == {"version": "1", "digest": "a"}
    assert [record.schema for record in promotions(store, "late")] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [{"champion": None}, {"champion": {"version": "7", "digest": "d" * 64}}, {"model": "early"}, {"schema": 3}],
)
def test_a_record_that_contradicts_the_chain_is_refused(store: Store, change: dict[str, object]) -> None:
    promote(store, "1")
    last = asdict(promote(store, "2"))
    store.put_bytes("promotions/late/000002.json", canonical_json(last | change))
    with pytest.raises(BadInput, match=r"000002\.json"):
        promotions(store, "late")


@pytest.mark.parametrize("harm", ["change", "remove", "garble"])
def test_a_record_that_was_touched_afterwards_shows(store: Store, harm: str) -> None:
    for number in range(3):
        promote(store, str(number))
    key = "promotions/late/000002.json"
    if harm == "remove":
        store.delete(key)
    else:
        data = store.get_bytes(key)
        store.put_bytes(key, data[:-5] if harm == "garble" else data.replace(b"better", b"worse"))
    with pytest.raises(BadInput, match="promotions/late/0000"):
        promotions(store, "late")

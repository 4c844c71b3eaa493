"""The record of promotions: appended to, chained, safe between writers."""

import threading

import pytest

from components.common.errors import BadInput
from components.common.promotions import Promotion, Ruling, promotions, record_promotion
from components.common.stores import Store


def promote(store: Store, version: str) -> Promotion:
    ruling = Ruling("promoted", version, "d" * 64, "It is better.", {"checks": []})
    return record_promotion(store, "late", lambda _: ruling)


def test_records_come_back_in_order_and_name_who_decided(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_PIPELINE", "lake_to_model")
    monkeypatch.setenv("SLUICE_RUN", "r1")
    written = [promote(store, str(number)) for number in range(1, 13)]
    assert promotions(store, "late") == written
    assert [record.number for record in written] == list(range(1, 13))
    assert "@" in written[0].who
    assert written[0].run == "lake_to_model/r1"
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

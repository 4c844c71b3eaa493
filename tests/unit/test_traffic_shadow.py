"""The other version is compared row by row, off the path of answers."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.exporting.served_files import RowField
from sluice.serving.aliases import CHALLENGER, CHAMPION
from sluice.serving.exchange import Answer, Exchange, Loaded
from sluice.serving.quantiles import ACCURACY, QuantileSketch
from sluice.serving.row_schema import InvalidRows, RowSchema
from sluice.serving.shadow import MOST_GROUPS, MOST_WAITING, OTHERS, Shadow, columns_for, differences
from sluice.serving.traffic import Split
from tests.unit.traffic_world import ROWS, Served, exchange, raw, running

SIZES = st.lists(st.floats(1e-9, 1e5), min_size=1, max_size=200)


@given(SIZES, SIZES, st.floats(0.01, 1))
def test_quantiles_are_right_within_their_accuracy(some: list[float], more: list[float], share: float) -> None:
    sketch = QuantileSketch()
    sketch.add(np.array([*some, float("nan")]))
    sketch.add(np.array(more))
    wanted = np.quantile([*some, *more], share, method="inverted_cdf")
    assert sketch.quantile(share) == pytest.approx(wanted, rel=ACCURACY + 1e-9)
    assert sketch.count == len(some) + len(more)


def test_quantiles_of_nothing_and_of_equal_answers() -> None:
    sketch = QuantileSketch()
    assert np.isnan(sketch.quantile(0.5))
    sketch.add(np.zeros(3))
    assert (sketch.quantile(0.99), sketch.greatest) == (0.0, 0.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"))


@pytest.fixture
def split(served: Served) -> Split:
    split = Split()
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    split.settle(CHALLENGER, served.loaded("2", CHALLENGER))
    return split


class Kept:
    def __init__(self) -> None:
        self.seen: list[Exchange] = []

    def observed(self, exchange: Exchange) -> None:
        self.seen.append(exchange)


def test_both_directions_give_the_comparison_that_numpy_gives(split: Split) -> None:
    kept, stand = Kept(), split.stand
    assert stand.champion
    assert stand.challenger
    shadow = Shadow(lambda: split.stand, ["carrier", "gone"], [kept])
    count = len(ROWS)
    with running(shadow):
        for row in range(count):
            by = stand.champion if row % 3 else stand.challenger
            seen = exchange(by, [row], f"r{row}", "customer")
            seen.columns["order"] = np.array([row])  # a key that no version looks at
            shadow.observed(seen)
    found = shadow.comparison
    assert found is not None
    first, second = (each.judge.predict(raw(range(count))) for each in (stand.champion, stand.challenger))
    sizes = np.abs(first.values - second.values).max(axis=1)
    told = found.to_json()
    assert (told["rows"], told["requests"], told["left_out"], told["failed"]) == (count, count, 0, 0)
    assert told["agreement"] == pytest.approx(np.mean(first.called == second.called))
    assert 0 < told["agreement"] < 1
    assert told["mean_difference"] == pytest.approx(sizes.mean())
    assert told["greatest_difference"] == pytest.approx(sizes.max())
    assert told["differences"]["0.9"] == pytest.approx(np.quantile(sizes, 0.9, method="inverted_cdf"), rel=0.05)
    for carrier, rows in ROWS.groupby("carrier").groups.items():
        assert told["slices"]["carrier"][carrier]["rows"] == len(rows)
        assert told["slices"]["carrier"][carrier]["mean_difference"] == pytest.approx(sizes[rows].mean())
    assert "gone" not in told["slices"]
    assert [each.request for each in kept.seen] == [f"r{row}" for row in range(count)]
    assert {each.loaded.role for each in kept.seen} == {"shadow"}
    assert kept.seen[0].loaded.name == "late/1", "the champion's opinion of what the challenger answered"
    assert kept.seen[1].loaded.name == "late/2"
    assert kept.seen[0].subject == "customer"
    assert [int(each.columns["order"][0]) for each in kept.seen] == list(range(count))


def test_groups_of_a_slice_are_bounded(split: Split) -> None:
    shadow, stand = Shadow(lambda: split.stand, ["arrival_minute"]), split.stand
    assert stand.champion
    with running(shadow):
        shadow.observed(exchange(stand.champion, range(30)))
    assert shadow.comparison is not None
    groups = shadow.comparison.slices["arrival_minute"]
    assert len(groups) == MOST_GROUPS + 1
    assert groups[OTHERS].rows == ROWS.arrival_minute[:30].nunique() - MOST_GROUPS


class Slow:
    """A judge that waits until it may go on."""

    def __init__(self, judge: Any) -> None:
        self.served, self.schema, self._judge, self.go = judge.served, judge.schema, judge, threading.Event()

    def judge(self, columns: Any) -> Answer:
        self.go.wait(10)
        found: Answer = self._judge.judge(columns)
        return found

    def predict(self, rows: Any) -> Answer:
        return self.judge(self.schema.columns(rows))


def test_a_slow_challenger_makes_nobody_wait_and_what_is_left_out_is_counted(served: Served) -> None:
    slow, split = Slow(served.loaded("2", CHALLENGER).judge), Split()
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    split.settle(CHALLENGER, Loaded("late/2", slow, CHALLENGER))
    shadow, one = Shadow(lambda: split.stand), exchange(split.chosen("r", ""))
    shadow.start()
    begun = time.perf_counter()
    for _ in range(MOST_WAITING + 101):
        shadow.observed(one)
    assert time.perf_counter() - begun < 1
    found = shadow.comparison
    assert found is not None
    assert 100 <= found.left_out <= 101
    slow.go.set()
    shadow.stop()
    assert found.requests + found.left_out == MOST_WAITING + 101


def test_a_challenger_that_raises_or_wants_other_rows_is_counted(served: Served, split: Split) -> None:
    class Broken(Slow):
        def judge(self, columns: Any) -> Answer:
            raise RuntimeError("no")

    shadow = Shadow(lambda: split.stand)
    with running(shadow):
        split.settle(CHALLENGER, Loaded("late/2", Broken(served.loaded("2", CHALLENGER).judge), CHALLENGER))
        shadow.observed(exchange(split.chosen("r", "")))
    assert shadow.comparison is not None
    assert shadow.comparison.failed == 1
    strict = Slow(served.loaded("2", CHALLENGER).judge)
    strict.schema = RowSchema([*strict.schema.fields, RowField(name="age", type="int64")])
    shadow = Shadow(lambda: split.stand)
    with running(shadow):
        split.settle(CHALLENGER, Loaded("late/2", strict, CHALLENGER))
        shadow.observed(exchange(split.chosen("r", "")))
    assert shadow.comparison is not None
    assert (shadow.comparison.invalid, shadow.comparison.requests) == (1, 0)


def test_rows_of_one_contract_are_those_of_another() -> None:
    fields = [
        RowField(name="n", type="int64", nullable=True),
        RowField(name="b", type="bool", nullable=True),
        RowField(name="t", type="timestamp", nullable=True),
        RowField(name="s", type="string", nullable=True),
    ]
    rows = [{"n": 3, "b": True, "t": "2026-03-01T14:00:00.000005Z", "s": "x"}, {}]
    one, other = RowSchema(fields), RowSchema(fields[::-1])
    wanted = other.columns(rows)
    carried = {"order": np.arange(2)}
    found = columns_for(other, one.columns(rows) | carried, one)
    assert list(columns_for(one, one.columns(rows) | carried, one)) == ["n", "b", "t", "s"]
    assert list(found) == list(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    with pytest.raises(InvalidRows, match="n is missing"):
        columns_for(RowSchema([RowField(name="n", type="int64")]), one.columns(rows), one)


def test_numbers_differ_as_shares() -> None:
    np.testing.assert_allclose(differences(np.array([100.0, 0.1]), np.array([101.0, 0.3])), [0.01, 0.2])

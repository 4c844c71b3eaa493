"""Who answers a request: by hash and weight, sticky, moving no more subjects than a change of the weight must."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sluice.serving.aliases import CHALLENGER, CHAMPION
from sluice.serving.exchange import Loaded
from sluice.serving.traffic import Split, place, unwatched
from tests.unit.traffic_world import Served, raw


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"))


def split_of(served: Served, weight: float) -> Split:
    split = Split()
    split.weigh(lambda _champion, _challenger: weight)
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    split.settle(CHALLENGER, served.loaded("2", CHALLENGER))
    return split


WEIGHTS = st.floats(0, 1)


@given(st.text(), WEIGHTS, WEIGHTS)
def test_a_greater_weight_takes_nobody_from_the_challenger(name: str, one: float, other: float) -> None:
    spot = place(b"salt", name)
    assert 0 <= spot < 1
    assert spot == place(b"salt", name)
    low, high = sorted((one, other))
    assert not (spot < low) or spot < high


def test_places_are_as_good_as_random_and_other_for_each_canary() -> None:
    places = {salt: np.array([place(salt, f"customer {n}") for n in range(4000)]) for salt in (b"a" * 64, b"b" * 64)}
    for found in places.values():
        assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(places[b"a" * 64], places[b"b" * 64])[0, 1]) < 0.06


def test_a_subject_stays_whatever_its_requests_are_called(served: Served) -> None:
    split = split_of(served, 0.3)
    names = [f"customer {n}" for n in range(400)]
    before = [split.chosen(f"r{n}", name).role for n, name in enumerate(names)]
    assert before == [split.chosen(f"other {n}", name).role for n, name in enumerate(names)]
    assert 0.2 < before.count(CHALLENGER) / 400 < 0.4
    split.weigh(lambda _champion, _challenger: 0.5)
    after = [split.chosen("r", name).role for name in names]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {(CHAMPION, CHALLENGER)}
    assert 0.12 < len(moved) / 400 < 0.28
    requests = [split.chosen(f"r{n}", "").role for n in range(400)]
    assert 0.4 < requests.count(CHALLENGER) / 400 < 0.6


def test_the_weight_follows_who_is_loaded(served: Served) -> None:
    asked = []

    def weigh(champion: str, challenger: str) -> float:
        asked.append((champion, challenger))
        return 7.0

    split = Split()
    split.weigh(weigh)
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    assert split.stand.weight == 0
    second = served.loaded("2", CHALLENGER)
    split.settle(CHALLENGER, second)
    assert asked == [(split.chosen("r", "").judge.served.digest, second.digest)] or split.stand.weight == 1.0
    assert split.chosen("r", "").name == "late/2"
    split.settle(CHALLENGER, None)
    assert split.chosen("r", "").name == "late/1"


def test_exceptions_of_a_version_are_counted_and_those_of_callers_are_not(served: Served) -> None:
    failed: list[str] = []
    split = Split(failed.append)
    split.settle(CHAMPION, served.loaded("1", CHAMPION))
    judge = split.chosen("r", "").judge
    assert judge.predict(raw([0, 1])).values.shape == (2, 2)
    with pytest.raises(Exception, match="gate"):
        judge.predict([{**raw([0])[0], "gate": 3}])
    assert failed == []
    with pytest.raises(Exception, match=r"."):
        judge.judge({"hour": np.array(["x"], object)})
    with pytest.raises(Exception, match=r"."):
        unwatched(judge).judge({"hour": np.array(["x"], object)})
    assert failed == [CHAMPION]
    assert isinstance(split.stand.champion, Loaded)

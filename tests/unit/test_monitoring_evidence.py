"""The rate of false alarms is what is said: e-values, distances and detectors, by integration and by simulation."""

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.proportion import proportion_confint

from sluice.monitoring.distances import beyond_noise, distance_p_value, hellinger
from sluice.monitoring.evidence import (
    Detectors,
    e_value,
    least_p_value,
    limit_of,
    normal_p_value,
    share_bound,
    share_p_value,
)


def test_an_e_value_is_one_on_average_without_a_change() -> None:
    whole = integrate.quad(lambda x: e_value(np.exp(-x)) * np.exp(-x), 0, 60)[0]  # p = exp(-x) is uniform
    left = integrate.quad(lambda x: 1 / x**2, 60, np.inf)[0]  # what stands beyond: e(p) p is about 1 / log(p)²
    assert whole + left == pytest.approx(1.0, abs=2e-3)
    values = [e_value(p) for p in np.linspace(1e-6, 1, 500)]
    assert values == sorted(values, reverse=True)
    assert e_value(least_p_value(156.0)) == pytest.approx(156.0)


def test_detectors_alarm_no_sooner_than_their_limit_on_average() -> None:
    generator, waits = np.random.default_rng(4), []
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    for _ in range(150):
        detectors, windows = Detectors(20.0, {}), 0
        while True:
            windows += 1
            same = generator.random()  # channels that depend on each other altogether
            if sum(detectors.add({"a": same, "b": same, "c": generator.random()}, shares).values()) >= 1:
                break
        waits.append(windows)
    assert np.mean(waits) - 2 * np.std(waits) / np.sqrt(len(waits)) > 20 * 0.8
    assert np.mean(waits) > 20


def test_detectors_find_a_large_change_at_once_and_a_small_one_in_time() -> None:
    sudden = Detectors(52.0, {})
    assert sudden.add({"a": 1e-6}, {"a": 0.3})["a"] >= 1
    slow, along = Detectors(52.0, {}), 0.0
    windows = 0
    while along < 1:
        along, windows = slow.add({"a": 0.02}, {"a": 0.3})["a"], windows + 1
    assert 3 < windows < 20
    slow.restart("a")
    assert slow.sums == {}
    assert limit_of(13, 0.25) == 52


@pytest.mark.parametrize("margin", [0.03, 0.1])
def test_a_distance_at_the_margin_is_called_beyond_it_no_more_often_than_said(margin: float) -> None:
    generator, before = np.random.default_rng(5), np.arange(1, 11) / 55
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        moved = (1 - middle) * before + middle * before[::-1]
        low, high = (middle, high) if np.sqrt(1 - np.sqrt(moved * before).sum()) < margin else (low, middle)
    drawn = [(generator.multinomial(2000, moved), generator.multinomial(20_000, before)) for _ in range(800)]
    p_values = np.array([distance_p_value(now, reference, margin) for now, reference in drawn])
    assert (p_values < 0.05).mean() <= 0.05
    far = [(generator.multinomial(6000, 0.4 * before + 0.6 * before[::-1]), drawn[0][1]) for _ in range(50)]
    assert all(distance_p_value(now, reference, 0.05) < 1e-6 for now, reference in far)
    gaps = [beyond_noise(now, reference) for now, reference in drawn]
    assert np.mean(gaps) == pytest.approx(margin, abs=0.012)


def test_distances_of_tables_with_little_in_them() -> None:
    one, two = np.array([10, 0, 0]), np.array([0, 0, 7])
    assert hellinger(one, two) == 1.0
    assert hellinger(one, one) == 0.0
    assert distance_p_value(np.zeros(3, np.int64), one, 0.1) == 1.0
    assert distance_p_value(np.array([30, 30, 5000]), np.array([3000, 3000, 0]), 0.1) < 1e-12  # a new value


def test_distances_of_many_millions_of_rows() -> None:
    before = np.arange(1, 11) * 1_000_000
    assert distance_p_value(before, before, 0.05) == 1.0
    assert distance_p_value(before[::-1], before, 0.05) < 1e-12
    near = before + np.array([-1, 1] * 5) * 20_000
    assert distance_p_value(near, before, 0.05) > 0.5
    exact = stats.ncx2.sf(2200.0, 9, 1999.0)  # where one law takes over from the other
    assert stats.norm.sf(np.sqrt(2200.0) - np.sqrt(1999.0 + 9)) == pytest.approx(exact, rel=0.25)


def test_shares_are_bounded_as_another_library_bounds_them() -> None:
    assert share_bound(7, 300) == pytest.approx(proportion_confint(7, 300, alpha=0.1, method="beta")[1])
    assert share_bound(5, 5) == 1.0
    assert share_p_value(0, 100, 0.01) == 1.0
    assert share_p_value(100, 100, 0.99) == pytest.approx(0.99**100)


def test_a_window_is_judged_by_what_is_beyond_the_references_own_error() -> None:
    generator = np.random.default_rng(6)
    own = generator.normal(scale=0.01, size=4000)  # of the reference: one draw, and all windows share it
    p_values = [normal_p_value(generator.normal(scale=0.01) - mistake, 0.01, 0.01) for mistake in own]
    assert (np.array(p_values) < 0.05).mean() < 0.05
    assert normal_p_value(0.1, 0.01, 0.01) < 1e-12
    assert normal_p_value(0.0, 0.0, 0.0) == 1.0

"""Choosing, calibration, slices, Simpson's paradox and the gate, on cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.evaluation.bootstrap import Resamples, bootstrap
from sluice.evaluation.calibration import reliability, wilson
from sluice.evaluation.candidates import JudgedModel
from sluice.evaluation.evaluation_settings import GateLimits
from sluice.evaluation.selection import select
from sluice.evaluation.simpson import data_reversals
from sluice.evaluation.simpson_models import model_reversals
from sluice.evaluation.slices import MISSING, Slice, groups_of
from sluice.problems.weighted_metrics import Predictions

GATE = GateLimits(max_calibration_error=0.05, slice_tolerance=0.01, min_slice_rows=100)


def resamples(losses: dict[str, list[float]]) -> Resamples:
    """Log losses: the value, then its resamples."""
    return Resamples({name: {"log_loss": np.array(values)} for name, values in losses.items()})


def candidate(name: str, rank: int, *, baseline: bool = False) -> JudgedModel:
    return JudgedModel(name, "family", baseline, rank, 1, {})


def test_the_simplest_within_one_standard_error_wins() -> None:
    known = resamples(
        {"zero": [0.7, 0.7, 0.7], "line": [0.505, 0.5, 0.51], "trees": [0.5, 0.49, 0.51], "net": [0.499, 0.489, 0.509]}
    )
    every = [candidate("zero", 0, baseline=True), candidate("line", 1), candidate("trees", 2), candidate("net", 3)]
    chosen = select(every, known)
    assert (chosen.winner, chosen.best, chosen.best_baseline) == ("line", "net", "zero")
    assert chosen.excess["line"].error == pytest.approx(np.std([0.5 - 0.489, 0.51 - 0.509], ddof=1))
    assert chosen.excess["net"].value == 0


def test_a_simpler_model_that_is_worse_beyond_doubt_does_not_win_by_the_noise_that_both_share() -> None:
    """The models' own standard errors are 0.02; what tells them apart is known to 0.0005."""
    noise = np.random.default_rng(1).normal(0, 0.02, 200)
    line = 0.503 + noise + np.random.default_rng(2).normal(0, 0.0005, 200)
    known = resamples({"zero": [0.7] * 201, "line": [0.503, *line], "net": [0.5, *(0.5 + noise)]})
    every = [candidate("zero", 0, baseline=True), candidate("line", 1), candidate("net", 3)]
    assert known.standard_error("net", "log_loss") > 0.015
    assert select(every, known).winner == "net"


def test_a_reliability_curve_counts_every_row_and_finds_the_truth() -> None:
    generator = np.random.default_rng(1)
    score = generator.random(20_000)
    labels = (generator.random(20_000) < score).astype(int)
    bins = reliability(Predictions(labels, np.column_stack([1 - score, score])))
    assert sum(b.rows for b in bins) == 20_000
    assert len(bins) == 10
    assert all(b.low <= b.observed <= b.high for b in bins)
    assert all(abs(b.observed - b.predicted) < 0.05 for b in bins)


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(81, 263)  # Newcombe (1998), table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 20)[0] == 0.0


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_wilsons_interval_holds_the_share_and_stays_a_share(hits: int, more: int) -> None:
    low, high = wilson(hits, hits + more)
    assert 0 <= low <= hits / (hits + more) <= high <= 1


def kidney_stones(small: int = 81) -> pd.DataFrame:
    """Charig et al. (1986): successes of two treatments by the size of the stone, Simpson's paradox in real data."""
    cells = {
        ("A", "small"): (small, 87),
        ("A", "large"): (192, 263),
        ("B", "small"): (234, 270),
        ("B", "large"): (55, 80),
    }
    rows = [(treatment, size, number < hits) for (treatment, size), (hits, n) in cells.items() for number in range(n)]
    return pd.DataFrame(rows, columns=["treatment", "size", "success"])


def test_simpsons_paradox_is_found_in_the_kidney_stones() -> None:
    frame = kidney_stones()
    found = data_reversals(frame, frame["success"], ["treatment", "size"], least_rows=50)
    (reversal,) = [r for r in found if r.column == "treatment"]
    assert (reversal.groups, reversal.by) == (("B", "A"), "size")
    assert reversal.overall.rates == pytest.approx((289 / 350, 273 / 350))
    assert {s.group: s.rates[1] > s.rates[0] for s in reversal.strata} == {"large": True, "small": True}
    assert not reversal.beyond_noise
    many = pd.concat([frame] * 20)
    assert all(r.beyond_noise for r in data_reversals(many, many["success"], ["treatment", "size"], least_rows=50))


def test_no_reversal_is_reported_where_a_stratum_agrees_or_is_too_small() -> None:
    frame = kidney_stones()
    columns = ["treatment", "size"]
    assert [
        r for r in data_reversals(frame, frame["success"], columns, least_rows=100) if r.column == "treatment"
    ] == []
    agreeing = kidney_stones(small=70)
    assert [r for r in data_reversals(agreeing, agreeing["success"], columns, 50) if r.column == "treatment"] == []
    same = frame.assign(success=frame["treatment"] == "A")
    assert data_reversals(same, same["success"], columns, least_rows=10) == []


def test_the_order_of_models_can_turn_round_in_every_slice() -> None:
    """A model that only knows the slice ranks well overall and not at all inside."""
    generator = np.random.default_rng(1)
    side = np.repeat([0, 1], 400)
    labels = (generator.random(800) < np.array([0.1, 0.9])[side]).astype(int)
    inside = 1 / (1 + np.exp(-labels - generator.normal(size=800)))
    of_slice = np.array([0.2, 0.8])[side] + 1e-3 * generator.random(800)
    models = {n: Predictions(labels, np.column_stack([1 - s, s])) for n, s in (("win", of_slice), ("rival", inside))}
    overall = bootstrap(models, 100, seed=1)
    found = []
    for group, part in (("left", slice(0, 400)), ("right", slice(400, 800))):
        sliced = {n: Predictions(m.labels[part], m.probabilities[part]) for n, m in models.items()}
        gap = bootstrap(sliced, 100, seed=1).difference("win", "rival", "roc_auc")
        found.append(Slice("side", group, 200, 0.5, True, {}, {"rival": {"roc_auc": gap}}, {"rival": 200}))
    (reversal,) = model_reversals(found, overall, "win")
    assert reversal.reversed
    assert reversal.overall.low > 0 > reversal.pooled.high
    assert all(value < 0 for value in reversal.slices.values())


def test_groups_hold_every_row_once_and_missing_is_a_group() -> None:
    values = pd.Series(["a", None, "b", "a", float("nan")])
    groups = dict(groups_of(values))
    assert {name: int(rows.sum()) for name, rows in groups.items()} == {"a": 2, MISSING: 2, "b": 1}


def test_the_interval_of_a_calibrated_models_error_holds_its_value() -> None:
    generator = np.random.default_rng(1)
    score = generator.random(5000)
    labels = (generator.random(5000) < score).astype(int)
    found = bootstrap({"m": Predictions(labels, np.column_stack([1 - score, score]))}, 200, seed=1)
    error = found.estimate("m", "calibration_error")
    assert error.low <= error.value <= error.high

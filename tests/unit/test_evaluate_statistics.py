"""Choosing, calibration, slices, Simpson's paradox and the gate, on cases whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from components.evaluate.bootstrap import Estimate, Resamples, bootstrap
from components.evaluate.calibration import reliability, wilson
from components.evaluate.candidates import Candidate, best_threshold
from components.evaluate.champion import Champion
from components.evaluate.gate import check_baselines, check_calibration, check_champion, check_slices, decide
from components.evaluate.metrics import Predictions
from components.evaluate.selection import select
from components.evaluate.settings import Gate
from components.evaluate.simpson import data_reversals
from components.evaluate.simpson_models import model_reversals
from components.evaluate.slices import MISSING, Slice, groups_of

GATE = Gate(max_calibration_error=0.05, slice_tolerance=0.01, min_slice_rows=100)


def resamples(losses: dict[str, list[float]]) -> Resamples:
    """Log losses: the value, then its resamples."""
    return Resamples({name: {"log_loss": np.array(values)} for name, values in losses.items()})


def candidate(name: str, rank: int, *, baseline: bool = False) -> Candidate:
    return Candidate(name, "family", baseline, rank, 1, {})


def test_the_simplest_within_one_standard_error_wins() -> None:
    known = resamples(
        {"zero": [0.7, 0.7, 0.7], "line": [0.505, 0.5, 0.51], "trees": [0.5, 0.49, 0.51], "net": [0.499, 0.489, 0.509]}
    )
    every = [candidate("zero", 0, baseline=True), candidate("line", 1), candidate("trees", 2), candidate("net", 3)]
    chosen = select(every, known)
    assert (chosen.winner, chosen.best, chosen.best_baseline) == ("line", "net", "zero")
    assert chosen.standard_error == pytest.approx(math.sqrt(2) * 0.01)
    far = resamples({**{n: list(v["log_loss"]) for n, v in known.values.items()}, "line": [0.55, 0.5, 0.6]})
    assert select(every, far).winner == "trees"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.7])), min_size=4, max_size=30))
def test_no_threshold_has_a_greater_f1(pairs: list[tuple[bool, float]]) -> None:
    labels = np.array([int(label) for label, _ in pairs])
    scores = np.array([score for _, score in pairs])
    if labels.sum() == 0:
        return
    chosen = f1_score(labels, scores >= best_threshold(labels, scores), zero_division=0)
    assert chosen == pytest.approx(max(f1_score(labels, scores >= t, zero_division=0) for t in np.unique(scores)))


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
    labels = np.array([0, 0, 0, 1] * 50 + [0, 1, 1, 1] * 50)
    inside = np.tile([0.4, 0.5, 0.6, 0.65], 100)
    of_slice = np.repeat([0.2, 0.8], 200)
    models = {n: Predictions(labels, np.column_stack([1 - s, s])) for n, s in (("win", of_slice), ("rival", inside))}
    overall = bootstrap(models, 20, seed=1)
    found = []
    for group, part in (("left", slice(0, 200)), ("right", slice(200, 400))):
        sliced = {n: Predictions(m.labels[part], m.probabilities[part]) for n, m in models.items()}
        gap = bootstrap(sliced, 20, seed=1).difference("win", "rival", "roc_auc")
        found.append(Slice("side", group, 200, 0.5, True, {}, {"rival": {"roc_auc": gap}}))
    (reversal,) = model_reversals(found, overall, "win")
    assert reversal.reversed == (overall.difference("win", "rival", "roc_auc").value > 0)
    assert all(value < 0 for value in reversal.slices.values())


def test_groups_hold_every_row_once_and_missing_is_a_group() -> None:
    values = pd.Series(["a", None, "b", "a", float("nan")])
    groups = dict(groups_of(values))
    assert {name: int(rows.sum()) for name, rows in groups.items()} == {"a": 2, MISSING: 2, "b": 1}


def gap(value: float, low: float, high: float) -> dict[str, dict[str, Estimate]]:
    return {"zero": {"log_loss": Estimate(value, low, high)}}


def test_the_gate_asks_each_of_its_questions() -> None:
    losses = resamples(
        {"win": [0.5, *[0.5] * 40], "zero": [0.6, *[0.6] * 40], "champion": [0.52, *np.linspace(0.45, 0.6, 40)]}
    )
    assert check_baselines(losses, "win", ["zero"]).passed
    assert not check_baselines(losses, "zero", ["win"]).passed
    assert check_calibration(Estimate(0.04, 0.03, 0.06), GATE).passed
    assert not check_calibration(Estimate(0.051, 0.03, 0.06), GATE).passed
    here = Champion("3", "digest", {}, "")
    assert not check_champion(losses, "win", here, "other").passed
    assert check_champion(losses, "win", here, "digest").passed
    assert check_champion(losses, "win", None, "other").passed
    other = Champion("3", "digest", {}, "column x is missing")
    assert "column x" in check_champion(losses, "win", other, "other").message


@pytest.mark.parametrize(
    ("judged", "gaps", "passed"),
    [
        (True, (0.05, 0.02, 0.08), False),
        (True, (0.05, -0.01, 0.11), True),
        (True, (0.005, 0.001, 0.009), True),
        (False, (0.5, 0.4, 0.6), True),
    ],
)
def test_a_slice_counts_as_harmed_beyond_tolerance_and_noise_only(
    judged: bool, gaps: tuple[float, float, float], passed: bool
) -> None:
    entry = Slice("carrier", "UA", 500, 0.2, judged, {}, gap(*gaps))
    check = check_slices([entry], "zero", GATE)
    assert check.passed is passed
    assert passed or "carrier UA" in check.message


def test_what_follows_from_the_checks() -> None:
    good, bad = check_calibration(Estimate(0, 0, 0), GATE), check_calibration(Estimate(1, 1, 1), GATE)
    assert decide("win", [good], None, "d")[0] == "promote"
    decision, reason = decide("win", [good, bad, bad], None, "d")
    assert decision == "refuse"
    assert "above the limit" in reason
    assert "also failed: calibration" in reason
    assert decide("win", [bad], Champion("2", "d", {}, ""), "d")[0] == "unchanged"


def test_the_interval_of_a_calibrated_models_error_holds_its_value() -> None:
    generator = np.random.default_rng(1)
    score = generator.random(5000)
    labels = (generator.random(5000) < score).astype(int)
    found = bootstrap({"m": Predictions(labels, np.column_stack([1 - score, score]))}, 200, seed=1)
    error = found.estimate("m", "ece")
    assert error.low <= error.value <= error.high

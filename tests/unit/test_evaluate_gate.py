"""The gate under noise: how often it errs, over seasons, slices and calibrations whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit

from sluice.evaluation.bootstrap import Estimate, Resamples, bootstrap, resample_weights
from sluice.evaluation.calibration import Calibration, calibration
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design, independent
from sluice.evaluation.evaluation_settings import GateLimits
from sluice.evaluation.evidence import Evidence, evidence_of
from sluice.evaluation.gate import (
    Check,
    Duel,
    check_baselines,
    check_calibration,
    check_champion,
    check_evidence,
    check_slices,
    decide,
)
from sluice.evaluation.significance import ALPHA, detectable, holm, p_above, p_below, spent
from sluice.evaluation.simpson import data_reversals
from sluice.evaluation.slices import Judged, Slice, slices
from sluice.problems.weighted_metrics import Predictions

GATE = GateLimits()
DAYS, A_DAY = 56, 12
DESIGN = Design(np.ones(DAYS * A_DAY), np.repeat(np.arange(DAYS), A_DAY), True, "day")
PLENTY = Evidence(5000, 2000, 56, 56, "day", 900)
CHAMPION = Champion("3", "digest", {}, "", np.ones(10, bool))


def losses(**models: np.ndarray) -> Resamples:
    """Log losses of models by row, resampled as the gate does it."""
    drawn = {name: [] for name in models}
    for weights in resample_weights(DESIGN, 100, 1):
        for name, values in models.items():
            drawn[name].append(weights.T @ values / weights.sum(axis=0))
    return Resamples({n: {"log_loss": np.concatenate(v)} for n, v in drawn.items()}, DESIGN.units)


def season(seed: int, challengers: int = 39, effect: float = 0.0) -> int | None:
    """The first of equally good challengers that is promoted, on one set of test rows; None where none is.

    A challenger differs from the champion by the day (one recipe trained again sees some days better, some worse) and
    by the row, on average over all days by `effect`.
    """
    generator = np.random.default_rng(seed)
    champion = generator.exponential(0.5, len(DESIGN.weights)) + generator.normal(0, 0.1, DAYS)[DESIGN.clusters]
    for number in range(1, challengers + 1):
        by_day = generator.normal(-effect, 0.02, DAYS)[DESIGN.clusters]
        challenger = champion + by_day + generator.normal(0, 0.05, len(champion))
        duel = Duel(losses(win=challenger, champion=champion), PLENTY)
        if check_champion(duel, "win", CHAMPION, "other", GateLimits(least_effect=0.0), number).passed:
            return number
    return None


def test_a_season_of_equal_challengers_promotes_one_by_noise_in_five_percent_at_most() -> None:
    """Of 60 seasons of 39 looks at the same rows: 8 or more would show in 1 of 100 tests that 5 % is exceeded."""
    promoted = sum(season(seed) is not None for seed in range(60))
    assert promoted <= stats.binom.isf(0.01, 60, ALPHA)


def test_what_the_gate_says_it_would_find_it_finds() -> None:
    """The stated power, by simulation: the difference that is said to be found in 80 % of cases."""
    error = math.sqrt(0.02**2 / DAYS + 0.05**2 / len(DESIGN.weights))
    effect = detectable(error, DESIGN.units, spent(1))
    found = sum(season(1000 + seed, challengers=1, effect=effect) is not None for seed in range(150))
    assert stats.binom.cdf(found, 150, 0.8) > 0.005
    assert stats.binom.sf(found - 1, 150, 0.8) > 0.005


def test_all_looks_together_spend_no_more_than_alpha() -> None:
    assert sum(spent(look) for look in range(1, 10_000)) < ALPHA
    assert spent(1) == ALPHA / 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_adjustment_rejects_what_his_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    ordered, going = sorted(range(len(p_values)), key=p_values.__getitem__), True
    for rank, place in enumerate(ordered):
        going = going and p_values[place] * (len(p_values) - rank) <= ALPHA
        assert (adjusted[place] <= ALPHA) == going


def test_a_one_sided_p_value_is_that_of_the_t_test() -> None:
    values = np.random.default_rng(1).normal(-0.1, 1, 40)
    gap = Estimate(float(values.mean()), None, None, float(values.std(ddof=1) / math.sqrt(40)))
    assert p_below(gap, 40) == pytest.approx(stats.ttest_1samp(values, 0, alternative="less").pvalue)
    assert p_above(gap, 40, -0.3) == pytest.approx(stats.ttest_1samp(values, -0.3, alternative="greater").pvalue)
    assert p_below(Estimate(None, None, None), 40) == 1.0


def test_a_difference_that_does_not_matter_promotes_nobody() -> None:
    """Better in every row, by less than the least effect."""
    champion = np.random.default_rng(1).exponential(0.5, len(DESIGN.weights))
    small, large = (Duel(losses(win=champion - gain, champion=champion), PLENTY) for gain in (0.0005, 0.002))
    assert check_champion(small, "win", CHAMPION, "other", GATE, 1).status == "failed"
    assert check_champion(large, "win", CHAMPION, "other", GATE, 1).status == "passed"


def test_the_champion_is_met_on_unseen_rows_or_not_at_all() -> None:
    champion = np.random.default_rng(1).exponential(0.5, len(DESIGN.weights))
    better = Duel(losses(win=champion - 0.1, champion=champion), PLENTY)
    assert check_champion(None, "win", None, "other", GATE, 1).passed
    assert check_champion(None, "win", CHAMPION, "digest", GATE, 1).passed
    assert "column x" in check_champion(None, "win", Champion("3", "d", {}, "column x"), "other", GATE, 1).message
    unknown = check_champion(better, "win", Champion("3", "d", {}, "", None), "other", GATE, 1)
    assert (unknown.status, "not in this store" in unknown.message) == ("undecided", True)
    few = Duel(better.measured, Evidence(40, 30, 3, 3, "day", 12))
    check = check_champion(few, "win", CHAMPION, "other", GATE, 1)
    assert (check.status, "30 independent rows, where 100 are wanted" in check.message) == ("undecided", True)
    assert check_champion(None, "win", CHAMPION, "other", GATE, 1).status == "undecided"
    worse = Duel(losses(win=champion + 0.1, champion=champion), PLENTY)
    assert "worse than" in check_champion(worse, "win", CHAMPION, "other", GATE, 1).message


def test_baselines_have_to_be_beaten_all() -> None:
    zero = np.random.default_rng(1).exponential(0.5, len(DESIGN.weights))
    known = losses(win=zero - 0.05, zero=zero, heuristic=zero - 0.06)
    assert check_baselines(known, "win", ["zero"], GATE, 1).passed
    check = check_baselines(known, "win", ["zero", "heuristic"], GATE, 1)
    assert not check.passed
    assert "does not beat the baseline heuristic" in check.message


def test_few_rows_decide_nothing() -> None:
    model = Predictions(np.array([0, 1, 0, 0, 1, 0, 1, 0, 0]), np.full((9, 2), 0.5))
    found = evidence_of(model, independent(9), bootstrap({"m": model}, 100, 1), "m")
    check = check_evidence(found, GATE)
    assert check.status == "undecided"
    assert "9 rows tell as much as" in check.message
    assert decide("m", [check], None, "d")[0] == "undecided"
    assert check_evidence(PLENTY, GATE).passed
    assert "3 independent blocks of days" in Evidence(5000, 2000, 3, 3, "day", 90).problem(100)
    assert "2 rows of the rarest class" in Evidence(5000, 2000, 56, 56, "day", 2).problem(100)


def test_effective_rows_are_those_of_the_design_effect() -> None:
    """Rows of a day that are all alike tell no more than one."""
    generator = np.random.default_rng(1)
    score = generator.uniform(0.1, 0.9, 200)
    labels = (generator.random(200) < score).astype(int)
    days = np.repeat(np.arange(200), 10)
    model = Predictions(labels[days], np.column_stack([1 - score, score])[days])
    design = Design(np.ones(2000), days, False, "group")
    assert evidence_of(model, design, bootstrap({"m": model}, 400, 1, design), "m").effective_rows == pytest.approx(
        200, rel=0.2
    )


def judged_calibration(labels: np.ndarray, score: np.ndarray, design: Design) -> Calibration:
    model = Predictions(labels, np.column_stack([1 - score, score]))
    return calibration(model, design, bootstrap({"m": model}, 100, 1, design), "m", 200)


def forecasts(seed: int, base: float, rows: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and what a model says whose log-odds about the base rate are multiplied by `sharpness`."""
    generator = np.random.default_rng(seed)
    truth = logit(base) + generator.normal(0, 1, rows)
    return (generator.random(rows) < expit(truth)).astype(int), expit(logit(base) + sharpness * (truth - logit(base)))


def test_a_perfect_model_is_calibrated_and_its_error_holds_zero() -> None:
    found = [judged_calibration(*forecasts(seed, 0.2, 1500), independent(1500)) for seed in range(60)]
    assert sum(c.p_value <= 0.05 for c in found) <= stats.binom.isf(0.01, 60, 0.05)
    assert sum(c.error.low == 0 for c in found) >= 54
    assert all(check_calibration(c, GATE).passed for c in found)


def test_a_perfect_model_of_dependent_rows_is_calibrated_too() -> None:
    """Days share a shock that no model can know: taken for independent, the rows would convict it."""
    alarms = naive = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        shock = generator.normal(0, 0.8, DAYS)[DESIGN.clusters]
        score = expit(generator.normal(-1, 0.8, len(shock)))
        # the share that comes true, over all shocks, is the score: the shock moves a uniform, not the log-odds
        drawn = stats.norm.cdf(shock + generator.normal(0, 0.6, len(shock)))
        labels = (drawn < score).astype(int)
        alarms += judged_calibration(labels, score, DESIGN).p_value <= 0.05
        naive += judged_calibration(labels, score, independent(len(score))).p_value <= 0.05
    assert alarms <= 9
    assert naive >= 12


def test_a_rare_class_does_not_hide_a_miscalibrated_model() -> None:
    """Base rate 1 %, log-odds times 2.5: the expected calibration error (Naeini et al. 2015) is far below 0.1."""
    labels, score = forecasts(3, 0.01, 30_000, sharpness=2.5)
    found = judged_calibration(labels, score, independent(30_000))
    check = check_calibration(found, GATE)
    assert not check.passed
    bins = np.digitize(score, np.quantile(score, np.linspace(0, 1, 11)[1:-1]))
    gaps = [(bins == k).mean() * abs(labels[bins == k].mean() - score[bins == k].mean()) for k in range(10)]
    assert found.gap == pytest.approx(sum(gaps), rel=0.1)
    assert sum(gaps) < 0.08
    assert found.relative > 1
    assert "it promises too much" in check.message or "too sure of itself" in check.message


def test_calibration_says_in_which_direction_it_errs() -> None:
    labels, score = forecasts(4, 0.3, 20_000)
    design = independent(20_000)
    assert "promises too much" in judged_calibration(labels, np.clip(score * 1.3, 0, 0.99), design).words
    assert "promises too little" in judged_calibration(labels, score * 0.7, design).words
    sure = expit(logit(0.5) + 2 * (logit(forecasts(5, 0.5, 20_000)[1]) - logit(0.5)))
    assert judged_calibration(forecasts(5, 0.5, 20_000)[0], sure, design).words == "it is too sure of itself"


def world_of_slices(seed: int, groups: int = 20) -> tuple[pd.DataFrame, Judged]:
    """Two models that err equally everywhere on average, on rows of days, in many groups."""
    generator = np.random.default_rng(seed)
    days = np.repeat(np.arange(40), 60)
    group = generator.integers(0, groups, len(days))
    known = generator.normal(size=len(days))
    labels = (generator.random(len(days)) < expit(known - 1)).astype(int)
    both = [expit(known - 1 + generator.normal(0, 0.4, 40)[days]) for _ in range(2)]
    models = {n: Predictions(labels, np.column_stack([1 - s, s])) for n, s in zip(("win", "zero"), both, strict=True)}
    return pd.DataFrame({"group": group.astype(str)}), Judged(models, Design(np.ones(len(days)), days, True, "day"), {})


def test_slices_raise_false_alarms_in_five_percent_of_families_at_most() -> None:
    """Twenty slices each; one by one at 5 %, 64 % of families would raise one."""
    alarms = single = 0
    for seed in range(40):
        frame, judged = world_of_slices(seed)
        found = slices(frame, ["group"], judged, "win", resamples=60, seed=1, least_rows=50)
        gate = GateLimits(slice_tolerance=0.0)
        alarms += check_slices(found, ["zero"], gate).status == "failed"
        single += any(check_slices([entry], ["zero"], gate).status == "failed" for entry in found)
    assert alarms <= stats.binom.isf(0.01, 40, ALPHA)
    assert single >= 10


def test_a_slice_that_the_challenger_harms_is_found_against_the_champion_too() -> None:
    frame, judged = world_of_slices(1, groups=5)
    bad = (frame["group"] == "3").to_numpy()
    labels = judged.models["win"].labels
    score = judged.models["win"].probabilities[:, 1]
    worse = np.where(bad, expit(logit(score) - 2.0), score)
    models = {"win": np.column_stack([1 - worse, worse]), "zero": np.full((len(labels), 2), 0.5)}
    models |= {NAME: judged.models["win"].probabilities}
    named = {name: Predictions(labels, proba) for name, proba in models.items()}
    limits = {NAME: np.arange(len(labels)) % 4 > 0}
    found = slices(frame, ["group"], Judged(named, judged.design, limits), "win", resamples=60, seed=1, least_rows=50)
    check = check_slices(found, ["zero", NAME], GATE)
    assert check.status == "failed"
    assert "group 3 (champion: +" in check.message
    assert check_slices(found, ["zero"], GATE).passed


def slice_of(judged: bool, value: float, error: float) -> Slice:
    gap = Estimate(value, value - 2 * error, value + 2 * error, error)
    return Slice("carrier", "UA", 500, 0.2, judged, {}, {"zero": {"log_loss": gap}}, {"zero": 100})


@pytest.mark.parametrize(
    ("judged", "value", "error", "status"),
    [
        (True, 0.05, 0.015, "failed"),
        (True, 0.05, 0.06, "passed"),
        (True, 0.005, 0.001, "passed"),
        (False, 0.5, 0.01, "not judged"),
    ],
)
def test_a_slice_counts_as_harmed_beyond_tolerance_and_noise_only(
    judged: bool, value: float, error: float, status: str
) -> None:
    check = check_slices([slice_of(judged, value, error)] if judged else [unjudged()], ["zero"], GATE)
    assert check.status == status
    assert status != "failed" or "carrier UA" in check.message


def unjudged() -> Slice:
    return Slice("carrier", "UA", 5, 0.2, False, {}, {}, {})


def test_what_follows_from_the_checks() -> None:
    good, bad, unsure = (Check("one", status, 0, 0, "seen") for status in ("passed", "failed", "undecided"))
    small = check_slices([unjudged()], ["zero"], GATE)
    assert (small.status, small.passed) == ("not judged", False)
    assert decide("win", [good, small], None, "d")[0] == "promote"
    decision, reason = decide("win", [good, unsure, bad, bad], None, "d")
    assert decision == "refuse"
    assert "(also: one)" in reason
    assert decide("win", [good, unsure], None, "d")[0] == "undecided"
    assert decide("win", [bad], Champion("2", "d", {}, ""), "d")[0] == "unchanged"


def twelve_strata(seed: int, reversal: float) -> tuple[pd.DataFrame, pd.Series]:
    """Two groups in twelve strata of unequal mix: within each, group B is more often positive by `reversal`."""
    generator = np.random.default_rng(seed)
    stratum = generator.integers(0, 12, 12_000)
    group = np.where(generator.random(12_000) < 0.15 + 0.06 * stratum, "A", "B")
    share = 0.1 + 0.04 * stratum + np.where(group == "B", reversal, 0.0)
    frame = pd.DataFrame({"group": group, "stratum": stratum})
    return frame, pd.Series(generator.random(12_000) < share)


def test_a_reversal_over_many_strata_is_found_though_some_do_not_show_it() -> None:
    found = partly = 0
    for seed in range(20):
        frame, positive = twelve_strata(seed, 0.05)
        named = [r for r in data_reversals(frame, positive, ["group", "stratum"], 50) if r.column == "group"]
        found += bool(named) and named[0].beyond_noise
        partly += bool(named) and any(s.gap > 0 for s in named[0].strata)
    assert found >= 18
    assert partly >= 5


def test_the_pooled_difference_is_mantel_and_haenszels() -> None:
    """Recomputed stratum by stratum, with the risk difference of the textbooks (Rothman, Greenland and Lash, 2008)."""
    frame, positive = twelve_strata(1, 0.05)
    (named,) = [r for r in data_reversals(frame, positive, ["group", "stratum"], 50) if r.column == "group"]
    top = bottom = 0.0
    for _, part in frame.assign(y=positive).groupby("stratum"):
        sizes, hits = part.groupby("group")["y"].size(), part.groupby("group")["y"].sum()
        first, second = named.groups
        top += (hits[first] * sizes[second] - hits[second] * sizes[first]) / sizes.sum()
        bottom += sizes[first] * sizes[second] / sizes.sum()
    assert named.pooled == pytest.approx(top / bottom)


def test_groups_without_a_difference_are_no_reversal_by_chance() -> None:
    """Overall the mix makes a difference, within the strata there is none: half of the signs oppose by chance."""
    alarms = 0
    for seed in range(60):
        frame, positive = twelve_strata(100 + seed, 0.0)
        alarms += any(r.beyond_noise for r in data_reversals(frame, positive, ["group", "stratum"], 50))
    assert alarms <= stats.binom.isf(0.01, 60, ALPHA)

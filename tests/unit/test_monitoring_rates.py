"""Intervals hold the truth as often as they say: by simulation of a small world that is known to the last."""

from functools import cache

import numpy as np
import pytest
from scipy import optimize

from sluice.monitoring.class_estimates import Estimated, estimate_classes
from sluice.monitoring.density_ratio import density_ratio
from sluice.monitoring.expected_metrics import true_metrics
from sluice.monitoring.judged_rows import JudgedRows
from sluice.monitoring.loss_estimates import estimate_numbers
from sluice.monitoring.second_opinion import SecondOpinion, logarithms, opinion_on, second_opinion
from sluice.monitoring.targeting import inputs_of, probabilities_of, targeted
from tests.unit import shift_world

REPETITIONS = 40
NAMES = ("accuracy", "log_loss", "f1", "roc_auc")


def planted(count: int, seed: int, *, moved: bool = False) -> tuple[JudgedRows, np.ndarray]:
    """Rows of a model that is too sure of one group, and how much more frequent each is once that group has grown."""
    generator = np.random.default_rng(seed)
    before, now = 0.15, 0.6
    group = generator.random(count) < (now if moved else before)
    number = generator.normal(size=count)
    positive = 1 / (1 + np.exp(-np.where(group, 0.3, 1.6) * number))
    said = 1 / (1 + np.exp(-1.4 * number))
    labels = (generator.random(count) < positive).astype(float)
    ratio = np.where(group, now / before, (1 - now) / (1 - before))
    return JudgedRows(
        "binary", np.column_stack([1 - said, said]), np.column_stack([number, group]), None, labels
    ), ratio


Repetition = tuple[dict[str, float], dict[str, float], dict[str, Estimated]]


def estimated(seed: int, *, moved: bool, weighted: bool = True) -> Repetition:
    """The truth of a window, the reference's own metrics, and the estimate."""
    (reference, ratio), (current, _) = planted(2000, 2 * seed), planted(1000, 2 * seed + 1, moved=moved)
    weights, own = ratio if moved and weighted else np.ones(2000), SecondOpinion(logarithms(reference.values), ())
    found = estimate_classes(reference, current, weights, opinion=own)
    return true_metrics(current), true_metrics(reference), found


@cache
def repetitions(*, moved: bool) -> list[Repetition]:
    """New references and new windows."""
    return [estimated(seed, moved=moved) for seed in range(REPETITIONS)]


@pytest.mark.parametrize("moved", [False, True], ids=["calm", "a group that is called too surely has grown"])
@pytest.mark.parametrize("name", NAMES)
def test_intervals_hold_what_labels_show_as_often_as_they_say(name: str, moved: bool) -> None:
    found = repetitions(moved=moved)
    inside = [each[name].low <= true[name] <= each[name].high for true, _, each in found]
    assert np.mean(inside) >= 0.88  # of 95 %: two standard errors of so many repetitions are 7 %
    gaps = np.array([(each[name].value - true[name]) / each[name].error for true, _, each in found])
    assert np.sqrt((gaps**2).mean()) > 0.4  # so they are not merely wide; here the ratio is exact, and is doubted


def test_without_the_ratio_a_group_that_grew_is_not_seen() -> None:
    def wrong(found: list[Repetition]) -> float:
        return float(np.mean([abs(each["accuracy"].value - true["accuracy"]) for true, _, each in found]))

    plain = [estimated(seed, moved=True, weighted=False) for seed in range(10)]
    assert wrong(repetitions(moved=True)[:10]) < 0.5 * wrong(plain)


@pytest.mark.parametrize("name", NAMES)
def test_an_estimate_in_calm_weeks_lies_from_the_reference_as_far_as_it_says(name: str) -> None:
    apart = [
        (each[name].value - before[name]) / np.hypot(each[name].lasting, each[name].noise)
        for _, before, each in repetitions(moved=False)
    ]
    assert 0.7 < np.std(apart) < 1.3
    assert abs(np.mean(apart)) < 0.5


def test_numbers_lie_in_their_interval_and_from_the_reference_as_far_as_is_said() -> None:
    inside, apart = [], []
    for seed in range(3):
        reference = shift_world.judged(shift_world.rows(0, 28, 70 + seed, 60), "regression", 70 + seed)
        current = shift_world.judged(shift_world.rows(35, 14, 170 + seed, 60), "regression", 170 + seed)
        found = estimate_numbers(reference, current, np.ones(len(reference)))["mae"]
        inside.append(found.low <= true_metrics(current)["mae"] <= found.high)
        apart.append((found.value - true_metrics(reference)["mae"]) / np.hypot(found.lasting, found.noise))
        assert found.lasting < 0.8 * found.error
    assert sum(inside) >= 2
    assert np.sqrt(np.mean(np.square(apart))) < 1.9


@pytest.mark.parametrize("classes", [2, 3])
def test_the_fit_is_the_penalised_optimum_and_leaves_no_weighted_rest(classes: int) -> None:
    problem = "binary" if classes == 2 else "multiclass"
    rows = shift_world.judged(shift_world.rows(0, 7, 4, 200), problem, 4)
    weights = np.random.default_rng(1).gamma(2.0, 0.5, len(rows))
    inputs, labels = inputs_of(rows, logarithms(rows.values)), rows.labels.astype(int)
    found = targeted(inputs, labels, weights)
    scaled = weights * weights.sum() / (weights**2).sum()
    start = np.eye(inputs.shape[2])[0]

    def lost(coefficients: np.ndarray) -> float:
        said = probabilities_of(inputs, coefficients)[np.arange(len(labels)), labels]
        return float(-(scaled * np.log(said)).sum() + ((coefficients - start) ** 2).sum() / 2)

    best = optimize.minimize(lost, start, method="BFGS")
    assert lost(found.coefficients) <= best.fun + 1e-6
    rest = np.eye(classes)[labels] - probabilities_of(inputs, found.coefficients)
    called = np.eye(classes)[rows.said]
    assert (
        abs((scaled[:, None] * rest * called).sum()) / scaled.sum() < 0.002
    )  # what accuracy's estimate would be wrong by


def test_an_influence_is_what_a_row_moves() -> None:
    rows, _ = planted(800, 5)
    inputs, labels, ones = inputs_of(rows, logarithms(rows.values)), rows.labels.astype(int), np.ones(800)
    found = targeted(inputs, labels, ones)
    more = ones.copy()
    more[17] += 0.05
    moved = targeted(inputs, labels, more).coefficients - found.coefficients
    assert moved == pytest.approx(0.05 * found.influence[17], rel=0.2, abs=2e-4)


def test_a_second_opinion_is_no_better_of_the_reference_than_of_other_rows() -> None:
    reference, fresh = (shift_world.judged(shift_world.rows(day, 14, day, 250), "binary", day) for day in (0, 14))
    opinion = opinion_on(reference)
    assert opinion is opinion_on(reference)
    losses = [
        -said[np.arange(len(rows)), rows.labels.astype(int)].mean()
        for rows, said in ((reference, opinion.reference), (fresh, opinion.of(fresh)))
    ]
    assert losses[0] == pytest.approx(losses[1], abs=0.03)
    few = reference.subset(np.arange(250))
    assert second_opinion(few).models == ()
    assert second_opinion(few).of(fresh) == pytest.approx(logarithms(fresh.values))


def test_a_ratio_that_changes_nothing_costs_little() -> None:
    """Weights make an estimate less certain: what they change is taken back where it is their own noise."""
    gaps = []
    for seed in range(8):
        (reference, _), (current, _) = planted(2500, 300 + seed), planted(1200, 400 + seed)
        own = SecondOpinion(logarithms(reference.values), ())
        random = np.random.default_rng(seed).gamma(0.3, 1 / 0.3, len(reference))  # a ratio of noise
        weighted, plain = (
            estimate_classes(reference, current, each, opinion=own)["accuracy"].value
            for each in (random, np.ones(len(reference)))
        )
        gaps.append(weighted - plain)
    assert np.mean(abs(np.array(gaps)) < 1e-3) > 0.5
    assert density_ratio(reference.known, current.known).effective_rows > 2300

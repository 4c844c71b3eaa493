"""Estimates of a model's metrics without labels: held to scikit-learn, drawn labels and a known truth."""

import numpy as np
import pytest
from sklearn import metrics as sk

from sluice.monitoring.class_estimates import estimate_classes
from sluice.monitoring.density_ratio import density_ratio
from sluice.monitoring.expected_metrics import ExpectedMetrics, certain, true_metrics
from sluice.monitoring.harder_rows import harder
from sluice.monitoring.judged_rows import JudgedRows
from sluice.monitoring.loss_estimates import estimate_numbers
from sluice.monitoring.performance import Wanted, estimated_performance, measured
from sluice.problems.weighted_metrics import Predictions
from tests.unit import shift_world


def said(classes: int, rows: int = 400, seed: int = 3) -> tuple[JudgedRows, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = generator.dirichlet(np.ones(classes), rows).round(2) + 0.01  # ties
    values /= values.sum(axis=1, keepdims=True)
    labels = generator.integers(0, classes, rows).astype(float)
    called = (values[:, 1] >= 0.3).astype(int) if classes == 2 else None
    kind = "binary" if classes == 2 else "multiclass"
    return JudgedRows(kind, values, np.zeros((rows, 1)), called, labels), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_with_labels_the_expected_metrics_are_those_of_evaluation(classes: int) -> None:
    rows, labels = said(classes)
    found = true_metrics(rows)
    ours = Predictions(labels.astype(int), rows.values, 0.3).metrics(np.ones((len(rows), 1)))
    assert found == pytest.approx({name: float(ours[name][0]) for name in found}, abs=1e-9)
    average = "binary" if classes == 2 else "macro"
    assert found["f1"] == pytest.approx(sk.f1_score(labels, rows.said, average=average))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, np.clip(rows.values, 2.2e-16, 1)), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_expected_metrics_are_the_mean_over_drawn_labels(classes: int) -> None:
    rows, _ = said(classes, 300)
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.full(classes, 0.7), 300)
    expected = ExpectedMetrics(rows)
    drawn = []
    for _ in range(400):
        labels = (generator.random(300)[:, None] > np.cumsum(probabilities, axis=1)[:, :-1]).sum(axis=1).astype(float)
        drawn.append(list(expected.under(certain(labels, classes)).values()))
    error = np.std(drawn, axis=0) / np.sqrt(400)
    gaps = abs(np.mean(drawn, axis=0) - list(expected.under(probabilities).values()))
    assert (gaps < 4 * error + 0.004).all()  # a ratio's mean is not the ratio of means: 1/300 of it is left


def test_a_density_ratio_is_that_of_two_normals() -> None:
    generator = np.random.default_rng(2)
    reference, current = generator.normal(size=(8000, 2)), generator.normal([0.7, 0], size=(8000, 2))
    found = density_ratio(reference, current)
    true = np.exp(0.7 * reference[:, 0] - 0.7**2 / 2)
    assert np.corrcoef(np.log(found.reference), np.log(true))[0, 1] > 0.9
    assert found.effective_rows == pytest.approx(len(reference) * true.mean() ** 2 / (true**2).mean(), rel=0.15)
    assert np.average(reference[:, 0], weights=found.reference) == pytest.approx(0.7, abs=0.1)


def test_without_a_shift_every_ratio_is_near_one() -> None:
    generator = np.random.default_rng(2)
    found = density_ratio(generator.normal(size=(4000, 6)), generator.normal(size=(4000, 6)))
    assert found.effective_rows > 3900
    assert found.foreign == 0


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_weights_by_the_density_ratio_find_what_a_group_costs(problem: str) -> None:
    reference = shift_world.judged(shift_world.rows(0, 28, 50, 250), problem, 50)
    given = shift_world.shifted("subpopulation", 56, 7, 19, daily=500)[0]
    current = shift_world.judged(given, problem, 19)
    ratio = density_ratio(reference.known, current.known)
    plain = estimate_classes(reference, current, np.ones(len(reference)))
    adapted = estimate_classes(reference, current, ratio.reference)
    true, before = true_metrics(current), true_metrics(reference)
    assert true["log_loss"] > before["log_loss"] + 0.03
    for name in ("log_loss", "accuracy"):
        assert abs(adapted[name].value - true[name]) < 0.7 * abs(plain[name].value - true[name])
        assert adapted[name].low <= true[name] <= adapted[name].high


def test_a_direct_estimate_follows_where_errors_are_larger() -> None:
    reference = shift_world.judged(shift_world.rows(0, 28, 5, 250), "regression", 5)
    given = shift_world.rows(56, 7, 9, 500)
    kept = given.take(np.flatnonzero(given.numbers[:, 2] > 0.5))  # errors grow with this number
    current = shift_world.judged(kept, "regression", 9)
    ratio = density_ratio(reference.known, current.known)
    found, true = estimate_numbers(reference, current, ratio.reference), true_metrics(current)
    assert true["mae"] > 1.15 * true_metrics(reference)["mae"]
    for name in ("mae", "rmse"):
        assert found[name].low <= true[name] <= found[name].high


def test_rows_that_were_chosen_for_being_hard_are_told_as_an_assumption_that_fails() -> None:
    reference = shift_world.judged(shift_world.rows(0, 28, 21, 150), "binary", 21)

    def window(name: str) -> JudgedRows:
        given, told = shift_world.shifted(name, 35, 7, 22, daily=200)
        return shift_world.judged(given, "binary", 22, told)

    hard, strong = window("hard rows"), window("covariate, strong")
    found, _ = estimated_performance(reference, measured(reference), hard, Wanted("log_loss"))
    assert "less sure of these rows than their features explain" in found.failed
    assert harder(reference, strong).words == ""  # much is worse there too, and features explain it
    assert harder(reference, hard).share > 2 * harder(reference, strong).share
    plain, wide = (
        estimate_classes(reference, hard, np.ones(len(reference)), hard=each)["log_loss"] for each in (False, True)
    )
    assert wide.error > 1.5 * plain.error


def test_a_density_ratio_takes_missing_and_endless_values() -> None:
    generator = np.random.default_rng(3)
    reference, current = generator.normal(size=(600, 2)), generator.normal(size=(500, 2))
    reference[:50, 0], current[:40, 0] = np.nan, np.inf
    reference[:, 1] = np.nan
    current[:, 1] = np.nan
    found = density_ratio(reference, current)
    assert np.isfinite(found.reference).all()
    assert np.isfinite(found.current).all()
    assert found.reference.mean() == pytest.approx(1)

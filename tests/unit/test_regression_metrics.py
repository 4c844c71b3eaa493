"""Metrics of numbers: held to scikit-learn, to their own plain loop, and to what intervals and the gate promise."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

from sluice.core.errors import BadInput
from sluice.evaluation.bootstrap import bootstrap, resample_weights
from sluice.evaluation.designs import Design, independent
from sluice.evaluation.evaluation_settings import GateLimits
from sluice.evaluation.evidence import evidence_of
from sluice.evaluation.gate import check_baselines, check_bias, check_slices
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.evaluation.residuals import residuals_of
from sluice.evaluation.selection import gap, select
from sluice.evaluation.slices import Judged, groups_of, judge
from sluice.problems.metrics import BUILT_IN, METRICS, Metric, find_metric, metrics_of, near_zero, significant
from sluice.problems.weighted_metrics import Predictions
from tests.unit.test_evaluate_statistics import candidate

RMSE = BUILT_IN["rmse"]
REFERENCES: dict[str, Any] = {
    "rmse": root_mean_squared_error,
    "mae": mean_absolute_error,
    "r2": r2_score,
    "mape": mean_absolute_percentage_error,
    "pinball_10": lambda *a, **k: mean_pinball_loss(*a, alpha=0.1, **k),
    "pinball_50": lambda *a, **k: mean_pinball_loss(*a, alpha=0.5, **k),
    "pinball_90": lambda *a, **k: mean_pinball_loss(*a, alpha=0.9, **k),
}


def world(rows: int, seed: int = 0, centre: float = 50.0, noise: float = 3.0) -> NumberPredictions:
    """Labels around a number, and forecasts that miss them by a normal error."""
    generator = np.random.default_rng(seed)
    labels = centre + 10 * generator.normal(size=rows)
    return NumberPredictions(labels, labels - generator.normal(0, noise, rows), ratios=True)


@pytest.mark.parametrize("centre", [0.5, 50.0, -2e3, 1e9])
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_scikit_learn(centre: float, weighted: bool) -> None:
    said = world(400, 1, centre)
    weights = np.random.default_rng(2).choice([0.0, 1.0, 2.5], (400, 3)) if weighted else np.ones((400, 1))
    found = said.metrics(weights)
    for name, reference in REFERENCES.items():
        wanted = [reference(said.labels, said.forecasts, sample_weight=column) for column in weights.T]
        assert found[name] == pytest.approx(wanted, rel=1e-6), name
        assert BUILT_IN[name](said.labels, said.forecasts, weights[:, 0]) == pytest.approx(wanted[0], rel=1e-6), name
    assert found["bias"][0] == pytest.approx(np.average(said.labels - said.forecasts, weights=weights[:, 0]))


def test_single_precision_counts_give_the_same_as_double() -> None:
    said = world(300, 3, 1e6)
    for weights in resample_weights(independent(300), 5, 1):
        assert weights.dtype == np.float32
        exact, single = said.metrics(weights.astype(np.float64)), said.metrics(weights)
        for name in exact:
            assert single[name] == pytest.approx(exact[name], rel=1e-9), name


def test_the_coefficient_of_determination_of_equal_labels_is_undefined() -> None:
    said = NumberPredictions(np.full(30, 4.0), np.linspace(3, 5, 30))
    assert np.isnan(said.metrics(np.ones((30, 1)))["r2"]).all()
    assert bootstrap({"m": said}, 20, 1).estimate("m", "r2").value is None


def test_relative_errors_are_left_out_where_a_label_is_near_zero() -> None:
    assert near_zero(np.array([0.0, 100.0, 120.0]))
    assert near_zero(np.array([0.9, 100.0, -120.0]))
    assert not near_zero(np.array([90.0, 100.0, -120.0]))
    said = world(50)
    assert "mape" in said.metrics(np.ones((50, 1)))
    plain = NumberPredictions(said.labels, said.forecasts)
    assert "mape" not in plain.metrics(np.ones((50, 1)))


def _worst(label: Any, forecast: Any, weight: Any) -> float:
    return float(np.abs(label - forecast)[weight > 0].max())


def test_an_own_metric_gets_its_interval_by_the_same_resamples() -> None:
    """The plain loop and the product of rows and weights give the same, and so does the built-in one."""
    cubes = Metric("cubes", "Cubes", "less", ("regression",), rows=lambda y, f: np.abs(y - f) ** 3)
    looped = Metric(
        "looped", "Looped", "less", ("regression",), lambda y, f, w: float(np.average(np.abs(y - f) ** 3, weights=w))
    )
    mae = Metric("own_mae", "Own", "less", ("regression",), rows=lambda y, f: np.abs(y - f))
    worst = Metric("worst", "Worst", "less", ("regression",), _worst)
    said = world(200)
    own = NumberPredictions(said.labels, said.forecasts, own=(cubes, looped, mae, worst))
    drawn = bootstrap({"m": own}, 100, 1)
    assert drawn.estimate("m", "cubes").to_json() == pytest.approx(drawn.estimate("m", "looped").to_json())
    assert drawn.estimate("m", "own_mae").to_json() == pytest.approx(drawn.estimate("m", "mae").to_json())
    assert drawn.estimate("m", "worst").high == np.abs(said.residuals).max()


def test_an_own_metric_of_classes_stands_beside_ours() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    proba = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]])
    own = Metric(
        "nats", "Nats", "less", ("binary",), lambda y, p, w: sklearn_log_loss(y, p, sample_weight=w, labels=[0, 1])
    )
    found = Predictions(labels, proba, own=(own,)).metrics(np.ones((5, 2)))
    assert found["nats"] == pytest.approx(found["log_loss"])
    assert BUILT_IN["log_loss"](labels, proba) == pytest.approx(sklearn_log_loss(labels, proba))
    assert BUILT_IN["roc_auc"](labels, proba) == 1.0


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Metric("rmse", "X", "less", ("regression",), _worst), "'rmse' is Sluice's own"),
        (Metric("a b", "X", "less", ("regression",), _worst), "use letters, digits and _"),
        (Metric("x", "X", "up", ("regression",), _worst), "direction 'up' is unknown"),  # type: ignore[arg-type]
        (Metric("x", "X", "less", ("ranking",), _worst), "problems names 'ranking'"),
        (Metric("x", "X", "less", ("regression",)), "has no function"),
    ],
)
def test_a_bad_metric_is_refused_by_name(metric: Metric, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        metrics_of("regression", (metric,))


@pytest.mark.parametrize("given", ["a", None, [1, 2]])
def test_a_metric_that_gives_no_number_is_told_by_name(given: Any) -> None:
    metric = Metric("mine", "Mine", "less", ("regression",), lambda y, f, w: given)
    with pytest.raises(BadInput, match="metric 'mine' cannot be computed"):
        metric(np.ones(3), np.ones(3), None)


def test_a_wrong_name_is_told_with_the_near_one() -> None:
    with pytest.raises(BadInput, match=r"metric='rsme'.*did you mean 'rmse'"):
        find_metric("rsme", "regression")
    with pytest.raises(BadInput, match=r"a regression problem's models are not chosen by it"):
        find_metric("log_loss", "regression")
    with pytest.raises(BadInput, match=r"not chosen by it"):
        find_metric("bias", "regression")
    assert METRICS.names() == []


def test_coverage_of_intervals_of_independent_rows() -> None:
    """The truth: RMSE 3, MAE 3 sqrt(2/pi), and R² 1 - 9/100."""
    truth = {"rmse": 3.0, "mae": 3 * math.sqrt(2 / math.pi), "r2": 1 - 9 / 100}
    held = dict.fromkeys(truth, 0)
    for seed in range(120):
        drawn = bootstrap({"m": world(250, seed)}, 200, seed)
        for name, value in truth.items():
            found = drawn.estimate("m", name)
            held[name] += found.low <= value <= found.high  # type: ignore[operator]
    assert all(0.88 <= count / 120 <= 0.99 for count in held.values()), held


def test_coverage_of_intervals_of_rows_of_a_day() -> None:
    """Errors of one day share a part: intervals of rows are too narrow, those of days hold."""
    truth, held, narrow = math.sqrt(2**2 + 2**2), 0, 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        days = np.repeat(np.arange(60), 10)
        errors = generator.normal(0, 2, 60)[days] + generator.normal(0, 2, 600)
        said = NumberPredictions(100 + generator.normal(0, 9, 600), np.zeros(600))
        said = NumberPredictions(said.labels, said.labels - errors)
        for design in (Design(np.ones(600), days, False, "day"), independent(600)):
            found = bootstrap({"m": said}, 150, seed, design).estimate("m", "rmse")
            inside = found.low <= truth <= found.high  # type: ignore[operator]
            held, narrow = (held + inside, narrow) if design.name == "day" else (held, narrow + inside)
    assert held >= 87, held
    assert narrow <= held - 10, (held, narrow)


def _pair(seed: int, better: float, rows: int = 300) -> dict[str, NumberPredictions]:
    """A winner whose errors are `better` times as wide as the baseline's, both of their own."""
    generator = np.random.default_rng(seed)
    labels = 100 + generator.normal(0, 20, rows)
    shared = generator.normal(0, 5, rows)
    win, base = (shared + scale * generator.normal(0, 5, rows) for scale in (better, 1.0))
    return {"win": NumberPredictions(labels, labels + win), "base": NumberPredictions(labels, labels + base)}


@pytest.mark.parametrize("name", ["rmse", "r2", "mae"])
def test_noise_alone_passes_the_gate_as_rarely_as_it_says(name: str) -> None:
    passed = sum(
        check_baselines(bootstrap(_pair(seed, 1.0), 100, seed), "win", ["base"], GateLimits(), 1, BUILT_IN[name]).passed
        for seed in range(200)
    )
    assert passed <= 12, "at most 2.5 % on the first look, and some room for chance"


@pytest.mark.parametrize("name", ["rmse", "r2", "mae"])
def test_a_better_model_passes_and_a_worse_one_does_not(name: str) -> None:
    good, bad = (bootstrap(_pair(1, scale), 300, 1) for scale in (0.5, 1.5))
    passed = check_baselines(good, "win", ["base"], GateLimits(), 1, BUILT_IN[name])
    assert passed.passed, passed.message
    assert BUILT_IN[name].words in passed.message
    assert not check_baselines(bad, "win", ["base"], GateLimits(), 1, BUILT_IN[name]).passed


def test_the_least_effect_is_a_share_of_the_rivals_error() -> None:
    """A model that is surely better by a tenth is not by a half; and the label's unit changes nothing."""
    for unit in (1.0, 1e6, 1e-6):
        models = {n: NumberPredictions(m.labels * unit, m.forecasts * unit) for n, m in _pair(3, 0.3, 2000).items()}
        drawn = bootstrap(models, 200, 1)
        assert check_baselines(drawn, "win", ["base"], GateLimits(least_effect=0.1), 1, RMSE).passed
        strict = check_baselines(drawn, "win", ["base"], GateLimits(least_effect=0.5), 1, RMSE)
        assert not strict.passed
        assert "p 1 of less than 50.00% better" in strict.message


@pytest.mark.parametrize("name", ["rmse", "r2"])
def test_the_simplest_within_one_standard_error_is_chosen_in_either_direction(name: str) -> None:
    generator = np.random.default_rng(5)
    labels, shared = 100 + generator.normal(0, 20, 400), generator.normal(0, 5, 400)
    widths = {"mean": 9.0, "simple": 0.02, "complex": 0.0, "bad": 4.0}
    models = {n: NumberPredictions(labels, labels + shared + w * generator.normal(size=400)) for n, w in widths.items()}
    candidates = [candidate(n, place, baseline=n == "mean") for place, n in enumerate(widths)]
    drawn = bootstrap(models, 200, 1)
    chosen = select(candidates, drawn, BUILT_IN[name])
    assert chosen.winner == "simple"
    assert chosen.best in ("simple", "complex")
    assert (gap(drawn, "bad", "complex", BUILT_IN[name]).value or 0) > 0


def test_a_slice_that_is_harmed_is_named_by_its_share() -> None:
    generator = np.random.default_rng(1)
    group = np.array(["north", "south"] * 300)
    labels = 1000 + generator.normal(0, 100, 600)
    errors = generator.normal(0, 10, 600)
    win = labels + np.where(group == "south", 1.3, 0.5) * errors
    models = {"win": NumberPredictions(labels, win), "base": NumberPredictions(labels, labels + errors)}
    shown = ("rmse", "mae", "r2", "bias")
    judged = Judged(models, independent(600), {})
    found = [
        judge("region", name, judged.subset(inside), "win", 200, 1, 50, shown)
        for name, inside in groups_of(pd.Series(group))
    ]
    check = check_slices(found, ["base"], GateLimits(slice_tolerance=0.2), RMSE)
    assert check.status == "failed"
    assert "worse in region south (base: +" in check.message
    assert check.value == pytest.approx(0.3, abs=0.01)
    assert check_slices(found, ["base"], GateLimits(slice_tolerance=0.4), RMSE).passed
    assert found[0].mean == pytest.approx(np.average(labels[group == found[0].group]))


def test_bias_is_found_and_the_slope_is_that_of_least_squares() -> None:
    generator = np.random.default_rng(4)
    forecasts = generator.normal(500, 80, 900)
    labels = 50 + 0.9 * forecasts + generator.normal(0, 20, 900)
    said, design = NumberPredictions(labels, forecasts), independent(900)
    found = residuals_of(said, design, bootstrap({"m": said}, 200, 1), "m", 200)
    slope = np.polyfit(forecasts, labels, 1)[0]
    assert found.slope.value == pytest.approx(slope)
    assert found.slope.low < 0.9 < found.slope.high < 1  # type: ignore[operator]
    assert found.bias.value == pytest.approx((labels - forecasts).mean())
    assert sum(entry.rows for entry in found.bins) == 900
    assert [entry.forecast for entry in found.bins] == sorted(entry.forecast for entry in found.bins)
    moved = NumberPredictions(labels + 30, forecasts)
    late = residuals_of(moved, design, bootstrap({"m": moved}, 200, 1), "m", 200)
    assert late.words == "too low on average"
    assert check_bias(late, GateLimits()).status == "failed"
    assert check_bias(found, GateLimits()).passed


def test_the_evidence_of_numbers_counts_no_classes() -> None:
    said = world(400)
    drawn = bootstrap({"m": said}, 300, 1)
    found = evidence_of(said, independent(400), drawn, "m", "mse")
    assert found.rarest == 400
    assert 300 < found.effective_rows <= 400
    assert not found.problem(100)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123456.7, "123,457"),
        (1234.5, "1,234"),
        (12.3456, "12.35"),
        (0.00123456, "0.001235"),
        (0.0, "0"),
        (-7.0, "-7.000"),
        (1.5e20, "1.500e+20"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_shown_with_four_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_every_metric_has_a_title_and_a_place() -> None:
    for name, metric in BUILT_IN.items():
        assert metric.name == name
        assert metric.title
        assert metric.words[0].islower() or metric.words[1:2].isupper() or not metric.words[1:2].isalpha()
    assert list(metrics_of("regression")) == [n for n, m in BUILT_IN.items() if "regression" in m.problems]


def test_a_projects_own_metric_is_opened_from_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.problems.metrics import open_metric
    from sluice.project.code_store import publish
    from sluice.project.packing import closure
    from sluice.storage.locations import default_store

    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    (tmp_path / "mine.py").write_text(
        "from sluice.problems.metrics import Metric\n\n"
        "def lost(label, forecast, weight):\n    return float(abs(label - forecast).max())\n\n"
        "def broken(label, forecast, weight):\n    return 1 / 0\n\n"
        "worst = Metric('worst', 'Worst', 'less', ('regression',), function=lost)\n"
        "bad = Metric('bad', 'Bad', 'less', ('regression',), function=broken)\n"
        "nothing = 3\n"
    )
    address = publish(default_store(), closure(tmp_path, ["mine.py:worst"]))
    name, (metric,) = open_metric("mine.py:worst", address)
    assert name == "worst"
    assert metric(np.array([1.0, 5.0]), np.array([2.0, 9.0])) == 4.0
    _, (bad,) = open_metric("mine.py:bad", address)
    with pytest.raises(BadInput, match=r"mine\.py:7: .*ZeroDivisionError"):
        bad(np.ones(2), np.ones(2))
    with pytest.raises(BadInput, match=r"mine\.py:nothing"):
        open_metric("mine.py:nothing", address)
    with pytest.raises(BadInput, match="there is no project here"):
        open_metric("mine.py:worst", "")

"""The vectorised metrics against scikit-learn's, and the bootstrap against what is known of it."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from sluice.evaluation.bootstrap import bootstrap, resample_weights
from sluice.evaluation.designs import independent
from sluice.problems.weighted_metrics import Predictions


def random_predictions(seed: int, rows: int, classes: int, decimals: int) -> Predictions:
    """Predictions with signal in them; few decimals make ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    raw = np.round(generator.random((rows, classes)) + 0.4 * (labels[:, None] == np.arange(classes)), decimals) + 0.1
    return Predictions(labels, raw / raw.sum(axis=1, keepdims=True), threshold=0.45)


def sklearns(predictions: Predictions, weights: np.ndarray) -> dict[str, float]:
    labels, scores = predictions.labels, predictions.probabilities
    classes = list(range(predictions.classes))
    if predictions.binary:
        positive, said = scores[:, 1], (scores[:, 1] >= predictions.threshold).astype(int)
        return {
            "roc_auc": reference.roc_auc_score(labels, positive, sample_weight=weights),
            "average_precision": reference.average_precision_score(labels, positive, sample_weight=weights),
            "log_loss": reference.log_loss(labels, scores, labels=classes, sample_weight=weights),
            "brier": reference.brier_score_loss(labels, positive, sample_weight=weights),
            "accuracy": reference.accuracy_score(labels, scores.argmax(axis=1), sample_weight=weights),
            "precision": reference.precision_score(labels, said, sample_weight=weights, zero_division=0),
            "recall": reference.recall_score(labels, said, sample_weight=weights, zero_division=0),
            "f1": reference.f1_score(labels, said, sample_weight=weights, zero_division=0),
        }
    said = scores.argmax(axis=1)
    areas = [reference.roc_auc_score(labels == k, scores[:, k], sample_weight=weights) for k in classes]
    macro = {"average": "macro", "labels": classes, "sample_weight": weights, "zero_division": 0}
    return {
        "roc_auc": float(np.mean(areas)),
        "log_loss": reference.log_loss(labels, scores, labels=classes, sample_weight=weights),
        "brier": float(np.average(((scores - np.eye(len(classes))[labels]) ** 2).sum(axis=1), weights=weights)),
        "accuracy": reference.accuracy_score(labels, said, sample_weight=weights),
        "precision": reference.precision_score(labels, said, **macro),
        "recall": reference.recall_score(labels, said, **macro),
        "f1": reference.f1_score(labels, said, **macro),
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(30, 120),
    classes=st.sampled_from([2, 2, 3, 5]),
    decimals=st.sampled_from([1, 2, 12]),
    data=st.data(),
)
def test_every_metric_equals_scikit_learns_under_any_weights(
    seed: int, rows: int, classes: int, decimals: int, data: st.DataObject
) -> None:
    predictions = random_predictions(seed, rows, classes, decimals)
    weights = data.draw(arrays(np.float32, (rows, 2), elements=st.integers(0, 4).map(float)))
    np.fill_diagonal(weights, 1)
    for k in range(classes):  # scikit-learn needs every class to be drawn
        weights[np.flatnonzero(predictions.labels == k)[:1]] = 1
    if len(set(predictions.labels)) < classes:
        return
    found = predictions.metrics(weights)
    for column in range(2):
        for name, value in sklearns(predictions, weights[:, column].astype(float)).items():
            assert found[name][column] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_the_calibration_error_is_the_weighted_square_of_the_gaps_of_quantile_bins() -> None:
    predictions = random_predictions(3, 500, 2, 12)
    score, hit = predictions.probabilities[:, 1], predictions.labels
    edges = np.quantile(score, np.linspace(0, 1, 11)[1:-1])
    bins = np.digitize(score, edges)
    expected = sum((bins == b).mean() * (score[bins == b].mean() - hit[bins == b].mean()) ** 2 for b in range(10))
    found = predictions.metrics(np.ones((500, 1), np.float32))
    assert found["squared_calibration_error"][0] == pytest.approx(expected)
    assert found["bias"][0] == pytest.approx(hit.mean() - score.mean())


def test_one_class_only_leaves_the_area_undefined() -> None:
    predictions = Predictions(np.zeros(40, int), np.full((40, 2), 0.5))
    estimate = bootstrap({"a": predictions}, 20, seed=1).estimates("a")
    assert estimate["roc_auc"].value is None
    assert estimate["average_precision"].value is None
    assert estimate["log_loss"].value == pytest.approx(math.log(2))


def test_draws_have_the_size_of_the_sample_and_depend_on_the_seed_alone() -> None:
    first, *blocks = resample_weights(independent(50), 30, seed=7)
    assert (first == 1).all()
    drawn = np.hstack(blocks)
    assert drawn.shape == (50, 30)
    assert (drawn.sum(axis=0) == 50).all()
    assert (drawn.sum(axis=1) > 0).all(), "every row has its chance"
    assert (np.hstack(list(resample_weights(independent(50), 30, seed=7))[1:]) == drawn).all()
    assert (np.hstack(list(resample_weights(independent(50), 30, seed=8))[1:]) != drawn).any()


def test_the_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    predictions = random_predictions(5, 4000, 2, 12)
    resamples = bootstrap({"a": predictions}, 1000, seed=2)
    error = predictions.log_losses.std() / math.sqrt(4000)
    assert resamples.standard_error("a", "log_loss") == pytest.approx(error, rel=0.1)
    estimate = resamples.estimate("a", "log_loss")
    assert estimate.low == pytest.approx(estimate.value - 1.96 * error, abs=error / 4)
    assert estimate.high == pytest.approx(estimate.value + 1.96 * error, abs=error / 4)


def test_a_paired_difference_is_tighter_than_the_two_intervals() -> None:
    better = random_predictions(9, 2000, 2, 12)
    worse = Predictions(better.labels, 0.9 * better.probabilities + 0.05, better.threshold)
    resamples = bootstrap({"better": better, "worse": worse}, 400, seed=1)
    difference = resamples.difference("better", "worse", "log_loss")
    assert difference.high is not None
    assert difference.low is not None
    assert difference.high < 0
    alone = resamples.estimate("better", "log_loss")
    assert difference.high - difference.low < (alone.high or 0) - (alone.low or 0)


def test_six_models_of_fifteen_thousand_rows_take_seconds() -> None:
    models = {str(i): random_predictions(i, 15_000, 2, 12) for i in range(6)}
    begin = time.process_time()
    bootstrap(models, 1000, seed=1)
    assert time.process_time() - begin < 10

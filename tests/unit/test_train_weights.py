"""Rows of a sample count what they stand for: in learning, in stopping, in the baselines, in the threshold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import precision_recall_curve

from sluice.components.train.run import run
from sluice.core.errors import BadInput
from sluice.modeling.baseline_fitting import fit_baseline
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.model_files import read_threshold
from sluice.modeling.network_fitting import mean_loss, summed_loss
from sluice.modeling.parts import Part, Parts, log_loss, quantiles, read_parts
from sluice.modeling.thresholds import best_threshold
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from tests.unit.model_world import TABLE, TABLE_NAMES, table_parts
from tests.unit.test_train_step import dataset, labelled

WEIGHED = replace(TABLE, weight="stands_for")
POPULATION = Task("p", "?", "y", ("no", "yes"), ("id",), numeric=("x",), categorical=("group",), heuristic="group")
ROWS = 30_000


def population(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of which about one in ten is positive."""
    generator = np.random.default_rng(seed)
    x, group = generator.normal(size=rows), generator.choice(["a", "b", "c"], rows)
    chance = expit(-2.9 + 1.2 * x + np.where(group == "a", 0.8, 0.0))
    frame = pd.DataFrame({"id": np.arange(rows), "x": x, "group": group})
    return frame, (generator.random(rows) < chance).astype(np.int64)


def equal_allocation(rows: pd.DataFrame, labels: np.ndarray, seed: int) -> Part:
    """As many rows of each class, each standing for one over its inclusion probability, with mean 1."""
    generator = np.random.default_rng(seed)
    size = int(labels.sum() * 0.8)
    places = np.concatenate([generator.choice(np.flatnonzero(labels == code), size, replace=False) for code in (0, 1)])
    weights = np.array([(labels == code).sum() / size for code in (0, 1)])[labels[places]]
    return Part(rows.iloc[places].reset_index(drop=True), labels[places], weights / weights.mean())


def unweighted(part: Part) -> Part:
    return replace(part, weights=None)


@pytest.mark.parametrize(
    "name", ["zero-rule", "heuristic", "logistic-regression", "gradient-boosted-trees", "embedding-network"]
)
def test_with_weights_a_sample_by_class_speaks_of_the_population(name: str) -> None:
    whole, held_out = population(ROWS, 0), population(ROWS, 1)
    train, validation = equal_allocation(*whole, 2), equal_allocation(*held_out, 3)
    candidate = next(entry for entry in candidates_for(POPULATION) if entry.name == name)
    settings, rows = TrainingSettings(max_rounds=12), population(ROWS, 4)[0]

    def forecasts(train: Part, validation: Part) -> np.ndarray:
        model = candidate.fit(Parts(POPULATION, train, validation, train), settings).model
        return np.asarray(model.predict_proba(rows)[:, 1])

    of_all = forecasts(Part(*whole), Part(*held_out))
    with_weights = forecasts(train, validation)
    without = forecasts(unweighted(train), unweighted(validation))
    rate = whole[1].mean()
    assert of_all.mean() == pytest.approx(rate, abs=0.01)
    assert with_weights.mean() == pytest.approx(rate, abs=0.012)
    assert without.mean() > 3 * rate
    assert np.abs(with_weights - of_all).mean() < 0.15 * np.abs(without - of_all).mean()


def weighed_parts() -> Parts:
    parts, generator = table_parts(), np.random.default_rng(0)

    def weighed(part: Part) -> Part:
        weights = generator.choice([0.5, 2.0, 6.0], len(part.labels))
        return replace(part, weights=weights / weights.mean())

    train = weighed(parts.train)
    return replace(parts, train=train, validation=weighed(parts.validation), sample=train)


def fitted(parts: Parts, name: str, **changes: Any) -> Any:
    candidate = next(entry for entry in candidates_for(parts.task) if entry.name == name)
    return candidate.fit(parts, TrainingSettings(**changes))


def test_trees_are_those_of_scikit_learn_with_these_weights() -> None:
    parts = weighed_parts()
    found = fitted(parts, "gradient-boosted-trees", max_rounds=1, seed=5)
    settings = found.model.estimator.get_params() | {"max_iter": 20}
    matrix = found.model.inputs.matrix(parts.train.rows)
    matrix[:, np.isnan(matrix).all(axis=0)] = 0.0
    direct = HistGradientBoostingClassifier(**settings).fit(matrix, parts.train.labels, parts.train.weights)
    rows = parts.validation.rows
    np.testing.assert_array_equal(
        found.model.predict_proba(rows), direct.predict_proba(found.model.inputs.matrix(rows))
    )


def test_trees_without_weights_are_those_of_scikit_learn_to_the_last_bit() -> None:
    """Weights of 1 would give others: scikit-learn takes another way with them."""
    parts = table_parts()
    found = fitted(parts, "gradient-boosted-trees", max_rounds=1, seed=5)
    settings = found.model.estimator.get_params() | {"max_iter": 20}
    matrix = found.model.inputs.matrix(parts.train.rows)
    matrix[:, np.isnan(matrix).all(axis=0)] = 0.0
    direct = HistGradientBoostingClassifier(**settings).fit(matrix, parts.train.labels)
    rows = found.model.inputs.matrix(parts.validation.rows)
    np.testing.assert_array_equal(found.model.predict_proba(parts.validation.rows), direct.predict_proba(rows))


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_equal_weights_are_as_none(name: str) -> None:
    parts = table_parts()
    train = replace(parts.train, weights=np.ones(len(parts.train.labels)))
    validation = replace(parts.validation, weights=np.ones(len(parts.validation.labels)))
    equal = fitted(replace(parts, train=train, validation=validation, sample=train), name, max_rounds=3)
    none = fitted(parts, name, max_rounds=3)
    rows = parts.validation.rows
    assert np.abs(equal.model.predict_proba(rows) - none.model.predict_proba(rows)).max() < 0.05
    assert equal.kept.validation == pytest.approx(none.kept.validation, abs=0.005)


def test_logistic_regression_is_that_of_scikit_learn_with_these_weights() -> None:
    parts = weighed_parts()
    found = fitted(parts, "logistic-regression", max_rounds=60, patience=60)
    one_hot = pd.get_dummies(parts.train.rows[["weather", "carrier"]].fillna("missing"))
    wind = parts.train.rows["wind"]
    numbers = pd.DataFrame({"wind": (wind.fillna(wind.median())), "missing": wind.isna()})
    matrix = np.hstack([one_hot, (numbers - numbers.mean()) / numbers.std(ddof=0)])
    direct = LogisticRegression(max_iter=2000, tol=1e-8).fit(matrix, parts.train.labels, parts.train.weights)
    ours = found.model.predict_proba(parts.train.rows)[:, 1]
    assert np.abs(ours - direct.predict_proba(matrix)[:, 1]).max() < 0.01


def test_a_networks_loss_counts_a_row_as_often_as_its_weight_says() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    labels, times = torch.randint(3, (40,), generator=generator), torch.randint(1, 5, (40,), generator=generator)
    repeated = torch.nn.functional.cross_entropy(
        logits.repeat_interleave(times, 0), labels.repeat_interleave(times), reduction="sum"
    )
    assert summed_loss(logits, labels, times).item() == pytest.approx(repeated.item())
    assert mean_loss(logits, labels, times).item() == pytest.approx(repeated.item() / 40)
    assert mean_loss(logits, labels, None).item() == torch.nn.functional.cross_entropy(logits, labels).item()


def test_batches_add_up_to_the_weighted_log_loss() -> None:
    """Whatever the batches: a batch of heavy rows must move the network more than one of light rows."""
    parts = weighed_parts()
    weights = torch.from_numpy(parts.train.weights)
    logits = torch.randn(len(weights), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.from_numpy(parts.train.labels)
    order = torch.argsort(weights)  # the most uneven batches
    places = [batch for batch in order.split(125) if len(batch) == 125]
    mean = np.mean([mean_loss(logits[batch], labels[batch], weights[batch]).item() for batch in places])
    wanted = sklearn_log_loss(parts.train.labels, logits.softmax(1).numpy(), sample_weight=parts.train.weights)
    assert mean == pytest.approx(wanted)


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_the_curve_is_weighted(name: str) -> None:
    parts = weighed_parts()
    found = fitted(parts, name, max_rounds=1)
    for part, loss in ((parts.sample, found.kept.train), (parts.validation, found.kept.validation)):
        proba = found.model.predict_proba(part.rows)
        assert loss == pytest.approx(sklearn_log_loss(part.labels, proba, sample_weight=part.weights), rel=1e-5)
        assert log_loss(part.labels, proba) == pytest.approx(sklearn_log_loss(part.labels, proba))


def test_baselines_count_with_weights() -> None:
    parts = weighed_parts()
    labels, weights = parts.train.labels, parts.train.weights
    share = np.average(labels, weights=weights)
    zero = fit_baseline("zero-rule", parts, TrainingSettings()).model
    assert zero.predict_proba(parts.validation.rows)[0, 1] == pytest.approx(share)
    storm = (parts.train.rows["weather"] == "storm").to_numpy()
    expected = (weights[storm & (labels == 1)].sum() + 20 * share) / (weights[storm].sum() + 20)
    heuristic = fit_baseline("heuristic", parts, TrainingSettings()).model
    assert heuristic.predict_proba(pd.DataFrame({"weather": ["storm"]}))[0, 1] == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 5)), min_size=1, max_size=40))
def test_a_weighted_quantile_is_that_of_repeated_values(entries: list[tuple[int, int]]) -> None:
    values, times = (np.array(column, float) for column in zip(*entries, strict=True))
    shares = np.array([0.05, 0.33, 0.5, 0.77, 1.0])
    repeated = np.quantile(np.repeat(values, times.astype(int)), shares, method="inverted_cdf")
    np.testing.assert_array_equal(quantiles(values, shares, times), repeated)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.sampled_from([None, 1, 2, 7])), min_size=2, max_size=60),
    st.booleans(),
)
def test_the_threshold_has_the_greatest_f1(entries: list[tuple[bool, int, int | None]], weighed: bool) -> None:
    labels, scores = np.array([e[0] for e in entries], int), np.array([e[1] / 10 for e in entries])
    if not labels.any():
        labels[0] = 1
    weights = np.array([e[2] or 3 for e in entries], float) if weighed else None
    precision, recall, thresholds = precision_recall_curve(labels, scores, sample_weight=weights)
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-12)
    found = best_threshold(labels, scores, weights)
    assert f1[thresholds.tolist().index(found)] == pytest.approx(f1.max())


def weighed_dataset(task: Task = WEIGHED, **changes: Any) -> str:
    frames = {}
    for name, rows, seed in (("train", 900, 0), ("validation", 300, 1)):
        frame = labelled(rows, seed)
        frames[name] = frame.assign(stands_for=np.where(frame["late"] == 1, 2.0, 30.0)).assign(**changes)
    return dataset(task, **frames).uri


def test_weights_are_read_with_mean_one_and_are_no_feature(tracked_home: Path) -> None:
    with read_parts(weighed_dataset()) as (_, parts):
        for part in (parts.train, parts.validation, parts.sample):
            assert part.weights is not None
            assert part.weights.mean() == pytest.approx(1.0)
            assert part.weights[part.labels == 0] / part.weights[part.labels == 1][0] == pytest.approx(15.0)
            assert set(part.rows.columns) == {*TABLE.features, "row"}
        assert parts.train.effective_rows < 0.9 * len(parts.train.labels)
    with read_parts(weighed_dataset(TABLE, other=1)) as (_, parts):
        assert parts.train.weights is None
        assert parts.train.effective_rows == len(parts.train.labels)


@pytest.mark.parametrize(
    ("task", "changes", "named"),
    [
        (replace(WEIGHED, weight="gone"), {}, "part 'train' has no column 'gone'"),
        (replace(WEIGHED, numeric=("wind", "stands_for")), {}, "has its weight 'stands_for' among its features"),
        (WEIGHED, {"stands_for": 0.0}, "part 'train', column 'stands_for', row 0: "),
    ],
)
def test_weights_that_are_none_are_named(tracked_home: Path, task: Task, changes: Any, named: str) -> None:
    with pytest.raises(BadInput) as caught, read_parts(weighed_dataset(task, **changes)):
        pass
    assert named in str(caught.value)


def test_every_candidate_carries_its_threshold(tracked_home: Path) -> None:
    result = run(weighed_dataset(), TrainingSettings(max_rounds=1))
    with read_parts(weighed_dataset()) as (_, parts):
        for name in TABLE_NAMES:
            found = read_threshold(Path(result.bundle.uri) / name)
            assert found is not None
            assert found.rule == "greatest F1 on the validation rows"
            model = fitted(parts, name, max_rounds=1).model
            scores = model.predict_proba(parts.validation.rows)[:, 1]
            assert found.value == best_threshold(parts.validation.labels, scores, parts.validation.weights)
            assert f"<td>{found.value:.3f}" in result.page.replace(' class="right"', "")

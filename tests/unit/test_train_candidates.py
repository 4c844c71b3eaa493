"""Baselines are what they say, candidates learn what is there to learn, and the same seed gives the same weights."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.metrics import roc_auc_score

from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput
from sluice.features.encoding import learn_encoder
from sluice.modeling.baseline_fitting import fit_baseline
from sluice.modeling.baselines import Baseline
from sluice.modeling.catalogue import candidates_for, choose
from sluice.modeling.model_files import save_model
from sluice.modeling.network_fitting import batch_rows, choose_device
from sluice.modeling.parts import Part, Parts, log_loss
from sluice.modeling.training_settings import TrainingSettings, check_settings
from tests.unit.model_world import IMAGE_NAMES, IMAGES, TABLE, TABLE_NAMES, image_parts, table_parts, table_rows

SHARES = np.array([0.7, 0.3])


def test_random_knows_the_shares_and_nothing_of_the_row() -> None:
    rows, labels = table_rows(20_000)
    proba = Baseline(TABLE, "random", SHARES, seed=1).predict_proba(rows)
    concentration = SHARES / SHARES.min()
    expected = digamma(concentration.sum()) - (SHARES * digamma(concentration)).sum()
    drawn = np.random.default_rng(0).choice(2, len(rows), p=SHARES)
    assert proba.mean(axis=0) == pytest.approx(SHARES, abs=0.01)
    assert log_loss(drawn, proba) == pytest.approx(expected, abs=0.02)
    assert roc_auc_score(labels, proba[:, 1]) == pytest.approx(0.5, abs=0.02)


def test_random_is_another_for_another_seed_and_for_another_row() -> None:
    rows, _ = table_rows(500)
    one, two = (Baseline(TABLE, "random", SHARES, seed=seed).predict_proba(rows) for seed in (1, 2))
    assert abs(np.corrcoef(one[:, 1], two[:, 1])[0, 1]) < 0.2
    assert len(np.unique(one[:, 1])) > 0.9 * len(rows)  # the few that are alike have no wind


def test_zero_rule_is_the_share_of_each_class() -> None:
    parts = table_parts()
    found = fit_baseline("zero-rule", parts, TrainingSettings())
    assert found.model.predict_proba(parts.validation.rows)[0, 1] == parts.train.labels.mean()
    assert (found.rounds, found.stopped_by) == (0, "closed form")


def test_the_heuristic_is_the_share_by_value_pulled_to_the_average() -> None:
    parts = table_parts()
    model = fit_baseline("heuristic", parts, TrainingSettings()).model
    storm = (parts.train.rows["weather"] == "storm").to_numpy()
    share = parts.train.labels.mean()
    expected = (parts.train.labels[storm].sum() + 20 * share) / (storm.sum() + 20)
    proba = model.predict_proba(pd.DataFrame({"weather": ["storm", "hail", None]}))
    assert proba[:, 1] == pytest.approx([expected, share, share])


def test_the_heuristic_cuts_numbers_into_tenths() -> None:
    parts = table_parts()
    task = replace(TABLE, heuristic="wind")
    model = fit_baseline("heuristic", replace(parts, task=task), TrainingSettings()).model
    assert isinstance(model, Baseline)
    assert model.table is not None
    assert len(model.table) == 10
    low, high, missing = model.predict_proba(pd.DataFrame({"wind": [-9.0, 9.0, None]}))[:, 1]
    assert low < missing < high


@pytest.mark.parametrize("name", ["logistic-regression", "gradient-boosted-trees", "embedding-network"])
def test_a_candidate_beats_the_baselines_where_there_is_something_to_learn(name: str) -> None:
    parts = table_parts(4000)
    candidate = next(entry for entry in candidates_for(TABLE) if entry.name == name)
    bar = fit_baseline("heuristic", parts, TrainingSettings()).kept.validation
    assert candidate.fit(parts, TrainingSettings()).kept.validation < bar - 0.005


@pytest.mark.parametrize("name", ["logistic-regression", "convolutional-network"])
def test_images_are_learned(name: str) -> None:
    candidate = next(entry for entry in candidates_for(IMAGES) if entry.name == name)
    assert candidate.fit(image_parts(), TrainingSettings(max_rounds=8)).kept.validation < 0.5


@pytest.mark.parametrize(("task", "name"), [*((TABLE, n) for n in TABLE_NAMES), *((IMAGES, n) for n in IMAGE_NAMES)])
def test_the_same_seed_gives_the_same_weights(tmp_path: Path, task: object, name: str) -> None:
    parts = table_parts() if task is TABLE else image_parts()
    candidate = next(entry for entry in candidates_for(parts.task) if entry.name == name)
    for number, turn in enumerate(("one", "two")):
        torch.manual_seed(number)  # what others drew from torch's generator must not matter
        fitted = candidate.fit(parts, TrainingSettings(max_rounds=2, seed=5))
        save_model(tmp_path / turn, fitted.model, parts.task)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all(sha256_file(tmp_path / "one" / file) == sha256_file(tmp_path / "two" / file) for file in files)


def test_a_class_that_training_never_saw_has_no_chance_and_does_no_harm() -> None:
    parts = table_parts()
    three = replace(parts, task=replace(TABLE, classes=("on time", "late", "cancelled")))
    for candidate in candidates_for(three.task):
        proba = candidate.fit(three, TrainingSettings(max_rounds=1)).model.predict_proba(parts.validation.rows)
        assert proba.shape[1] == 3
        assert np.isfinite(proba).all()


def test_a_single_feature_is_enough() -> None:
    rows, labels = table_rows(300)
    for task in (replace(TABLE, numeric=(), heuristic=None), replace(TABLE, categorical=(), heuristic="wind")):
        part = Part(rows, labels)
        for candidate in candidates_for(task):
            assert candidate.fit(Parts(task, part, part, part), TrainingSettings(max_rounds=1)).rounds <= 1


@given(st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=400))
def test_codes_are_in_range_and_do_not_depend_on_the_order_of_rows(values: list[str | None]) -> None:
    task = replace(TABLE, numeric=(), categorical=("weather",))
    rows = pd.DataFrame({"weather": pd.Series(values, dtype=object)})
    encoder = learn_encoder(rows, task)
    assert encoder == learn_encoder(rows.iloc[::-1], task)
    codes = encoder.codes(rows)[:, 0]
    assert codes.min() >= 0
    assert codes.max() < encoder.cardinalities[0]
    assert [code == 0 for code in codes] == [value is None for value in values]


@given(st.integers(1, 10**7))
def test_batches_are_a_power_of_two_within_bounds(rows: int) -> None:
    size = batch_rows(rows)
    assert math.log2(size).is_integer()
    assert 32 <= size <= 4096


def test_candidates_come_simplest_first_and_an_unknown_one_is_named() -> None:
    chosen = choose(["embedding-network", "zero-rule", "logistic-regression"], TABLE)
    assert [candidate.name for candidate in chosen] == ["zero-rule", "logistic-regression", "embedding-network"]
    with pytest.raises(BadInput, match=r"'candidates' names 'forest'; choose from .*zero-rule"):
        choose(["forest"], TABLE)
    with pytest.raises(BadInput, match="'gradient-boosted-trees', which task 'digits' cannot use"):
        choose(["gradient-boosted-trees"], IMAGES)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"seconds_per_candidate": 0}, "parameter 'seconds_per_candidate' is 0"),
        ({"seconds_per_candidate": float("nan")}, "parameter 'seconds_per_candidate' is nan"),
        ({"max_rounds": -1}, "parameter 'max_rounds' is -1"),
        ({"patience": 0}, "parameter 'patience' is 0"),
        ({"threads": 0}, "parameter 'threads' is 0"),
        ({"seed": -1}, "parameter 'seed' is -1"),
        ({"device": "tpu"}, "parameter 'device' is 'tpu'; choose auto or cpu or cuda"),
    ],
)
def test_a_wrong_parameter_is_named(given: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_settings(**given)  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(BadInput, match="device is 'cuda', but torch finds no CUDA device"):
            choose_device("cuda")

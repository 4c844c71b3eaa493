"""Judging in folds: no row is judged by what has seen it, scikit-learn finds the same, and champions are met fairly."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, log_loss, mean_squared_error, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.register.run import register
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.evaluation.bootstrap import Resamples, summary
from sluice.evaluation.evaluation import Evaluation, write
from sluice.evaluation.inputs import read_inputs
from sluice.evaluation.record import EvaluationRecord
from sluice.modeling.model_files import load_model, read_threshold
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Predictions
from sluice.reporting.evaluation_page import render
from sluice.sampling.folds import Folds
from sluice.storage.locations import default_store
from tests.unit.folds_world import (
    BINARY,
    CLASSES,
    NUMBER,
    REGRESSION,
    folder,
    frame,
    in_folds,
    judged,
    learned,
    published,
    rows_of,
)

pytestmark = pytest.mark.usefixtures("tracked_home")
FOLDS = Folds(NUMBER, "fold")


def parts_of(rows: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What each fold's models learned from, and what they judge, as scikit-learn's `cv` takes it."""
    for fold in range(1, NUMBER + 1):
        held = rows["fold"].isin([fold, FOLDS.stopping(fold)])
        yield np.flatnonzero(~held), np.flatnonzero(rows["fold"] == fold)


def test_scikit_learn_finds_the_same_forecasts_of_numbers() -> None:
    data = in_folds(frame(REGRESSION), REGRESSION)
    models = learned(data, "mean", "linear")
    scores = read_inputs(data.uri, models.uri).scores["test"]
    rows = rows_of(data)
    features, folds = rows[list("abc")], list(parts_of(rows))
    mean = cross_val_predict(DummyRegressor(), features, rows["y"], cv=folds)
    np.testing.assert_allclose(scores["mean"], mean, rtol=1e-9)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=1.0 * 90))  # the first round's penalty, for 90 rows
    np.testing.assert_allclose(scores["linear-regression"], cross_val_predict(ridge, features, rows["y"], cv=folds))
    found = judged(data, models)
    told = found.record().winner_row.metrics["rmse"]
    assert told.value == pytest.approx(mean_squared_error(rows["y"], scores["linear-regression"]) ** 0.5)
    assert told.n == 150


def test_scikit_learn_finds_the_same_forecasts_of_classes_and_metrics() -> None:
    data = in_folds(frame(BINARY), BINARY)
    models = learned(data, "zero-rule", "linear")
    rows = rows_of(data)
    scores = read_inputs(data.uri, models.uri).scores["test"]
    prior = cross_val_predict(
        DummyClassifier(), rows[list("abc")], rows["y"], cv=list(parts_of(rows)), method="predict_proba"
    )
    np.testing.assert_allclose(scores["zero-rule"], prior, rtol=1e-12)
    record = judged(data, models).record()
    own, called = np.empty((150, 2)), np.empty(150)
    for fold in range(1, NUMBER + 1):
        place = folder(models) / "folds" / str(fold) / "logistic-regression"
        inside, threshold = (rows["fold"] == fold).to_numpy(), read_threshold(place)
        assert threshold is not None
        own[inside] = load_model(place).predict_proba(rows[inside])
        called[inside] = own[inside, 1] >= threshold.value
    metrics = record.winner_row.metrics
    assert metrics["log_loss"].value == pytest.approx(log_loss(rows["y"], own))
    assert metrics["roc_auc"].value == pytest.approx(roc_auc_score(rows["y"], own[:, 1]))
    assert metrics["f1"].value == pytest.approx(f1_score(rows["y"], called))  # by each fold's own threshold


@pytest.mark.parametrize("task", [CLASSES, REGRESSION], ids=["classes", "number"])
def test_no_forecast_depends_on_the_rows_of_its_fold(task: Task) -> None:
    rows = rows_of(in_folds(frame(task), task))
    fold = (rows["fold"] == 2).to_numpy()
    spoilt = rows.assign(y=np.where(fold, rows["y"].max() - rows["y"], rows["y"]))
    baseline, model = ("mean", "linear-regression") if task.regression else ("zero-rule", "logistic-regression")
    datasets = [as_folds(table, task) for table in (rows, spoilt)]
    found = [read_inputs(data.uri, learned(data, baseline, "linear", rounds=2).uri) for data in datasets]
    for name in (baseline, model):
        before, after = (each.scores["test"][name] for each in found)
        np.testing.assert_array_equal(before[fold], after[fold])
    assert (before[~fold] != after[~fold]).any()
    first, second = (each.in_folds[1] for each in found)
    assert first.thresholds == second.thresholds  # nor does the threshold, nor what the choice goes by
    for name, said in first.validation.items():
        np.testing.assert_array_equal(said, second.validation[name])


def as_folds(table: pd.DataFrame, task: Task) -> Bundle:
    """A dataset of these very folds."""
    import ibis
    import pyarrow as pa

    engine = ibis.duckdb.connect()
    held = engine.create_table("held", pa.Table.from_pandas(table, preserve_index=False))
    last = held.fold == NUMBER
    tables = {"train": held.filter(~last), "validation": held.filter(last), "test": held}
    made = producer("split", {})
    return write_dataset(default_store(), tables, made, design=FOLDS.design(), details=task.details())


def test_the_recipe_is_judged_with_its_choices_and_says_so() -> None:
    data = in_folds(frame(CLASSES, seed=3), CLASSES)
    models = learned(data, "zero-rule", "linear", "trees", rounds=3)
    found = judged(data, models)
    inputs = read_inputs(data.uri, models.uri)
    assert found.recipe is not None
    own = np.empty((150, 3))
    for fold, name in enumerate(found.recipe.winners, 1):
        inside = (rows_of(data)["fold"] == fold).to_numpy()
        own[inside] = inputs.scores["test"][name][inside]
    record = EvaluationRecord.model_validate(json.loads(json.dumps(found.to_json())))
    assert record.winner_row.metrics["log_loss"].value == pytest.approx(log_loss(rows_of(data)["y"], own))
    assert record.folds is not None
    assert (record.folds.number, len(record.folds.winners)) == (5, 5)
    assert record.folds.widening == pytest.approx(1.5)
    alone = log_loss(rows_of(data)["y"], inputs.scores["test"][found.winner])
    assert record.folds.winner_alone["log_loss"].value == pytest.approx(alone)
    page = render(found)
    assert "judged out of fold" in page
    assert "test rows" not in page
    assert "out of fold" in found.reason or found.decision != "promote"


def test_errors_are_those_of_the_rows_widened_by_what_the_folds_share() -> None:
    values = np.random.default_rng(1).normal(size=20_001)
    plain, wide = summary(values), summary(values, widening=1.5)
    assert wide.error == pytest.approx(1.5 * (plain.error or 0))
    assert wide.high == pytest.approx(1.5 * 1.96, abs=0.15)
    bounded = summary(np.clip(values / 4 + 0.9, 0, 1), widening=1.5)
    assert (bounded.high or 2) <= 1.0  # no interval leaves the values that there can be
    measured = Resamples({"a": {"m": values}, "b": {"m": values[::-1]}}, 150.0)
    gaps = [replace(measured, widening=w).difference("a", "b", "m").error or 0 for w in (1.0, 1.5)]
    assert gaps[1] == pytest.approx(1.5 * gaps[0])


def test_each_row_keeps_its_threshold_in_a_part_of_the_rows() -> None:
    proba = np.array([[0.6, 0.4], [0.6, 0.4], [0.2, 0.8]])
    said = Predictions(np.array([1, 0, 1]), proba, 0.5, bars=np.array([0.3, 0.5, 0.9]))
    assert said.predicted.tolist() == [1, 0, 0]
    assert said.subset(np.array([True, False, True])).predicted.tolist() == [1, 0]


def registered(found: Evaluation, data: Bundle, models: Bundle, home: Path) -> None:
    write(found, home / "evaluation.json")
    done = register(data.uri, models.uri, home / "evaluation.json")
    assert done.record.decision == "promoted", done.record.reason
    assert done.result["folds"] == found.to_json()["folds"]


def test_a_champion_that_saw_the_rows_is_met_by_its_own_models_out_of_fold(tracked_home: Path) -> None:
    table = frame(BINARY)
    data = in_folds(table, BINARY)
    models = learned(data, "zero-rule", "linear", rounds=3)
    first = judged(data, models)
    registered(first, data, models, tracked_home)
    own = read_inputs(data.uri, models.uri).scores["test"]["logistic-regression"]

    later = in_folds(pd.concat([table, frame(BINARY, 30, seed=9).assign(id=range(150, 180))]), BINARY, seed=8)
    found = judged(later, learned(later, "zero-rule", "linear", rounds=2))
    rows, champion = rows_of(later), found.champion
    assert champion is not None
    assert champion.unseen is not None
    assert champion.unseen.all()
    assert champion.own_folds == pytest.approx(150 / 180)
    known = (rows["id"] < 150).to_numpy()
    np.testing.assert_array_equal(champion.scores["test"][known], own[rows["id"][known]])
    assert found.unseen is not None
    assert found.look == 2
    check = next(each for each in found.checks if each.name == "champion")
    assert "83% of the rows by its own models that were fitted without them" in check.message


def test_a_champion_without_folds_that_saw_the_rows_is_not_compared(tracked_home: Path) -> None:
    table = frame(BINARY, 600)
    data = in_folds(table, BINARY, strategy="random")
    models = learned(data, "zero-rule", "linear", rounds=3)
    registered(judged(data, models), data, models, tracked_home)
    learned_from = pd.concat([rows_of(data, "train"), rows_of(data, "validation")])
    again = in_folds(learned_from.reset_index(drop=True), BINARY)
    found = judged(again, learned(again, "zero-rule", "linear", rounds=2))
    check = next(each for each in found.checks if each.name == "champion")
    assert check.status == "undecided"
    assert "it learned from all of them" in check.message


def test_the_seconds_are_shared_and_who_is_too_slow_in_a_fold_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.components.train import run as step
    from sluice.modeling.rounds import NoRound
    from sluice.modeling.training_records import Trained, train_candidate
    from sluice.modeling.training_settings import TrainingSettings

    seconds: list[float] = []

    def late(candidate: object, parts: object, settings: TrainingSettings) -> Trained:
        seconds.append(settings.seconds_per_candidate)
        if getattr(candidate, "name", "") == "gradient-boosted-trees" and len(seconds) > 6:
            raise NoRound("gradient-boosted trees: not a single round ended")
        return train_candidate(candidate, parts, settings)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "train_candidate", late)
    data = in_folds(frame(BINARY), BINARY)
    names = ("zero-rule", "linear", "trees")
    result = step.run(data.uri, TrainingSettings(candidates=names, seconds_per_candidate=30))
    assert set(seconds) == {5.0}
    record = json.loads((folder(result.bundle) / "training.json").read_text())
    assert record["left_out"] == ["gradient-boosted-trees"]
    assert [sorted(fold) for fold in record["folds"]] == [["logistic-regression", "zero-rule"]] * 5
    assert not (folder(result.bundle) / "gradient-boosted-trees").exists()
    assert {path.name for path in (folder(result.bundle) / "folds" / "1").iterdir()} == {
        "logistic-regression",
        "zero-rule",
    }
    assert "each candidate was also trained 5 times" in result.page.lower()
    words = r"seconds_per_candidate is 5, too little .* \(the seconds given are shared by 6 trainings"
    with pytest.raises(BadInput, match=words):
        step.run(data.uri, TrainingSettings(candidates=("zero-rule", "trees"), seconds_per_candidate=30))


def test_training_on_several_workers_refuses_folds() -> None:
    from sluice.components.train_distributed.run import run
    from sluice.modeling.distributed.job_settings import check_settings
    from sluice.parameters import step_checks

    data = in_folds(frame(BINARY), BINARY)
    with pytest.raises(BadInput, match="divided into folds"):
        run(data.uri, *check_settings({}))
    with pytest.raises(BadInput, match="trains once"):
        step_checks("split", {"train_distributed"})["strategy"]("split_strategy", "folds")
    step_checks("split", {"train"})["strategy"]("split_strategy", "folds")


def test_a_bundle_without_a_fold_is_refused() -> None:
    data = in_folds(frame(BINARY), BINARY)
    plain = in_folds(frame(BINARY), BINARY, strategy="random")
    models = learned(plain, "zero-rule", "linear")
    with pytest.raises(BadInput, match="folds/1/zero-rule is no folder with a model"):
        judged(data, models)
    assert published(frame(BINARY), BINARY).id

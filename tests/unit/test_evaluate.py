"""Evaluate on real datasets and models: who wins, what the gate says, what the artifact holds."""

import json
from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest

from sluice.components.evaluate.run import judge, run
from sluice.core.errors import BadInput
from sluice.evaluation.curves import confusion, roc_points
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.modeling.baselines import Baseline
from sluice.reporting.pages import sections_of
from tests.unit import small_world

SETTINGS = EvaluationSettings(
    GateLimits(max_calibration_error=0.25, slice_tolerance=0.02, min_slice_rows=40), resamples=100, seed=1
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    for name in ("SLUICE_STORE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_better_candidate_wins_and_passes_the_gate(home: Path) -> None:
    data = small_world.splits()
    models = small_world.models(data, home / "m", {**small_world.USELESS, **small_world.GOOD})
    found = run(data.uri, models.uri, SETTINGS, evaluation=home / "e.json", page=home / "e.html")
    assert (found.winner, found.selection.best_baseline, found.decision) == ("weather", "zero-rule", "promote")
    assert all(check.passed for check in found.checks)
    body = json.loads((home / "e.json").read_text())
    assert body["datasets"] == {"splits": data.id, "models": models.id}
    assert [row["name"] for row in body["candidates"]] == ["zero-rule", "carrier", "weather"]
    auc = body["candidates"][2]["metrics"]["roc_auc"]
    assert auc["low"] < auc["value"] < auc["high"]
    assert auc["low"] > body["candidates"][1]["metrics"]["roc_auc"]["high"]
    titles = [section.id for section in sections_of((home / "e.html").read_text())]
    assert titles == ["gate", "candidates", "calibration", "slices", "months", "simpson"]


def test_the_same_inputs_give_the_same_document(home: Path) -> None:
    data = small_world.splits()
    models = small_world.models(data, home / "m")
    first = run(data.uri, models.uri, SETTINGS, evaluation=home / "1.json", page=home / "1.html")
    run(data.uri, models.uri, SETTINGS, evaluation=home / "2.json", page=home / "2.html")
    assert (home / "1.json").read_bytes() == (home / "2.json").read_bytes()
    assert (home / "1.html").read_bytes() == (home / "2.html").read_bytes()
    other = judge(data.uri, models.uri, replace(SETTINGS, seed=2))
    assert other.to_json()["candidates"] != first.to_json()["candidates"]


def test_a_candidate_no_better_than_the_baseline_is_refused(home: Path) -> None:
    data = small_world.splits()
    found = judge(data.uri, small_world.models(data, home / "m", small_world.USELESS).uri, SETTINGS)
    assert found.decision == "refuse"
    assert "does not beat the baseline zero-rule" in found.reason
    assert "\n" not in found.reason


def test_every_row_is_in_one_group_of_each_column_and_small_ones_are_marked(home: Path) -> None:
    data = small_world.splits()
    found = judge(data.uri, small_world.models(data, home / "m").uri, SETTINGS)
    for column in small_world.TASK.slices:
        assert sum(entry.rows for entry in found.slices if entry.column == column) == 600
    strict = EvaluationSettings(replace(SETTINGS.gate, min_slice_rows=250), resamples=50, seed=1)
    marked = judge(data.uri, small_world.models(data, home / "m2").uri, strict)
    assert {entry.judged for entry in marked.slices} == {True, False}
    assert all(entry.judged == (entry.rows >= 250) for entry in marked.slices)


def test_what_the_kfp_page_shows_is_bounded_and_finite(home: Path) -> None:
    data = small_world.splits()
    found = judge(data.uri, small_world.models(data, home / "m").uri, SETTINGS)
    false_positives, true_positives, thresholds = roc_points(found)
    assert len(false_positives) == len(true_positives) == len(thresholds) <= 200
    assert (false_positives[0], true_positives[-1]) == (0.0, 1.0)
    assert all(0 <= threshold <= 1 for threshold in thresholds)
    assert sum(map(sum, confusion(found))) == 600
    assert found.winner_metrics()["accuracy"] == pytest.approx(sum(confusion(found)[i][i] for i in (0, 1)) / 600)


def test_several_classes_are_judged_without_a_positive_one(home: Path) -> None:
    """The weather itself as the label of three classes, known to one model for two thirds of the rows."""
    task = replace(small_world.TASK, label="sky", classes=tuple(small_world.RATES), time=None)
    every = small_world.frame(900, 3)
    every["sky"] = every["weather"].map(list(small_world.RATES).index)
    every["carrier"] = every["weather"].where(every["row"] % 3 > 0, "?")
    engine = ibis.duckdb.connect()
    parts = {name: every[i * 300 : (i + 1) * 300] for i, name in enumerate(("train", "validation", "test"))}
    tables = {n: engine.create_table(n, pa.Table.from_pandas(part, preserve_index=False)) for n, part in parts.items()}
    store, made = small_world.default_store(), small_world.producer("split", {})
    data = small_world.write_dataset(store, tables, made, details=task.details())
    shares = np.array([0.2, 0.3, 0.5])
    known = np.vstack([0.9 * np.eye(3) + 0.1 / 3, shares])
    knowing = Baseline(task, "heuristic", shares, values=(*small_world.RATES, "?"), table=known)
    models = small_world.models(data, home / "m", {"knowing": knowing}, Baseline(task, "zero-rule", shares))
    found = run(data.uri, models.uri, SETTINGS, evaluation=home / "e.json", page=home / "e.html")
    assert found.decision == "promote"
    assert found.winner_metrics()["accuracy"] > 0.8
    assert "average_precision" not in found.winner_metrics()
    assert found.months == found.reversals == []
    assert [len(row) for row in confusion(found)] == [3, 3, 3]
    body = json.loads((home / "e.json").read_text())
    assert body["candidates"][1]["threshold"] is None
    assert all(entry["base_rate"] is None for entry in body["slices"])
    assert "Accuracy" in (home / "e.html").read_text()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (replace(SETTINGS, resamples=3), "resamples"),
        (replace(SETTINGS, gate=replace(SETTINGS.gate, max_calibration_error=15)), "max_calibration_error"),
        (replace(SETTINGS, gate=replace(SETTINGS.gate, min_slice_rows=0)), "min_slice_rows"),
        (replace(SETTINGS, gate=replace(SETTINGS.gate, slice_tolerance=-1.0)), "slice_tolerance"),
    ],
)
def test_a_number_out_of_range_is_named(settings: EvaluationSettings, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        judge("nowhere", "nowhere", settings)


def test_changed_models_are_refused(home: Path) -> None:
    data = small_world.splits()
    models = small_world.models(data, home / "m")
    (Path(models.uri) / "weather" / "model.json").write_text("{}")
    with pytest.raises(BadInput, match=r"model\.json"):
        judge(data.uri, models.uri, SETTINGS)


def test_models_without_a_baseline_are_refused(home: Path) -> None:
    data = small_world.splits()
    small_world.models(data, home / "m")
    training = home / "m" / "training.json"
    body = json.loads(training.read_text())
    training.write_text(json.dumps({**body, "candidates": body["candidates"][1:]}))
    bundle = small_world.publish(
        small_world.default_store(), home / "m", "model", small_world.producer("train", {"seed": 4})
    )
    with pytest.raises(BadInput, match="baseline"):
        judge(data.uri, bundle.uri, SETTINGS)

"""The step as a whole: what it publishes, records, logs and refuses."""

import json
import math
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sluice.artifacts.bundles import Bundle, open_bundle
from sluice.artifacts.producer import producer
from sluice.components.train.component import train
from sluice.components.train.run import TrainingResult, run
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.evaluation.candidates import read_candidates
from sluice.modeling.model_files import load_model, read_threshold
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from sluice.registry.mlflow_access import mlflow_module
from sluice.reporting.pages import sections_of
from sluice.storage.locations import default_store
from tests.unit.model_world import TABLE, TABLE_NAMES, table_rows

FAST = TrainingSettings(max_rounds=2)


def dataset(task: Task = TABLE, details: dict[str, Any] | None = None, **parts: pd.DataFrame) -> Bundle:
    """A split dataset; by default the parts train and validation, and no test: the step must not miss it."""
    engine = ibis.duckdb.connect()
    frames = parts or {name: labelled(rows, seed) for name, rows, seed in (("train", 900, 0), ("validation", 300, 1))}
    tables = {
        name: engine.create_table(name, pa.Table.from_pandas(frame, preserve_index=False))
        for name, frame in frames.items()
    }
    return write_dataset(
        default_store(), tables, producer("split", {}), details=task.details() if details is None else details
    )


def labelled(rows: int, seed: int) -> pd.DataFrame:
    frame, labels = table_rows(rows, seed)
    return frame.assign(late=labels)


@pytest.fixture
def trained(tracked_home: Path) -> TrainingResult:
    return run(dataset().uri, FAST)


def test_each_candidate_is_a_model_of_its_own_with_a_record(trained: TrainingResult) -> None:
    folder = Path(trained.bundle.uri)
    record = json.loads((folder / "training.json").read_text())
    assert [entry["name"] for entry in record["candidates"]] == list(TABLE_NAMES)
    assert [entry["rank"] for entry in record["candidates"]] == sorted(e["rank"] for e in record["candidates"])
    rows = labelled(50, 2)
    for entry in record["candidates"]:
        assert load_model(folder / entry["name"]).predict_proba(rows).shape == (50, 2)
        assert entry["size"] > 0
        assert entry["validation"]["log_loss"] == trained.losses[entry["name"]]
        kept = [point for point in entry["curve"] if point["round"] == entry["kept_round"]]
        assert kept[0]["validation_log_loss"] == entry["validation"]["log_loss"]
        assert entry["baseline"] == (entry["family"] == "baseline")


def test_the_bundle_tells_what_it_was_made_from_and_how_long_it_took(trained: TrainingResult) -> None:
    manifest = open_bundle(trained.bundle.uri, "model").manifest
    source = open_bundle(dataset().uri)
    assert manifest.parents == (source.id,)
    assert manifest.details["task"]["label"] == "late"
    assert manifest.notes["environment"]["threads"] == 1
    assert manifest.notes["environment"]["versions"].keys() == {"sklearn", "torch", "numpy", "skops"}
    assert manifest.notes["timings"].keys() == set(TABLE_NAMES)
    assert "seconds" not in (Path(trained.bundle.uri) / "training.json").read_text().replace("budget_seconds", "")


def test_the_same_data_and_seed_are_the_same_models(trained: TrainingResult) -> None:
    again, other = run(dataset().uri, FAST), run(dataset().uri, TrainingSettings(max_rounds=2, seed=7))
    assert again.bundle.id == trained.bundle.id
    digests = [{f.path: f.sha256 for f in result.bundle.manifest.files} for result in (trained, again, other)]
    assert digests[0] == digests[1]
    changed = {path.split("/")[0] for path in digests[0] if digests[0][path] != digests[2][path]}
    assert changed == {"random", "gradient-boosted-trees", "embedding-network", "training.json"}


def test_the_page_has_a_table_and_a_curve_for_each_candidate(trained: TrainingResult) -> None:
    (section,) = sections_of(trained.page)
    assert section.id == "training"
    assert section.html.count("<svg") == 3
    assert "gradient-boosted trees" in section.html
    assert "closed form" in section.html


def test_a_candidate_that_still_got_better_is_marked_wherever_it_is_shown(tracked_home: Path) -> None:
    result = run(dataset().uri, TrainingSettings(candidates=("zero-rule", "embedding-network"), max_rounds=2))
    words = "still getting better in its last round, 2; a greater max_rounds lets it go on"
    record = json.loads((Path(result.bundle.uri) / "training.json").read_text())
    assert [entry["cut"] for entry in record["candidates"]] == ["", words]
    assert [entry.cut for entry in read_candidates(Path(result.bundle.uri), "here")] == ["", words]
    assert (record["budget_seconds"], record["budget_rounds"]) == (None, 2)
    assert "round limit (cut)" in result.page
    assert f"network with embeddings: {words}." in result.page
    assert "Each candidate had 2 rounds" in result.page


def test_a_candidate_without_a_round_is_left_out_and_the_others_go_on(
    tracked_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        while True:
            sum(range(100))

    def left(clock: Any) -> float:
        return 0.2 if clock._title == "gradient-boosted trees" else math.inf

    monkeypatch.setattr("sluice.modeling.trees.TreesFitting.advance", never)
    monkeypatch.setattr("sluice.modeling.rounds._Clock.left", left)
    names = ("zero-rule", "logistic-regression", "gradient-boosted-trees")
    result = run(dataset().uri, TrainingSettings(candidates=names))
    record = json.loads((Path(result.bundle.uri) / "training.json").read_text())
    assert [entry["name"] for entry in record["candidates"]] == list(names[:2])
    assert record["left_out"] == ["gradient-boosted-trees"]
    assert "Left out, for not a single round ended in time: gradient-boosted-trees." in result.page
    with pytest.raises(BadInput, match="seconds_per_candidate is 60, too little for a single round of gradient"):
        run(dataset().uri, TrainingSettings(candidates=(names[0], names[2])))


def test_mlflow_has_a_run_for_each_candidate_inside_the_steps(trained: TrainingResult) -> None:
    client = mlflow_module().MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    parent = next(found for found in runs if found.info.run_name == "train")
    children = [found for found in runs if found.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(child.info.run_name for child in children) == sorted(TABLE_NAMES)
    trees = next(child for child in children if child.info.run_name == "gradient-boosted-trees")
    history = client.get_metric_history(trees.info.run_id, "validation_log_loss")
    assert [point.step for point in history] == [1, 2]
    assert trees.data.metrics["best_validation_log_loss"] == trained.losses["gradient-boosted-trees"]
    assert trees.data.params["max_leaf_nodes"] == "31"
    assert trees.data.tags["sluice.family"] == "sklearn"
    assert trees.data.tags["sluice.models"] == parent.data.tags["sluice.models"] == trained.bundle.id


def test_mlflow_takes_a_long_curve(tracked_home: Path) -> None:
    settings = TrainingSettings(candidates=("zero-rule", "logistic-regression"), max_rounds=400, patience=400)
    result = run(dataset().uri, settings)
    client = mlflow_module().MlflowClient()
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()])
    child = next(found for found in runs if found.info.run_name == "logistic-regression")
    history = client.get_metric_history(child.info.run_id, "validation_log_loss")
    assert sorted(point.step for point in history) == list(range(1, 401))
    threshold = read_threshold(Path(result.bundle.uri) / "logistic-regression")
    assert threshold is not None
    assert child.data.metrics["threshold"] == threshold.value
    assert child.data.metrics["cpu_seconds"] > 0
    assert child.data.tags["sluice.cut"] == "false"


FRAME = labelled(60, 0)
ONE_CLASS = FRAME.assign(late=0)


@pytest.mark.parametrize(
    ("frames", "task", "named"),
    [
        ({"train": FRAME}, TABLE, "has no part 'validation', only train"),
        ({"validation": FRAME}, TABLE, "has no part 'train'"),
        ({"train": ONE_CLASS, "validation": FRAME}, TABLE, "column 'late' of part 'train' holds only class 'on time'"),
        ({"train": FRAME.drop(columns="wind"), "validation": FRAME}, TABLE, "part 'train' has no column 'wind'"),
        ({"train": FRAME, "validation": FRAME.drop(columns="late")}, TABLE, "part 'validation' has no column 'late'"),
        ({"train": FRAME.assign(late=2), "validation": FRAME}, TABLE, "row 0: 2 is no class code from 0 to 1"),
        ({"train": FRAME, "validation": FRAME.assign(late=np.nan)}, TABLE, "row 0: nan is no class code"),
        ({"train": FRAME.assign(wind="x"), "validation": FRAME}, TABLE, "feature column 'wind' holds"),
        ({"train": FRAME, "validation": FRAME}, Task("t", "?", "late", ("a", "b"), ("row",)), "has no feature"),
        ({"train": FRAME, "validation": FRAME}, None, "carries no task"),
    ],
)
def test_what_cannot_be_learned_from_is_named_and_nothing_is_written(
    tracked_home: Path, frames: dict[str, pd.DataFrame], task: Task | None, named: str
) -> None:
    bundle = dataset(task or TABLE, None if task else {}, **frames)
    with pytest.raises(BadInput) as caught:
        run(bundle.uri, FAST)
    assert named in str(caught.value)
    assert not (tracked_home / "store" / "models").exists()
    assert not mlflow_module().MlflowClient().search_runs(["0", "1"])


class Place:
    """What KFP hands a component for an output."""

    def __init__(self, path: Path, uri: str = "") -> None:
        self.path, self.uri, self.metadata = str(path), uri, dict[str, Any]()

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value


def test_the_component_fills_its_outputs(tracked_home: Path, tmp_path: Path) -> None:
    models, curves, metrics = (Place(tmp_path / name) for name in ("models", "curves", "metrics"))
    names = ["zero-rule", "logistic-regression"]
    train.python_func(
        splits=dataset().uri,
        models=models,
        curves=curves,
        metrics=metrics,
        candidates=names,
        max_rounds=1,
    )
    assert open_bundle(models.uri, "model").id == models.metadata["id"]
    assert sections_of(Path(curves.path).read_text())
    assert list(metrics.metadata) == [f"{name} validation log loss" for name in names]


def test_the_component_ends_with_one_line_and_code_2(
    tracked_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: Place(tmp_path / name) for name in ("models", "curves", "metrics")}
    with pytest.raises(SystemExit) as caught:
        train.python_func(splits=dataset().uri, candidates=["forest"], **places)
    assert caught.value.code == 2
    assert "error: parameter 'candidates' names 'forest'" in capsys.readouterr().out

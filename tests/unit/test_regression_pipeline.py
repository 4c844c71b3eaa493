"""A number as the label through every step after prepare: trained, judged, registered, reported, and served."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from sluice.artifacts.bundles import Bundle
from sluice.cli.run_summary import show
from sluice.components.evaluate.run import run as evaluate
from sluice.components.register.run import Registered
from sluice.components.register.run import run as register
from sluice.components.report.run import run as report
from sluice.components.train.run import run as train
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.evaluation.record import EvaluationRecord
from sluice.modeling.training_settings import check_settings
from sluice.reporting.pages import sections_of
from sluice.running.local_run import RunResult
from sluice.running.run_progress import StepTimes
from tests.unit import numbers_world
from tests.unit.test_pages import Checker

CANDIDATES = ("mean", "median", "heuristic", "linear", "trees")
SETTINGS = EvaluationSettings(GateLimits(min_slice_rows=40), resamples=200, seed=1)


class Finished:
    """A regression run to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.splits: Bundle = numbers_world.splits()
        self.trained = train(self.splits.uri, check_settings(CANDIDATES, max_rounds=6))
        models = self.trained.bundle.uri
        self.found = evaluate(
            self.splits.uri, models, SETTINGS, evaluation=folder / "e.json", page=folder / "evaluation.html"
        )
        self.done: Registered = register(
            self.splits.uri, models, folder / "e.json", result=folder / "result.json", card=folder / "card.md"
        )
        (folder / "curves.html").write_text(self.trained.page)
        report([folder / "curves.html", folder / "evaluation.html"], folder / "result.json", folder / "report.html")

    @property
    def test_rows(self) -> pd.DataFrame:
        """The rows that were judged on."""
        return numbers_world.frame(3000, 1)[2400:]


@pytest.fixture(scope="module")
def finished(empty_tracking: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("regression")
    with pytest.MonkeyPatch.context() as patch:
        home = folder / "home"
        home.mkdir()
        (home / "mlflow.db").write_bytes(empty_tracking.read_bytes())
        patch.setenv("SLUICE_HOME", str(home))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE"):
            patch.delenv(name, raising=False)
        made = Finished(folder)
        made.served = mlflow.pyfunc.load_model("models:/houses@champion")  # type: ignore[attr-defined]
        client = mlflow.MlflowClient()
        made.runs = client.search_runs([e.experiment_id for e in client.search_experiments()])  # type: ignore[attr-defined]
        return made


def test_the_better_model_is_promoted_over_the_baselines(finished: Finished) -> None:
    assert finished.found.decision == "promote"
    assert finished.done.record.decision == "promoted"
    assert finished.found.winner in ("linear-regression", "gradient-boosted-trees")
    assert [check.name for check in finished.found.checks] == ["evidence", "baselines", "champion", "bias", "slices"]
    rmse = finished.found.winner_metrics()["rmse"]
    assert 19_000 < rmse < 30_000, "the labels' own noise is 20,000"


def test_metrics_on_the_page_are_those_of_scikit_learn(finished: Finished) -> None:
    found, rows = finished.found.winner_metrics(), finished.test_rows
    forecast = finished.served.predict(rows)["prediction"]  # type: ignore[attr-defined]
    assert found["rmse"] == pytest.approx(root_mean_squared_error(rows["price"], forecast))
    assert found["mae"] == pytest.approx(mean_absolute_error(rows["price"], forecast))
    assert found["r2"] == pytest.approx(r2_score(rows["price"], forecast))


def test_the_registered_model_gives_one_column_of_numbers(finished: Finished) -> None:
    served, rows = finished.served, finished.test_rows.head(5)  # type: ignore[attr-defined]
    answer = served.predict(rows)
    assert list(answer.columns) == ["prediction"]
    assert answer["prediction"].dtype == np.float64
    assert list(answer.index) == list(rows.index)
    told = served.predict(rows.assign(plan="castle"), params={"report": True})
    assert (told["unseen"] == "plan").all()
    assert [column.name for column in served.metadata.signature.outputs] == ["prediction", "unseen"]
    assert [param.name for param in served.metadata.signature.params] == ["report"]


def test_the_record_gives_each_number_with_rows_interval_and_method(finished: Finished) -> None:
    record = EvaluationRecord.model_validate(read_json(finished.folder / "e.json"))
    assert (record.problem, record.metric.name, record.calibration) == ("regression", "rmse", None)
    assert record.digest == finished.done.result["evaluation_digest"]
    rmse = record.winner_row.metrics["rmse"]
    assert (rmse.n, rmse.method) == (600, "bootstrap")
    assert rmse.low is not None
    assert rmse.high is not None
    assert rmse.low < rmse.value < rmse.high  # type: ignore[operator]
    assert record.residuals is not None
    assert sum(entry.observed.n for entry in record.residuals.bins) == 600
    assert record.residuals.slope.low < 1 < record.residuals.slope.high  # type: ignore[operator]
    assert record.selection.excess[record.winner].method == "paired bootstrap"
    assert {entry.column for entry in record.slices} == {"plan", "region"}
    assert all(entry.mean is not None and entry.base_rate is None for entry in record.slices)


def test_card_and_report_speak_of_numbers(finished: Finished) -> None:
    card = (finished.folder / "card.md").read_text()
    assert "- **Forecasts**: `price`, a number" in card
    assert "| Candidate | rmse | mae | r2 | mape |" in card
    assert "the greatest RMSE is" in card
    assert "nine in ten between" in card
    text = (finished.folder / "report.html").read_text()
    ids = [section.id for section in sections_of(text)]
    assert ids == [
        "verdict",
        "training",
        "gate",
        "candidates",
        "residuals",
        "slices",
        "months",
        "lineage",
        "parameters",
    ]
    for word in (
        "Labels against forecasts",
        "Histogram of 600 residuals",
        "Validation RMSE",
        "Mean price",
        "Simpson&#39;s paradox is looked",
    ):
        assert word in text, word
    for word in ("og loss", "ROC", "onfusion", "Threshold of"):
        assert word not in text, word
    Checker(text)


def test_mlflow_has_the_metrics_and_the_curve(finished: Finished) -> None:
    runs = finished.runs  # type: ignore[attr-defined]
    logged = next(run.data.metrics for run in runs if "test_rmse" in run.data.metrics)
    assert logged["test_rmse"] == finished.found.winner_metrics()["rmse"]
    assert logged["test_rmse_low"] < logged["test_rmse"] < logged["test_rmse_high"]
    assert any("best_validation_rmse" in run.data.metrics for run in runs)


def test_the_terminal_shows_numbers_in_the_labels_unit(finished: Finished) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    show(RunResult("r", finished.done.result, Path("report.html"), None, 1.0, StepTimes()), console)
    text = console.export_text()
    assert "RMSE ↓ (95 %)" in text
    assert "MAE ↓ (95 %)" in text
    assert f"{finished.found.winner_metrics()['rmse']:,.0f} [" in text


def test_a_record_that_was_changed_is_refused_with_its_place(finished: Finished, tmp_path: Path) -> None:
    from sluice.registry.evaluation_verdict import read_verdict

    body = read_json(finished.folder / "e.json")
    body["candidates"][0]["metrics"]["rmse"]["n"] = "many"
    (tmp_path / "e.json").write_text(json.dumps(body))
    with pytest.raises(BadInput, match=r"is no evaluation \(candidates\.0\.metrics\.rmse\.n: .*\); run evaluate again"):
        read_verdict(tmp_path / "e.json", finished.splits, finished.trained.bundle)
    (tmp_path / "e.json").write_text(json.dumps(body | {"schema": 2}))
    with pytest.raises(BadInput, match="an evaluation of schema 2, not 3; run evaluate again"):
        read_verdict(tmp_path / "e.json", finished.splits, finished.trained.bundle)

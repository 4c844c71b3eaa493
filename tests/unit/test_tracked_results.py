"""What a person finds in MLflow after a pipeline run: one named run, the candidates under it, numbers, data, plots.

On SQLite as on a laptop, and through a real server.
"""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sluice.artifacts.bundles import Bundle
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.pipeline_runs import find
from sluice.registry.tracked_results import CANDIDATE_TAG, keep_report, log_evaluation, log_report
from sluice.registry.tracking import child_run, finish_pipeline_run, log_dataset, pipeline_run, tracked_run
from sluice.reporting.pages import Section, figure_html, render_page
from sluice.reporting.plots import figure_svg, new_figure
from tests.unit import small_world
from tests.unit.test_register_server import server as mlflow_server  # noqa: F401 - a fixture

PARAMETERS = {"lake": "lakes/flights", "shares": [0.7, 0.15, 0.15], "seed": 7}


@pytest.fixture
def split(request: pytest.FixtureRequest, tracked_home: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A split dataset, in a pipeline run; tracked by a real server where the test's parameter says so."""
    if getattr(request, "param", "") == "server":
        request.getfixturevalue("mlflow_server")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked_home}/mlflow.db")
    monkeypatch.setenv("SLUICE_RUN", "4f1c0de0-9a")
    monkeypatch.setenv("SLUICE_PIPELINE", "supervised")
    return small_world.splits()


def evaluation(folder: Path) -> Path:
    """As evaluate writes it, with two candidates."""
    rows = [
        {
            "name": name,
            "baseline": name == "zero-rule",
            "metrics": {"log_loss": {"value": v, "low": v - 1, "high": None}},
        }
        for name, v in (("zero-rule", 2.5), ("logistic", 1.5))
    ]
    path = folder / "evaluation.json"
    path.write_text(json.dumps({"candidates": rows, "winner": "logistic", "decision": "promote", "reason": "it is"}))
    return path


def report(folder: Path) -> Path:
    figure, axes = new_figure()
    axes.plot([1, 2], [3, 4])
    page = render_page("r", [Section("curves", "Curves", figure_html(figure_svg(figure, "a line")))])
    (folder / "report.html").write_text(page)
    (folder / "result.json").write_text("{}")
    return folder / "report.html"


def everything(client: Any) -> dict[str, Any]:
    """All runs of all experiments by name."""
    experiments = client.search_experiments()
    runs = [run for entry in experiments for run in client.search_runs([entry.experiment_id])]
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


@pytest.mark.parametrize("split", ["sqlite", "server"], indirect=True)
def test_a_pipeline_run_is_one_run_with_its_candidates_under_it(
    split: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipeline_run("my run", PARAMETERS) as opened:
        monkeypatch.setenv("MLFLOW_RUN_ID", opened)
        monkeypatch.setenv("SLUICE_MLFLOW_RUN", opened)
        with tracked_run("train") as run:
            assert run == opened
            log_dataset(split, "training")
            for name in ("zero-rule", "logistic"):
                with child_run(name, {CANDIDATE_TAG: name}):
                    pass
        log_evaluation(evaluation(tmp_path), split.uri)
        with tracked_run("register"):
            pass
        keep_report(opened, report(tmp_path), tmp_path / "result.json")
    client = mlflow_module().MlflowClient()
    runs = everything(client)
    assert set(runs) == {"my run", "zero-rule", "logistic"}
    top = runs["my run"]
    assert client.get_experiment(top.info.experiment_id).name == "supervised"
    assert top.data.params == {"lake": "lakes/flights", "shares": "[0.7, 0.15, 0.15]", "seed": "7"}
    assert top.data.metrics == {"test_log_loss": 1.5, "test_log_loss_low": 0.5}
    assert {key: top.data.tags[f"sluice.{key}"] for key in ("winner", "decision", "reason")} == {
        "winner": "logistic",
        "decision": "promote",
        "reason": "it is",
    }
    for name, won, loss in (("zero-rule", "false", 2.5), ("logistic", "true", 1.5)):
        assert runs[name].info.experiment_id == top.info.experiment_id
        assert runs[name].data.tags["mlflow.parentRunId"] == opened
        assert runs[name].data.tags["sluice.winner"] == won
        assert runs[name].data.metrics["test_log_loss"] == loss
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert [entry.path for entry in client.list_artifacts(opened)] == ["plots", "report.html", "result.json"]
    contexts = [entry.tags[0].value for entry in client.get_run(opened).inputs.dataset_inputs]
    assert sorted(contexts) == ["evaluation", "training", "validation"]


def test_the_data_are_shown_with_schema_and_rows(split: Bundle) -> None:
    with tracked_run("train") as run:
        log_dataset(split, "training")
    entries = mlflow_module().MlflowClient().get_run(run).inputs.dataset_inputs
    assert {entry.dataset.name: entry.tags[0].value for entry in entries} == {
        "late train": "training",
        "late validation": "validation",
    }
    for entry in entries:
        table = split.manifest.tables[entry.dataset.name.split()[1]]
        assert entry.dataset.digest == split.id[:36]
        assert json.loads(entry.dataset.profile) == {"num_rows": table.rows}
        schema = json.loads(entry.dataset.schema)["mlflow_colspec"]
        assert {column["name"]: column["type"] for column in schema} == {
            "row": "long",
            "late": "long",
            "time": "datetime",
            "weather": "string",
            "carrier": "string",
            "origin": "string",
            "noise": "double",
        }


def test_in_pods_the_last_step_keeps_the_report_and_its_plots(split: Bundle, tmp_path: Path) -> None:
    page = report(tmp_path)
    log_report(page, tmp_path / "result.json")
    finish_pipeline_run()
    client = mlflow_module().MlflowClient()
    run = str(find(client, "4f1c0de0-9a"))
    assert [entry.path for entry in client.list_artifacts(run)] == ["plots", "report.html", "result.json"]
    plot = Path(client.download_artifacts(run, "plots/curves-1.svg", str(tmp_path))).read_text()
    assert plot.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert ElementTree.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"
    assert client.get_run(run).info.status == "FINISHED"


def test_candidates_whose_training_was_reused_have_runs_too(split: Bundle, tmp_path: Path) -> None:
    log_evaluation(evaluation(tmp_path), split.uri)
    log_evaluation(evaluation(tmp_path), split.uri)
    client = mlflow_module().MlflowClient()
    run = str(find(client, "4f1c0de0-9a"))
    runs = everything(client)
    assert len(runs) == 3
    for name in ("zero-rule", "logistic"):
        assert runs[name].data.tags["mlflow.parentRunId"] == run
        assert runs[name].data.tags["sluice.training"] == "reused"


def test_a_step_that_runs_alone_tells_mlflow_nothing(
    split: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLUICE_RUN")
    log_evaluation(evaluation(tmp_path), split.uri)
    log_report(report(tmp_path), tmp_path / "result.json")
    assert everything(mlflow_module().MlflowClient()) == {}

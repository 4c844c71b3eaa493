"""The main job, end to end, as a user runs it: real flights, KFP's local runner, MLflow on SQLite."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sluice.exporting.served_files import read_served_model
from sluice.serving.openapi import example_row
from tests import turkish
from tests.examples import FLIGHTS
from tests.sluice_command import QUICK, Sluice

Run = tuple[Sluice, subprocess.CompletedProcess[str]]


# A locale without UTF-8, as a bare cron job or an old terminal has it; Python would make it UTF-8 if it were let.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def another_locale(tmp_path: Path) -> dict[str, str]:
    """One without UTF-8: a Turkish one, where a large I is no i either, on a machine that has its sources."""
    if not turkish.SOURCE.is_file():
        return ASCII
    (tmp_path / "locales").mkdir()
    return {"LC_ALL": turkish.make_locales(tmp_path / "locales")["ISO-8859-9"], "LOCPATH": str(tmp_path / "locales")}


def _json(sluice: Sluice, *words: str, **variables: str) -> dict:
    done = sluice(*words, "--json", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_terminal_tells_the_story(first_run: Run) -> None:
    _, done = first_run
    for step in ("ingest", "validate", "prepare", "sample", "split", "train", "evaluate", "register", "report"):
        assert re.search(rf"✓ {step} ", done.stdout), done.stdout
    assert "promoted" in done.stdout
    assert "sluice lineage flights-late" in done.stdout
    assert "KFP Executor" not in done.stdout
    report = re.search(r"\S+/reports/\S+\.html", done.stdout)
    assert report
    assert Path(report[0]).is_file()


def test_the_report_is_one_file_with_pictures_and_no_network(first_run: Run) -> None:
    sluice, _ = first_run
    (report,) = (sluice.home / "reports").glob("*.html")
    text = report.read_text()
    assert text.count("<svg") >= 6
    assert "<script src" not in text
    assert not re.search(r'(?:src|href)="https?://', text)
    assert not re.search(r"url\((?!#|data:)", text)


def test_mlflow_shows_one_run_with_the_candidates_under_it(first_run: Run) -> None:
    sluice, _ = first_run
    client = MlflowClient(f"sqlite:///{sluice.home}/mlflow.db")
    runs = {e.name: client.search_runs([e.experiment_id]) for e in client.search_experiments()}
    assert [name for name, found in runs.items() if found] == ["supervised"]
    first = min(path.name for path in (sluice.home / "runs").iterdir())  # other tests run it again
    (top,) = (run for run in runs["supervised"] if run.info.run_name == first)
    under = [run for run in runs["supervised"] if run.data.tags.get("mlflow.parentRunId") == top.info.run_id]
    assert {run.info.run_name for run in under} == {
        "random",
        "zero-rule",
        "heuristic",
        "logistic-regression",
        "gradient-boosted-trees",
        "embedding-network",
    }
    assert {run.info.status for run in [top, *under]} == {"FINISHED"}
    assert (top.data.params["sample_fraction"], top.data.params["train.patience"]) == ("0.03", "3")
    contexts = {entry.tags[0].value for entry in top.inputs.dataset_inputs}
    assert contexts == {"training", "validation", "evaluation"}
    assert {"report.html", "result.json", "plots", "model-card.md"} <= {
        entry.path for entry in client.list_artifacts(top.info.run_id)
    }
    (winner,) = (run for run in under if run.data.tags["sluice.winner"] == "true")
    assert winner.data.metrics["test_log_loss"] == top.data.metrics["test_log_loss"]
    assert not list(sluice.home.glob("runs/*/lifeline"))


@pytest.mark.long  # tests/kind/test_runs.py runs again, and test_own_pipeline.py reuses on one machine
def test_running_again_reuses_results_and_registers_nothing_new(first_run: Run, flights: Path) -> None:
    sluice, _ = first_run
    again = _json(sluice, "run", FLIGHTS, "-p", f"lake={flights}", *QUICK)
    reused = {name for name, seconds in again["seconds_by_step"].items() if seconds is None}
    assert {"validate", "prepare", "sample", "split", "train"} <= reused
    assert again["result"]["decision"] == "unchanged"
    lineage = _json(sluice, "lineage", "flights-late")
    assert lineage["model"]["version"] == "1"


@pytest.mark.long  # another whole run; that of digits is fused, and gives the same too
def test_a_fresh_run_elsewhere_in_another_locale_gives_the_same_sample_split_and_metrics(
    first_run: Run, flights: Path, tmp_path: Path, another_locale: dict[str, str]
) -> None:
    sluice, _ = first_run
    repeated = _json(sluice, "run", FLIGHTS, "-p", f"lake={flights}", *QUICK)["result"]
    other = Sluice(tmp_path / "öther çay")
    fresh = _json(other, "run", FLIGHTS, "-p", f"lake={flights}", *QUICK, **another_locale)["result"]
    assert fresh["datasets"] == repeated["datasets"]
    assert fresh["candidates"] == repeated["candidates"]
    assert fresh["model_digest"] == repeated["model_digest"]


def test_who_asks_is_not_asked_for_what_is_known_only_later(first_run: Run) -> None:
    """The delay of earlier flights makes features, so the served row has the column; who asks leaves it out."""
    sluice, _ = first_run
    (described,) = (sluice.home / "store/models").glob("*/serving.json")
    served = read_served_model(described.parent)
    assert {field.name for field in served.fields if field.later} == {"arr_delay"}
    assert all(field.nullable for field in served.fields if field.later)
    assert "arr_delay" not in example_row(served)


def test_lineage_answers_where_the_champion_came_from(first_run: Run) -> None:
    sluice, _ = first_run
    text = json.dumps(_json(sluice, "lineage", "flights-late@champion"))
    for word in ("operations.db", "weather/2013-01.csv", "airlines.json", "stratified", "sample", "split", "promoted"):
        assert word in text, word
    unknown = sluice("lineage", "flights-late@nobody")
    assert unknown.returncode == 2
    assert "nobody" in unknown.stderr

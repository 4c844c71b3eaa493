"""What a pipeline run found, as MLflow shows it: the candidates' test metrics, the report and its plots."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.artifacts.bundles import open_bundle
from sluice.core.json_documents import read_json
from sluice.core.settings import settings
from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from sluice.registry.pipeline_runs import PARENT_TAG, RUN_TAG, open_child, pipeline_run_id, quoted
from sluice.registry.tracking import log_dataset
from sluice.reporting.pages import sections_of

CANDIDATE_TAG = "sluice.candidate"
REPORT, RESULT, PLOTS = "report.html", "result.json", "plots"
_FIGURE = re.compile(r"<figure>(<svg\b.*?</svg>)", re.DOTALL)  # not the small ones in the cells of tables
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_END = {"value": "", "low": "_low", "high": "_high"}
_MOST_TAG = 5000  # characters; SQLite's and PostgreSQL's limit in MLflow is a little above
_MOST_METRICS = 1000  # what MLflow takes in one request


def log_evaluation(evaluation: Path, splits: str) -> None:
    """Log every candidate's test metrics to its run, and the winner's to the pipeline run; nothing outside of one.

    A candidate whose training was reused has no run in this pipeline run yet: it gets one.

    Args:
        evaluation: The JSON artifact of evaluate: `candidates` [{name, baseline, metrics}], `winner`, `decision`,
            `reason`, `checks` [{name, status, message}].
        splits: The address of the dataset that it was made on.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    if not inside():
        return
    body, mlflow = read_json(evaluation), mlflow_module()
    client = mlflow.MlflowClient()
    with tracking_faults():
        run = str(pipeline_run_id(mlflow))
        whole = client.get_run(run)
        known = _candidates(client, whole)
        for row in body["candidates"]:
            own = known.get(row["name"]) or _reused(client, whole, row)
            tags = {"sluice.winner": str(row["name"] == body["winner"]).lower()}
            _log(client, own, flat_metrics(row["metrics"]), tags)
        (winner,) = (row for row in body["candidates"] if row["name"] == body["winner"])
        tags = {f"sluice.{key}": str(body[key])[:_MOST_TAG] for key in ("winner", "decision", "reason") if key in body}
        if problem := body.get("problem_name") or body.get("problem"):
            tags["sluice.problem"] = str(problem)[:_MOST_TAG]
        asked = {row["name"]: f"{row['status']}: {row['message']}" for row in body.get("checks", [])}
        tags |= {f"sluice.check.{name}": answer[:_MOST_TAG] for name, answer in asked.items()}
        _log(client, run, flat_metrics(winner["metrics"]), tags)
        log_dataset(open_bundle(splits, "dataset"), "evaluation", run)


def log_report(report: Path, result: Path) -> None:
    """Keep the report, the result and the report's plots with the pipeline run.

    Nothing to do outside of one, or where `sluice run` stands above the step: it does so itself.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    if not inside() or settings().run.mlflow_run:
        return
    mlflow = mlflow_module()
    with tracking_faults():
        keep_report(str(pipeline_run_id(mlflow)), report, result)


def keep_report(run: str, report: Path | None, result: Path | None) -> None:
    """The same for a run whose id is known, which may have left but one of them; raises as `log_report`."""
    client = mlflow_module().MlflowClient()
    text = report.read_text(encoding="utf-8") if report else ""
    with tracking_faults():
        if report:
            client.log_text(run, text, REPORT)
        if result:
            client.log_text(run, result.read_text(encoding="utf-8"), RESULT)
        for name, svg in plots_of(text).items():
            client.log_text(run, svg, f"{PLOTS}/{name}.svg")


def plots_of(page: str) -> dict[str, str]:
    """A page's figures as files of their own: SVG by section and number, on white, for readers outside the page."""
    found = {}
    for section in sections_of(page):
        for number, svg in enumerate(_FIGURE.findall(section.html), 1):
            alone = svg.replace("<svg", f"<svg {_NAMESPACES}", 1) if "xmlns=" not in svg.partition(">")[0] else svg
            found[f"{section.id}-{number}"] = alone.replace('style="', 'style="background: #fff; ', 1)
    return found


def flat_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Estimates as `test_log_loss`, `test_log_loss_low`, `test_log_loss_high`; undefined ones are left out."""
    return {
        f"test_{name}{_END[end]}": float(value)
        for name, estimate in metrics.items()
        for end, value in estimate.items()
        if end in _END and value is not None
    }


def inside() -> bool:
    """Whether this process belongs to a pipeline run."""
    own = settings().run
    return bool(own.mlflow_run or settings().tracking.run or own.run)


def _candidates(client: Any, whole: Any) -> dict[str, str]:  # noqa: ANN401 - MLflow's
    """The candidates' runs of the pipeline run: under its own run, or under the one that KFP made for a step."""
    under = [f"tags.`{PARENT_TAG}` = '{quoted(whole.info.run_id)}'"]
    if run := settings().run.run:
        under.append(f"tags.`{RUN_TAG}` = '{quoted(run)}'")
    found = [entry for text in under for entry in client.search_runs([whole.info.experiment_id], text)]
    return {e.data.tags[CANDIDATE_TAG]: str(e.info.run_id) for e in found if CANDIDATE_TAG in e.data.tags}


def _reused(client: Any, whole: Any, row: Mapping[str, Any]) -> str:  # noqa: ANN401 - MLflow's
    own = {CANDIDATE_TAG: row["name"], "sluice.baseline": str(row.get("baseline", False)).lower()}
    made = open_child(client, whole, row["name"], own | {"sluice.training": "reused"})
    client.set_terminated(made, "FINISHED")
    return made


def _log(client: Any, run: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:  # noqa: ANN401 - MLflow's client
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, 0) for name, value in metrics.items()]
    client.log_batch(run, metrics=entries[:_MOST_METRICS], tags=[RunTag(k, v) for k, v in tags.items()])

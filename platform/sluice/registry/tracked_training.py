"""What MLflow is told: the step's parameters, and under the pipeline run a run for each candidate."""

import time
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.modeling.training_records import Trained
from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from sluice.registry.pipeline_runs import log_parameters
from sluice.registry.tracked_results import CANDIDATE_TAG
from sluice.registry.tracking import child_run, log_dataset, tracked_run

_MOST_METRICS = 800  # MLflow takes 1,000 entities in one request, parameters and tags included


def track(step: str, trained: list[Trained], parameters: dict[str, Any], source: Bundle, models: Bundle) -> None:
    """Log the candidates: parameters, tags, and what they stopped by, in as few requests as MLflow allows.

    Args:
        step: Its name stands before the step's parameters, and names the run of a step that runs alone.
        trained: The candidates.
        parameters: The step's own.
        source: What they learned from.
        models: What they were published as.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    client = mlflow_module().MlflowClient()
    with tracked_run(step) as run:
        log_dataset(source, "training")
        own = {f"{step}.{name}": value for name, value in parameters.items()}
        with tracking_faults():
            log_parameters(client, run, own)
        _log(client, run, [], {}, {"sluice.models": models.id})
        for entry in trained:
            with child_run(entry.candidate.name, {CANDIDATE_TAG: entry.candidate.name}) as child:
                fitted = entry.fitted
                tags = {
                    "sluice.family": fitted.model.family,
                    "sluice.baseline": str(entry.candidate.baseline).lower(),
                    "sluice.stopped_by": fitted.stopped_by,
                    "sluice.cut": str(fitted.cut).lower(),
                    "sluice.models": models.id,
                }
                _log(client, child, _metrics(entry), fitted.parameters, tags)


def _metrics(entry: Trained) -> list[tuple[str, float, int]]:
    """Name, value and step; the numbers without a history belong to the kept round."""
    fitted = entry.fitted
    metric = fitted.metric.name
    curve = [
        (name, value, point.round)
        for point in fitted.curve
        for name, value in (
            (f"train_{metric}", point.train),
            (f"validation_{metric}", point.validation),
            ("seconds", point.seconds),
        )
    ]
    once = {
        f"best_validation_{metric}": fitted.kept.validation,
        "size": float(fitted.model.size),
        "cpu_seconds": fitted.cpu_seconds,
        "threshold": entry.threshold.value if entry.threshold else None,
    }
    return [*curve, *((name, value, fitted.kept.round) for name, value in once.items() if value is not None)]


def _log(
    client: Any,  # noqa: ANN401 - MLflow, imported late
    run: str,
    metrics: list[tuple[str, float, int]],
    parameters: dict[str, Any],
    tags: dict[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    entities = [Metric(name, value, now, step) for name, value, step in metrics]
    with tracking_faults():
        client.log_batch(
            run,
            metrics=entities[:_MOST_METRICS],
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        for start in range(_MOST_METRICS, len(entities), _MOST_METRICS):
            client.log_batch(run, metrics=entities[start : start + _MOST_METRICS])

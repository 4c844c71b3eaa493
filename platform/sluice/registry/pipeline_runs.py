"""The MLflow run of a pipeline run: found, opened, and ended, by whichever process has to.

One pipeline run is one MLflow run, under which the candidates' runs stand. Who opens it:

- `sluice run` does on a laptop, and names it in SLUICE_MLFLOW_RUN.
- KFP's MLflow plugin does on a cluster, where it is switched on; it tags it with KFP's id of the run. Where it also
  sets MLFLOW_RUN_ID in a pod, that is a run for the one task, under the pipeline run's.
- Else `sluice submit` or whichever step tracks first does, and the others find it by its tag `sluice.run`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sluice.artifacts.code_state import DIRTY, UNKNOWN
from sluice.artifacts.producer import code_changes, code_commit, code_environment
from sluice.core.addresses import redacted
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.core.settings import settings
from sluice.core.variable_groups.run import RunVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.registry.mlflow_access import tracking_uri
from sluice.registry.moved_homes import ARTIFACTS

PIPELINE_RUN = RunVariables.mlflow_run.name
ERROR_TAG, PARENT_TAG, RUN_TAG, KFP_TAG = "sluice.error", "mlflow.parentRunId", "sluice.run", "kfp.pipeline_run_id"
_MOST_CHARACTERS = 500  # of an error
_MOST_PARAMETER = 6000  # characters; MLflow refuses longer values
_MOST_PARAMETERS = 100  # in one request


def pipeline_run_id(mlflow: Any) -> str | None:  # noqa: ANN401 - MLflow, imported late
    """The MLflow run of the present pipeline run, opened where it is not there yet; None outside of a pipeline."""
    own = settings().run
    if given := own.mlflow_run:
        return given
    if task := settings().tracking.run:
        return str(mlflow.MlflowClient().get_run(task).data.tags.get(PARENT_TAG) or task)
    return find_or_open(mlflow) if own.run else None


def find_or_open(mlflow: Any, name: str = "") -> str:  # noqa: ANN401 - MLflow, imported late
    """The MLflow run of SLUICE_RUN; of two opened at the same moment the first counts, the other is removed.

    Args:
        mlflow: The module.
        name: For a new run; by default SLUICE_RUN_NAME, else one of time and pipeline.
    """
    client, own = mlflow.MlflowClient(), settings().run
    run = own.run
    found = find(client, run)
    if found:
        return found
    name = name or own.name or run_name(own.pipeline, run)
    made = str(client.create_run(experiment_id(mlflow), tags=_all_tags({}), run_name=name).info.run_id)
    first = find(client, run) or made
    if first != made:
        client.delete_run(made)
    return first


def open_child(client: Any, parent: Any, name: str, tags: Mapping[str, str]) -> str:  # noqa: ANN401 - MLflow's
    """Open a run under another one, in that one's experiment.

    Args:
        client: MLflow's.
        parent: The run to stand under.
        name: The new run's.
        tags: Further ones.
    """
    info, own = parent.info, _all_tags({**tags, PARENT_TAG: parent.info.run_id})
    return str(client.create_run(info.experiment_id, tags=own, run_name=name).info.run_id)


def _all_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Ours, and user and source as MLflow itself tags its runs; the source is the pipeline, not KFP's executor."""
    from mlflow.tracking.context.registry import resolve_tags

    pipeline = settings().run.pipeline
    source = {"mlflow.source.name": pipeline} if pipeline else {}
    if (commit := code_commit()) != UNKNOWN:
        source["mlflow.source.git.commit"] = commit.removesuffix(DIRTY)
    return dict(resolve_tags(run_tags() | source | dict(tags)))


def run_name(pipeline: str, run: str) -> str:
    """A name for a pipeline run that nobody has named: time, pipeline, and the id's beginning."""
    return "-".join(filter(None, (f"{datetime.now(UTC):%Y%m%d-%H%M%S}", pipeline, run[:4])))


def find(client: Any, run: str) -> str | None:  # noqa: ANN401 - MLflow's client
    """The MLflow run of a pipeline run; the plugin's, where KFP has opened one.

    Args:
        client: MLflow's.
        run: The pipeline run's id, as in SLUICE_RUN.
    """
    experiments = [str(entry.experiment_id) for entry in client.search_experiments()]
    for tag in (KFP_TAG, RUN_TAG):
        found = client.search_runs(experiments, f"tags.`{tag}` = '{quoted(run)}'")
        top = [entry.info for entry in found if PARENT_TAG not in entry.data.tags]
        if top:
            return str(min(top, key=lambda info: (info.start_time, info.run_id)).run_id)
    return None


def quoted(text: str) -> str:
    """Without quotes: MLflow's filters know no escape."""
    return text.replace("'", "").replace("`", "")


def run_tags() -> dict[str, str]:
    """Where a run comes from: code, packages, pipeline, pipeline run."""
    tags = {
        "sluice.commit": code_commit(),
        "sluice.environment": code_environment(),
    }
    if changes := code_changes():
        tags["sluice.changes"] = changes
    own = settings().run
    place = {"sluice.pipeline": own.pipeline, RUN_TAG: own.run}
    return tags | {key: value for key, value in place.items() if value}


def experiment_id(mlflow: Any) -> str:  # noqa: ANN401 - MLflow, imported late
    """The experiment that new runs belong to, made where it is not there yet."""
    client = mlflow.MlflowClient()
    tracking = settings().tracking
    given = tracking.experiment_id
    if given:
        try:
            return _active(client.get_experiment(given))
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            name = TrackingVariables.experiment_id.name
            raise BadInput(f"{name}={given!r}: MLflow has no such experiment; correct or unset it") from None
    name = tracking.experiment_name or settings().run.pipeline or "sluice"
    found = client.get_experiment_by_name(name)
    if found is None:
        artifacts = None if tracking_uri().startswith("http") else (home() / ARTIFACTS).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except mlflow.MlflowException as error:  # another process made it first
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return _active(found)


def _active(experiment: Any) -> str:  # noqa: ANN401 - MLflow's
    """The id of an experiment that can take runs."""
    if experiment.lifecycle_stage != "active":
        raise BadInput(
            f"MLflow's experiment {experiment.name!r} was deleted: restore it (`mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`), or name another in {TrackingVariables.experiment_name}"
        )
    return str(experiment.experiment_id)


def log_parameters(client: Any, run: str, parameters: Mapping[str, Any]) -> None:  # noqa: ANN401 - MLflow's client
    """Log parameters that the run does not have yet: MLflow lets none change, and a run may be continued."""
    from mlflow.entities import Param

    known = client.get_run(run).data.params
    new = [Param(k, redacted(str(v))[:_MOST_PARAMETER]) for k, v in parameters.items() if k not in known]
    for start in range(0, len(new), _MOST_PARAMETERS):
        client.log_batch(run, params=new[start : start + _MOST_PARAMETERS])


def close_run(client: Any, run: str, status: str, error: str = "") -> None:  # noqa: ANN401 - MLflow's client
    """End a run, and those under it that still run.

    Args:
        client: MLflow's.
        run: The run's id.
        status: MLflow's word: FINISHED, FAILED or KILLED.
        error: Why, for the tag `sluice.error`; empty for none.
    """
    info = client.get_run(run).info
    under = f"tags.`{PARENT_TAG}` = '{quoted(run)}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([info.experiment_id], under):
        client.set_terminated(child.info.run_id, status)
    if error:
        client.set_tag(run, ERROR_TAG, error_line(error))
    client.set_terminated(run, status)


def error_line(error: str) -> str:
    """One line without the secrets that the environment holds, and without passwords in addresses."""
    return " ".join(redacted(error).split())[:_MOST_CHARACTERS]

"""Tracking with MLflow: runs and what they read, on a server or on SQLite beside the store.

The variables MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_ID are honoured. Without
them everything lands in SQLite in the home, in an experiment named after the pipeline. Who opens a pipeline run's
MLflow run says `pipeline_runs`. A step writes into it, and opens a run under it for each candidate; it never renames
it, and ends it only where nobody stands above the steps: FINISHED by the last one, FAILED by one that fails, KILLED by
one that is told to end.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.environment import set_variables
from sluice.core.errors import Killed, SluiceError
from sluice.core.lifeline import Stopped, run_was_killed
from sluice.core.mlflow_settings import RUN_ID
from sluice.core.settings import settings
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.registry.mlflow_access import mlflow_module, tracking_faults, write_tracking
from sluice.registry.pipeline_runs import (
    ERROR_TAG,
    close_run,
    error_line,
    experiment_id,
    find_or_open,
    log_parameters,
    open_child,
    pipeline_run_id,
    run_tags,
)
from sluice.registry.tracked_datasets import dataset_inputs


@contextmanager
def tracked_run(name: str) -> Iterator[str]:
    """A step's run for the time of the `with` block: the pipeline run's, or that which KFP made for the step.

    Args:
        name: Names the run where the step runs alone, outside of a pipeline.

    Yields:
        The run's id, 32 hex characters.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
        BadInput: MLFLOW_EXPERIMENT_ID names no experiment.
    """
    mlflow = mlflow_module()
    with tracking_faults():
        given = settings().tracking.run or pipeline_run_id(mlflow)
        if given:  # without a name: MLflow would rename it
            run = mlflow.start_run(run_id=given, tags=run_tags())
        else:
            run = mlflow.start_run(experiment_id=experiment_id(mlflow), run_name=name, tags=run_tags())
    with _ending(mlflow, "RUNNING" if given else "FINISHED"):
        yield str(run.info.run_id)


@contextmanager
def pipeline_run(name: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """The MLflow run of the whole pipeline run, for the time of the `with` block: for whoever stands above the steps.

    Args:
        name: The run's name, where nobody has opened and named it yet.
        parameters: The pipeline's.

    Yields:
        The run's id. A run that breaks ends as FAILED, one that is told to end as KILLED, and `sluice.error` says why.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
        BadInput: MLFLOW_EXPERIMENT_ID names no experiment.
    """
    mlflow = mlflow_module()
    client = mlflow.MlflowClient()
    with tracking_faults():
        run = str(settings().tracking.run or find_or_open(mlflow, name))
        client.update_run(run, status="RUNNING")  # it may be continued
        log_parameters(client, run, parameters)
    try:
        yield run
    except BaseException as error:
        with _unhindered():
            close_run(client, run, _status(error), told(error))
        raise
    with tracking_faults():
        client.set_terminated(run, "FINISHED")


@contextmanager
def child_run(name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
    """A run under the present `tracked_run` and in its experiment, e.g. one candidate's.

    Args:
        name: Its name.
        tags: Its own; those of the pipeline run are added.

    Yields:
        The run's id.
    """
    mlflow = mlflow_module()
    with tracking_faults():
        # By itself MLflow's nested run would be the one of MLFLOW_RUN_ID, or stand in the experiment `Default`.
        child = open_child(mlflow.MlflowClient(), mlflow.active_run(), name, tags or {})
        mlflow.start_run(run_id=child, nested=True)
    with _ending(mlflow, "FINISHED"):
        yield child


def finish_pipeline_run() -> None:
    """The last step's last act: end the run that a pipeline's pods share; nothing to do where somebody else ends it.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    if _in_shared_run():
        mlflow = mlflow_module()
        with tracking_faults():
            mlflow.MlflowClient().set_terminated(pipeline_run_id(mlflow), "FINISHED")


def fail_pipeline_run(step: str, error: BaseException, *, patient: bool = True) -> None:
    """Tell MLflow why the step ended, and end the run, as far as that can be done: the step's own error says more.

    Nothing to do where `sluice run` stands above the step, unless that was killed: then nobody else can tell.

    Args:
        step: The step's name.
        error: `Killed` ends the run as KILLED, any other as FAILED.
        patient: Try as long as MLflow's settings say; without it only once, for a server that was just given up.
    """
    own, tracking = settings().run, settings().tracking
    inside = bool(own.run or tracking.run)
    if not inside or (not run_was_killed() if own.mlflow_run else not tracking.is_set(TrackingVariables.uri)):
        return
    if not patient:
        set_variables({TrackingVariables.retries.name: "0"})  # the process ends after this
    with _unhindered():
        _end_as_failed(f"step {step}: {told(error)}", _status(error))


def log_dataset(bundle: Bundle, context: str, run: str = "") -> None:
    """Tell a run what it read: the dataset's name, digest, address, schema and number of rows, without its rows.

    Args:
        bundle: The dataset.
        context: What for: `training`, which reads the validation rows too, or `evaluation`.
        run: The run's id; by default the present run.
    """
    mlflow = mlflow_module()
    entries = dataset_inputs(bundle, context, mlflow)
    client, target = mlflow.MlflowClient(), run or mlflow.active_run().info.run_id
    write_tracking(lambda: client.log_inputs(target, datasets=entries))
    with tracking_faults():
        client.set_tag(target, f"sluice.dataset.{context}", bundle.id)


def told(error: BaseException) -> str:
    """An error in words; one that Sluice does not understand with its type, which is half of what it says."""
    if isinstance(error, KeyboardInterrupt):
        return "ended by SIGINT"
    return str(error) if isinstance(error, SluiceError | Stopped) else f"{type(error).__name__}: {error}"


def _end_as_failed(reason: str, status: str) -> None:
    mlflow = mlflow_module()
    client, whole = mlflow.MlflowClient(), pipeline_run_id(mlflow)
    task = settings().tracking.run
    if task and task != whole:  # both are KFP's, which ends them itself
        for run in (task, whole):
            client.set_tag(run, ERROR_TAG, error_line(reason))
    elif whole:
        close_run(client, whole, status, reason)


def _in_shared_run() -> bool:
    own = settings().run
    return bool(own.run) and not settings().tracking.run and not own.mlflow_run


@contextmanager
def _ending(mlflow: Any, status: str) -> Iterator[None]:  # noqa: ANN401 - MLflow, imported late
    """End the present run with the block, as failed or killed where that raised, unless others end it (`RUNNING`)."""
    try:
        yield
    except BaseException as error:
        with _unhindered():
            _end(mlflow, status if status == "RUNNING" else _status(error))
        raise
    with tracking_faults():
        _end(mlflow, status)


def _end(mlflow: Any, status: str) -> None:  # noqa: ANN401 - MLflow, imported late
    """End the present run; MLflow forgets MLFLOW_RUN_ID then, which the step still needs."""
    given = settings().tracking.run
    try:
        mlflow.end_run(status)
    finally:
        if given:
            set_variables({RUN_ID: given})


def _status(error: BaseException) -> str:
    return "KILLED" if isinstance(error, Killed | Stopped | KeyboardInterrupt) else "FAILED"


@contextmanager
def _unhindered() -> Iterator[None]:
    """Where an error is on its way: a failure to tell of it never hides it."""
    try:
        yield
    except Exception:  # whatever it is, the first error says more
        logging.getLogger(__name__).debug("MLflow could not be told", exc_info=True)

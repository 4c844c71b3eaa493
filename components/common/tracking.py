"""Tracking with MLflow: runs and what they read, on a server or on SQLite beside the store.

The variables MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_ID are honoured: KFP's
MLflow plugin sets them in pods. Without them everything lands in SQLite in the home, in an experiment named after the
pipeline.

All steps of one pipeline run share one MLflow run. On a laptop `sluice run` opens it and hands it on in MLFLOW_RUN_ID.
In pods without that variable nobody stands above the steps: whichever tracks first opens the run, the others find it by
its tag `sluice.run`, a step that fails ends it as FAILED, the last step as FINISHED.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from components.common.bundles import Bundle
from components.common.errors import BadInput
from components.common.mlflow_access import URI, mlflow_module, tracking_faults, tracking_uri
from components.common.steps import ENVIRONMENT, PIPELINE, RUN, code_changes, code_commit, environment_digest, home
from components.common.stores import plain_address

EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
RUN_ID = "MLFLOW_RUN_ID"
_PLACE = {"pipeline": PIPELINE, "run": RUN}
_DIGEST_CHARACTERS = 36  # MLflow keeps no more of a dataset's digest


@contextmanager
def tracked_run(name: str, *, whole: bool = False) -> Iterator[str]:
    """A run for the time of the `with` block; MLFLOW_RUN_ID, or the run that a pipeline's pods share, is continued.

    Args:
        name: The run's name: the step's, or the pipeline run's.
        whole: The block is the whole pipeline run, not one of its steps: it opens the run and ends it.

    Yields:
        The run's id, 32 hex characters.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
        BadInput: MLFLOW_EXPERIMENT_ID names no experiment.
    """
    mlflow = mlflow_module()
    with tracking_faults():
        if shared := not whole and _in_shared_run():
            run = mlflow.start_run(run_id=_pipeline_run(mlflow), tags=_tags())
        else:
            experiment = None if os.environ.get(RUN_ID) else experiment_id(mlflow)
            run = mlflow.start_run(experiment_id=experiment, run_name=name, tags=_tags())
    with _ending(mlflow, "RUNNING" if shared else "FINISHED"):
        yield str(run.info.run_id)


@contextmanager
def child_run(name: str) -> Iterator[str]:
    """A run inside the present `tracked_run`, e.g. one candidate's.

    Yields:
        The run's id.
    """
    mlflow = mlflow_module()
    with tracking_faults():
        run = mlflow.start_run(run_name=name, nested=True)
    with _ending(mlflow, "FINISHED"):
        yield str(run.info.run_id)


def finish_pipeline_run() -> None:
    """The last step's last act: end the run that a pipeline's pods share; nothing to do where somebody else ends it.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    if _in_shared_run():
        mlflow = mlflow_module()
        with tracking_faults():
            mlflow.MlflowClient().set_terminated(_pipeline_run(mlflow), "FINISHED")


def fail_pipeline_run(*, patient: bool = True) -> None:
    """End the shared run as FAILED, as far as that can be done: the step's own error says more than one from here.

    Args:
        patient: Try as long as MLflow's settings say; without it only once, for a server that was just given up.
    """
    if not (_in_shared_run() and os.environ.get(URI)):
        return
    if not patient:
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # the process ends after this
    try:
        mlflow = mlflow_module()
        mlflow.MlflowClient().set_terminated(_pipeline_run(mlflow), "FAILED")
    except Exception:  # whatever it is
        logging.getLogger(__name__).debug("the run could not be marked as failed", exc_info=True)


def log_dataset(bundle: Bundle, context: str) -> None:
    """Tell the present run what it read: the dataset's name, digest and address, without its rows.

    Args:
        bundle: The dataset.
        context: What for, e.g. `training`.
    """
    mlflow = mlflow_module()
    from mlflow.data.filesystem_dataset_source import FileSystemDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    address = plain_address(bundle.uri)
    with warnings.catch_warnings():  # MLflow registers its source for local folders twice and warns of its own doing
        warnings.simplefilter("ignore", UserWarning)
        source = mlflow.data.dataset_source_registry.resolve_dataset_source(address, [FileSystemDatasetSource])
    dataset = MetaDataset(source, name=bundle.manifest.producer.step, digest=bundle.id[:_DIGEST_CHARACTERS])
    with tracking_faults():
        mlflow.log_input(dataset, context=context)
        mlflow.set_tag(f"sluice.dataset.{context}", bundle.id)


def experiment_id(mlflow: Any) -> str:  # noqa: ANN401 - MLflow, imported late
    """The experiment that new runs belong to, made where it is not there yet."""
    client = mlflow.MlflowClient()
    given = os.environ.get(EXPERIMENT_ID)
    if given:
        try:
            return str(client.get_experiment(given).experiment_id)
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise BadInput(f"{EXPERIMENT_ID}={given!r}: MLflow has no such experiment; correct or unset it") from None
    name = os.environ.get(EXPERIMENT_NAME) or os.environ.get(PIPELINE) or "sluice"
    found = client.get_experiment_by_name(name)
    if found is None:
        artifacts = None if tracking_uri().startswith("http") else (home() / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except mlflow.MlflowException as error:  # another process made it first
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _tags() -> dict[str, str]:
    tags = {
        "sluice.commit": code_commit(),
        "sluice.environment": os.environ.get(ENVIRONMENT) or environment_digest(),
    }
    if changes := code_changes():
        tags["sluice.changes"] = changes
    return tags | {f"sluice.{key}": os.environ[name] for key, name in _PLACE.items() if os.environ.get(name)}


def _in_shared_run() -> bool:
    return bool(os.environ.get(RUN)) and not os.environ.get(RUN_ID)


def _pipeline_run(mlflow: Any) -> str:  # noqa: ANN401 - MLflow, imported late
    """The MLflow run of SLUICE_RUN; of two opened at the same moment the first counts, the other is removed."""
    client, experiment = mlflow.MlflowClient(), experiment_id(mlflow)
    found = _runs_of(client, experiment)
    if found:
        return found[0]
    now, run = datetime.now(UTC), os.environ[RUN]
    name = "-".join(filter(None, (f"{now:%Y%m%d-%H%M%S}", os.environ.get(PIPELINE), run[:4])))
    made = str(client.create_run(experiment, tags=_tags(), run_name=name).info.run_id)
    first = _runs_of(client, experiment)[0]
    if first != made:
        client.delete_run(made)
    return first


def _runs_of(client: Any, experiment: str) -> list[str]:  # noqa: ANN401 - MLflow, imported late
    text = os.environ[RUN].replace("'", "")  # MLflow's filters know no escape
    found = client.search_runs([experiment], f"tags.`sluice.run` = '{text}'")
    return [str(run.info.run_id) for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))]


@contextmanager
def _ending(mlflow: Any, status: str) -> Iterator[None]:  # noqa: ANN401 - MLflow, imported late
    """End the run when the block ends, as failed when it raised; a failure to say so never hides the first one."""
    try:
        yield
    except BaseException:
        try:
            mlflow.end_run("FAILED")
        except Exception:  # whatever it is, the block's own error says more
            logging.getLogger(__name__).debug("the run could not be ended", exc_info=True)
        raise
    with tracking_faults():
        mlflow.end_run(status)

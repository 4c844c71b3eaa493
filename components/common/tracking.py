"""Tracking with MLflow: runs and what they read, on a server or on SQLite beside the store.

The variables MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_ID are honoured: KFP's
MLflow plugin sets them in pods. Without them everything lands in SQLite in the home, in an experiment named after the
pipeline.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.common.bundles import Bundle
from components.common.errors import BadInput
from components.common.mlflow_access import mlflow_module, tracking_faults, tracking_uri
from components.common.steps import PIPELINE, RUN, code_commit, environment_digest, home

EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
_PLACE = {"pipeline": PIPELINE, "run": RUN}
_DIGEST_CHARACTERS = 36  # MLflow keeps no more of a dataset's digest


@contextmanager
def tracked_run(name: str) -> Iterator[str]:
    """A run for the time of the `with` block; MLFLOW_RUN_ID continues that run instead.

    Args:
        name: The run's name: the step's.

    Yields:
        The run's id, 32 hex characters.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
        BadInput: MLFLOW_EXPERIMENT_ID names no experiment.
    """
    mlflow = mlflow_module()
    tags = {"sluice.commit": code_commit(), "sluice.environment": environment_digest()}
    tags |= {f"sluice.{key}": os.environ[variable] for key, variable in _PLACE.items() if os.environ.get(variable)}
    with tracking_faults():
        experiment = None if os.environ.get("MLFLOW_RUN_ID") else experiment_id(mlflow)
        run = mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags)
    with _ending(mlflow):
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
    with _ending(mlflow):
        yield str(run.info.run_id)


def log_dataset(bundle: Bundle, context: str) -> None:
    """Tell the present run what it read: the dataset's name, digest and address, without its rows.

    Args:
        bundle: The dataset.
        context: What for, e.g. `training`.
    """
    mlflow = mlflow_module()
    from mlflow.data.filesystem_dataset_source import FileSystemDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    with warnings.catch_warnings():  # MLflow registers its source for local folders twice and warns of its own doing
        warnings.simplefilter("ignore", UserWarning)
        source = mlflow.data.dataset_source_registry.resolve_dataset_source(bundle.uri, [FileSystemDatasetSource])
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


@contextmanager
def _ending(mlflow: Any) -> Iterator[None]:  # noqa: ANN401 - MLflow, imported late
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
        mlflow.end_run()

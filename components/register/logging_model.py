"""Logging a model to MLflow and making it a version of the registered model, in this order and without a pickle.

The files go first, into a run; the version follows in one call with all its tags. A crash between the two leaves
files that no version points to, and nothing in the registry.
"""

import importlib.metadata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from components.common.mlflow_access import mlflow_module, tracking_faults
from components.common.models import load_model
from components.common.registry import DIGEST, Version, version_by_number
from components.common.tasks import Task

LOADER = "components.common.pyfunc_loader"
_BASIC = ("mlflow", "numpy", "pandas", "pyyaml")
_BY_SUFFIX = {".skops": ("scikit-learn", "skops"), ".safetensors": ("torch", "safetensors")}
_EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class Registration:
    """What the registry shall hold.

    Attributes:
        task: Its name is the registered model's.
        folder: The model's files.
        digest: Their model digest.
        rows: Some rows of the features, for signature and example.
        tags: The version's tags.
        description: One sentence.
    """

    task: Task
    folder: Path
    digest: str
    rows: pd.DataFrame
    tags: dict[str, str]
    description: str


def add_version(wanted: Registration) -> Version:
    """Log the files to the present run, then create the version.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
        BadInput: The files are no model of ours.
    """
    mlflow = mlflow_module()
    rows = features(wanted.rows, wanted.task)
    model = load_model(wanted.folder)
    answers = pd.DataFrame(model.predict_proba(rows), columns=list(model.classes))
    with tracking_faults(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on integers that may be missing: ours are floats already
        logged = mlflow.pyfunc.log_model(
            name=wanted.task.name,
            loader_module=LOADER,
            data_path=str(wanted.folder),
            pip_requirements=requirements(wanted.folder),
            signature=mlflow.models.infer_signature(rows, answers),
            input_example=rows.head(_EXAMPLE_ROWS),
            metadata={DIGEST: wanted.digest},
        )
        client = mlflow.MlflowClient()
        _ensure_model(client, mlflow, wanted.task)
        created = client.create_model_version(
            wanted.task.name,
            logged.model_uri,
            run_id=mlflow.active_run().info.run_id,
            model_id=logged.model_id,
            tags={**wanted.tags, DIGEST: wanted.digest},
            description=wanted.description,
        )
    version = version_by_number(wanted.task.name, str(created.version))
    assert version, "MLflow has just created it"  # noqa: S101 - a fact about the library, not about input
    return version


def set_alias(version: Version, alias: str) -> None:
    """Point an alias to a version.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    client = mlflow_module().MlflowClient()
    with tracking_faults():
        client.set_registered_model_alias(version.model, alias, version.version)


def features(rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The feature columns in the models' order; numbers as floats, because any of them may be missing."""
    return rows[list(task.features)].astype(dict.fromkeys(task.numeric, "float64")).reset_index(drop=True)


def requirements(folder: Path) -> list[str]:
    """The packages that the model's files need, pinned to what is installed; nothing is looked up anywhere.

    Sluice itself is left out: its code comes with the image that serves the model.
    """
    names = list(_BASIC)
    for path in sorted(folder.rglob("*")):
        names += [name for name in _BY_SUFFIX.get(path.suffix, ()) if name not in names]
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def log_numbers(parameters: Mapping[str, Any], metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    """Log the winner's settings and its test metrics, each with its interval, to the present run.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    mlflow = mlflow_module()
    flat = {f"test_{m}{_END[end]}": x for m, row in metrics.items() for end, x in row.items() if x is not None}
    with tracking_faults():
        mlflow.log_params({f"winner_{key}": str(value)[:500] for key, value in parameters.items()})
        mlflow.log_metrics(flat)


def log_text(text: str, name: str) -> None:
    """Keep a text with the present run.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    with tracking_faults():
        mlflow_module().log_text(text, name)


_END = {"value": "", "low": "_low", "high": "_high"}


def _ensure_model(client: Any, mlflow: Any, task: Task) -> None:  # noqa: ANN401 - MLflow
    try:
        client.create_registered_model(task.name, description=task.question)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

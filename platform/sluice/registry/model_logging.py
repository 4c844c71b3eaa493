"""Logging a model to MLflow and making it a version of the registered model, in this order and without a pickle.

The files go first, into a run; the version follows in one call with all its tags. A crash between the two leaves
files that no version points to, and nothing in the registry.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.features.model_inputs import read_inputs
from sluice.modeling.model_digests import CODE_DIGEST, DIGEST, code_digest
from sluice.modeling.model_files import load_model, read_threshold
from sluice.modeling.own_models import OwnModel
from sluice.problems.task import Task
from sluice.project.archive import LOCK
from sluice.project.code import add_packages_from_store
from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from sluice.registry.model_code import model_code
from sluice.registry.signature import input_kinds, requirements, signature
from sluice.registry.versions import Version, version_by_number

INPUT_KINDS = "sluice.inputs"
_EXAMPLE_ROWS = 3
_LONGEST = 2000  # letters; MLflow keeps 5,000 of a description


@dataclass(frozen=True)
class Registration:
    """What the registry shall hold.

    Attributes:
        task: Its name is the registered model's.
        folder: The model's files.
        digest: Their model digest.
        rows: Some rows of the features, as the dataset holds them, for the example.
        tags: The version's tags.
        description: One sentence; what the model takes is added.
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
    with tempfile.TemporaryDirectory(prefix="sluice-") as name, tracking_faults():
        package = packaged(wanted, Path(name))
        tags = {key: value for key, value in package["metadata"].items() if key != INPUT_KINDS}
        logged = mlflow.pyfunc.log_model(name=wanted.task.name, **package)
        client = mlflow.MlflowClient()
        _ensure_model(client, mlflow, wanted.task)
        created = client.create_model_version(
            wanted.task.name,
            logged.model_uri,
            run_id=mlflow.active_run().info.run_id,
            model_id=logged.model_id,
            tags={**wanted.tags, **tags},
            description=f"{wanted.description}\n\n{_takes(package['metadata'][INPUT_KINDS])}",
        )
    version = version_by_number(wanted.task.name, str(created.version))
    assert version, "MLflow has just created it"  # noqa: S101 - a fact about the library, not about input
    return version


def packaged(wanted: Registration, scratch: Path) -> dict[str, Any]:
    """What MLflow shall keep, as the arguments of its `log_model` and `save_model`.

    Args:
        wanted: What is registered.
        scratch: A folder for the code that travels, which has to stay until MLflow has copied it.

    Raises:
        BadInput: The files are no model of ours.
    """
    model = load_model(wanted.folder)
    if isinstance(model, OwnModel) and model.archive and LOCK in model.archive.files:
        add_packages_from_store(model.archive.files[LOCK])  # MLflow asks the model for forecasts
    code, inputs = model_code(), read_inputs(wanted.folder)
    place = code.write(scratch)
    digests = {DIGEST: wanted.digest, CODE_DIGEST: code_digest(scratch)}
    return {
        "loader_module": code.loader,
        "data_path": str(wanted.folder),
        "code_paths": [str(place)],
        "pip_requirements": requirements(wanted.folder, wanted.task, inputs),
        "signature": signature(wanted.task, inputs),
        "input_example": wanted.rows[list(wanted.task.features)].head(_EXAMPLE_ROWS).reset_index(drop=True),
        "metadata": {**digests, **threshold_tags(wanted.folder), INPUT_KINDS: input_kinds(wanted.task, inputs)},
    }


def _takes(kinds: Mapping[str, str]) -> str:
    """The columns that a model takes in a sentence, as long as a description may be; the signature has them all."""
    shown = ", ".join(f"`{name}` ({kind})" for name, kind in kinds.items())
    return f"Takes {shown if len(shown) <= _LONGEST else shown[:_LONGEST].rpartition(',')[0] + ' and more'}."


def threshold_tags(folder: Path) -> dict[str, str]:
    """Where the positive class begins, and by which rule, as tags; none for a model that carries no threshold.

    Raises:
        BadInput: The folder holds no model.
    """
    threshold = read_threshold(folder)
    return {"sluice.threshold": repr(threshold.value), "sluice.threshold_rule": threshold.rule} if threshold else {}


def log_numbers(parameters: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Log the winner's settings and its test metrics, each with its interval, to the present run.

    Raises:
        EnvironmentFault: MLflow is down or denies access.
    """
    mlflow = mlflow_module()
    flat = {f"test_{m}{_END[end]}": row[end] for m, row in metrics.items() for end in _END if row[end] is not None}
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


_END = {"value": "", "low": "_low", "high": "_high", "error": "_standard_error"}


def _ensure_model(client: Any, mlflow: Any, task: Task) -> None:  # noqa: ANN401 - MLflow
    try:
        client.create_registered_model(task.name, description=task.question)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

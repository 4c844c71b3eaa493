"""A published dataset as MLflow shows it: name, digest, address, schema and rows; never the rows themselves."""

import json
import warnings
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.manifests import TableEntry
from sluice.storage.stores import plain_address

_DIGEST_CHARACTERS = 36  # MLflow keeps no more of a dataset's digest
_MOST_SCHEMA = 60_000  # characters; MLflow keeps 65,535
_PARTS = {"training": {"train": "training", "validation": "validation"}, "evaluation": {"test": "evaluation"}}
_TYPES = (
    ("bool", "boolean"),
    ("int64", "long"),
    ("uint", "long"),
    ("int", "integer"),
    ("double", "double"),
    ("decimal", "double"),
    ("float", "float"),
    ("half", "float"),
    ("timestamp", "datetime"),
    ("date", "datetime"),
    ("binary", "binary"),
    ("large_binary", "binary"),
)


def dataset_inputs(bundle: Bundle, context: str, mlflow: Any) -> list[Any]:  # noqa: ANN401 - MLflow, imported late
    """What MLflow's `log_inputs` takes: one entry for each part that is read in this context, else one for the whole.

    Args:
        bundle: The published dataset. Each digest is the beginning of its id, so it names the very rows.
        context: `training`, which reads the validation rows too, `evaluation`, or any other.
        mlflow: The module.
    """
    from mlflow.entities import DatasetInput, InputTag

    tables = bundle.manifest.tables
    parts = {part: own for part, own in _PARTS.get(context, {}).items() if part in tables} or {"": context}
    source = _source(bundle, mlflow)
    return [
        DatasetInput(_entity(bundle, source, part), [InputTag("mlflow.data.context", own)])
        for part, own in parts.items()
    ]


def _source(bundle: Bundle, mlflow: Any) -> Any:  # noqa: ANN401 - MLflow, imported late
    from mlflow.data.filesystem_dataset_source import FileSystemDatasetSource

    with warnings.catch_warnings():  # MLflow registers its source for local folders twice and warns of its own doing
        warnings.simplefilter("ignore", UserWarning)
        resolve = mlflow.data.dataset_source_registry.resolve_dataset_source
        return resolve(plain_address(bundle.uri), [FileSystemDatasetSource])


def _entity(bundle: Bundle, source: Any, part: str) -> Any:  # noqa: ANN401 - MLflow, imported late
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset

    task, tables = bundle.manifest.details.get("task") or {}, bundle.manifest.tables
    name = " ".join(filter(None, (str(task.get("name", "")), part or bundle.manifest.producer.step)))
    shown = tables[part or min(tables)] if tables else None
    described = MetaDataset(source, name, bundle.id[:_DIGEST_CHARACTERS], _schema(shown)).to_dict()
    if len(described.get("schema") or "") > _MOST_SCHEMA:
        del described["schema"]
    rows = shown.rows if shown and part else bundle.rows
    return Dataset(**described, profile=json.dumps({"num_rows": rows}))


def _schema(table: TableEntry | None) -> Any:  # noqa: ANN401 - MLflow, imported late
    from mlflow.types import ColSpec, Schema

    if table is None:
        return None
    return Schema([ColSpec(_type(kind), name, required=False) for name, kind in table.columns.items()])


def _type(kind: str) -> str:
    """MLflow's word for an Arrow type; `string` for what it has no word for."""
    return next((word for start, word in _TYPES if kind.startswith(start)), "string")

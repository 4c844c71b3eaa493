"""What MLflow is told of a model's inputs and outputs, and the packages that the model needs.

MLflow compares a table with the signature before the model sees it, and its types are strict: `double` refuses the
integers of a column that has no missing value, nullable and Arrow-backed types, categories. So tabular inputs are of
the type `any`, which lets every table through to the model, and the model reads each value itself. What a column shall
hold stands in the metadata `sluice.inputs`, in the version's description and in the model card.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from sluice.features.model_inputs import ModelInputs
from sluice.modeling.own_models import CODE
from sluice.problems.task import Task
from sluice.project.archive import unpacked
from sluice.project.code_requirements import code_requirements
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.pyfunc_loader import DECISION, REPORT, UNSEEN, added_column, answer_columns

_BASIC = ("mlflow", "numpy", "pandas", "pyyaml")
_BY_SUFFIX = {".skops": ("scikit-learn", "skops"), ".safetensors": ("torch", "safetensors")}
_OF_OWN = {".safetensors": ("safetensors",)}  # arrays of NumPy's: torch is needed only where the code imports it
_BASELINE, _IMAGES, _ROW_WISE = "scipy", "pillow", "duckdb"


def signature(task: Task, inputs: ModelInputs | None) -> Any:  # noqa: ANN401 - MLflow's ModelSignature
    """Features, then the raw columns that some may be computed from; classes, or one number; parameters.

    A feature is required unless it can be computed or was missing in some training rows too.
    """
    mlflow_module()
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    optional, raw = _optional(inputs), raw_columns(task, inputs)
    columns = [ColSpec(AnyType(), name, required=name not in optional) for name in (*task.numeric, *task.categorical)]
    columns += [ColSpec(DataType.binary, task.image)] if task.image else []
    columns += [ColSpec(AnyType(), name, required=False) for name in raw]
    told = answer_columns(task)
    decides = () if task.regression else (DECISION,)
    added = [ColSpec(DataType.string, added_column(name, told), required=False) for name in (*decides, UNSEEN)]
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema([*(ColSpec(DataType.double, name) for name in told), *added]),
        params=ParamSchema([ParamSpec(name, DataType.boolean, default=False) for name in (*decides, REPORT)]),
    )


def raw_columns(task: Task, inputs: ModelInputs | None) -> list[str]:
    """The raw columns, none of them a feature itself, that some features may be computed from."""
    row_wise = inputs.row_wise if inputs else None
    rested_on = {column for raw in row_wise.features.values() for column in raw} if row_wise else set()
    return sorted(rested_on - set(task.features))


def input_kinds(task: Task, inputs: ModelInputs | None) -> dict[str, str]:
    """What each input column shall hold: `number`, `string`, `image`, or the raw column's type."""
    kinds = dict.fromkeys(task.numeric, "number") | dict.fromkeys(task.categorical, "string")
    kinds |= {task.image: "image (PNG)"} if task.image else {}
    types = inputs.row_wise.columns if inputs and inputs.row_wise else {}
    return kinds | {name: types[name] for name in raw_columns(task, inputs)}


def requirements(folder: Path, task: Task, inputs: ModelInputs | None) -> list[str]:
    """The packages that a model needs, pinned to what is installed; nothing is looked up anywhere.

    Sluice itself is left out: the code that the model needs travels with it.
    """
    suffixes = {path.suffix for path in folder.rglob("*")}
    own = folder / CODE
    by_suffix = _BY_SUFFIX | (_OF_OWN if own.is_file() else {})
    names = [*_BASIC, *(name for suffix, needed in by_suffix.items() if suffix in suffixes for name in needed)]
    names += [] if suffixes & set(_BY_SUFFIX) else [_BASELINE]
    names += [_IMAGES] if task.image else []
    names += [_ROW_WISE] if inputs and inputs.row_wise else []
    pins: dict[str, str] = {canonicalize_name(name): importlib.metadata.version(name) for name in names}
    if own.is_file():
        pins = code_requirements(unpacked(own.read_bytes(), str(own))) | pins
    return [f"{name}=={version}" for name, version in pins.items()]


def _optional(inputs: ModelInputs | None) -> frozenset[str]:
    computed = inputs.row_wise.features if inputs and inputs.row_wise else {}
    return (inputs.optional if inputs else frozenset()) | frozenset(computed)

"""Fitted scikit-learn estimators as skops files: the same estimator gives the same bytes, and few types come back.

skops stores no code, only the names of types with their state, but it trusts every scikit-learn estimator by default.
Here the list is closed: what our estimators consist of, and nothing else. `functools.partial` is on it because the
trees keep `partial(check_array, …)`; a partial holds a callable, and that callable is a name of its own in the file
which must be on the list as well, so a partial can never carry another function in.
"""

import io
import json
import math
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from sluice.core.bounds import MODEL_BYTES
from sluice.core.errors import BadInput
from sluice.core.json_documents import parse_json
from sluice.modeling.array_headers import array_header

_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # the zip format's first; the true one would change the digest of equal models
_TREES = "sklearn.ensemble._hist_gradient_boosting"
_LOSSES = (
    "AbsoluteError",
    "HalfBinomialLoss",
    "HalfGammaLoss",
    "HalfMultinomialLoss",
    "HalfPoissonLoss",
    "HalfSquaredError",
    "PinballLoss",
)
_LINKS = ("IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit")

EXTRA = (
    "functools.partial",
    "numpy.dtype",
    f"{_TREES}.predictor.TreePredictor",  # its indices are checked after reading: see sklearn_models
    "sklearn.utils.validation.check_array",
)
"""What skops does not trust by itself."""

ALLOWED = {
    *EXTRA,
    *(f"builtins.{name}" for name in ("dict", "list", "slice", "str", "tuple")),
    *(f"numpy.{name}" for name in ("float64", "int64", "ndarray", "uint64", "random._generator.Generator")),
    *(f"sklearn._loss._loss.Cy{name}" for name in _LOSSES),
    *(f"sklearn._loss.link.{name}" for name in _LINKS),
    *(f"sklearn._loss.loss.{name}" for name in _LOSSES),
    "sklearn.compose._column_transformer.ColumnTransformer",
    f"{_TREES}.binning._BinMapper",
    f"{_TREES}.gradient_boosting.HistGradientBoostingClassifier",
    f"{_TREES}.gradient_boosting.HistGradientBoostingRegressor",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.linear_model._glm.glm.GammaRegressor",
    "sklearn.linear_model._glm.glm.PoissonRegressor",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._ridge.Ridge",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.preprocessing._label.LabelEncoder",
}


def untrusted(estimator: Any) -> list[str]:  # noqa: ANN401 - any fitted estimator
    """The types in an estimator that neither skops trusts nor we do; sorted."""
    skops = skops_io()
    return sorted(set(skops.get_untrusted_types(data=skops.dumps(estimator))) - set(EXTRA))


def write_skops(path: Path, estimator: Any, *, any_trusted: bool = False) -> None:  # noqa: ANN401 - any fitted estimator
    """Write a fitted estimator; equal estimators give equal bytes.

    Args:
        path: The file.
        estimator: Any of scikit-learn's.
        any_trusted: Take whatever skops trusts; else only what Sluice's own models hold.

    Raises:
        TypeError: It contains a type that `read_skops` would refuse.
    """
    content = skops_io().dumps(estimator)
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        names: dict[str, str] = {}
        schema = _without_addresses(json.loads(source.read(_SCHEMA)), names)
        unknown = sorted(_types(schema) - ALLOWED)
        if unknown and not any_trusted:
            raise TypeError(f"a model file may not hold {', '.join(unknown)}")
        for old, new in names.items():
            target.writestr(zipfile.ZipInfo(new, _DATE), source.read(old))
        target.writestr(zipfile.ZipInfo(_SCHEMA, _DATE), json.dumps(schema, separators=(",", ":")))


def read_skops(path: Path, *, any_trusted: bool = False) -> Any:  # noqa: ANN401 - any fitted estimator
    """Read an estimator whose file names only allowed types; skops itself refuses those that it does not trust.

    Args:
        path: The file.
        any_trusted: As for `write_skops`.

    Raises:
        BadInput: The file names another type.
        Exception: Whatever skops raises on a damaged file; `models.load_model` turns it into words.
    """
    with zipfile.ZipFile(path) as archive:
        _check_members(archive, path)
        schema = parse_json(archive.read(_SCHEMA), str(path))
        unknown = sorted(_types(schema) - ALLOWED)
        _check_arrays(archive, schema, path)
    if unknown and not any_trusted:
        raise BadInput(
            f"{path} holds {unknown[0]!r}, which no model of Sluice contains; "
            "train the model again, or save it with sluice.modeling.model_files.save_model"
        )
    return skops_io().load(path, trusted=list(EXTRA))


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse what would unfold: `write_skops` compresses nothing, so no file holds more than its own bytes."""
    members = archive.infolist()
    packed = next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise BadInput(
            f"{path}: {packed.filename!r} is compressed and could unfold to any size; "
            "save the model with sluice.modeling.model_files.save_model"
        )
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise BadInput(f"{path}: its parts overlap, so that it would unfold; train the model again")


def _check_arrays(archive: zipfile.ZipFile, schema: Any, path: Path) -> None:  # noqa: ANN401 - JSON
    """Compare each array's stated shape with the bytes that are there, and bound what all of them take together.

    An array takes memory once for each time that the schema names it.
    """
    sizes: dict[str, int] = {}
    total = 0
    for name in _array_files(schema):
        if name not in sizes:
            sizes[name] = _array_bytes(archive, name, path)
        total += sizes[name]
    MODEL_BYTES.check(total, str(path), "train a smaller model")


def _array_bytes(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    with archive.open(name) as stream:
        shape, kind = array_header(stream)
        there = archive.getinfo(name).file_size - stream.tell()
    if math.prod(shape) * kind.itemsize != there:
        raise BadInput(f"{path}: {name!r} states the shape {shape}, and holds {there:,} bytes; train the model again")
    return there


def _array_files(state: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The file of each array that a schema names, as often as it names it."""
    if isinstance(state, dict) and isinstance(state.get("file"), str):
        yield state["file"]
    for value in state.values() if isinstance(state, dict) else state if isinstance(state, list) else ():
        yield from _array_files(value)


def _without_addresses(state: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Drop the memory addresses that skops uses as ids, and number the array files by first appearance."""
    if isinstance(state, list):
        return [_without_addresses(value, names) for value in state]
    if not isinstance(state, dict):
        return state
    kept = {key: _without_addresses(value, names) for key, value in state.items() if key != "__id__"}
    if kept.get("__loader__") == "NdArrayNode" and "file" in kept:
        kept["file"] = names.setdefault(kept["file"], f"{len(names)}.npy")
    return kept


def _types(state: Any) -> set[str]:  # noqa: ANN401 - JSON
    """The full names of every type and function that a schema names."""
    if isinstance(state, list):
        return set().union(*map(_types, state)) if state else set()
    if not isinstance(state, dict):
        return set()
    found = {f"{state['__module__']}.{state['__class__']}"} if "__class__" in state else set()
    return found.union(*map(_types, state.values()))


def skops_io() -> Any:  # noqa: ANN401 - a module
    """The module `skops.io`, imported without torch.

    Its import walks through all of scikit-learn's packages, one of which imports torch where it is installed: that
    takes seconds, and a process that serves trees has no use for it.
    """
    shim = "sklearn.externals.array_api_compat.torch"
    hidden = "torch" not in sys.modules and "skops.io" not in sys.modules and shim not in sys.modules
    if hidden:
        sys.modules[shim] = cast(Any, None)  # Python's own way to say: not to be imported
    try:
        import skops.io
    finally:
        if hidden:
            del sys.modules[shim]
    return skops.io

"""A task with every kind of column, models for it as MLflow keeps them, and the many ways to hold the same table."""

import tempfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from sluice.features.learned_inputs import learn_inputs
from sluice.features.model_inputs import RowWise, write_inputs
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.model_digests import model_digest
from sluice.modeling.model_files import Model, Threshold, save_model
from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from sluice.registry.model_logging import Registration, packaged

TASK = Task(
    name="late",
    question="Will it arrive late?",
    label="late",
    classes=("on time", "late"),
    key=("row",),
    numeric=("hour", "temp", "festive", "arrival_minute"),
    categorical=("carrier", "gate"),
    heuristic="carrier",
)
ROW_WISE = RowWise(
    table="flights",
    columns={"hour": "BIGINT", "sched_arr_time": "BIGINT", "scheduled": "TIMESTAMP", "carrier": "VARCHAR"},
    sql="SELECT hour, (sched_arr_time // 100) * 60 + sched_arr_time % 100 AS arrival_minute FROM flights",
    features={"hour": ("hour",), "arrival_minute": ("sched_arr_time",)},
)
THRESHOLD = Threshold(0.3, "greatest F1 on the validation rows")
Column = list[Any]


def rows(count: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose label follows every feature; `temp` and `gate` are missing in some, `hour` is an integer."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "row": np.arange(count),
            "hour": generator.integers(5, 24, count),
            "temp": np.where(generator.random(count) < 0.1, np.nan, generator.integers(-20, 60, count) / 2),
            "festive": generator.integers(0, 2, count),
            "arrival_minute": generator.integers(0, 1440, count),
            "carrier": generator.choice(["AA", "UA", "B6"], count),
            "gate": pd.Series(generator.choice(["1", "2", "12"], count)).where(generator.random(count) < 0.9, None),
        }
    )
    score = frame.hour / 9 - frame.temp.fillna(40) / 20 + frame.festive + frame.arrival_minute / 1440
    score += frame.carrier.map({"AA": -1, "UA": 0, "B6": 1}) + frame.gate.map({"1": -1, "2": 1}).fillna(0)
    return frame, (generator.random(count) < 1 / (1 + np.exp(2 - score.to_numpy()))).astype(np.int64)


@cache
def model(name: str = "logistic-regression") -> Model:
    """A fitted candidate."""
    train, validation = Part(*rows(1200)), Part(*rows(400, seed=1))
    candidate = next(entry for entry in candidates_for(TASK) if entry.name == name)
    return candidate.fit(Parts(TASK, train, validation, train), TrainingSettings(max_rounds=2, seed=3)).model


def saved(folder: Path, name: str = "logistic-regression", *, inputs: bool = True, row_wise: bool = True) -> Path:
    """A model as MLflow keeps it in a registry, in `folder`.

    Args:
        folder: Where to.
        name: The candidate.
        inputs: Whether it says what it takes and where its positive class begins, as models of earlier releases do not.
        row_wise: Whether it says how a feature follows from raw columns.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "files"
        save_model(files, model(name), TASK, THRESHOLD if inputs else None)
        if inputs:
            write_inputs(files, learn_inputs(rows(1200)[0], TASK, ROW_WISE if row_wise else None))
        wanted = Registration(TASK, files, model_digest(files), rows(5)[0], {}, "")
        mlflow.pyfunc.save_model(str(folder), **packaged(wanted, Path(scratch) / "code"))
    return folder


def _known(values: Column) -> bool:
    return all(value is not None for value in values)


def _whole(values: Column) -> bool:
    return all(value is None or value == int(value) for value in values)


def _polars(values: Column, **options: Any) -> pd.Series:
    return pl.DataFrame({"x": values}, strict=False).to_pandas(**options)["x"]


_MISSING = np.nan
NUMBERS: dict[str, tuple[Callable[[Column], bool], Callable[[Column], pd.Series]]] = {
    "float64": (lambda _: True, lambda v: pd.Series([_MISSING if x is None else float(x) for x in v])),
    "float32": (lambda _: True, lambda v: pd.Series(v, dtype="float32")),
    "Float64": (lambda _: True, lambda v: pd.Series(v, dtype="Float64")),
    "double[pyarrow]": (lambda _: True, lambda v: pd.Series(v, dtype="double[pyarrow]")),
    "decimal[pyarrow]": (
        lambda _: True,
        lambda v: pd.Series(
            [None if x is None else Decimal(str(x)) for x in v], dtype=pd.ArrowDtype(pa.decimal128(9, 2))
        ),
    ),
    "objects": (lambda _: True, lambda v: pd.Series(v, dtype=object)),
    "decimals": (
        lambda _: True,
        lambda v: pd.Series([None if x is None else Decimal(str(x)) for x in v], dtype=object),
    ),
    "numpy scalars": (
        lambda _: True,
        lambda v: pd.Series([pd.NA if x is None else np.float32(x) for x in v], dtype=object),
    ),
    "category": (lambda _: True, lambda v: pd.Series(v, dtype=object).astype("category")),
    "texts": (lambda _: True, lambda v: pd.Series([None if x is None else str(x) for x in v], dtype="string")),
    "polars": (lambda _: True, _polars),
    "polars, arrow": (lambda _: True, lambda v: _polars(v, use_pyarrow_extension_array=True)),
    "int64": (lambda v: _known(v) and _whole(v), lambda v: pd.Series([int(x) for x in v], dtype="int64")),
    "int16": (lambda v: _known(v) and _whole(v), lambda v: pd.Series([int(x) for x in v], dtype="int16")),
    "Int64": (_whole, lambda v: pd.Series(v, dtype="Int64")),
    "int32[pyarrow]": (_whole, lambda v: pd.Series(v, dtype="int32[pyarrow]")),
}
FLAGS: dict[str, tuple[Callable[[Column], bool], Callable[[Column], pd.Series]]] = {
    **NUMBERS,
    "bool": (_known, lambda v: pd.Series([bool(x) for x in v], dtype=bool)),
    "boolean": (lambda _: True, lambda v: pd.Series([None if x is None else bool(x) for x in v], dtype="boolean")),
    "bool[pyarrow]": (
        lambda _: True,
        lambda v: pd.Series([None if x is None else bool(x) for x in v], dtype="bool[pyarrow]"),
    ),
}
TEXTS: dict[str, tuple[Callable[[Column], bool], Callable[[Column], pd.Series]]] = {
    "str": (lambda _: True, pd.Series),
    "object": (lambda _: True, lambda v: pd.Series(v, dtype=object)),
    "string": (lambda _: True, lambda v: pd.Series(v, dtype="string")),
    "string[pyarrow]": (lambda _: True, lambda v: pd.Series(v, dtype="string[pyarrow]")),
    "category": (lambda _: True, lambda v: pd.Series(v, dtype="string").astype("category")),
    "dictionary[pyarrow]": (
        lambda _: True,
        lambda v: pd.Series(v, dtype="string[pyarrow]").astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    ),
    "polars": (lambda _: True, _polars),
    "polars, arrow": (lambda _: True, lambda v: _polars(v, use_pyarrow_extension_array=True)),
}


def _of_numbers(make: Callable[[Column], pd.Series]) -> Callable[[Column], pd.Series]:
    return lambda values: make([None if value is None else int(value) for value in values])


CODES = TEXTS | {
    f"number: {name}": (able, _of_numbers(make))
    for name, (able, make) in NUMBERS.items()
    if name != "texts"  # those of TEXTS
}
KINDS = {
    "hour": NUMBERS,
    "temp": NUMBERS,
    "festive": FLAGS,
    "arrival_minute": NUMBERS,
    "carrier": TEXTS,
    "gate": CODES,
}


def values_of(frame: pd.DataFrame, name: str) -> Column:
    """A column's values in Python's own types; None where missing."""
    return [None if pd.isna(value) else value for value in frame[name].tolist()]


def held(name: str, kind: str, values: Sequence[Any]) -> pd.Series | None:
    """The values of a column, held in some way; None where that way cannot hold them."""
    able, make = KINDS[name][kind]
    return make(list(values)) if able(list(values)) else None

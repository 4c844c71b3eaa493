"""Making the folder that is served, and judging it: a graph that says anything else than the model is not written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.contract.reading import Column
from sluice.exporting.expressions import feature_columns
from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.graph_values import ABSENT, INPUT, MOMENT, NO_MOMENT, NUMBER, TEXT
from sluice.exporting.model_graphs import add_model
from sluice.exporting.served_files import FORECAST, Parity, RowField, ServedModel, write_served_model
from sluice.features.columns import exact_numbers, text_column
from sluice.features.model_inputs import ModelInputs
from sluice.features.preparations import Preparation
from sluice.modeling.model_files import Predictor, Threshold, forecast
from sluice.problems.task import Task

LARGEST_DIFFERENCE = 1e-6
_THRESHOLD_ROWS = 2_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exported:
    """What a graph is made of.

    Attributes:
        name: The registered model's.
        digest: Of its files.
        model: As `load_model` gives it.
        task: What it predicts.
        threshold: Where the positive class begins.
        inputs: What the model takes; None for a model from before models said so.
        preparation: How its rows were prepared; None where its rows are features as they are.
    """

    name: str
    digest: str
    model: Predictor
    task: Task
    threshold: Threshold | None
    inputs: ModelInputs | None
    preparation: Preparation | None


@dataclass(frozen=True)
class JudgedRows:
    """Rows that the model was judged by: raw, and as training prepared them.

    Attributes:
        raw: Raw columns, in the same order as `prepared`.
        prepared: The features.
    """

    raw: pd.DataFrame
    prepared: pd.DataFrame


def export_model(folder: Path, exported: Exported, rows: Iterable[JudgedRows]) -> ServedModel:
    """Write a served model, if its graph says what the model says.

    Args:
        folder: Is there, and empty.
        exported: The model.
        rows: The rows to hold it to, batch by batch; at least one row.

    Raises:
        NotExportable: Its features or its family have no graph, or the graph differs; the text says which and how much.
    """
    whole = Graph()
    features = _features(whole, exported)
    output = add_model(whole, exported.model, exported.task, features)
    width = max(len(exported.task.classes), 1)
    graph = whole.model(output, FORECAST, width, {"sluice.model_digest": exported.digest}).SerializeToString()
    parity = _judged(graph, whole.inputs, exported, rows)
    served = _description(exported, whole.inputs, parity)
    write_served_model(folder, served, graph)
    return served


def _features(graph: Graph, exported: Exported) -> dict[str, str]:
    task = exported.task
    if task.image:
        raise NotExportable("the model judges images")
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    if exported.preparation is None:
        return {name: graph.input(name, kind) for name, kind in kinds.items()}
    row_wise = exported.inputs.row_wise if exported.inputs else None
    lacking = [name for name in kinds if row_wise is None or name not in row_wise.features]
    if row_wise is None or lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise NotExportable(f"the features {', '.join(lacking[:3])}{more} rest on more than their own row")
    return feature_columns(graph, row_wise.sql, row_wise.columns, kinds)


def _judged(graph: bytes, kinds: Mapping[str, str], exported: Exported, rows: Iterable[JudgedRows]) -> Parity:
    """Ask both, the graph about raw rows and the model about what training made of them."""
    session = open_session(graph)
    count, largest = 0, 0.0
    for batch in rows:
        wanted = forecast(exported.model, batch.prepared, exported.task)
        found = ask(session, {name: graph_column(batch.raw, name, kind) for name, kind in kinds.items()})
        largest = max(largest, _difference(found, wanted))
        count += len(wanted)
    if not count:
        raise NotExportable("there is no row to hold the graph to")
    probed, worst = _on_thresholds(exported)
    parity = Parity(
        rows=count,
        on_thresholds=probed,
        largest_difference=max(largest, worst),
        limit=LARGEST_DIFFERENCE,
    )
    if not parity.largest_difference <= LARGEST_DIFFERENCE:
        raise NotExportable(
            f"the graph's forecasts differ from the model's by up to {parity.largest_difference:.1e} on "
            f"{count + probed:,} rows; at most {LARGEST_DIFFERENCE:.0e} is allowed"
        )
    return parity


def open_session(graph: bytes | str, threads: int = 1) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session of onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def ask(session: Any, columns: Mapping[str, Any]) -> Floats:  # noqa: ANN401 - as above; arrays
    """A graph's forecasts: shape (rows, classes), or (rows, 1) for a number."""
    return np.asarray(session.run(None, {INPUT + name: column for name, column in columns.items()})[0])


def graph_column(rows: pd.DataFrame, name: str, kind: str) -> npt.NDArray[Any]:
    """A column of a table as a graph takes it."""
    if kind == NUMBER:
        return exact_numbers(rows, name)
    if kind == TEXT:
        texts = text_column(rows, name)
        return texts.astype(object).where(texts.notna(), ABSENT).to_numpy(object)
    moments = pd.to_datetime(rows[name], utc=True)
    found = moments.dt.as_unit("us").to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.where(moments.isna(), NO_MOMENT, found)


def _difference(found: Floats, wanted: Floats) -> float:
    """The largest difference: absolute for probabilities, for numbers relative to their spread."""
    if wanted.ndim == 2:
        gaps = np.abs(found - wanted)
    else:
        gaps = np.abs(found[:, 0] - wanted) / max(float(np.abs(wanted).max(initial=0.0)), np.finfo(np.float64).tiny)
    return float(gaps.max(initial=0.0)) if np.isfinite(found).all() else float("inf")


def _on_thresholds(exported: Exported) -> tuple[int, float]:
    """Rows whose numbers are the trees' very thresholds, or the next number above: how many, and the difference."""
    thresholds = _thresholds(exported.model)
    if not thresholds:
        return 0, 0.0
    task = exported.task
    count = min(_THRESHOLD_ROWS, 2 * max(map(len, thresholds.values())))
    columns: dict[str, Any] = {name: np.full(count, np.nan) for name in task.numeric}
    for name, values in thresholds.items():
        columns[name] = np.resize(np.column_stack([values, np.nextafter(values, np.inf)]).ravel(), count)
    vocabularies = exported.model.inputs.vocabularies  # type: ignore[attr-defined]
    for name in task.categorical:
        columns[name] = np.resize(np.array([*vocabularies[name], None], object), count)
    rows = pd.DataFrame(columns)
    graph = Graph()
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    output = add_model(graph, exported.model, task, {name: graph.input(name, kind) for name, kind in kinds.items()})
    made = graph.model(output, FORECAST, max(len(task.classes), 1), {})
    session = open_session(made.SerializeToString())
    found = ask(session, {name: graph_column(rows, name, kind) for name, kind in graph.inputs.items()})
    return count, _difference(found, forecast(exported.model, rows, task))


def _thresholds(model: Any) -> dict[str, Floats]:  # noqa: ANN401 - any family's
    """The thresholds that a model's trees compare each number with; empty for other models."""
    estimator = getattr(model, "estimator", None)
    if not hasattr(estimator, "_predictors"):
        return {}
    encoder, found = model.inputs, {}
    first = len(encoder.vocabularies)
    nodes = np.concatenate([tree.nodes for trees in estimator._predictors for tree in trees])  # type: ignore[union-attr]
    inner = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
    for place, name in enumerate(encoder.numeric):
        values = np.unique(inner["num_threshold"][inner["feature_idx"] == first + place])
        values = values[np.isfinite(values)]
        if len(values):
            found[name] = values
    return found


def _description(exported: Exported, kinds: Mapping[str, str], parity: Parity) -> ServedModel:
    task = exported.task
    return ServedModel(
        model=exported.name,
        digest=exported.digest,
        question=task.question,
        problem=task.kind,
        label=task.label,
        classes=task.classes,
        threshold=exported.threshold.value if exported.threshold else None,
        key=task.key,
        time=task.time,
        fields=tuple(_field(name, kind, exported) for name, kind in kinds.items()),
        carried=_carried(kinds, exported),
        parity=parity,
    )


def _carried(kinds: Mapping[str, str], exported: Exported) -> tuple[RowField, ...]:
    """The key and the time, where the contract has them and the graph does not take them."""
    task, made = exported.task, exported.preparation
    names = dict.fromkeys((*task.key, *([task.time] if task.time else [])))
    stated = made.columns if made else {}
    return tuple(
        RowField(name=name, type=stated[name].type, nullable=True, mask=stated[name].mask)  # type: ignore[arg-type]
        for name in names
        if name in stated and name not in kinds
    )


def _field(name: str, kind: str, exported: Exported) -> RowField:
    if exported.preparation is None:
        optional = exported.inputs.optional if exported.inputs else frozenset()
        return RowField(name=name, type="float64" if kind == NUMBER else "string", nullable=name in optional)
    column: Column = exported.preparation.columns[name]
    kinds = {NUMBER: ("int64", "float64", "bool"), TEXT: ("string",), MOMENT: ("timestamp", "date")}
    if column.type not in kinds[kind]:
        raise NotExportable(f"column {name!r} is {column.type} in the contract and {kind} in the graph")
    return RowField(
        name=name,
        type=column.type,
        nullable=column.nullable,
        range=(column.range[0], column.range[1]) if column.range else None,
        values=tuple(map(str, column.values)) if column.values else None,
        unit=column.unit or "",
        description=column.description or "",
        mask=column.mask,  # type: ignore[arg-type]  # the contract checks it
    )

"""Holding a served form to the model that was judged: on every test row, raw here and prepared there."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.exporting.forms import Served, rows_of
from sluice.exporting.graph import Graph
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.graph_values import ABSENT, IMAGE, NO_MOMENT, NUMBER, TEXT
from sluice.exporting.model_graphs import add_model
from sluice.exporting.refusals import NotExportable, Unanswerable
from sluice.exporting.served_files import FORECAST, Parity
from sluice.features.columns import exact_numbers, feature_column, text_column
from sluice.modeling.model_files import Predictor, forecast
from sluice.problems.task import Task

LARGEST_DIFFERENCE = 1e-6
ONE_BY_ONE = 20
"""Rows that are asked about alone as well: one row may go another way than many."""
_THRESHOLD_ROWS = 2_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JudgedRows:
    """Rows that the model was judged by: raw, and as training prepared them.

    Attributes:
        raw: Raw columns, in the same order as `prepared`.
        prepared: The features.
    """

    raw: pd.DataFrame
    prepared: pd.DataFrame


Batches = Callable[[], Iterable[JudgedRows]]
"""The test rows, batch by batch, from the first on at each call."""


def judged(
    served: Served, kinds: Mapping[str, str], model: Predictor, task: Task, rows: Batches, *, graph: bool
) -> Parity:
    """Ask both: the served form about raw rows, the model about what training made of them.

    Args:
        served: The form.
        kinds: The raw columns that it takes.
        model: What was judged.
        task: What it predicts.
        rows: At least one.
        graph: Whether a graph forecasts: then rows on the trees' thresholds are asked too.

    Raises:
        NotExportable: They differ, or there is no row to hold the form to.
    """
    count, largest = 0, 0.0
    for batch in rows():
        wanted = forecast(model, batch.prepared, task)
        columns = {name: given_column(batch.raw, name, kind) for name, kind in kinds.items()}
        largest = max(largest, difference(_asked(served, columns), wanted))
        if not count:
            for place, one in enumerate(rows_of({n: v[:ONE_BY_ONE] for n, v in columns.items()}, 1)):
                largest = max(largest, difference(_asked(served, one), wanted[place : place + 1]))
        count += len(wanted)
    if not count:
        raise NotExportable("there is no row to hold it to")
    probed, worst = on_thresholds(model, task) if graph else (0, 0.0)
    largest = max(largest, worst)
    if not largest <= LARGEST_DIFFERENCE:
        raise NotExportable(
            f"its forecasts differ from the model's by up to {largest:.1e} on {count + probed:,} rows; at most "
            f"{LARGEST_DIFFERENCE:.0e} is allowed"
        )
    return Parity(rows=count, on_thresholds=probed, largest_difference=largest, limit=LARGEST_DIFFERENCE)


def _asked(served: Served, columns: Mapping[str, np.ndarray]) -> Floats:
    try:
        return served.ask(columns)
    except Unanswerable as error:
        raise NotExportable(f"a test row {error.words}") from None


def given_column(rows: pd.DataFrame, name: str, kind: str) -> npt.NDArray[Any]:
    """A column of a table as a served form takes it."""
    if kind == NUMBER:
        return exact_numbers(rows, name)
    if kind == TEXT:
        texts = text_column(rows, name)
        return texts.astype(object).where(texts.notna(), ABSENT).to_numpy(object)
    if kind == IMAGE:
        return feature_column(rows, name).to_numpy(object)
    moments = pd.to_datetime(rows[name], utc=True)
    found = moments.dt.as_unit("us").to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.where(moments.isna(), NO_MOMENT, found)


def difference(found: Floats, wanted: Floats) -> float:
    """The largest difference: absolute for probabilities, for numbers relative to the largest among them."""
    if not np.isfinite(found).all():
        return float("inf")
    if wanted.ndim == 2:
        return float(np.abs(found - wanted).max(initial=0.0))
    scale = max(float(np.abs(wanted).max(initial=0.0)), float(np.finfo(np.float64).tiny))
    return float((np.abs(found.reshape(-1) - wanted) / scale).max(initial=0.0))


def on_thresholds(model: Predictor, task: Task) -> tuple[int, float]:
    """Rows whose numbers are the trees' very thresholds, or the next number above: how many, and the difference."""
    thresholds = _thresholds(model)
    if not thresholds:
        return 0, 0.0
    count = min(_THRESHOLD_ROWS, 2 * max(map(len, thresholds.values())))
    columns: dict[str, Any] = {name: np.full(count, np.nan) for name in task.numeric}
    for name, values in thresholds.items():
        columns[name] = np.resize(np.column_stack([values, np.nextafter(values, np.inf)]).ravel(), count)
    vocabularies = model.inputs.vocabularies  # type: ignore[attr-defined]
    for name in task.categorical:
        columns[name] = np.resize(np.array([*vocabularies[name], None], object), count)
    rows = pd.DataFrame(columns)
    graph = Graph()
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    output = add_model(graph, model, task, {name: graph.input(name, kind) for name, kind in kinds.items()})
    made = graph.model(output, FORECAST, max(len(task.classes), 1), {})
    session = GraphSession(made.SerializeToString())
    found = session.forecast({name: given_column(rows, name, kind) for name, kind in graph.inputs.items()})
    return count, difference(found, forecast(model, rows, task))


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

"""The forms in which a model can be served, and who makes features and forecasts in each.

From the fastest on: one graph from raw rows to the forecast; the model's own query in DuckDB, then a graph; the
project's code, then a graph; and the same with the model's own code where it has no graph.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sluice.core.errors import BadInput
from sluice.exporting.graph_values import ABSENT, IMAGE, MOMENT, NUMBER, TEXT
from sluice.exporting.refusals import Unanswerable
from sluice.exporting.served_files import RowQuery, ServedModel
from sluice.exporting.standing_query import Columns, StandingQuery
from sluice.features.closed_duckdb import open_closed

Floats = npt.NDArray[np.float64]
FeatureForm = Literal["graph", "query", "code", "given"]
ForecastForm = Literal["graph", "code"]
KINDS = {
    "int64": NUMBER,
    "float64": NUMBER,
    "bool": NUMBER,
    "string": TEXT,
    "timestamp": MOMENT,
    "date": MOMENT,
    "image": IMAGE,
}
"""How a field of a type is handed in: see `graph_values`."""


class Features(Protocol):
    """What makes a model's features: float64 with NaN or texts with ABSENT, by name, of raw columns."""

    def __call__(self, columns: Columns, /) -> Mapping[str, np.ndarray]:
        """Raises `Unanswerable` for rows that have none."""
        ...


@dataclass(frozen=True)
class Served:
    """A model that answers, whichever its form.

    Attributes:
        features: From raw columns to what the model takes.
        forecast: From that to probabilities, shape (rows, classes), or numbers, shape (rows, 1) or (rows,).
        close: Lets go of what they hold.
    """

    features: Features
    forecast: Callable[[Mapping[str, np.ndarray]], Floats]
    close: Callable[[], None] = lambda: None

    def ask(self, columns: Columns) -> Floats:
        """Forecast raw rows."""
        return self.forecast(self.features(columns))


def as_given(columns: Columns) -> Mapping[str, np.ndarray]:
    """The features of rows that hold them, or whose graph makes them."""
    return columns


def query_features(query: RowQuery, kinds: Mapping[str, str], takes: Mapping[str, str]) -> StandingQuery:
    """A model's own query, in a DuckDB of its own.

    Args:
        query: The query.
        kinds: The columns handed in, by kind.
        takes: What the model takes.

    Raises:
        NotExportable: DuckDB does not take it.
    """
    return StandingQuery(open_closed(), query.table, query.columns, kinds, query.sql, takes)


def code_forecast(model: Any, task: Any, takes: Mapping[str, str]) -> Callable[[Mapping[str, np.ndarray]], Floats]:  # noqa: ANN401 - any family's
    """The forecast of a model by its own code, of the very table that `sluice predict` gives it.

    Args:
        model: As `load_model` gives it.
        task: What it predicts.
        takes: Its features, NUMBER or TEXT by name.
    """
    import pandas as pd

    from sluice.modeling.model_files import forecast

    def asked(columns: Mapping[str, np.ndarray]) -> Floats:
        table = {
            name: pd.array([None if text == ABSENT else text for text in columns[name]], dtype="string")
            if kind == TEXT
            else columns[name]  # numbers, or files of images
            for name, kind in takes.items()
        }
        try:
            found: Floats = forecast(model, pd.DataFrame(table), task)
        except BadInput as error:  # such as an image that is damaged
            raise Unanswerable((), f"the model takes none of these rows: {error}") from None
        return found

    return asked


def kinds_of(served: ServedModel) -> dict[str, str]:
    """How the fields of a served model are handed in."""
    return {field.name: KINDS[field.type] for field in served.fields}


def rows_of(columns: Columns, size: int) -> Iterator[dict[str, np.ndarray]]:
    """The same columns in parts of some rows."""
    count = len(next(iter(columns.values())))
    for start in range(0, count, size):
        yield {name: values[start : start + size] for name, values in columns.items()}

"""Registered models in a notebook: raw rows in, forecasts out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sluice.core.errors import BadInput
from sluice.features.row_files import Rows
from sluice.registry.predicting import OpenModel, opened_model
from sluice.running.project_runs import use_project_home


class ModelWarning(UserWarning):
    """What a person should know of a forecast: values that training never saw, tables that were taken from training."""


class Model:
    """A registered model whose files and code were checked against their digests."""

    def __init__(self, opened: OpenModel) -> None:
        self._opened = opened

    @property
    def name(self) -> str:
        """`MODEL/version`."""
        return self._opened.name

    @property
    def digest(self) -> str:
        """SHA-256 over its files."""
        return self._opened.version.digest

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases that pointed to it when it was loaded."""
        return self._opened.version.aliases

    @property
    def features(self) -> tuple[str, ...]:
        """What it judges by."""
        return self._opened.served.task.features

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it tells apart; none where it forecasts a number."""
        return self._opened.served.task.classes

    def predict(
        self,
        rows: Any,  # noqa: ANN401 - a file or one of several kinds of tables
        *,
        tables: Mapping[str, Any] | None = None,
        dataset: str = "",
        unseen: bool = False,
    ) -> pd.DataFrame:
        """Forecast raw rows, which are prepared by the very code that prepared the model's own.

        Args:
            rows: A `pandas.DataFrame`, `pyarrow.Table` or Ibis table, or the path of a CSV, JSON or Parquet file, with
                the columns of the lake's table.
            tables: Other tables that the project's code reads, by name, each like `rows`; by default those that the
                model learned from.
            dataset: The id, or its beginning, of a dataset of the step ingest to take such tables from.
            unseen: Whether to add the column `unseen`: the features whose value in the row training never saw.

        Returns:
            One row for each of `rows`, in their order: the key, `prediction` (the class, or the number in the label's
            unit), and for classes `probability_CLASS`.

        Warns:
            ModelWarning: Training never saw a value, a value breaks the contract, or tables were taken from training.

        Raises:
            BadInput: A column is missing or holds values of another type, or the project's code refuses the rows.
        """
        others = {name: _rows(table) for name, table in (tables or {}).items()}
        done = self._opened.predict(_rows(rows), tables=others, dataset=dataset, unseen=unseen)
        for line in (*done.notes, *done.unseen):
            warnings.warn(line, ModelWarning, stacklevel=2)
        frame: pd.DataFrame = done.table.to_pandas()
        return frame

    def __repr__(self) -> str:
        """Name, aliases and digest."""
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"<Model {self.name}{aliases}, digest {self.digest[:12]}>"


def load_model(reference: str) -> Model:
    """Load a registered model.

    Args:
        reference: `MODEL` (its champion), `MODEL@alias`, `MODEL/version`, or the beginning of its digest.

    Raises:
        BadInput: There is none such, or its files, code or manifests were changed since it was registered.
        EnvironmentFault: The registry or the store is down.
    """
    use_project_home()
    with opened_model(reference) as opened:
        return Model(opened)


def _rows(given: Any) -> Rows:  # noqa: ANN401 - see `predict`
    """A file, or a table of Arrow's."""
    if isinstance(given, str | Path):
        return Path(given)
    if isinstance(given, pa.Table):
        return given
    try:
        if isinstance(given, pd.DataFrame):
            return pa.Table.from_pandas(given, preserve_index=False)
        if hasattr(given, "to_pyarrow"):
            return given.to_pyarrow()
        if hasattr(given, "to_arrow"):  # polars
            return given.to_arrow()
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise BadInput(f"the table holds values that are of no one type: {reason}; give each column one") from None
    raise BadInput(f"a {type(given).__name__} is no table; give a DataFrame, an Arrow or Ibis table, or a file's path")

"""Forecasts for new rows, by a registered model: raw rows in, prepared as those that it learned from, forecasts out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import Bundle, bundle_key, open_bundle
from sluice.artifacts.manifests import MANIFEST
from sluice.artifacts.provenance import ancestry
from sluice.contract.reading import Column
from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.features.new_row_answers import NewRows
from sluice.features.new_rows import Given, new_row_batches, prepare_new_rows
from sluice.features.preparations import Preparation, preparation_of
from sluice.features.row_files import RowFile, Rows
from sluice.features.unseen_values import UnseenFinding
from sluice.problems.task import Task
from sluice.registry.evidence import check_evidence
from sluice.registry.pyfunc_loader import DECISION, PREDICTION, REPORT, UNSEEN, ServedModel, added_column, served_model
from sluice.registry.versions import Version, find_version, registered_models, version_files, versions
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

PROBABILITY = "probability_{}"
_ID = re.compile(r"(?:(?:.*/)?models/)?(?P<id>[0-9a-f]{8,64})", re.DOTALL)
_SHOWN = 12


@dataclass(frozen=True)
class Forecasts:
    """What a model says of rows.

    Attributes:
        version: The model.
        table: A row for each row given, in the same order: the columns that identify it, `prediction` (the class, or
            the number in the label's unit), with classes `probability_CLASS` for each, and where it was asked for
            `unseen`. A row that the project's code leaves out has no forecast.
        forecasts: How many rows have one.
        notes: What a person should know of how the rows were made.
        unseen: What training never saw, one line a feature.
    """

    version: Version
    table: pa.Table
    forecasts: int
    notes: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class OpenModel:
    """A registered version whose files were checked, ready to forecast.

    Attributes:
        version: The version.
        served: Its files, loaded.
        preparation: How the rows were prepared that it learned from; None where no project did.
        store: Where its datasets and its code are.
    """

    version: Version
    served: ServedModel
    preparation: Preparation | None
    store: Store = field(repr=False)

    @contextmanager
    def forecast_batches(
        self, rows: RowFile, dataset: Bundle | None = None
    ) -> Iterator[tuple[Iterator[pa.Table], Sequence[str]]]:
        """Forecast many rows, a batch in memory at a time, for the time of the `with` block.

        Args:
            rows: With the columns of the lake's table.
            dataset: Where other tables come from that the project's code reads; None for those that the model learned
                from.

        Returns:
            Tables as `Forecasts.table`, batch by batch, rows in their order; and what a person should know of them.

        Raises:
            BadInput: See `predict`; also a model whose rows no step prepare made.
            EnvironmentFault: The store or the disk failed.
        """
        task = self.served.task
        if self.preparation is None:
            raise BadInput(
                f"{self.name} was made without the step prepare, so nothing tells how rows of a lake become its "
                "features; use `sluice predict` with a file of features"
            )
        params = {} if task.regression else {DECISION: True}
        given = Given(rows, {}, dataset)
        optional = self.served.optional
        with new_row_batches(self.preparation, given, task.features, optional, self.store) as (batches, notes):
            yield (_table(made, self._answer(made, params), task) for made in batches), notes

    def _answer(self, made: NewRows, params: Mapping[str, Any]) -> pd.DataFrame:
        return self.served.judge(made.features, params)[0]

    def predict(
        self, rows: Rows, *, tables: Mapping[str, Rows] | None = None, dataset: str = "", unseen: bool = False
    ) -> Forecasts:
        """Forecast.

        Args:
            rows: A CSV, JSON or Parquet file, or a `pyarrow.Table`, with the columns of the lake's table; the label and
                what no feature rests on may be absent.
            tables: Other tables that the project's code reads, by name; by default those that the model learned from.
            dataset: The id, or its beginning, of another dataset of the step ingest, to take such tables from.
            unseen: Whether to add the column `unseen`: the features whose value in the row training never saw.

        Raises:
            BadInput: A column is missing or holds values of another type, or the project's code refuses the rows.
            EnvironmentFault: The store or the disk failed.
        """
        task = self.served.task
        if self.preparation is None:
            if tables or dataset:
                raise BadInput(f"{self.name} was made without the step prepare, so it takes no table beside its rows")
            made = _features_given(RowFile(rows), task, self.served.optional)
        else:
            files = {name: RowFile(each, f"table {name}") for name, each in (tables or {}).items()}
            given = Given(RowFile(rows), files, find_dataset(self.store, dataset) if dataset else None)
            made = prepare_new_rows(self.preparation, given, task.features, self.served.optional, self.store)
        params = {REPORT: unseen} | ({} if task.regression else {DECISION: True})
        answer, findings = self.served.judge(made.features, params)
        table, count = _table(made, answer, task), int(made.kept.sum())
        return Forecasts(self.version, table, count, made.notes, tuple(map(str, findings)))

    def judge(self, features: pd.DataFrame, params: Mapping[str, Any]) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        """Forecast rows whose features the step prepare made; see `ServedModel.judge`."""
        return self.served.judge(features, params)

    @property
    def task(self) -> Task:
        """What it forecasts."""
        return self.served.task

    @property
    def name(self) -> str:
        """`MODEL/version`."""
        return f"{self.version.model}/{self.version.version}"


@contextmanager
def opened_model(reference: str) -> Iterator[OpenModel]:
    """Open a registered model for the time of the `with` block: its files, its code and what tells of its making.

    Args:
        reference: `MODEL` (its champion), `MODEL@alias`, `MODEL/version`, or the beginning (8 characters or more) of
            the model's digest or of the id of the folder of models that it was registered from.

    Raises:
        BadInput: There is none such, or a file or manifest was changed since it was registered.
        EnvironmentFault: The registry or the store is down.
    """
    version, store = model_version(reference), default_store()
    models = version.tags.get("sluice.models")
    lineage = ancestry(store, models) if models else []
    check_evidence(store, version, lineage, ())
    with version_files(version) as folder:
        yield OpenModel(version, served_model(folder), preparation_of(lineage), store)


def model_version(reference: str) -> Version:
    """The version that a person means; see `opened_model`."""
    named = _ID.fullmatch(reference)
    if named is None or reference in registered_models():
        return find_version(reference)
    begin = named["id"]
    found = [version for model in registered_models() for version in versions(model) if _is_meant(version, begin)]
    if not found:
        raise BadInput(f"no registered model has the digest {begin[:_SHOWN]}… or comes from models/{begin[:_SHOWN]}…")
    if len(found) > 1:
        names = ", ".join(f"{version.model}/{version.version}" for version in found[:_SHOWN])
        raise BadInput(f"{begin[:_SHOWN]!r} may be {names}; write more of the id, or one of these")
    return found[0]


def _is_meant(version: Version, begin: str) -> bool:
    return version.digest.startswith(begin) or version.tags.get("sluice.models", "").startswith(begin)


def find_dataset(store: Store, begin: str) -> Bundle:
    """The dataset whose id begins so; an address of it will do.

    Raises:
        BadInput: There is none, or there are several.
        EnvironmentFault: The store failed.
    """
    prefix = bundle_key("dataset", begin.rstrip("/").rpartition("/")[2])
    keys = [key for key in store.keys(prefix) if key.count("/") == 2 and key.endswith(f"/{MANIFEST}")]
    if len(keys) != 1:
        what = "is the beginning of several ids; write more of it" if keys else "is none; `sluice datasets` lists them"
        raise BadInput(f"dataset {begin!r} of {store.uri} {what}")
    return open_bundle(f"{store.uri}/{keys[0].removesuffix(f'/{MANIFEST}')}", "dataset")


def _features_given(file: RowFile, task: Task, optional: frozenset[str]) -> NewRows:
    """Rows whose columns are the features themselves, for a model that no step prepare made rows for."""
    import tempfile

    if task.image:
        raise BadInput(
            f"the model judges images; give mlflow.pyfunc a table with the column {task.image!r} (PNG bytes)"
        )
    kinds = dict.fromkeys(task.numeric, Column("float64")) | dict.fromkeys(task.categorical, Column("string"))
    absent = [name for name in kinds if name not in file.columns]
    if lacking := [name for name in absent if name not in optional]:
        raise BadInput(
            f"{file.name} has no column {lacking[0]!r}, which is a feature; it has {', '.join(file.columns)}"
        )
    keys = {name: Column("string") for name in task.key if name in file.columns and name not in kinds}
    wanted = keys | {name: kind for name, kind in kinds.items() if name not in absent}
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        import pyarrow.parquet as pq

        target = Path(name, "rows.parquet")
        file.read(wanted, target)
        table = pq.read_table(target)
    shown = table.select([name for name in task.key if name in wanted])
    frame = table.select([name for name in kinds if name not in absent]).to_pandas()
    return NewRows(shown, frame, np.ones(len(table), np.bool_), ())


def _table(made: NewRows, answer: pd.DataFrame, task: Task) -> pa.Table:
    """The key, the forecast, the probabilities, and what training never saw."""
    columns = dict(zip(made.keys.column_names, made.keys.columns, strict=True))
    told = [PREDICTION] if task.regression else list(task.classes)
    forecast = answer[PREDICTION] if task.regression else answer[added_column(DECISION, told)]
    named = [(PREDICTION, forecast)]
    named += [] if task.regression else [(PROBABILITY.format(name), answer[name]) for name in told]
    if (unseen := added_column(UNSEEN, told)) in answer:
        named.append((UNSEEN, answer[unseen]))
    for name, values in named:
        columns[free_name(name, columns)] = _spread(values, made.kept)
    return pa.table(columns)


def _spread(values: pd.Series, kept: Any) -> pa.Array:  # noqa: ANN401 - a NumPy mask
    """The values at the rows that have some; null elsewhere."""
    places = np.full(len(kept), -1)
    places[kept] = np.arange(len(values))
    indices = pa.array(places, mask=~np.asarray(kept))
    return pa.array(values.to_list()).take(indices)

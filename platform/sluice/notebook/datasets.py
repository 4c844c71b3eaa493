"""Datasets in a notebook: as Arrow, pandas or Ibis, their digests checked."""

import re
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
from ibis.expr.types import Table

from sluice.artifacts.bundles import Bundle, bundle_key, open_bundle
from sluice.artifacts.manifests import MANIFEST
from sluice.artifacts.provenance import ancestry
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.engine.datasets import read_dataset
from sluice.running.project_runs import use_project_home
from sluice.running.run_records import LAST, RunRecord, all_runs, find_run, runs_named
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

_HEX = re.compile(r"[0-9a-f]{4,64}")
_ADDRESS = re.compile(r".*/datasets/[0-9a-f]{64}/?", re.DOTALL)


@dataclass(frozen=True)
class Dataset:
    """A published dataset; its files are checked against their digests when they are first read.

    Attributes:
        bundle: Its address and manifest.
    """

    bundle: Bundle

    @property
    def id(self) -> str:
        """Its content address, 64 hex digits."""
        return self.bundle.id

    @property
    def step(self) -> str:
        """The step that made it."""
        return self.bundle.manifest.producer.step

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: table.rows for name, table in self.bundle.manifest.tables.items()}

    def ibis(self, table: str = "") -> Table:
        """A table as an Ibis expression, which nothing has been read of yet.

        Args:
            table: Its name; may be left out where there is one.

        Raises:
            BadInput: There is no such table, or a file was changed since it was published.
            EnvironmentFault: The store failed.
        """
        return self._tables[self._name(table)]

    def arrow(self, table: str = "") -> pa.Table:
        """A table as a `pyarrow.Table`; see `ibis`."""
        return self.ibis(table).to_pyarrow()

    def pandas(self, table: str = "") -> pd.DataFrame:
        """A table as a `pandas.DataFrame`; see `ibis`."""
        frame: pd.DataFrame = self.ibis(table).to_pandas()
        return frame

    def _name(self, table: str) -> str:
        names = list(self.rows)
        if not table and len(names) == 1:
            return names[0]
        if table not in names:
            what = f"has no table {table!r}{near(table, names)}" if table else "has several tables"
            raise BadInput(f"dataset {self.id[:12]} {what}; it has {', '.join(names)}")
        return table

    @cached_property
    def _tables(self) -> dict[str, Table]:
        stack = ExitStack()  # a remote store's files lie in a temporary folder for as long as somebody has the dataset
        weakref.finalize(self, stack.close)
        return stack.enter_context(read_dataset(self.bundle.uri))[1]

    def __repr__(self) -> str:
        """Id, step and rows."""
        rows = ", ".join(f"{name}: {count:,}" for name, count in self.rows.items())
        return f"<Dataset {self.id[:12]} of step {self.step} ({rows} rows)>"


def open_dataset(reference: str, *, step: str = "") -> Dataset:
    """Open a dataset.

    Args:
        reference: The id of a dataset, its beginning (4 characters or more) or its address; the id of a run, its
            beginning or end, or `last`; or `MODEL@alias`, `MODEL/version` or `MODEL` of a registered model.
        step: Of a run or a model: the step whose dataset is meant, such as `prepare`; by default the last that made
            one.

    Raises:
        BadInput: It means nothing, or several things.
        EnvironmentFault: The store or MLflow is down.
    """
    use_project_home()
    store = default_store()
    if _ADDRESS.fullmatch(reference):
        return Dataset(open_bundle(reference.rstrip("/"), "dataset"))
    if reference == LAST:
        return _of_run(find_run(LAST), step)
    found = _ids(store, reference) if _HEX.fullmatch(reference) else []
    meant = runs_named(reference, all_runs())
    if len(found) + len(meant) > 1:
        names = ", ".join([*(f"dataset {each[:12]}" for each in found), *(f"run {run.id}" for run in meant)][:5])
        raise BadInput(f"{reference!r} may be {names}; write more of the id")
    if found:
        return Dataset(open_bundle(f"{store.uri}/{bundle_key('dataset', found[0])}", "dataset"))
    return _of_run(meant[0], step) if meant else _of_model(reference, store, step)


def _ids(store: Store, prefix: str) -> list[str]:
    keys = (key.split("/") for key in store.keys(bundle_key("dataset", prefix)))
    return sorted({parts[1] for parts in keys if len(parts) == 3 and parts[2] == MANIFEST})


def _of_run(run: RunRecord, step: str) -> Dataset:
    made: dict[str, str] = {}
    for each in run.steps:
        addresses: list[Any] = [artifact.uri for several in each.made.values() for artifact in several]
        left = [str(address) for address in (*addresses, *each.outputs.values()) if _ADDRESS.fullmatch(str(address))]
        made |= {each.name: left[-1]} if left else {}
    return Dataset(open_bundle(_chosen(made, step, f"run {run.id}"), "dataset"))


def _of_model(reference: str, store: Store, step: str) -> Dataset:
    from sluice.registry.predicting import model_version

    version = model_version(reference)
    models = version.tags.get("sluice.models")
    if not models:
        raise BadInput(f"{version.model}/{version.version} was not registered by Sluice: it names no datasets")
    lineage = [bundle for bundle in ancestry(store, models) if bundle.manifest.kind == "dataset"]
    made = {bundle.manifest.producer.step: bundle.uri for bundle in lineage}
    return Dataset(open_bundle(_chosen(made, step, f"{version.model}/{version.version}"), "dataset"))


def _chosen(made: dict[str, str], step: str, where: str) -> str:
    if not made:
        raise BadInput(f"{where} has left no dataset")
    if step and step not in made:
        raise BadInput(f"{where} has no dataset of a step {step!r}{near(step, made)}; there are {', '.join(made)}")
    return made[step] if step else list(made.values())[-1]

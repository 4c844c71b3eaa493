"""From a registered version to the folder that is served: its files, its rows and the judgement."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.provenance import ancestry, find_bundle
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset
from sluice.exporting.export import Exported, JudgedRows, export_model
from sluice.exporting.served_files import ServedModel
from sluice.features.model_inputs import read_inputs
from sluice.features.preparations import Preparation, preparation_of
from sluice.modeling.model_files import load_model, read_task, read_threshold
from sluice.problems.task import Task, task_of
from sluice.registry.evidence import check_evidence
from sluice.registry.versions import Version, version_files
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

_TEST = "test"
_MOST_ROWS = 200_000


def export_version(version: Version, folder: Path) -> ServedModel:
    """Write a version's served model.

    Args:
        version: Registered; its files and the manifests behind it are checked.
        folder: Is there, and empty.

    Raises:
        NotExportable: It has no graph, or one that says something else.
        BadInput: Files or manifests were changed since it was registered, or the rows it was judged by are gone.
        EnvironmentFault: The registry or the store is down.
    """
    store = default_store()
    models, splits = version.tags.get("sluice.models"), version.tags.get("sluice.splits")
    lineage = ancestry(store, models) if models else []
    check_evidence(store, version, lineage, ())
    if not splits:
        raise BadInput(f"{version.model}/{version.version} names no dataset that it was judged by; register it again")
    preparation = preparation_of(lineage)
    with version_files(version) as files:
        task = read_task(files)
        exported = Exported(
            version.model,
            version.digest,
            load_model(files),
            task,
            read_threshold(files),
            read_inputs(files),
            preparation,
        )
        served = export_model(folder, exported, _judged_rows(store, find_bundle(store, splits), preparation, task))
    progress(
        f"graph of {version.model}/{version.version}: forecasts of {served.parity.rows:,} test rows within "
        f"{served.parity.largest_difference:.1e} of the model's"
    )
    return served


def _judged_rows(store: Store, splits: Bundle, preparation: Preparation | None, task: Task) -> Iterator[JudgedRows]:
    """The test rows, raw and prepared, side by side."""
    del store
    columns = list(dict.fromkeys((*task_of(splits).key, *task.features)))
    with read_dataset(splits.uri) as (_, tables):
        if _TEST not in tables:
            raise BadInput(f"{splits.uri} has no part {_TEST!r} to hold the graph to")
        table = tables[_TEST]
        prepared = table.select(*[name for name in columns if name in table.columns]).limit(_MOST_ROWS).to_pyarrow()
    if preparation is None:
        frame = prepared.to_pandas()
        yield JudgedRows(frame, frame)
        return
    yield _matched(preparation, prepared)


def _matched(preparation: Preparation, prepared: pa.Table) -> JudgedRows:
    """Each prepared row beside the raw row that it was made of, found by its key."""
    key = [name for name in preparation.key if name in prepared.column_names]
    with read_dataset(preparation.dataset.uri) as (_, tables):
        table = tables[preparation.table]
        if not key or not set(key) <= set(table.columns):
            raise BadInput(
                f"the rows of {preparation.table} have no key in the lake, so test rows cannot be found there again; "
                "declare rows.key and train again"
            )
        raw = table.to_pyarrow().to_pandas()
    both = raw.merge(prepared.to_pandas(), on=key, how="inner", suffixes=("", "\0"), validate="one_to_one")
    made = {name: both[f"{name}\0"] if f"{name}\0" in both else both[name] for name in prepared.column_names}
    return JudgedRows(both[list(raw.columns)], pd.DataFrame(made))

"""The step score: all rows of a dataset or a file, forecast by a registered model, with where they came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.artifacts.bundles import Bundle, workspace
from sluice.artifacts.producer import producer
from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput
from sluice.core.plain_text import markdown, markdown_code
from sluice.core.progress import progress
from sluice.engine.datasets import PART, publish_tables, read_dataset
from sluice.engine.parquet import write_parquet
from sluice.features.row_files import DatasetRows, RowFile
from sluice.parameters.score import check_named
from sluice.registry.predicting import OpenModel, find_dataset, opened_model
from sluice.storage.locations import default_store

FORECASTS = "forecasts"
_NOTHING = pa.types.is_null


def run(model: str, *, dataset: str = "", rows: Path | None = None, summary: Path | None = None) -> Bundle:
    """Forecast rows and publish what was forecast.

    Args:
        model: `MODEL` (its champion), `MODEL@alias`, `MODEL/version`, or the beginning of its digest.
        dataset: Address or id, or its beginning, of a dataset of the step ingest.
        rows: A file in its place: CSV, JSON or Parquet, with the columns of the lake's table.
        summary: Where to write the account in Markdown; None for none.

    Returns:
        A dataset with the table `forecasts`: what identifies each row, `prediction` and, with classes,
        `probability_CLASS`, in the order of the rows. Its parents are the dataset and the folder of models that the
        version was registered from; the same rows and the same files of a model give the same id.

    Raises:
        BadInput: There is no such model or dataset, a column is missing, or the project's code refuses the rows.
        EnvironmentFault: The store or the registry failed.
    """
    check_named("model", model)
    if rows is None:
        check_named("dataset", dataset)
    store = default_store()
    with (
        opened_model(model) as opened,
        _given(opened, dataset, rows) as (given, parent),
        opened.forecast_batches(given, parent) as (batches, notes),
        workspace(store) as folder,
    ):
        path = folder / FORECASTS / PART.format(0)
        counts: dict[str, int] = {"rows": 0, "forecasts": 0}
        written = write_parquet(*_stream(batches, counts, given.name), path)
        models = opened.version.tags.get("sluice.models")
        task = opened.served.task
        details: dict[str, Any] = {
            "model": {"name": opened.version.model, "digest": opened.version.digest},
            "question": task.question,
            "label": task.label,
            "classes": list(task.classes),
            "without_forecast": counts["rows"] - counts["forecasts"],
        }
        if rows is not None:
            details["file"] = {"sha256": sha256_file(rows)}
        bundle = publish_tables(
            store,
            folder,
            {FORECASTS: [written]},
            producer("score", {"model": opened.version.model, "digest": opened.version.digest}),
            parents=tuple(filter(None, (parent.id if parent else None, models))),
            details=details,
            notes={"version": opened.name, "rows": given.name, "told": list(notes)},
        )
    for note in notes:
        progress(note)
    progress(f"{counts['forecasts']:,} forecasts of {counts['rows']:,} rows by {opened.name}: {bundle.uri}")
    if summary is not None:
        summary.write_text(_account(opened, given.name, counts, list(notes)), encoding="utf-8")
    return bundle


@contextmanager
def _given(opened: OpenModel, dataset: str, rows: Path | None) -> Iterator[tuple[RowFile, Bundle | None]]:
    """The rows, and the dataset that they are from."""
    if rows is not None:
        yield RowFile(rows), None
        return
    parent = find_dataset(opened.store, dataset)
    if opened.preparation is None:
        raise BadInput(f"{opened.name} was made without the step prepare, so it does not forecast rows of a dataset")
    name = opened.preparation.table
    with read_dataset(parent.uri) as (_, tables):
        if name not in tables:
            known = ", ".join(sorted(tables))
            raise BadInput(f"{parent.uri} has no table {name!r}, of which {opened.name} asks; it has {known}")
        yield DatasetRows(tables[name], f"table {name} of dataset {parent.id[:12]}"), parent


def _stream(batches: Iterator[pa.Table], counts: dict[str, int], name: str) -> tuple[Iterator[Any], pa.Schema]:
    """The forecasts as record batches of one schema, counted on the way."""
    first = next(batches, None)
    if first is None:
        raise BadInput(f"{name} has no row; there is nothing to forecast")
    schema = pa.schema([(field.name, _type(field)) for field in first.schema])

    def stream() -> Iterator[Any]:
        table: pa.Table | None = first
        while table is not None:
            counts["rows"] += len(table)
            counts["forecasts"] += len(table) - table.column("prediction").null_count
            yield from table.cast(schema).to_batches()
            table = next(batches, None)

    return stream(), schema


def _type(field: pa.Field) -> pa.DataType:
    """A column's type; one of a first batch without any forecast follows from its name."""
    if not _NOTHING(field.type):
        return field.type
    return pa.float64() if field.name.startswith("probability_") else pa.string()


def _account(opened: OpenModel, rows: str, counts: dict[str, int], notes: list[str]) -> str:
    model, digest = markdown_code(opened.name), markdown_code(opened.version.digest[:12])
    told = (
        f"{counts['forecasts']:,} forecasts of {counts['rows']:,} rows of {markdown(rows)} by {model}, digest {digest}."
    )
    return "\n\n".join([told, *(f"- {markdown(note)}" for note in notes)]) + "\n"

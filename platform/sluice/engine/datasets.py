"""Datasets: published folders of Parquet tables, written from and read as Ibis tables."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import pyarrow.parquet as pq

from sluice.artifacts.bundles import Bundle, local_copy, open_bundle, publish, workspace
from sluice.artifacts.manifests import FileEntry, Producer, TableEntry
from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import arrow_batches, duckdb_engine
from sluice.engine.parquet import ROW_GROUP_ROWS, WrittenParquet, write_parquet
from sluice.engine.row_counts import reconcile
from sluice.storage.stores import Store

PART = "part-{:05d}.parquet"


def write_dataset(
    store: Store,
    tables: Mapping[str, ibis.Table],
    producer: Producer,
    *,
    parents: tuple[str, ...] = (),
    design: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
    expected: Mapping[str, int] | None = None,
) -> Bundle:
    """Run expressions and publish their rows as a dataset.

    Args:
        store: Where to.
        tables: Expressions by table name, each bound to a DuckDB backend. Give them an order:
            it decides the bytes, so the id.
        producer: What makes it.
        parents: Ids of the datasets that the expressions read.
        design: For a sample, its design.
        details: What else belongs to its content: part of the id.
        notes: What may differ from run to run.
        expected: How many rows each table must have, where the caller has counted them otherwise.

    Raises:
        BadInput: A table has no row.
        EnvironmentFault: The store failed.
        SluiceError: The expressions gave another number of rows than expected.
    """
    with workspace(store) as folder:
        parts: dict[str, list[WrittenParquet]] = {}
        for table, expression in tables.items():
            batches = arrow_batches(expression, ROW_GROUP_ROWS)
            parts[table] = [write_parquet(batches, batches.schema, folder / table / PART.format(0))]
            if expected:
                reconcile(f"table {table!r} of {producer.step}", expected[table], {table: parts[table][0].rows})
        return publish_tables(
            store, folder, parts, producer, parents=parents, design=design, details=details, notes=notes
        )


def publish_tables(
    store: Store,
    folder: Path,
    parts: Mapping[str, Sequence[WrittenParquet]],
    producer: Producer,
    *,
    parents: tuple[str, ...] = (),
    design: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Bundle:
    """Publish Parquet files that were written into a workspace as a dataset; they may be renamed into the store.

    Args:
        store: Where to.
        folder: The workspace; part N of a table is its file `<table>/<PART>`, the columns alike in all.
        parts: What was written, by table.
        producer: What made it.
        parents: Ids of the datasets it was made from.
        design: For a sample, its design.
        details: What else belongs to its content: part of the id.
        notes: What may differ from run to run.

    Raises:
        BadInput: A table has no row.
        EnvironmentFault: The store failed.
    """
    files: list[FileEntry] = []
    tables: dict[str, TableEntry] = {}
    for table, written in parts.items():
        rows = sum(part.rows for part in written)
        if not rows:
            raise BadInput(f"table {table!r} is empty: a dataset needs at least one row; check the source and filters")
        entries = [FileEntry(f"{table}/{PART.format(n)}", part.size, part.sha256) for n, part in enumerate(written)]
        columns = {field.name: str(field.type) for field in pq.read_schema(folder / entries[0].path)}
        tables[table] = TableEntry(tuple(entry.path for entry in entries), rows, columns)
        files += entries
    return publish(
        store,
        folder,
        "dataset",
        producer,
        parents=parents,
        tables=tables,
        design=design,
        details=details,
        notes=notes,
        files=tuple(sorted(files, key=lambda entry: entry.path)),
        move=True,
    )


@contextmanager
def read_dataset(uri: str, engine: Any = None) -> Iterator[tuple[Bundle, dict[str, ibis.Table]]]:  # noqa: ANN401 - see engines
    """Open a dataset's tables, digests checked, for the time of the `with` block.

    Args:
        uri: The dataset's address.
        engine: An Ibis backend; by default a DuckDB of this call's own.

    Raises:
        BadInput: It is no dataset, or was truncated or changed, or its manifest tells other rows or columns of a table
            than its files hold.
    """
    bundle = open_bundle(uri, "dataset")
    engine = engine or duckdb_engine()
    with local_copy(bundle) as folder:
        for name, entry in bundle.manifest.tables.items():
            _check_table(name, entry, folder, uri)
        yield (
            bundle,
            {
                # Escaped: in a folder named `a*` DuckDB would read those of every folder whose name begins with `a`.
                name: engine.read_parquet([glob.escape(str(folder / f)) for f in entry.files], table_name=name)
                for name, entry in bundle.manifest.tables.items()
            },
        )


def _check_table(name: str, entry: TableEntry, folder: Path, uri: str) -> None:
    """Hold the manifest's rows and columns, which its id does not cover, against what the files say of themselves."""
    way_out = "restore the manifest from a copy, or delete the folder and run the step again"
    rows = 0
    for file in entry.files:
        with pq.ParquetFile(folder / file) as parquet:
            rows += parquet.metadata.num_rows
            columns = {field.name: str(field.type) for field in parquet.schema_arrow}
        if columns != entry.columns:
            raise BadInput(f"{uri}: table {name!r}: {file} has other columns than the manifest says; {way_out}")
    if rows != entry.rows:
        raise BadInput(f"{uri}: table {name!r} has {rows:,} rows where the manifest says {entry.rows:,}; {way_out}")


def labelled_rows(uri: str, tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """The one table of a dataset that holds labelled rows.

    Args:
        uri: The dataset's address, for errors.
        tables: Its tables by name.

    Raises:
        BadInput: It has other tables instead.
    """
    if "rows" not in tables:
        raise BadInput(f"{uri} has no table 'rows'; it has {', '.join(sorted(tables))}; use one made by prepare")
    return tables["rows"]

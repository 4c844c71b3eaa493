"""Datasets: published folders of Parquet tables, written from and read as Ibis tables."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import pyarrow.parquet as pq

from components.common.bundles import Bundle, local_copy, open_bundle, publish
from components.common.engines import duckdb_engine
from components.common.errors import BadInput
from components.common.manifests import Producer, TableEntry
from components.common.stores import Store

ROW_GROUP_ROWS = 122_880


def write_dataset(
    store: Store,
    tables: Mapping[str, ibis.Table],
    producer: Producer,
    *,
    parents: tuple[str, ...] = (),
    design: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Bundle:
    """Run expressions and publish their rows as a dataset.

    Args:
        store: Where to.
        tables: Expressions by table name, each bound to a DuckDB backend. Give them an order:
            it decides the bytes, so the id.
        producer: What makes it.
        parents: Ids of the datasets that the expressions read.
        design: For a sample, its design.
        details: Anything else to remember.

    Raises:
        BadInput: A table has no row.
        EnvironmentFault: The store failed.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        folder = Path(name)
        entries: dict[str, TableEntry] = {}
        for table, expression in tables.items():
            target = folder / table / "part-0.parquet"
            target.parent.mkdir()
            expression.to_parquet(target, compression="zstd", row_group_size=ROW_GROUP_ROWS)
            entries[table] = table_entry(folder, table)
        return publish(
            store, folder, "dataset", producer, parents=parents, tables=entries, design=design, details=details
        )


def table_entry(folder: Path, table: str) -> TableEntry:
    """Describe the Parquet files of one table, from their footers.

    Raises:
        BadInput: There is no row.
    """
    paths = sorted((folder / table).glob("*.parquet"))
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if not rows:
        raise BadInput(f"table {table!r} is empty: a dataset needs at least one row; check the source and the filters")
    schema = pq.read_schema(paths[0])
    columns = {field.name: str(field.type) for field in schema}
    return TableEntry(tuple(p.relative_to(folder).as_posix() for p in paths), rows, columns)


@contextmanager
def read_dataset(uri: str, engine: Any = None) -> Iterator[tuple[Bundle, dict[str, ibis.Table]]]:  # noqa: ANN401 - see engines
    """Open a dataset's tables, digests checked, for the time of the `with` block.

    Args:
        uri: The dataset's address.
        engine: An Ibis backend; by default a DuckDB of this call's own.

    Raises:
        BadInput: It is no dataset, or was truncated or changed.
    """
    bundle = open_bundle(uri, "dataset")
    engine = engine or duckdb_engine()
    with local_copy(bundle) as folder:
        yield (
            bundle,
            {
                name: engine.read_parquet([str(folder / file) for file in entry.files], table_name=name)
                for name, entry in bundle.manifest.tables.items()
            },
        )

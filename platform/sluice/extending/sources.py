"""Sources of tables that a project or an installed package brings.

A source gives a table's rows as Arrow batches; its columns and types are held to the data contract as those of a CSV
file are. The contract names the source, and the files that it reads where there are some:

    tables:
      visits:
        source: {by: visits, files: "visits/*.parquet"}      # `files` may be left out; other keys are settings
        columns: {day: {type: date}, count: {type: int64}}

The project says which code that is, so no writer of a lake decides what runs: `sources: {visits: mine.py:read_visits}`.
An installed package's source goes by its own name. In `mine.py`:

    import pyarrow.parquet as pq

    def read_visits(table):
        return pq.ParquetFile(table.file).iter_batches(columns=table.schema.names)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sluice.core.extensions import Registry


@dataclass(frozen=True)
class SourceTable:
    """What is to be read.

    Attributes:
        name: The table's name in the contract.
        schema: The `pyarrow.Schema` that the contract asks for: string, int64, float64, bool, timestamp[us], date32.
        key: The columns that identify a row.
        file: One of the files that the contract names; the source is called once for each. None where it names none.
    """

    name: str
    schema: Any
    key: tuple[str, ...]
    file: Path | None


class TableSource(Protocol):
    """Gives the rows of a table."""

    def __call__(self, table: SourceTable) -> Iterable[Any]:
        """Its rows, as `pyarrow.RecordBatch` or `pyarrow.Table`, in an order that is the same each time.

        Args:
            table: What is to be read. Columns beside those of its schema are passed over.
        """
        ...


SOURCES: Registry[TableSource] = Registry("sources", TableSource, {}, title="source")
"""Those that projects and installed packages bring; CSV, JSON and SQL are read without a name."""

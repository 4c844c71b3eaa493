"""CSV files into Parquet, by DuckDB's parallel reader."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa

from components.common.contracts import Column
from components.common.engines import MEMORY_LIMIT, arrow_batches, duckdb_engine
from components.common.errors import BadInput
from components.common.parquet import ARROW_TYPES, ROW_GROUP_ROWS, Written, write_parquet
from components.ingest.conversions import EXACT, FAST
from components.ingest.csv_defects import find_defect, given
from components.ingest.csv_header import read_header
from components.ingest.csv_scan import scan
from components.ingest.source_files import SourceFile

_MEMORY = "512MB"


class _Unsure(Exception):
    """Reading failed, or may have misread a value."""


def read_csv(file: SourceFile, columns: Mapping[str, Column], target: Path) -> Written:
    """Read one CSV file into one Parquet file; rows keep their order.

    Args:
        file: A readable file: commas, quotes as in RFC 4180, UTF-8. An unquoted NA or nothing is a missing value.
        columns: What to read, by name; the file may have them in any order, and others beside them.
        target: The Parquet file, with exactly these columns in this order.

    Raises:
        BadInput: The message names the file, the line, and where it can the column and the value.
        EnvironmentFault: DuckDB has too little memory, or the disk is full.
    """
    header = read_header(file, columns)
    schema = pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])
    try:
        return write_parquet(_fast(file, header, columns, schema), schema, target)
    except _Unsure:
        defect = find_defect(file, header, columns)
    if defect:
        raise BadInput(defect)
    try:
        return write_parquet(_exact(file, header, columns, schema), schema, target)
    except _Unsure as error:
        raise BadInput(f"{file.name} cannot be read: {error}; mend it or write it anew") from None


def _fast(file: SourceFile, header: Sequence[str], columns: Mapping[str, Column], schema: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no stubs
    ways = [FAST[column.type] for column in columns.values()]
    read_as = {name: way.read_as for name, way in zip(columns, ways, strict=True)}
    for batch in _batches(scan(_engine(), file, header, read_as)):
        try:
            converted = [way.convert(column) for way, column in zip(ways, batch.columns, strict=True)]
        except (pa.ArrowInvalid, OverflowError) as error:
            raise _Unsure(str(error)) from None
        yield pa.RecordBatch.from_arrays(converted, schema=schema)


def _exact(file: SourceFile, header: Sequence[str], columns: Mapping[str, Column], schema: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no stubs
    text = scan(_engine(), file, header, dict.fromkeys(columns, "VARCHAR"))
    types = [column.type for column in columns.values()]
    values = {f"v{place}": EXACT[kind](given(text[f"v{place}"], kind)) for place, kind in enumerate(types)}
    for batch in _batches(text.select(**values)):
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _batches(table: ibis.Table) -> Iterator[Any]:
    try:
        yield from arrow_batches(table, ROW_GROUP_ROWS)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise _Unsure(str(error).strip().partition("\n")[0]) from None


def _engine() -> Any:  # noqa: ANN401 - see engines
    # Reading keeps little at a time; more memory would only let the reader run further ahead.
    return duckdb_engine(memory=os.environ.get(MEMORY_LIMIT) or _MEMORY)

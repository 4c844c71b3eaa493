"""CSV files into Parquet, by DuckDB's parallel reader."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa

from sluice.contract.reading import Column
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.engine.duckdb_engine import arrow_batches, duckdb_engine
from sluice.engine.parquet import ARROW_TYPES, ROW_GROUP_ROWS, WrittenParquet, write_parquet
from sluice.sources.conversions import EXACT, FAST
from sluice.sources.csv_counts import CsvCount, count_csv
from sluice.sources.csv_defects import find_defect, given
from sluice.sources.csv_header import read_header, with_plain_header
from sluice.sources.csv_rows import count_rows
from sluice.sources.csv_scan import scan
from sluice.sources.source_files import SourceFile

_MEMORY = "512MB"


class _Unsure(Exception):
    """Reading failed, or may have misread a value."""


def read_csv(
    file: SourceFile, columns: Mapping[str, Column], target: Path, counted: Callable[[], CsvCount] | None = None
) -> WrittenParquet:
    """Read one CSV file into one Parquet file; rows keep their order.

    Args:
        file: A readable file: commas, quotes as in RFC 4180, UTF-8. An unquoted NA or nothing is a missing value.
        columns: What to read, by name; the file may have them in any order, and others beside them.
        target: The Parquet file, with exactly these columns in this order.
        counted: Gives the file's count, where somebody counts it already.

    Raises:
        BadInput: The message names the file, the line, and where it can the column and the value.
        EnvironmentFault: DuckDB has too little memory, or the disk is full.
    """
    header = read_header(file, columns)
    with with_plain_header(file, header, target) as plain:
        reading = _Reading(plain, header, columns, target, counted or functools.partial(count_csv, file.path))
        try:
            return reading.written(_fast, parallel=True)
        except _Unsure:
            defect = find_defect(plain, header, columns, reading.count())
        if defect:
            raise BadInput(defect)
        try:
            return _exactly(reading)
        except _Unsure as error:
            raise BadInput(f"{file.name} cannot be read: {error}; mend it or write it anew") from None


@dataclass(frozen=True)
class _Reading:
    """A file on its way into its target."""

    file: SourceFile
    header: Sequence[str]
    columns: Mapping[str, Column]
    target: Path
    count: Callable[[], CsvCount]

    @property
    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no stubs
        return pa.schema([(name, ARROW_TYPES[column.type]) for name, column in self.columns.items()])

    def written(self, way: "_Way", *, parallel: bool) -> WrittenParquet:
        """Write the rows, and hold their number against the count."""
        written = write_parquet(way(self, parallel), self.schema, self.target)
        count = self.count()
        if not (count.agrees(written.rows, len(self.header)) or self._confirmed(written, count)):
            self.target.unlink()
            raise _Unsure(f"{written.rows:,} rows were read where its lines make {count.records - 1:,}")
        return written

    def _confirmed(self, written: WrittenParquet, count: CsvCount) -> bool:
        """Whether the count is at fault: a quote inside an unquoted value misleads it, but not Python's reader."""
        lines = bool(count.end) and not count.spaced
        return lines and written.rows == count_rows(self.file, len(self.header))


_Way = Callable[[_Reading, bool], Iterator[Any]]


def _exactly(reading: _Reading) -> WrittenParquet:
    """Read text and convert it with care; on one thread where several guess wrongly where rows begin."""
    try:
        return reading.written(_exact, parallel=True)
    except _Unsure:
        return reading.written(_exact, parallel=False)


def _fast(reading: _Reading, parallel: bool) -> Iterator[Any]:
    ways = [FAST[column.type] for column in reading.columns.values()]
    read_as = {name: way.read_as for name, way in zip(reading.columns, ways, strict=True)}
    for batch in _batches(scan(_engine(), reading.file, reading.header, read_as, parallel=parallel)):
        try:
            converted = [way.convert(column) for way, column in zip(ways, batch.columns, strict=True)]
        except (pa.ArrowInvalid, OverflowError) as error:
            raise _Unsure(str(error)) from None
        yield pa.RecordBatch.from_arrays(converted, schema=reading.schema)


def _exact(reading: _Reading, parallel: bool) -> Iterator[Any]:
    text = scan(_engine(), reading.file, reading.header, dict.fromkeys(reading.columns, "VARCHAR"), parallel=parallel)
    types = [column.type for column in reading.columns.values()]
    values = {f"v{place}": EXACT[kind](given(text[f"v{place}"], kind)) for place, kind in enumerate(types)}
    for batch in _batches(text.select(**values)):
        yield pa.RecordBatch.from_arrays(batch.columns, schema=reading.schema)


def _batches(table: ibis.Table) -> Iterator[Any]:
    try:
        yield from arrow_batches(table, ROW_GROUP_ROWS)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise _Unsure(str(error).strip().partition("\n")[0]) from None


def _engine() -> Any:  # noqa: ANN401 - see engines
    # Reading keeps little at a time; more memory would only let the reader run further ahead.
    return duckdb_engine(memory=settings().engine.memory or _MEMORY)

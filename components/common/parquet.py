"""Parquet files whose bytes follow from their rows alone, hashed while they are written.

DuckDB's own COPY cuts row groups where its threads happen to meet, so that two runs over the same rows may give
different bytes; a content address needs the same. Here row groups have a fixed number of rows, one thread encodes
them while the engine computes the next ones, and SHA-256 is taken of what is written instead of reading it back.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from components.common.files import written

ROW_GROUP_ROWS = 122_880
_DICTIONARY_BYTES = 65_536  # a dictionary larger than this costs more time than it saves space
_QUEUED = 2  # row groups that wait for the encoder: it bounds memory

ARROW_TYPES: dict[str, Any] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}
"""A data contract's types as Arrow's. Timestamps are in UTC, to the microsecond, and carry no zone."""


@dataclass(frozen=True)
class Written:
    """A Parquet file that was written: rows, bytes, hex SHA-256."""

    rows: int
    size: int
    sha256: str


def write_parquet(batches: Iterable[Any], schema: Any, path: Path) -> Written:  # noqa: ANN401 - pyarrow has no stubs
    """Write record batches, however they are cut, in row groups of ROW_GROUP_ROWS rows (the last one shorter).

    Args:
        batches: `pyarrow.RecordBatch` of the schema; they are drawn one by one, a few row groups ahead of the encoder.
        schema: The `pyarrow.Schema` of the file.
        path: Where to; the file stands there only once it is whole.

    Raises:
        EnvironmentFault: The disk is full or fails.
    """
    rows = 0
    # Statistics know nothing of NaN, and DuckDB would skip the row groups that hold it: `isnan` would find none.
    measured = [field.name for field in schema if not pa.types.is_floating(field.type)]
    with written(path) as stream, _HashingSink(stream) as sink:
        writer = pq.ParquetWriter(
            sink, schema, dictionary_pagesize_limit=_DICTIONARY_BYTES, write_statistics=measured or False
        )
        with writer, ThreadPoolExecutor(1, "parquet") as encoder:
            waiting: deque[Future[None]] = deque()
            for group in _row_groups(batches, schema):
                rows += len(group)
                waiting.append(encoder.submit(writer.write_table, group, ROW_GROUP_ROWS))
                while len(waiting) > _QUEUED:
                    waiting.popleft().result()
            for encoded in waiting:
                encoded.result()
        return Written(rows, sink.size, sink.digest.hexdigest())


def _row_groups(batches: Iterable[Any], schema: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no stubs
    """Tables of ROW_GROUP_ROWS rows; each column in one piece, for the encoder cuts pages where pieces meet."""
    held: deque[Any] = deque()
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch)
        while rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(held, schema)
            yield table.slice(0, ROW_GROUP_ROWS).combine_chunks()
            held = deque(table.slice(ROW_GROUP_ROWS).to_batches())
            rows -= ROW_GROUP_ROWS
    if rows:
        yield pa.Table.from_batches(held, schema).combine_chunks()


class _HashingSink(RawIOBase):
    """A stream that passes bytes on and takes their SHA-256 on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self.digest.update(data)
        self._stream.write(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.core.files import written

ROW_GROUP_ROWS = 122_880
ROW_GROUP_BYTES = 64 << 20  # of text: it bounds memory where values are large
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
class WrittenParquet:
    """A Parquet file that was written: rows, bytes, hex SHA-256."""

    rows: int
    size: int
    sha256: str


def write_parquet(batches: Iterable[Any], schema: Any, path: Path) -> WrittenParquet:  # noqa: ANN401 - pyarrow has no stubs
    """Write record batches, in row groups that do not depend on how they are cut: see `_row_groups`.

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
        return WrittenParquet(rows, sink.size, sink.digest.hexdigest())


def _row_groups(batches: Iterable[Any], schema: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no stubs
    """Tables of ROW_GROUP_ROWS rows, or of fewer with ROW_GROUP_BYTES of text: a function of the rows alone.

    Each column is in one piece, for the encoder cuts pages where pieces meet.
    """
    held: list[Any] = []
    rows, size = 0, 0
    for batch in batches:
        texts = _text_bytes(batch)
        start = 0
        while start < len(batch):
            fitting = int(np.searchsorted(texts, texts[start] + ROW_GROUP_BYTES - size, side="right")) - 1
            end = min(len(batch), start + ROW_GROUP_ROWS - rows, max(fitting, start if rows else start + 1))
            held.append(batch.slice(start, end - start))
            rows, size = rows + end - start, size + int(texts[end] - texts[start])
            if rows == ROW_GROUP_ROWS or end < len(batch):
                yield pa.Table.from_batches(held, schema).combine_chunks()
                held, rows, size = [], 0, 0
            start = end
    if rows:
        yield pa.Table.from_batches(held, schema).combine_chunks()


def _text_bytes(batch: Any) -> npt.NDArray[np.int64]:  # noqa: ANN401 - pyarrow has no stubs
    """The bytes of strings and binary values before each row and, last, in all rows, shape (rows + 1,)."""
    total = np.zeros(len(batch) + 1, np.int64)
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
            total[1:] += lengths
    return np.cumsum(total)


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

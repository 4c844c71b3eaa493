"""A small writer of Parquet files, for a server that must stay small.

pyarrow takes about 100 MB of a process to write one file and DuckDB about 65 MB (docs/prediction-log.md); a server has
150 MB in all. What a log needs is little: flat columns, one row group, plain and dictionary pages. Steps go on writing
by `sluice.engine.parquet`.

Source: the Parquet format 2.12, https://parquet.apache.org/docs/file-format/, and Thrift's compact protocol,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC, _CREATOR = b"PAR1", "sluice"
_BOOLEAN, _INT32, _INT64, _DOUBLE, _BYTE_ARRAY = 0, 1, 2, 5, 6
_PHYSICAL = {
    "bool": _BOOLEAN,
    "date": _INT32,
    "int64": _INT64,
    "timestamp": _INT64,
    "float64": _DOUBLE,
    "string": _BYTE_ARRAY,
}
_PLAIN, _RLE, _RLE_DICTIONARY, _GZIP = 0, 3, 8, 2
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_MOST_ENTRIES = 2**16  # of a dictionary: a place in it takes two bytes at most
_GZIP_WINDOW, _FAST = 31, 1  # zlib's words for gzip's header; for its fastest level


@dataclass(frozen=True)
class ParquetColumn:
    """A column of a file.

    Attributes:
        name: Its name.
        type: One of a data contract's types.
        values: One a row: texts for `string`, numbers for the others; microseconds since 1970 for `timestamp`, days
            since 1970 for `date`. What stands at a missing value does not matter.
        present: Which values are there, shape (rows,); None where all are.
    """

    name: str
    type: str
    values: Sequence[str] | npt.NDArray[Any]
    present: npt.NDArray[np.bool_] | None = None


def parquet_bytes(columns: Sequence[ParquetColumn], notes: Mapping[str, str]) -> bytes:
    """A whole file.

    Args:
        columns: Equally long, at least one.
        notes: Kept in the file's metadata, by key.
    """
    rows = len(columns[0].values)
    body = bytearray(_MAGIC)
    chunks = [_write_column(body, column, rows) for column in columns]
    size = sum(chunk.plain_size for chunk in chunks)
    group = _Struct().list(1, [chunk.body for chunk in chunks]).int64(2, size).int64(3, rows)
    footer = (
        _Struct()
        .int32(1, 2)
        .list(2, [_Struct().text(4, "schema").int32(5, len(columns)), *map(_schema_element, columns)])
        .int64(3, rows)
        .list(4, [group])
        .list(5, [_Struct().text(1, key).text(2, value) for key, value in notes.items()])
        .text(6, _CREATOR)
        .closed()
    )
    return bytes(body) + footer + struct.pack("<I", len(footer)) + _MAGIC


class _Struct:
    """A struct of Thrift's compact protocol; fields in rising order of their ids."""

    def __init__(self) -> None:
        self._data, self._last = bytearray(), 0

    def closed(self) -> bytes:
        """Its bytes."""
        return bytes(self._data) + b"\0"

    def int32(self, field: int, value: int) -> "_Struct":
        return self._field(field, 5, _zigzag(value))

    def int64(self, field: int, value: int) -> "_Struct":
        return self._field(field, 6, _zigzag(value))

    def truth(self, field: int, value: bool) -> "_Struct":
        return self._field(field, 1 if value else 2, b"")

    def text(self, field: int, value: str) -> "_Struct":
        return self._field(field, 8, _text(value))

    def struct(self, field: int, value: "_Struct") -> "_Struct":
        return self._field(field, 12, value.closed())

    def list(self, field: int, values: "Sequence[_Struct | int | str]") -> "_Struct":
        kind = 12 if not values or isinstance(values[0], _Struct) else 5 if isinstance(values[0], int) else 8
        head = bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xF0 | kind]) + _varint(len(values))
        return self._field(field, 9, head + b"".join(map(_element, values)))

    def _field(self, field: int, kind: int, data: bytes) -> "_Struct":
        self._data.append((field - self._last) << 4 | kind)  # ids are at most 15 apart
        self._data += data
        self._last = field
        return self


@dataclass(frozen=True)
class _Chunk:
    """A column that was written: what the footer says of it, and its bytes before compression."""

    body: _Struct
    plain_size: int


def _write_column(body: bytearray, column: ParquetColumn, rows: int) -> _Chunk:
    start, plain_size = len(body), 0
    encoded, encoding, dictionary = _encoded(column)
    if dictionary is not None:
        head = _Struct().int32(1, len(dictionary)).int32(2, _PLAIN)
        plain_size += _write_page(body, _DICTIONARY_PAGE, _plain_texts(dictionary), 7, head)
    data_start = len(body)
    levels = _levels(column.present, rows)
    head = _Struct().int32(1, rows).int32(2, encoding).int32(3, _RLE).int32(4, _RLE)
    plain_size += _write_page(body, _DATA_PAGE, levels + encoded, 5, head)
    about = _Struct().int32(1, _PHYSICAL[column.type]).list(2, sorted({_PLAIN, _RLE, encoding}))
    about.list(3, [column.name]).int32(4, _GZIP).int64(5, rows).int64(6, plain_size).int64(7, len(body) - start)
    about.int64(9, data_start)
    if dictionary is not None:
        about.int64(11, start)
    return _Chunk(_Struct().int64(2, start).struct(3, about), plain_size)


def _write_page(body: bytearray, kind: int, data: bytes, field: int, about: _Struct) -> int:
    """Append a page; its size with the header, before compression."""
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP_WINDOW)
    packed = packer.compress(data) + packer.flush()
    head = _Struct().int32(1, kind).int32(2, len(data)).int32(3, len(packed)).struct(field, about).closed()
    body += head
    body += packed
    return len(head) + len(data)


def _encoded(column: ParquetColumn) -> tuple[bytes, int, list[str] | None]:
    """The values that are there, their encoding, and the dictionary where one was made."""
    values = column.values
    if column.type == "string":
        there = range(len(values)) if column.present is None else np.flatnonzero(column.present).tolist()
        texts = [values[place] for place in there]
        return _encoded_texts(texts)
    found = np.asarray(values) if column.present is None else np.asarray(values)[column.present]
    if column.type == "bool":
        return np.packbits(found.astype(np.bool_), bitorder="little").tobytes(), _PLAIN, None
    form = {"float64": "<f8", "date": "<i4"}.get(column.type, "<i8")
    return found.astype(form).tobytes(), _PLAIN, None


def _encoded_texts(texts: list[str]) -> tuple[bytes, int, list[str] | None]:
    places: dict[str, int] = {}
    indices = [places.setdefault(text, len(places)) for text in texts]
    if not texts or len(places) > min(_MOST_ENTRIES, max(len(texts) // 2, 1)):
        return _plain_texts(texts), _PLAIN, None
    width = 1 if len(places) <= 256 else 2
    groups = -(-len(indices) // 8)  # of eight values each, the last one filled up
    packed = np.zeros(groups * 8, f"<u{width}")
    packed[: len(indices)] = indices
    run = _varint(groups << 1 | 1) + packed.tobytes()
    return bytes([width * 8]) + run, _RLE_DICTIONARY, list(places)


def _plain_texts(texts: Sequence[str]) -> bytes:
    pack = struct.Struct("<I").pack
    return b"".join([part for data in map(str.encode, texts) for part in (pack(len(data)), data)])


def _levels(present: npt.NDArray[np.bool_] | None, rows: int) -> bytes:
    """Which values are there, as definition levels of an optional column."""
    if present is None or bool(present.all()):
        run = _varint(rows << 1) + b"\1"
    else:
        bits = np.packbits(present, bitorder="little")
        run = _varint(len(bits) << 1 | 1) + bits.tobytes()
    return struct.pack("<I", len(run)) + run


def _schema_element(column: ParquetColumn) -> _Struct:
    element = _Struct().int32(1, _PHYSICAL[column.type]).int32(3, 1).text(4, column.name)  # 3: 1 is optional
    if column.type == "string":
        element.int32(6, 0).struct(10, _Struct().struct(1, _Struct()))
    elif column.type == "date":
        element.int32(6, 6).struct(10, _Struct().struct(6, _Struct()))
    elif column.type == "timestamp":  # UTC, without a zone, as in datasets
        unit = _Struct().struct(2, _Struct())
        element.struct(10, _Struct().struct(8, _Struct().truth(1, False).struct(2, unit)))
    return element


def _element(value: "_Struct | int | str") -> bytes:
    if isinstance(value, _Struct):
        return value.closed()
    return _zigzag(value) if isinstance(value, int) else _text(value)


def _text(value: str) -> bytes:
    data = value.encode()
    return _varint(len(data)) + data


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)

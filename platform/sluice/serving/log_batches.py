"""Rows of the log on their way: from exchanges to frames in a file on this machine's disk, from there to Parquet.

A frame is one batch of rows of a writer: its length, its CRC-32, and the columns in MessagePack. A process that is
killed leaves a frame half-written at most, and whoever reads the file sees that.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sluice.exporting.graph_values import ABSENT, NO_MOMENT
from sluice.predictions import forms
from sluice.predictions.forms import LogForm, LoggedField
from sluice.predictions.parquet_bytes import ParquetColumn, parquet_bytes
from sluice.serving.exchange import Exchange

HEAD = struct.Struct("<II")
"""Before each frame: the length of its body in bytes, and the CRC-32."""
_DAY = 86_400_000_000  # microseconds
Mask = Callable[[object], str]
Numbers = npt.NDArray[Any]


class _Batch(msgspec.Struct, array_like=True):
    """Rows of one writer; lists have one entry an exchange, bytes hold arrays of all rows."""

    firsts: list[int]
    counts: list[int]
    requests: list[str]
    moments: list[float]
    seconds: list[float]
    values: bytes
    called: bytes
    columns: list[bytes | list[str | None]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Batch).decode


@dataclass(frozen=True)
class Numbered:
    """An exchange whose rows have their numbers.

    Attributes:
        first: The number of its first row.
        exchange: The exchange.
    """

    first: int
    exchange: Exchange


def frame(batch: Sequence[Numbered], form: LogForm, masks: dict[str, Mask | None]) -> bytes:
    """Exchanges of one writer as a frame.

    Args:
        batch: At least one.
        form: What their rows are.
        masks: By hashed column; None while the store's key is not known, and then its values are left out.
    """
    exchanges = [each.exchange for each in batch]
    answers = [exchange.answer for exchange in exchanges]
    called = [answer.called for answer in answers if answer.called is not None]
    body = _encode(
        _Batch(
            [each.first for each in batch],
            [len(answer.values) for answer in answers],
            [exchange.request for exchange in exchanges],
            [exchange.moment for exchange in exchanges],
            [exchange.seconds for exchange in exchanges],
            np.concatenate([answer.values for answer in answers]).astype("<f8").tobytes(),
            np.concatenate(called).astype("<i4").tobytes() if called else b"",
            [_packed(exchanges, field, masks.get(field.name)) for field in form.fields],
        )
    )
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def _packed(exchanges: Sequence[Exchange], field: LoggedField, mask: Mask | None) -> bytes | list[str | None]:
    """A raw column of a batch; texts with None for what is missing. Of an image the file's SHA-256 is kept."""
    arrays = [_column(exchange, field) for exchange in exchanges]
    if field.contract_type == "image":
        return [hashlib.sha256(value).hexdigest() for array in arrays for value in array.tolist()]
    if field.hashed:
        return [_masked(value, mask) for array in arrays for value in array.tolist()]
    if field.contract_type == "string":
        return [None if value == ABSENT else value for array in arrays for value in array.tolist()]
    form = "<i8" if field.contract_type in ("timestamp", "date") else "<f8"
    return np.concatenate(arrays).astype(form).tobytes()


def _column(exchange: Exchange, field: LoggedField) -> Numbers:
    found = exchange.columns.get(field.name)
    if found is not None:
        return found
    rows, kind = len(exchange.answer.values), field.contract_type
    if kind == "string":
        return np.full(rows, ABSENT, object)
    return np.full(rows, NO_MOMENT if kind in ("timestamp", "date") else np.nan)


def _masked(value: Any, mask: Mask | None) -> str | None:  # noqa: ANN401 - a text or a number
    missing = value in (ABSENT, NO_MOMENT) or value != value  # NaN differs from itself
    return None if missing or mask is None else mask(value)


def batches(data: bytes) -> Iterator[_Batch]:
    """The frames of a file up to the first that is not whole."""
    place = 0
    while place + HEAD.size <= len(data):
        length, checksum = HEAD.unpack_from(data, place)
        body = data[place + HEAD.size : place + HEAD.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        yield _decode(body)
        place += HEAD.size + length


@dataclass(frozen=True)
class MadeFile:
    """A file of the log, ready to be put in the store.

    Attributes:
        data: Its bytes.
        rows: How many rows it has.
        moments: The earliest and the latest of them, in seconds since 1970.
        after: The writer's number after the last row.
    """

    data: bytes
    rows: int
    moments: tuple[float, float]
    after: int


def made_file(data: bytes, form: LogForm) -> MadeFile | None:
    """Frames as a Parquet file; None where no frame is whole."""
    found = list(batches(data))
    if not found:
        return None
    counts = np.array([count for batch in found for count in batch.counts])
    firsts = np.repeat([first for batch in found for first in batch.firsts], counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    moments = np.array([moment for batch in found for moment in batch.moments])
    requests = [request for batch in found for request in batch.requests]
    own: dict[str, Sequence[str] | Numbers] = {
        forms.REQUEST: [text for text, count in zip(requests, counts.tolist(), strict=True) for _ in range(count)],
        forms.ROW: rows,
        forms.MOMENT: np.repeat(np.rint(moments * 1e6).astype(np.int64), counts),
        forms.SECONDS: np.repeat([each for batch in found for each in batch.seconds], counts),
        forms.WRITER: [form.writer] * len(rows),
        forms.SEQUENCE: firsts + rows,
        forms.MODEL: [form.model] * len(rows),
        forms.VERSION: [form.version] * len(rows),
        forms.DIGEST: [form.digest] * len(rows),
        forms.ROLE: [form.role] * len(rows),
    }
    columns = [ParquetColumn(name, forms.OWN_TYPES[name], values) for name, values in own.items()]
    columns += _forecast_columns(found, form, len(rows))
    columns += [_raw_column(found, place, field) for place, field in enumerate(form.fields)]
    made = parquet_bytes(columns, {forms.NOTE: form.text()})
    times = (float(moments.min()), float(moments.max()))
    return MadeFile(made, len(rows), times, int(firsts[-1] + rows[-1]) + 1)


def _forecast_columns(found: Sequence[_Batch], form: LogForm, rows: int) -> list[ParquetColumn]:
    values = np.frombuffer(b"".join(batch.values for batch in found), "<f8").reshape(rows, -1)
    names = list(form.forecasts)
    if not form.classes:
        return [ParquetColumn(names[0], "float64", values[:, 0], ~np.isnan(values[:, 0]))]
    called = np.frombuffer(b"".join(batch.called for batch in found), "<i4")
    classes = [form.classes[place] for place in called.tolist()]
    shares = [ParquetColumn(name, "float64", values[:, place]) for place, name in enumerate(names[1:])]
    return [ParquetColumn(names[0], "string", classes), *shares]


def _raw_column(found: Sequence[_Batch], place: int, field: LoggedField) -> ParquetColumn:
    parts = [batch.columns[place] for batch in found]
    if field.type == "string":
        texts = [text for part in parts for text in part]
        present = np.array([text is not None for text in texts])
        return ParquetColumn(field.name, "string", [text or "" for text in texts], present)  # type: ignore[misc]
    data = b"".join(part for part in parts if isinstance(part, bytes))
    if field.type in ("timestamp", "date"):
        moments = np.frombuffer(data, "<i8")
        present = moments != NO_MOMENT
        return ParquetColumn(field.name, field.type, moments // _DAY if field.type == "date" else moments, present)
    numbers = np.frombuffer(data, "<f8")
    present = ~np.isnan(numbers)
    return ParquetColumn(field.name, field.type, np.where(present, numbers, 0), present)

"""Arrow's IPC stream, in and out: a table with the contract's columns, a table of forecasts.

Source: https://arrow.apache.org/docs/format/Columnar.html, "IPC Streaming Format". A stream may hold more than
its length lets expect: compressed buffers, many rows of a few bytes (dictionaries, runs, nulls, views). Compressed
streams are refused before anything is unpacked, and what texts would take is counted before they are made.
"""

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sluice.serving.exchange import Loaded
from sluice.serving.heads import Head
from sluice.serving.limits import Limits
from sluice.serving.protocols import Answered, Asked, check_count
from sluice.serving.refusals import Refusal

STREAM = "application/vnd.apache.arrow.stream"
PREDICTION, PROBABILITY = "prediction", "probability_{}"
_FORM = "the body is no stream of Arrow's IPC format"
_WITHOUT = (
    "this server has no pyarrow, so it reads no Arrow: send JSON, or let it run in the image of the steps "
    "(modelServers: image: tabular)"
)
_END = struct.pack("<I", 0xFFFFFFFF)


class ArrowProtocol:
    """`POST /v1/predict` with Arrow's media type."""

    media_type, quick = STREAM, False  # pyarrow is imported by the first request

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:  # noqa: ARG002 - see Wire
        """See `Wire`."""
        if find_spec("pyarrow") is None:
            raise Refusal(415, _WITHOUT)
        import pyarrow as pa

        broken = (pa.ArrowException, OSError, ValueError, KeyError, struct.error, OverflowError, MemoryError)
        try:
            return _asked(_uncompressed(body), limits)
        except broken as error:  # such as a cut off stream, an offset beyond its buffer, a time after the year 9999
            raise Refusal(400, f"{_FORM} that can be read: {str(error).partition(chr(10))[0][:200]}") from None

    def write(self, asked: Asked, answered: Answered) -> bytes:  # noqa: ARG002 - see Wire
        """See `Wire`."""
        import pyarrow as pa

        answer, loaded = answered.answer, answered.loaded
        classes = loaded.judge.served.classes
        if answer.called is None:
            columns = {PREDICTION: pa.array(answer.values)}
        else:
            called = pa.array([classes[place] for place in answer.called.tolist()], pa.string())
            columns = {PREDICTION: called}
            columns |= {PROBABILITY.format(name): pa.array(answer.values[:, i]) for i, name in enumerate(classes)}
        table = pa.table(columns).replace_schema_metadata(
            {"model": loaded.name, "digest": loaded.digest, "request": answered.request}
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        found: bytes = sink.getvalue().to_pybytes()
        return found

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:
        """See `Wire`; errors are JSON here, too."""
        from sluice.serving.protocols import Plain

        return Plain().refused(refusal, request, loaded)


def _asked(body: bytes, limits: Limits) -> Asked:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
        names, batches, count = stream.schema.names, [], 0
        for batch in stream:
            batch.validate(full=True)
            count += batch.num_rows
            if count > limits.rows:
                break
            batches.append(batch)
    check_count(count, limits)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal(400, f"the column {twice[:80]!r} is there twice")
    columns = {
        name: [value for batch in batches for value in _values(batch.column(place), name, limits.body)]
        for place, name in enumerate(names)
    }
    return Asked(count, (), columns)


def _values(column: Any, name: str, most: int) -> list[Any]:  # noqa: ANN401 - a pyarrow.Array
    """A column's values as Python's; only types whose size is known before they are made.

    Raises:
        Refusal: The column is of another type, or of more text than a body may have.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        values = _values(column.dictionary, name, most)
        made = [None if place is None else values[place] for place in column.indices.to_pylist()]
        if sum(len(value) for value in made if isinstance(value, str | bytes)) > most:
            raise Refusal(413, f"the texts of column {name[:80]!r} are longer than {most:,} bytes; send fewer rows")
        return made
    types = pa.types
    known = (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
        or types.is_null(kind)
    )
    if not known:
        raise Refusal(
            400, f"the column {name[:80]!r} is of Arrow's type {kind}; send numbers, texts, truths, times or bytes"
        )
    if types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    values = column.to_pylist()
    if types.is_floating(kind):  # in Arrow's tables from pandas, NaN is a missing number
        return [None if value != value else value for value in values]
    return list(values)


def _uncompressed(body: bytes) -> bytes:
    """The body, if no buffer in it is compressed: the metadata of each batch says so before its buffers.

    Raises:
        Refusal: One is compressed.
        ValueError: The body is no stream.
    """
    place = 0
    while place + 8 <= len(body):
        start = place + 4 if body[place : place + 4] == _END else place
        (size,) = struct.unpack_from("<i", body, start)
        start += 4
        if size == 0:
            return body
        if size < 0 or start + size > len(body):
            raise ValueError("a message is longer than the body")
        message = _Table.root(body, start, start + size)
        header = message.table(2)
        kind = message.number(1, "<B", 0)
        batch = header.table(1) if header and kind == _DICTIONARY_BATCH else header
        if batch and kind in (_DICTIONARY_BATCH, _RECORD_BATCH) and batch.has(3):
            raise Refusal(415, "the Arrow stream is compressed, which this server does not unpack; write it without")
        length = message.number(3, "<q", 0)
        if length < 0:
            raise ValueError("a message has a negative length")
        place = start + size + length
    return body


_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


class _Table:
    """A table of a FlatBuffer, read within its message; source: https://flatbuffers.dev/internals."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data, self._place, self._end = data, place, end
        self._entries = place - self._at("<i", place)

    @classmethod
    def root(cls, data: bytes, start: int, end: int) -> "_Table":
        """The root table of the message between two places."""
        return cls(data, start + struct.unpack_from("<I", data, start)[0], end)

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return self._offset(field) != 0

    def number(self, field: int, form: str, default: int) -> int:
        """A field's number."""
        offset = self._offset(field)
        return self._at(form, self._place + offset) if offset else default

    def table(self, field: int) -> "_Table | None":
        """A field's table."""
        offset = self._offset(field)
        if not offset:
            return None
        place = self._place + offset
        return _Table(self._data, place + self._at("<I", place), self._end)

    def _offset(self, field: int) -> int:
        at = 4 + 2 * field
        return self._at("<H", self._entries + at) if at + 2 <= self._at("<H", self._entries) else 0

    def _at(self, form: str, place: int) -> int:
        if not 0 <= place <= self._end - struct.calcsize(form):
            raise ValueError("its metadata points outside of itself")
        found: int = struct.unpack_from(form, self._data, place)[0]
        return found

"""How the value of each type of the contract is read from JSON, CSV or Arrow, and how a wrong one is told."""

import base64
import binascii
import datetime
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sluice.exporting.graph_values import ABSENT, NO_MOMENT
from sluice.exporting.served_files import RowField

EXACT = 2**53
"""Up to here, every whole number has a float64 of its own."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_SHOWN = 60
_LISTED = 10
_NUMBERS = frozenset((int, float))
_DATA_URL = "data:image/png;base64,"
"""What a browser writes before a file's base64."""
Array = npt.NDArray[Any]


class Wrong(Exception):
    """A value that breaks the contract, in words that go on after the field's name.

    Attributes:
        kind: `missing`, `type`, `time`, `range` or `value`.
    """

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class Reader(Protocol):
    """Reads the values of one field.

    Attributes:
        dtype: Of the array that its values make.
    """

    dtype: Any

    def value(self, given: Any) -> Any:  # noqa: ANN401 - JSON in, an array's element out
        """One value; None is a missing one. Raises `Wrong`."""
        ...

    def column(self, values: Sequence[Any]) -> Array | None:
        """A whole column at once, or None where a value must be looked at by itself, for it may be wrong."""
        ...


def reader_of(field: RowField) -> Reader:
    """The reader of a field's type."""
    if field.type == "string":
        return _Texts(field)
    if field.type in ("timestamp", "date"):
        return _Moments(field)
    if field.type == "image":
        return _Images(field)
    return _Truths(field) if field.type == "bool" else _Numbers(field)


def shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """A value in a message, not longer than a line has room for."""
    if isinstance(value, str | bytes):
        value = value[: _SHOWN + 1]
    elif isinstance(value, int) and abs(value) > 10**_SHOWN:  # Python refuses to write very long numbers out
        return "a whole number of more than 60 digits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _missing(field: RowField) -> Wrong:
    return Wrong("missing", f"is missing, which the contract does not allow ({_wanted(field)})")


def _wanted(field: RowField) -> str:
    """What a field shall hold, in some words."""
    if field.values is not None:
        return f"one of {_listed(field.values)}"
    unit = f" in {field.unit}" if field.unit else ""
    between = f" from {field.range[0]:.15g} to {field.range[1]:.15g}" if field.range else ""
    if field.shape is not None:
        width, height, channels = field.shape
        return f"a PNG image, {width} x {height} {'grey' if channels == 1 else 'colour'}"
    words = {"string": "a text", "int64": "a whole number", "float64": "a number", "bool": "true or false"}
    return words.get(field.type, f"a {'date' if field.type == 'date' else 'time'}") + between + unit


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(sorted(values)[:_LISTED]) + more


class _Texts:
    dtype: Any = object

    def __init__(self, field: RowField) -> None:
        self._field = field
        self._allowed = frozenset(field.values) if field.values is not None else None

    def value(self, given: Any) -> str:  # noqa: ANN401 - JSON
        if given is None:
            if self._field.nullable:
                return ABSENT
            raise _missing(self._field)
        if not isinstance(given, str):
            raise Wrong("type", f"is {shown(given)}, which is no text")
        if self._allowed is not None and given not in self._allowed:
            raise Wrong("value", f"is {shown(given)}, which is not {_wanted(self._field)}")
        if not _plain(given):
            raise Wrong("value", f"is {shown(given)}, which no UTF-8 text can hold")
        return str(given)

    def column(self, values: Sequence[Any]) -> Array | None:
        if set(map(type, values)) != {str}:
            return None
        different = set(values)
        if self._allowed is not None and not different <= self._allowed:
            return None
        return np.array(values, object) if all(map(_plain, different)) else None


def _plain(text: str) -> bool:
    """Whether UTF-8 can write it, and it is not what stands for a missing text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return ABSENT not in text


class _Numbers:
    dtype: Any = np.float64

    def __init__(self, field: RowField) -> None:
        self._field, self._whole = field, field.type == "int64"
        self._low, self._high = field.range or (-math.inf, math.inf)
        self._allowed = frozenset(map(float, field.values)) if field.values is not None else None

    def value(self, given: Any) -> float:  # noqa: ANN401 - JSON
        if given is None:
            if self._field.nullable:
                return math.nan
            raise _missing(self._field)
        value = self._number(given)
        if not math.isfinite(value):
            raise Wrong("type", f"is {shown(given)}, which is no number; leave a missing value out, or send null")
        if self._whole and value != math.floor(value):
            raise Wrong("type", f"is {shown(given)}, which is not whole")
        if self._whole and abs(value) > EXACT:
            raise Wrong("range", f"is {shown(given)}; whole numbers are exact up to 2^53 = {EXACT} only")
        if not self._low <= value <= self._high:
            raise Wrong("range", f"is {shown(given)}, which is not {_wanted(self._field)}")
        if self._allowed is not None and value not in self._allowed:
            raise Wrong("value", f"is {shown(given)}, which is not {_wanted(self._field)}")
        return value

    def _number(self, given: Any) -> float:  # noqa: ANN401 - JSON
        if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
            raise Wrong("type", f"is {shown(given)}, which is no number")
        if self._whole and isinstance(given, int) and abs(given) > EXACT:  # before a float rounds it to 2^53
            raise Wrong("range", f"is {shown(given)}; whole numbers are exact up to 2^53 = {EXACT} only")
        try:
            return float(given)
        except OverflowError:
            raise Wrong("range", f"is {shown(given)}, which is too large for a number") from None

    def column(self, values: Sequence[Any]) -> Array | None:
        if self._allowed is not None or not set(map(type, values)) <= _NUMBERS:
            return None
        try:
            column = np.array(values, np.float64)
        except OverflowError:
            return None
        low, high = max(self._low, -EXACT), min(self._high, EXACT)
        if not self._whole:
            low, high = self._low, self._high
        right = np.isfinite(column) & (column >= low) & (column <= high)
        if self._whole:
            right &= column == np.floor(column)
            right &= np.abs(column) < EXACT  # 2^53 itself may have been a larger number before it was a float
        return column if right.all() else None


class _Truths:
    dtype: Any = np.float64

    def __init__(self, field: RowField) -> None:
        self._field = field

    def value(self, given: Any) -> float:  # noqa: ANN401 - JSON
        if given is None:
            if self._field.nullable:
                return math.nan
            raise _missing(self._field)
        if given is True or given is False or isinstance(given, np.bool_):
            return float(given)
        raise Wrong("type", f"is {shown(given)}, which is neither true nor false")

    def column(self, values: Sequence[Any]) -> Array | None:
        return np.array(values, np.float64) if set(map(type, values)) == {bool} else None


class _Moments:
    """Moments in microseconds since 1970; without a zone they are in UTC, as in the lake."""

    dtype: Any = np.int64

    def __init__(self, field: RowField) -> None:
        self._field, self._date = field, field.type == "date"
        self._example = "2026-03-01" if self._date else "2026-03-01T14:00:00Z"

    def value(self, given: Any) -> int:  # noqa: ANN401 - JSON
        if given is None:
            if self._field.nullable:
                return NO_MOMENT
            raise _missing(self._field)
        moment = self._moment(given)
        zoneless = moment.tzinfo is None
        if self._date and not (zoneless and moment.time() == datetime.time()):
            raise self._wrong(given)
        if zoneless:
            moment = moment.replace(tzinfo=datetime.UTC)
        return (moment - _EPOCH) // _MICROSECOND

    def _moment(self, given: Any) -> datetime.datetime:  # noqa: ANN401 - JSON
        if isinstance(given, datetime.datetime):
            return given
        if isinstance(given, datetime.date):
            return datetime.datetime.combine(given, datetime.time())
        if not isinstance(given, str):
            raise self._wrong(given)
        try:
            return datetime.datetime.fromisoformat(given)
        except (ValueError, OverflowError):
            raise self._wrong(given) from None

    def _wrong(self, given: Any) -> Wrong:  # noqa: ANN401 - JSON
        word = "date" if self._date else "time"
        return Wrong("time", f"is {shown(given)}, which is no {word}; write it like {self._example}")

    def column(self, values: Sequence[Any]) -> Array | None:  # noqa: ARG002 - each must be read
        return None


class _Images:
    """PNG files: bytes, or base64 as JSON and CSV hold them; whether they are whole is seen when they are decoded."""

    dtype: Any = object

    def __init__(self, field: RowField) -> None:
        self._field = field

    def value(self, given: Any) -> bytes:  # noqa: ANN401 - JSON or Arrow
        if given is None:
            raise _missing(self._field)
        if isinstance(given, bytes):
            return given
        if not isinstance(given, str):
            raise Wrong("type", f"is {shown(given)}, which is no text with a PNG file in base64")
        try:
            return base64.b64decode(given.removeprefix(_DATA_URL), validate=True)
        except (binascii.Error, ValueError):
            raise Wrong("type", f"is {shown(given)}, which is no base64; send the PNG file's bytes so") from None

    def column(self, values: Sequence[Any]) -> Array | None:  # noqa: ARG002 - each must be read
        return None

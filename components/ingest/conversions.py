"""Text to typed values, strictly: no value may change its meaning without notice.

Left to itself, DuckDB reads `1.5` as the integer 2, drops the offset of `10:00+02:00` where a timestamp is wanted and
the time of day where a date is. So CSV is read in one of two ways. The *fast* way lets the reader deliver what it
cannot spoil and has Arrow convert that; Arrow refuses every loss, and much else that is unusual. Then the *exact* way
takes text and converts it with care, in DuckDB; it also finds the value that is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from components.common.parquet import ARROW_TYPES

_EXACT_INTEGERS = 2**53  # from here on, a double no longer holds every integer
_DATE_LENGTH = len("2013-01-01")
_DAYS_TO_1970 = date(1970, 1, 1).toordinal() - date.min.toordinal()
_MICROSECONDS_TO_1970 = _DAYS_TO_1970 * 86_400_000_000


@dataclass(frozen=True)
class FastRead:
    """The fast way for one type.

    Attributes:
        read_as: The DuckDB type that the CSV reader delivers.
        convert: From the delivered Arrow array to the wanted one; raises `pyarrow.ArrowInvalid` if unsure.
    """

    read_as: str
    convert: Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - an array or a column
    return value


def _integers(doubles: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    found = pc.min_max(doubles).as_py()
    if found["min"] is not None and not -_EXACT_INTEGERS < found["min"] <= found["max"] < _EXACT_INTEGERS:
        raise pa.ArrowInvalid("an integer beyond what a double holds")
    return pc.cast(doubles, pa.int64())


def _timestamps(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    wanted = ARROW_TYPES["timestamp"]
    try:
        return _since_year_one(pc.cast(texts, wanted), pa.int64(), _MICROSECONDS_TO_1970)
    except pa.ArrowInvalid:
        moments = pc.cast(pc.cast(texts, pa.timestamp("us", "UTC")), wanted)
        return _since_year_one(moments, pa.int64(), _MICROSECONDS_TO_1970)


def _dates(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    return _since_year_one(pc.cast(texts, ARROW_TYPES["date"]), pa.int32(), _DAYS_TO_1970)


def _since_year_one(times: Any, storage: Any, before: int) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    """Compared as integers: pyarrow would import pandas to make a scalar of a date."""
    least = pc.min(times.view(storage)).as_py()
    if least is not None and least < -before:
        raise pa.ArrowInvalid("a year before 1")
    return times


def _integer(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    whole = text.try_cast("int64")
    return ibis.ifelse(text.try_cast("float64") == whole.cast("float64"), whole, ibis.null("int64"))


def _timestamp(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    moment = text.try_cast("timestamp('UTC')").cast("timestamp")
    known = moment.between(ibis.timestamp("0001-01-01 00:00:00"), ibis.timestamp("9999-12-31 23:59:59.999999"))
    return ibis.ifelse(known, moment, ibis.null("timestamp"))


def _date(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    day = text.try_cast("date")
    known = day.between(ibis.date("0001-01-01"), ibis.date("9999-12-31")) & (text.length() <= _DATE_LENGTH)
    return ibis.ifelse(known, day, ibis.null("date"))


FAST: dict[str, FastRead] = {
    "string": FastRead("VARCHAR", _as_it_is),
    "float64": FastRead("DOUBLE", _as_it_is),
    "bool": FastRead("BOOLEAN", _as_it_is),
    "int64": FastRead("DOUBLE", _integers),
    "timestamp": FastRead("VARCHAR", _timestamps),
    "date": FastRead("VARCHAR", _dates),
}
EXACT: dict[str, Callable[[Any], Any]] = {
    "string": _as_it_is,
    "float64": lambda text: text.try_cast("float64"),
    "bool": lambda text: text.try_cast("boolean"),
    "int64": _integer,
    "timestamp": _timestamp,
    "date": _date,
}
"""From a text column to one of the wanted type; null where the text is no such value."""

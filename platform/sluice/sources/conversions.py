"""Text to typed values, strictly: no value may change its meaning without notice.

Left to itself, DuckDB reads `1.5` as the integer 2 and `1_0` as 10, drops the offset of `10:00+02:00` where a timestamp
is wanted and the time of day where a date is, and takes `epoch` and `13-01-05` for dates. So CSV is read in one of two
ways. The *fast* way lets the reader deliver text and has Arrow convert it; Arrow refuses every loss, and much else that
is unusual. Then the *exact* way converts text with care, in DuckDB; it also finds the value that is wrong.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from sluice.engine.parquet import ARROW_TYPES

_EXACT_INTEGERS = 2**53  # from here on, a double no longer holds every integer
_SURE_LENGTH = 17  # a longer number may be rounded to an integer that it is not
_DAYS = date.max.toordinal()  # of the years 1 to 9999: an offset may lift a moment beyond them
_DAYS_TO_1970 = date(1970, 1, 1).toordinal() - date.min.toordinal()
_MICROSECONDS_TO_1970 = _DAYS_TO_1970 * 86_400_000_000
DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
TIMESTAMP = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3])(:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?)?"
    r"( ?UTC|Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?$"
)
"""What of ISO 8601 is read, once spaces around it are gone."""
_WHOLE = r"^[+-]?[0-9]+([.]0*)?$"
_POWER = r"^[+-]?[0-9.]{1,16}[eE][+-]?[0-9]{1,3}$"
_INFINITE = r"(?i)^[+-]?inf"


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


def _integers(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    if pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py():
        raise pa.ArrowInvalid("a hexadecimal number")
    try:
        return pc.cast(texts, pa.int64())
    except pa.ArrowInvalid:
        if (pc.max(pc.binary_length(texts)).as_py() or 0) > _SURE_LENGTH:
            raise
        doubles = pc.cast(texts, pa.float64())  # `1.0` and `1e3`, as other programs write integers
    found = pc.min_max(doubles).as_py()
    if found["min"] is not None and not -_EXACT_INTEGERS < found["min"] <= found["max"] < _EXACT_INTEGERS:
        raise pa.ArrowInvalid("an integer beyond what a double holds")
    return pc.cast(doubles, pa.int64())


def _doubles(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    doubles = pc.cast(texts, pa.float64())
    if pc.any(pc.is_inf(doubles)).as_py():
        raise pa.ArrowInvalid("infinite, or beyond what a double holds")
    return doubles


def _timestamps(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    wanted = ARROW_TYPES["timestamp"]
    try:
        return _within_years(pc.cast(texts, wanted), pa.int64(), _MICROSECONDS_TO_1970)
    except pa.ArrowInvalid:
        moments = pc.cast(pc.cast(texts, pa.timestamp("us", "UTC")), wanted)
        return _within_years(moments, pa.int64(), _MICROSECONDS_TO_1970)


def _dates(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    return _within_years(pc.cast(texts, ARROW_TYPES["date"]), pa.int32(), _DAYS_TO_1970)


def _within_years(times: Any, storage: Any, before: int) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    """Compared as integers: pyarrow would import pandas to make a scalar of a date."""
    found, after = pc.min_max(times.view(storage)).as_py(), _DAYS * (before // _DAYS_TO_1970) - before
    if found["min"] is not None and not -before <= found["min"] <= found["max"] < after:
        raise pa.ArrowInvalid("a year before 1 or after 9999")
    return times


def _integer(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    bare, nothing = text.strip(), ibis.null("int64")
    double = bare.try_cast("float64")
    power = ibis.ifelse(double.abs() < float(_EXACT_INTEGERS), double.try_cast("int64"), nothing)
    return ibis.cases(
        (bare.re_search(_WHOLE), bare.re_replace("[.]0*$", "").try_cast("int64")),
        (bare.re_search(_POWER) & (power.cast("float64") == double), power),
        else_=nothing,
    )


def _double(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    bare = text.strip()
    number = ibis.ifelse(bare.contains("_"), ibis.null("float64"), bare.try_cast("float64"))
    return ibis.ifelse(number.isinf() & ~bare.re_search(_INFINITE), ibis.null("float64"), number)


def _timestamp(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    bare = text.strip()
    moment = bare.try_cast("timestamp('UTC')").cast("timestamp")
    known = moment.between(ibis.timestamp("0001-01-01 00:00:00"), ibis.timestamp("9999-12-31 23:59:59.999999"))
    return ibis.ifelse(known & bare.re_search(TIMESTAMP.pattern), moment, ibis.null("timestamp"))


def _date(text: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    bare = text.strip()
    day = bare.try_cast("date")
    known = day.between(ibis.date("0001-01-01"), ibis.date("9999-12-31")) & bare.re_search(DATE.pattern)
    return ibis.ifelse(known, day, ibis.null("date"))


FAST: dict[str, FastRead] = {
    "string": FastRead("VARCHAR", _as_it_is),
    "float64": FastRead("VARCHAR", _doubles),
    "bool": FastRead("BOOLEAN", _as_it_is),
    "int64": FastRead("VARCHAR", _integers),
    "timestamp": FastRead("VARCHAR", _timestamps),
    "date": FastRead("VARCHAR", _dates),
}
EXACT: dict[str, Callable[[Any], Any]] = {
    "string": _as_it_is,
    "float64": _double,
    "bool": lambda text: text.try_cast("boolean"),
    "int64": _integer,
    "timestamp": _timestamp,
    "date": _date,
}
"""From a text column to one of the wanted type; null where the text is no such value."""

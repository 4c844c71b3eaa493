"""Python values, as database drivers and the JSON parser give them, into Arrow arrays: strictly."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from sluice.engine.parquet import ARROW_TYPES
from sluice.sources.conversions import DATE, FAST, TIMESTAMP

# pyarrow itself would take 1.5 as the integer 1, True as 1.0 and 7 as a moment after 1970: only these are sure.
_SURE: dict[str, set[type]] = {
    "string": {str},
    "int64": {int},
    "float64": {float, int},
    "bool": {bool},
    "timestamp": {datetime},
    "date": {date},
}


class WrongValue(Exception):
    """A value that is not of its column's type.

    Attributes:
        row: Its place among the values, from 0.
        value: As it came.
    """

    def __init__(self, row: int, value: object) -> None:
        super().__init__(row, value)
        self.row, self.value = row, value


def to_arrow(values: Sequence[object], kind: str) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    """An Arrow array of the contract's type `kind`; None stays missing.

    Raises:
        WrongValue: A value is not of the type, or does not fit it.
    """
    found = set(map(type, values)) - {type(None)}
    try:
        if found <= _SURE[kind]:
            return pa.array(values, ARROW_TYPES[kind])
        if found == {str} and kind in ("timestamp", "date"):
            return FAST[kind].convert(pa.array(values, pa.string()))
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass  # one value is to blame, or written in an unusual way: look at each
    return pa.array([_exact(row, value, kind) for row, value in enumerate(values)], ARROW_TYPES[kind])


def _exact(row: int, value: object, kind: str) -> Any:  # noqa: ANN401 - any value
    if value is None:
        return None
    try:
        return pa.scalar(_CONVERT[kind](value), ARROW_TYPES[kind]).as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise WrongValue(row, value) from None


def _string(value: Any) -> str:  # noqa: ANN401 - any value
    return str(value) if isinstance(value, str) else _refuse(value)


def _integer(value: Any) -> int:  # noqa: ANN401 - any value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != int(value):
        _refuse(value)
    return int(value)


def _float(value: Any) -> float:  # noqa: ANN401 - any value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        _refuse(value)
    number = float(value)
    beyond = math.isinf(number) and isinstance(value, Decimal) and value.is_finite()
    return _refuse(value) if beyond else number


def _bool(value: Any) -> bool:  # noqa: ANN401 - any value
    return bool(value) if value in (0, 1) and isinstance(value, bool | int) else _refuse(value)


def _timestamp(value: Any) -> datetime:  # noqa: ANN401 - any value
    moment = datetime.fromisoformat(_of_form(value, TIMESTAMP)) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        _refuse(value)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _date(value: Any) -> date:  # noqa: ANN401 - any value
    day = date.fromisoformat(_of_form(value, DATE)) if isinstance(value, str) else value
    return day if type(day) is date else _refuse(value)


def _of_form(text: str, form: re.Pattern[str]) -> str:
    bare = text.strip()
    return bare if form.search(bare) else _refuse(text)


def _refuse(value: object) -> Any:  # noqa: ANN401 - never returns
    raise TypeError(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "int64": _integer,
    "float64": _float,
    "bool": _bool,
    "timestamp": _timestamp,
    "date": _date,
}

"""The days of a time zone: when each begins, in UTC, and how many rows lie on it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import numpy as np
import numpy.typing as npt

from sluice.core.column_names import free_name
from sluice.core.errors import BadInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY_SECONDS = 86_400


def zone_named(name: str) -> ZoneInfo:
    """The zone of that name.

    Raises:
        BadInput: It is unknown.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"time zone {name!r} is unknown; use a name such as UTC or America/New_York") from None


def check_time(table: ibis.Table, time: str) -> None:
    """Refuse a column that cannot be cut by time.

    Raises:
        BadInput: It is missing, is neither timestamp nor date, or is missing in some rows.
    """
    if time not in table.columns:
        raise BadInput(f"the rows have no column {time!r}, which their task names as the time; run prepare again")
    kind = table[time].type()
    if not (kind.is_timestamp() or kind.is_date()):
        raise BadInput(
            f"time column {time!r} is {kind}, which no clock orders; give it a timestamp or date (in the contract, "
            "type: timestamp), or use strategy 'stratified'"
        )
    if table.filter(table[time].isnull()).count().execute():
        raise BadInput(f"column {time!r} is missing in some rows; a split by time needs it in all")


def first_moment(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, with the zone's offset: at midnight, or later where clocks skip it.

    Of a midnight that clocks show twice it is the first.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return midnight.astimezone(UTC).astimezone(zone)


def rows_by_day(table: ibis.Table, time: str, zone: ZoneInfo) -> list[tuple[date, int]]:
    """The days that have rows, with their numbers of rows, in the order of time.

    Args:
        table: Rows, each with a time (see `check_time`).
        time: Their column; a timestamp without a zone is UTC, a date is a day of the zone already.
        zone: Whose days.
    """
    kind, count, value = table[time].type(), free_name("_n", table.columns), free_name("_value", table.columns)
    if kind.is_date():
        counted = table.group_by(**{value: table[time]}).agg(**{count: lambda t: t.count()})
        return sorted((row[value], int(row[count])) for row in counted.to_pyarrow().to_pylist())
    counted = table.group_by(**{value: seconds_of(table[time])}).agg(**{count: lambda t: t.count()}).to_pyarrow()
    seconds, rows = (np.asarray(counted[name], np.int64) for name in (value, count))
    numbers = day_numbers(seconds, zone)
    days, places = np.unique(numbers, return_inverse=True)
    found = np.bincount(places, weights=rows).astype(np.int64)
    return [(date.fromordinal(int(day)), int(n)) for day, n in zip(days, found, strict=True)]


def day_numbers(seconds: npt.NDArray[np.int64], zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """The day of the zone on which each moment lies, as `date.toordinal` counts days.

    The calendar has no day before 0001-01-01 and none after 9999-12-31: what the zone's clocks lift over these ends
    counts to the first day and to the last.

    Args:
        seconds: Whole seconds since 1970 UTC, at least one.
        zone: Whose days.
    """
    of_utc = np.unique(seconds // _DAY_SECONDS) + _EPOCH.toordinal()
    near = np.unique(np.concatenate([of_utc - 1, of_utc, of_utc + 1]))  # no clock is a day off UTC
    days = near[(near >= date.min.toordinal()) & (near <= date.max.toordinal())]
    begins = np.array([_begin(date.fromordinal(int(day)), zone) for day in days], np.int64)
    return np.asarray(days[np.maximum(np.searchsorted(begins, seconds, side="right") - 1, 0)], np.int64)


def _begin(day: date, zone: ZoneInfo) -> int:
    """When a day begins in whole seconds since 1970 UTC; east of Greenwich the first one does before the calendar."""
    try:
        return (first_moment(day, zone) - _EPOCH) // _SECOND
    except OverflowError:
        return np.iinfo(np.int64).min


def before(table: ibis.Table, time: str, day: date, zone: ZoneInfo) -> ibis.Value:
    """Whether a row lies before a day of the zone begins."""
    column = table[time]
    if column.type().is_date():
        return column < ibis.date(day.isoformat())
    return _microseconds(column) < (first_moment(day, zone) - _EPOCH) // timedelta(microseconds=1)


def known_before(table: ibis.Table, time: str, day: date, zone: ZoneInfo, gap: float) -> ibis.Value:
    """Whether what is known some time after a row is known when a day of the zone begins.

    Args:
        table: Rows, each with a time; a date stands for its first moment.
        time: Their column.
        day: The day.
        zone: Whose.
        gap: Seconds after the row's time.
    """
    column, begin, wait = table[time], first_moment(day, zone), timedelta(seconds=gap)
    if column.type().is_date():
        last = (begin.astimezone(UTC) - wait).astimezone(zone).date()
        late = first_moment(last, zone).astimezone(UTC) + wait > begin.astimezone(UTC)
        return column <= ibis.date((last - timedelta(days=1) if late else last).isoformat())
    return _microseconds(column) <= (begin - wait - _EPOCH) // timedelta(microseconds=1)


def _microseconds(column: ibis.Column) -> ibis.Column:
    return column.delta(ibis.timestamp("1970-01-01", timezone=column.type().timezone), unit="microsecond")


def seconds_of(column: ibis.Column) -> ibis.Column:
    """Whole seconds since 1970, rounded down; engines disagree on `%` and `//` of a negative number."""
    moment = _microseconds(column)
    whole = moment - (moment % 1_000_000 + 1_000_000) % 1_000_000
    return (whole / 1_000_000).cast("int64")


def stamps(days: Sequence[date], zone: ZoneInfo) -> list[str]:
    """When days begin, as ISO 8601 with the zone's offset of that moment."""
    return [first_moment(day, zone).isoformat() for day in days]

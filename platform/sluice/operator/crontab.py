"""Times of the clock by cron's five fields, in a time zone.

Where the clock is put forward, a time that does not exist is moved to the next minute that does; where it is put back,
a time that exists twice is meant once (as Debian's cron has it; source: cronsim).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_FIELDS = 5


def check_cron(text: str) -> None:
    """Refuse what is no schedule.

    Raises:
        ValueError: The message says what to write.
    """
    if len(text.split()) != _FIELDS:
        raise ValueError(f"{text[:60]!r} is no schedule; write five fields, such as 0 3 * * 1 for Mondays at three")
    try:
        next(CronSim(text, _BEGAN))
    except CronSimError as error:
        raise ValueError(f"{text[:60]!r} is no schedule: {error}; write such as 0 3 * * 1") from None
    except StopIteration:
        raise ValueError(f"{text[:60]!r} names a day that never comes; write such as 0 3 * * 1") from None


def slots(cron: str, time_zone: str, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The times after a moment and up to another, the first `most` of them, in UTC."""
    return list(islice(takewhile(lambda slot: slot <= until, _from(cron, time_zone, after)), most))


def next_slot(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first time after a moment, in UTC; None where there is none within 50 years."""
    return next(_from(cron, time_zone, after), None)


def latest_slots(cron: str, time_zone: str, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The last `most` of the times after a moment and up to another, oldest first, in UTC.

    A long time is searched from its end on, so that years of missed minutes cost nothing.
    """
    back = timedelta(hours=1)
    while until - back > after:
        found = slots(cron, time_zone, until - back, until, _MOST)
        if len(found) >= most:
            return found[-most:]
        back *= 4
    return slots(cron, time_zone, after, until, _MOST)[-most:]


_MOST = 20_000


def _from(cron: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    for slot in CronSim(cron, after.astimezone(ZoneInfo(time_zone))):
        found = slot.astimezone(UTC)
        if found > after:
            yield found

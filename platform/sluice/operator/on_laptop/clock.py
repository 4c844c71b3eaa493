"""The clock of an operator on a laptop: the machine's own, or one that is driven through a past."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from sluice.core.errors import BadInput


class Clock(Protocol):
    """Tells the moment, in UTC."""

    def now(self) -> datetime:
        """The moment."""

    def passed(self, time: timedelta) -> None:
        """Something took so long."""


class WallClock:
    """The machine's."""

    driven = False

    def now(self) -> datetime:
        """The moment."""
        return datetime.now(UTC)

    def passed(self, time: timedelta) -> None:
        """It goes by itself."""


class DrivenClock:
    """Stands still until somebody moves it, and never goes back."""

    driven = True

    def __init__(self, begin: datetime) -> None:
        self._now = begin

    def now(self) -> datetime:
        """The moment."""
        return self._now

    def passed(self, time: timedelta) -> None:
        """Something took so long."""
        self._now += time

    def drive(self, moment: datetime) -> None:
        """Go on to a moment; one that has passed already changes nothing."""
        self._now = max(self._now, moment)


def moment_of(text: str, option: str) -> datetime:
    """A day or moment that a person wrote, in UTC.

    Raises:
        BadInput: It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{option} {text!r} is no moment; write 2013-06-01 or 2013-06-01T08:00") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)

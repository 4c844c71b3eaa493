"""Durations as people write them (`30d`, `12h`, `1w`) and as they are told to people (`36 hours`)."""

import math
import re

LONGEST = 36_525 * 86_400
"""Seconds: 100 years."""
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WORDS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
_DURATION = re.compile(r"(-?)([0-9]{1,12})([wdhms])", re.ASCII)
_LEAST_DAYS = 3  # shorter ones are told in hours: `36 hours` beside `48 hours`


def parse_duration(text: str, *, signed: bool = False) -> int:
    """The seconds of a whole number of weeks, days, hours, minutes or seconds: `1w`, `30d`, `12h`, `90m`, `45s`.

    Args:
        text: As it was written.
        signed: Whether it may be negative, such as `-30d`.

    Raises:
        ValueError: It is no duration, or longer than 100 years; the message says what to write.
    """
    found = _DURATION.fullmatch(text)
    if not found or (found[1] and not signed):
        raise ValueError(f"{text[:40]!r} is no duration; write a whole number with w, d, h, m or s, such as 30d or 12h")
    seconds = int(found[2]) * _SECONDS[found[3]]
    if seconds > LONGEST:
        raise ValueError(f"{text[:40]!r} is longer than 100 years; write a shorter duration")
    return -seconds if found[1] else seconds


def is_duration(text: str) -> bool:
    """Whether a text has the form of a duration, as `30d` has and the name of a moment has not."""
    return bool(_DURATION.fullmatch(text))


def duration_text(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as so many seconds; parts of a second are rounded up."""
    number, unit = _in_unit(seconds)
    return f"{number}{unit}" if number else "0s"


def duration_words(seconds: float) -> str:
    """The same in words, such as `36 hours`."""
    number, unit = _in_unit(seconds)
    return f"{number} {_WORDS[unit]}{'' if abs(number) == 1 else 's'}"


def _in_unit(seconds: float) -> tuple[int, str]:
    whole = math.ceil(seconds)
    if whole and whole % _SECONDS["d"] == 0 and abs(whole) >= _LEAST_DAYS * _SECONDS["d"]:
        return whole // _SECONDS["d"], "d"
    unit = next(u for u in ("h", "m", "s") if whole % _SECONDS[u] == 0)
    return whole // _SECONDS[unit], unit

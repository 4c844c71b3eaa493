"""Ids of requests that tell when they were made, so that whoever asks about one reads an hour of the log, not all."""

import re
import secrets
import time
from datetime import UTC, datetime

_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_request_id() -> str:
    """A UUID of version 7: the moment in milliseconds, then 74 random bits.

    Source: RFC 9562, section 5.7.
    """
    moment, chance = time.time_ns() // 1_000_000, secrets.randbits(74)
    number = moment << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & 2**62 - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment_of(request: str) -> datetime | None:
    """When a request of such an id was made, to the millisecond; None for another id."""
    found = _ID.fullmatch(request)
    if found is None:
        return None
    seconds, milliseconds = divmod(int(found[1] + found[2], 16), 1000)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    except (ValueError, OverflowError, OSError):
        return None

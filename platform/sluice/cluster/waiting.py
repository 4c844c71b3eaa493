"""Waiting with a deadline: every wait says what it waits for, and ends."""

import time
from collections.abc import Callable
from typing import TypeVar

from sluice.core.errors import EnvironmentFault
from sluice.core.progress import progress

PAUSE_SECONDS = 2.0
Value = TypeVar("Value")


def wait_for(what: str, seconds: float, attempt: Callable[[], Value]) -> Value:
    """Try again until it works.

    Args:
        what: What is waited for, as a person would say it.
        seconds: The longest to wait.
        attempt: Raises EnvironmentFault as long as it does not work; any other error ends the wait at once.

    Raises:
        EnvironmentFault: The time is over; the message names what was waited for, and why the last try failed.
    """
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            return attempt()
        except EnvironmentFault as error:
            if time.monotonic() > deadline:
                raise EnvironmentFault(f"waited {seconds:.0f} s for {what}: {error}") from None
        if not told:
            progress(f"waiting for {what}, at most {seconds:.0f} s")
            told = True
        time.sleep(PAUSE_SECONDS)

"""How often a request to a store that failed is tried again, and what the person who waits is told."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import MOST_TRIES as MOST_TRIES
from sluice.core.variable_groups.stores import StoreVariables
from sluice.storage.failures import Failure

TRIES_VARIABLE = StoreVariables.tries.name
LONGEST_PAUSE = 120.0  # seconds

Answer = TypeVar("Answer")


def tries() -> int:
    """How often a request is tried: SLUICE_STORE_TRIES, else 4.

    Raises:
        BadInput: The variable holds no whole number from 1 to 100.
    """
    return settings().store.tries


def pause(tried: int) -> float:
    """Seconds to wait after so many tries: 0, 2, 4, 8, …, and up to half a second by chance."""
    return min(float(2 ** (tried - 1)) if tried > 1 else 0.0, LONGEST_PAUSE) + random.uniform(0, 0.5)


class Tries:
    """Bounded tries of requests to one service, each told in a line of its own.

    Once it was given up, a request gets one try until one succeeds again: what is done to clean up after a failure
    does not wait all over again.
    """

    def __init__(self, service: str) -> None:
        """Nothing is tried yet.

        Args:
            service: Its name for people, such as `S3`.

        Raises:
            BadInput: SLUICE_STORE_TRIES is wrong.
        """
        self._service, self._given_up = service, False
        tries()

    def ask(self, request: Callable[[], Answer], *, conflict: bool = False) -> Answer:
        """Make a request until it is answered.

        Args:
            request: Raises `Failure`; called again after one that may pass.
            conflict: Whether a conflict with another writer may pass.

        Raises:
            Failure: It failed for good, or once more than SLUICE_STORE_TRIES allows.
        """
        most = 1 if self._given_up else tries()
        for tried in range(1, most + 1):
            try:
                answer = request()
            except Failure as failure:
                passing = failure.may_pass(conflict)
                self._given_up = passing and tried == most
                if not passing or tried == most:
                    raise
                progress(f"{self._service} did not take a {failure.method} ({failure.reason}); trying again")
                time.sleep(pause(tried))
            else:
                self._given_up = False
                return answer
        raise AssertionError("at least one try")  # pragma: no cover

"""One queue for all that has to be looked at: each key once, never two workers on one key, failures ever more slowly.

It is level-based: a key says that something may have changed, not what. So keys may be lost only with the process, and
whoever begins anew puts every key in.
"""

import heapq
import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until a key that failed is looked at again: doubled each time. A service that is back is used soon."""


class Key(NamedTuple):
    """A resource."""

    kind: str
    name: str


class WorkQueue:
    """Keys that wait, by the moment at which they are due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._condition = clock, threading.Condition()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._busy: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._closed = False
        self.added = 0

    def now(self) -> float:
        """The moment, by the queue's clock."""
        return self._clock()

    def __len__(self) -> int:
        """How many are due now and not yet begun."""
        now = self._clock()
        with self._condition:
            return sum(due <= now for due in self._due.values())

    def add(self, key: Key, after: float = 0.0) -> None:
        """Look at a key after so many seconds; the earliest of several moments counts."""
        due = self._clock() + after
        with self._condition:
            self.added += 1
            if key in self._busy:
                self._again[key] = min(due, self._again.get(key, due))
                return
            if self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._condition.notify()

    def take(self) -> tuple[Key, float] | None:
        """Wait for the next key; its moment too. None after the end."""
        with self._condition:
            while not self._closed:
                pause = self._next_pause()
                if pause is not None and pause <= 0:
                    due, key = heapq.heappop(self._heap)
                    del self._due[key]
                    self._busy.add(key)
                    return key, due
                self._condition.wait(pause)
            return None

    def done(self, key: Key, *, failed: bool = False) -> float | None:
        """A worker is done with a key; when it failed, the seconds until it is looked at again."""
        pause = None
        with self._condition:
            self._busy.discard(key)
            again = self._again.pop(key, None)
            if failed:
                count = self._failures[key] = self._failures.get(key, 0) + 1
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(count - 1, 10)) * random.uniform(0.8, 1.2)
            else:
                self._failures.pop(key, None)
        if again is not None and not failed:
            self.add(key, max(0.0, again - self._clock()))
        if pause is not None:
            self.add(key, pause)
        return pause

    def forget(self, key: Key) -> None:
        """A resource that is gone needs no look."""
        with self._condition:
            self._due.pop(key, None)
            self._again.pop(key, None)
            self._failures.pop(key, None)

    def close(self) -> None:
        """No key is handed out any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _next_pause(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # an earlier moment took its place
        return self._heap[0][0] - self._clock() if self._heap else None

"""What servers count while a canary runs: for champion and challenger, by moment and by subject, in fixed memory.

Both arms are counted in the same cells: blocks of time, and 64 groups of subjects. Cells of several servers add up. A
request is counted only where the split chose who answers it: one that named its version tells nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import log
from typing import Any

import numpy as np

from sluice.serving.aliases import CHALLENGER, CHAMPION
from sluice.serving.exchange import Answer, Exchange
from sluice.serving.traffic import Stand, place

GROUPS = 64
"""Of subjects: requests of one subject are not independent, so they are in one group."""
MOST_BLOCKS = 240
MEASURES = ("errors", "slow", "latency")
_WIDTH = 1 + len(MEASURES)  # requests, and the sum of each measure
_SUM_TOLERANCE = 1e-6


@dataclass
class Cells:
    """Sums by block of time and by group of subjects.

    Attributes:
        width: How many numbers each arm has in a cell: rows or requests, then a sum of each measure.
        seconds: How long a block is.
        blocks: By number since 1970, the champion's numbers, then the challenger's.
        groups: The same by group, shape (GROUPS, 2 width).
    """

    width: int = _WIDTH
    seconds: int = 1
    blocks: dict[int, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray = field(default_factory=lambda: np.zeros((GROUPS, 2 * _WIDTH)))

    def add(self, moment: float, group: int, arm: int, numbers: np.ndarray) -> None:
        """Add numbers, shape (width,), to a cell; arm: 0 for the champion, 1 for the challenger."""
        start = arm * self.width
        self._block(int(moment // self.seconds))[start : start + self.width] += numbers
        self.groups[group, start : start + self.width] += numbers

    def merge(self, other: "Cells") -> None:
        """Add another server's."""
        self.coarsen(other.seconds)
        for number, numbers in other.blocks.items():
            self._block(number * other.seconds // self.seconds)[:] += numbers
        self.groups += other.groups

    def coarsen(self, seconds: int) -> None:
        """Put neighbouring blocks together until they are as long as this, which is a power of two."""
        while self.seconds < seconds:
            self.seconds *= 2
            halves, self.blocks = self.blocks, {}
            for number, numbers in halves.items():
                kept = self.blocks.get(number // 2)
                self.blocks[number // 2] = numbers if kept is None else kept + numbers

    def _block(self, number: int) -> np.ndarray:
        seconds = self.seconds
        if number not in self.blocks and len(self.blocks) >= MOST_BLOCKS:
            self.coarsen(2 * seconds)
            return self._block(number * seconds // self.seconds)
        return self.blocks.setdefault(number, np.zeros(2 * self.width))

    def arms(self, measure: int) -> tuple[np.ndarray, np.ndarray]:
        """One measure by block, in the order of time, and by group; columns: champion's count and sum, challenger's."""
        chosen = [0, 1 + measure, self.width, self.width + 1 + measure]
        blocks = np.array([self.blocks[number] for number in sorted(self.blocks)]).reshape(-1, 2 * self.width)
        return blocks[:, chosen], self.groups[:, chosen]

    def counts(self) -> tuple[int, int]:
        """Requests, or rows, of champion and challenger."""
        total = self.groups.sum(axis=0)
        return int(total[0]), int(total[self.width])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        blocks = {str(number): self.blocks[number].tolist() for number in sorted(self.blocks)}
        return {"width": self.width, "seconds": self.seconds, "blocks": blocks, "groups": self.groups.tolist()}


def read_cells(body: Mapping[str, Any]) -> Cells:
    """Cells as `Cells.to_json` wrote them.

    Raises:
        ValueError, KeyError, TypeError: It is something else.
    """
    width, seconds = int(body["width"]), int(body["seconds"])
    blocks = {int(number): np.array(numbers, np.float64) for number, numbers in body["blocks"].items()}
    groups = np.array(body["groups"], np.float64)
    wrong = seconds < 1 or seconds & (seconds - 1) or groups.shape != (GROUPS, 2 * width)
    if wrong or any(numbers.shape != (2 * width,) for numbers in blocks.values()):
        raise ValueError("the cells have another shape")
    return Cells(width, seconds, blocks, groups)


class Counts:
    """An `Observer` that counts while a canary runs.

    Args:
        stand: Says who can answer at the moment.
        slow: From how many seconds on an answer is slow.
    """

    def __init__(self, stand: Callable[[], Stand], slow: float = 0.25) -> None:
        self._stand, self._slow, self._lock = stand, slow, threading.Lock()
        self._salt, self._cells, self._failures = b"", Cells(), 0

    def begin(self, salt: str, slow: float) -> None:
        """Count anew: another step, or another canary."""
        with self._lock:
            self._salt, self._slow, self._cells, self._failures = salt.encode()[:64], slow, Cells(), 0

    def observed(self, exchange: Exchange) -> None:
        """See `Observer.observed`."""
        stand, loaded = self._stand(), exchange.loaded
        if not self._salt or stand.challenger is None:
            return
        name = exchange.subject or exchange.request
        chosen = stand.challenger if place(stand.salt, name) < stand.weight else stand.champion
        if chosen is not loaded:
            return
        seconds = max(exchange.seconds, 1e-6)
        numbers = np.array([1.0, float(not is_valid(exchange.answer)), float(seconds >= self._slow), log(seconds)])
        with self._lock:
            self._cells.add(exchange.moment, group_of(self._salt, name), int(loaded.role == CHALLENGER), numbers)

    def failed(self, role: str) -> None:
        """A version raised where it should have answered; who asked is not known."""
        if not self._salt or role not in (CHAMPION, CHALLENGER):
            return
        with self._lock:
            self._failures += 1
            numbers = np.array([1.0, 1.0, 0.0, 0.0])
            self._cells.add(time.time(), self._failures % GROUPS, int(role == CHALLENGER), numbers)

    def cells(self) -> dict[str, Any]:
        """What was counted so far, as JSON values."""
        with self._lock:
            return self._cells.to_json()


def group_of(salt: bytes, name: str) -> int:
    """The group of a subject, which has nothing to do with its place in the split."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=2, key=salt, person=b"group").digest()
    return int.from_bytes(digest, "big") % GROUPS


def is_valid(answer: Answer) -> bool:
    """Whether an answer is one: finite, and probabilities from 0 to 1 that add up to 1."""
    values = answer.values
    if not np.isfinite(values).all():
        return False
    if values.ndim < 2:
        return True
    return bool(
        values.min(initial=0) >= -_SUM_TOLERANCE and np.abs(values.sum(axis=1) - 1).max(initial=0) <= _SUM_TOLERANCE
    )

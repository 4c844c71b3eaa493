"""Events that came and are in nobody's status yet. Whoever sent one is told that it came when it is.

So an event that was confirmed is never lost, and one that was not is sent again by its sender; it has the same id then.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

from sluice.operator.evidence import EventSeen

MOST = 20_000
Mark = tuple[str, str]


class Ticket:
    """Events of one request: they are settled when each ContinuousTraining that they are for has saved them."""

    def __init__(self, settled: Callable[[], object]) -> None:
        self.open: set[tuple[str, Mark]] = set()
        self.settled = settled


class EventInbox:
    """Events by the ContinuousTraining that they are for; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, dict[Mark, EventSeen]] = {}
        self._tickets: dict[tuple[str, Mark], list[Ticket]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._count

    def put(self, wanted: Iterable[tuple[EventSeen, Sequence[str]]], settled: Callable[[], object]) -> bool:
        """Take events in.

        Args:
            wanted: Events with the names of the ContinuousTrainings that each is for.
            settled: Called when all are saved; at once where they are for nobody.

        Returns:
            False where there is no room: then nothing was taken.
        """
        ticket = Ticket(settled)
        pairs = [(name, event) for event, names in wanted for name in names]
        with self._lock:
            if self._count + len(pairs) > MOST:
                return False
            for name, event in pairs:
                mark = (event.source, event.id)
                waiting = self._events.setdefault(name, {})
                self._count += mark not in waiting
                waiting.setdefault(mark, event)
                ticket.open.add((name, mark))
            for place in ticket.open:
                self._tickets.setdefault(place, []).append(ticket)
        if not pairs:
            settled()
        return True

    def of(self, name: str) -> tuple[EventSeen, ...]:
        """The events that wait for a ContinuousTraining, in the order in which they came."""
        with self._lock:
            return tuple(self._events.get(name, {}).values())

    def saved(self, name: str, events: Iterable[EventSeen]) -> None:
        """These events are in a status now, or are none of its business."""
        over: list[Ticket] = []
        with self._lock:
            for event in events:
                mark = (event.source, event.id)
                if self._events.get(name, {}).pop(mark, None) is not None:
                    self._count -= 1
                for ticket in self._tickets.pop((name, mark), ()):
                    ticket.open.discard((name, mark))
                    if not ticket.open:
                        over.append(ticket)
            if not self._events.get(name):
                self._events.pop(name, None)
        for ticket in over:
            ticket.settled()

    def waiting(self) -> list[str]:
        """The ContinuousTrainings that events wait for."""
        with self._lock:
            return list(self._events)

    def drop(self, name: str) -> None:
        """Nobody waits for a ContinuousTraining's events any more: it is gone."""
        self.saved(name, self.of(name))

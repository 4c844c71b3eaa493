"""Where the prediction log stands, and what Prometheus is told of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogState:
    """Where the log stands.

    Attributes:
        observed: Rows that were to be logged.
        stored: Rows that the store has, also of processes that ended before.
        dropped: Rows that were counted and not logged.
        waiting_bytes: Of rows on this machine's disk.
        store_away: Whether the store did not take the last file.
    """

    observed: int
    stored: int
    dropped: int
    waiting_bytes: int
    store_away: bool


class LogNumbers:
    """A collector of prometheus_client's.

    Args:
        state: Where the log stands now.
    """

    def __init__(self, state: Callable[[], LogState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Any]:
        """What prometheus_client asks for."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        state = self._state()
        counted = {
            "observed": ("Rows that were to be logged.", state.observed),
            "stored": ("Rows that the store has.", state.stored),
            "dropped": ("Rows that were counted and not logged.", state.dropped),
        }
        for name, (words, value) in counted.items():
            yield CounterMetricFamily(f"sluice_log_{name}_rows", words, value=value)
        words = "Bytes of rows that wait on this machine's disk."
        yield GaugeMetricFamily("sluice_log_waiting_bytes", words, value=state.waiting_bytes)
        words = "1 where the store took the last file of the log."
        yield GaugeMetricFamily("sluice_log_store_up", words, value=float(not state.store_away))

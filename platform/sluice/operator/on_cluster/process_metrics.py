"""The operator's numbers for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


class ProcessMetrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.reconciled = Histogram(
            "sluice_operator_reconcile_seconds",
            "How long a reconciliation took.",
            ["kind"],
            buckets=_SECONDS,
            registry=own,
        )
        self.waited = Histogram(
            "sluice_operator_queue_seconds", "From being due to being begun.", buckets=_SECONDS, registry=own
        )
        self.failures = Counter(
            "sluice_operator_failures_total",
            "Reconciliations that failed, and are tried again.",
            ["kind"],
            registry=own,
        )
        self.decisions = Counter("sluice_operator_decisions_total", "Decisions by outcome.", ["outcome"], registry=own)
        self.events = Counter(
            "sluice_operator_events_total", "Requests with events by their answer.", ["status"], registry=own
        )
        self.looks = Counter(
            "sluice_operator_look_failures_total", "Looks at the world that failed.", ["at"], registry=own
        )

    def gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        """A number that is asked for when it is told."""
        Gauge(f"sluice_operator_{name}", words, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)

"""What Prometheus is told. No label holds what callers send: routes are templates, versions those that were loaded."""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sluice.serving.exchange import Loaded

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MOST_VERSIONS = 20
_MOST_CHILDREN = 1_000
_OTHER = "other"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The server's own numbers; other parts may add theirs to `registry` before the server starts.

    Attributes:
        registry: Where they are kept.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # half of the text, and nobody reads it
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "sluice_requests",
            "Requests that were answered, by route, HTTP's status and the version that answered.",
            ("route", "status", "version"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sluice_request_seconds",
            "Time from a request's headers to its whole answer, of requests that a version answered.",
            ("route", "version"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rows = Counter("sluice_rows", "Rows that were forecast.", ("version",), registry=self.registry)
        self._invalid = Counter(
            "sluice_invalid_values",
            "Values that broke the contract, by what was wrong with them.",
            ("kind", "version"),
            registry=self.registry,
        )
        self.answering = Gauge("sluice_requests_open", "Requests that are being answered.", registry=self.registry)
        self.held = Gauge("sluice_request_bytes_held", "Bytes of bodies in memory.", registry=self.registry)
        self._model = Gauge(
            "sluice_model_info",
            "1 for each version that can answer, with its digest and role.",
            ("version", "digest", "role"),
            registry=self.registry,
        )
        self._versions: set[str] = set()
        self._children: dict[tuple[str, int, str], tuple[Counter, Histogram | None]] = {}

    def answered(self, route: str, status: int, version: str, seconds: float) -> None:
        """Count a request; `version` is empty where none answered."""
        key = (route, status, version)
        found = self._children.get(key)
        if found is None:  # finding a child by its labels takes longer than counting with it
            shown = self._bounded(version)
            latency = self._seconds.labels(route, shown) if version else None
            found = self._requests.labels(route, str(status), shown), latency
            if len(self._children) < _MOST_CHILDREN:
                self._children[key] = found
        found[0].inc()
        if found[1]:
            found[1].observe(seconds)

    def forecast(self, version: str, rows: int) -> None:
        """Count rows."""
        self._rows.labels(self._bounded(version)).inc(rows)

    def invalid(self, version: str, kinds: Mapping[str, int]) -> None:
        """Count wrong values."""
        for kind, count in kinds.items():
            self._invalid.labels(kind, self._bounded(version)).inc(count)

    def text(self, loaded: tuple[Loaded, ...]) -> bytes:
        """All of it, in Prometheus' form."""
        self._model.clear()
        for each in loaded[:_MOST_VERSIONS]:
            self._model.labels(each.name, each.digest, each.role).set(1)
        return generate_latest(self.registry)

    def _bounded(self, version: str) -> str:
        """The version, or `other` once there were too many: a server that runs for a year sees many aliases move."""
        if not version or version in self._versions:
            return version
        if len(self._versions) >= _MOST_VERSIONS:
            return _OTHER
        self._versions.add(version)
        return version

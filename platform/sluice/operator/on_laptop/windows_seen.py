"""The windows that the monitor left in the store, as the operator weighs them."""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from sluice.artifacts.provenance import find_bundle
from sluice.monitoring.log_states import LogState, SeenWindow, model_key, read_state
from sluice.monitoring.records import LESS_IS_BETTER, PerformanceRecord, Span, WindowRecord
from sluice.monitoring.watching import INPUTS, OUTPUTS
from sluice.operator.evidence import MetricSeen, WindowSeen
from sluice.storage.stores import Store

SPANS: tuple[Span, ...] = ("hour", "day", "week", "month")
_SIDES = 2 * 1.959964  # standard errors that a 95 % interval is wide
_MOST = 120


class WindowReader:
    """Reads windows, each record once: a record never changes.

    Args:
        store: With the states and records of the monitor.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: dict[str, WindowRecord] = {}

    def windows(self, model: str, versions: Iterable[str]) -> tuple[WindowSeen, ...]:
        """The latest windows of a model's versions, oldest first.

        Raises:
            BadInput: What stands in the store is none.
            EnvironmentFault: The store failed.
        """
        found = [each for version in versions for each in self._of(model, version)]
        return tuple(sorted(found, key=lambda each: (each.end, each.version))[-_MOST:])

    def versions(self, model: str) -> tuple[str, ...]:
        """The versions that the monitor left something of; raises as above."""
        start = model_key(model, "")
        folders = {key.removeprefix(start).partition("/") for key in self._store.keys(start)}
        return tuple(sorted({unquote(version) for version, deeper, _ in folders if deeper}))

    def record(self, dataset: str) -> WindowRecord:
        """A window's record by the id of its dataset."""
        if dataset not in self._records:
            details = find_bundle(self._store, dataset).manifest.details
            self._records[dataset] = WindowRecord.model_validate(details["monitoring"])
        return self._records[dataset]

    def _of(self, model: str, version: str) -> Iterator[WindowSeen]:
        states = [state for span in SPANS if (state := read_state(self._store, model, version, span))]
        for state in states:
            for each in state.windows[-_MOST:]:
                if each.rows and each.datasets:
                    yield seen_window(each, self.record(each.datasets[-1]), version, state)


def seen_window(window: SeenWindow, record: WindowRecord, version: str, state: LogState) -> WindowSeen:
    """A window as the operator weighs it."""
    told = [("labels", record.by_labels), ("estimated", record.estimated)]
    metric = state.settings.metric
    return WindowSeen(
        id=window.datasets[-1],
        version=version,
        start=window.begin,
        end=window.end,
        rows=window.rows,
        settled=window.weighed,
        metrics=tuple(made for by, found in told if found and (made := _metric(found, by, metric))),
        inputs=record.evidence.get(INPUTS, 0.0),
        outputs=record.evidence.get(OUTPUTS, 0.0),
        alarms=tuple(alarm.title for alarm in record.alarms if alarm.new),
    )


def _metric(found: PerformanceRecord, by: str, name: str) -> MetricSeen | None:
    metric = found.metrics.get(name)
    if metric is None or found.state not in ("told", "not enough"):
        return None
    worse = metric.value - metric.reference if name in LESS_IS_BETTER else metric.reference - metric.value
    return MetricSeen(
        metric=name,
        by=by,  # type: ignore[arg-type]  # one of the two above
        value=metric.value,
        low=metric.low,
        high=metric.high,
        reference=metric.reference,
        worse=worse,
        noise=max(0.0, (metric.high - metric.low) / _SIDES),
        rows=found.labelled if by == "labels" else found.rows,
        enough=found.state == "told",
    )

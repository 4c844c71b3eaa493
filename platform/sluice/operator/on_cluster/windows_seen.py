"""The windows of a version as the monitor judged them, read from the records that it keeps in the store."""

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.monitoring.log_states import SeenWindow, read_state
from sluice.monitoring.records import LESS_IS_BETTER, DriftRecord, MetricRecord, PerformanceRecord, WindowRecord
from sluice.operator.evidence import MetricSeen, WindowSeen
from sluice.storage.stores import Store

MOST = 120
_SPANS = ("hour", "day", "week", "month")
_Z = 1.96  # of an interval of 95 %


def look_at_windows(store: Store, model: str, version: str) -> tuple[WindowSeen, ...]:
    """The last MOST windows of a version, oldest first; of the shortest span that it is watched by.

    Raises:
        EnvironmentFault: The store failed.
    """
    for span in _SPANS:
        try:
            state = read_state(store, model, version, span)
        except BadInput:
            continue  # of another Sluice: the monitor says so itself
        if state and state.windows:
            return tuple(found for each in state.windows[-MOST:] if (found := _window(store, version, each)))
    return ()


def _window(store: Store, version: str, seen: SeenWindow) -> WindowSeen | None:
    if not seen.datasets:
        return None
    try:
        details = find_bundle(store, seen.datasets[-1]).manifest.details
    except BadInput:
        return None  # it was removed
    record = WindowRecord.model_validate(details["monitoring"])
    metrics = [*_metrics(record.by_labels, "labels"), *_metrics(record.estimated, "estimated")]
    return WindowSeen(
        id=seen.datasets[-1],
        version=version,
        start=seen.begin,
        end=seen.end,
        rows=record.rows,
        settled=seen.weighed,
        metrics=tuple(metrics),
        inputs=_furthest(record.inputs),
        outputs=_furthest(record.outputs),
        alarms=tuple(alarm.title for alarm in record.alarms if alarm.new),
    )


def _metrics(found: PerformanceRecord | None, by: str) -> list[MetricSeen]:
    if found is None or found.state not in ("told", "not enough"):
        return []
    rows = found.labelled if by == "labels" else found.rows
    return [
        MetricSeen.model_validate(
            {
                "metric": name,
                "by": by,
                "value": each.value,
                "low": each.low,
                "high": each.high,
                "reference": each.reference,
                "worse": _worse(name, each),
                "noise": abs(each.high - each.low) / (2 * _Z),
                "rows": rows,
                "enough": found.state == "told",
            }
        )
        for name, each in found.metrics.items()
    ]


def _worse(name: str, found: MetricRecord) -> float:
    """By how much worse in the metric's unit; the monitor's own `worse` is a share for losses."""
    return found.value - found.reference if name in LESS_IS_BETTER else found.reference - found.value


def _furthest(records: tuple[DriftRecord, ...]) -> float:
    return max((record.evidence for record in records), default=0.0)

"""A window in Prometheus' text form, with few values of each label whatever the data holds."""

import time
from collections.abc import Iterator, Sequence

from sluice.monitoring.metric_list import METRICS
from sluice.monitoring.records import WindowRecord

Sample = tuple[str, dict[str, str], float]


def exposition(judged: Sequence[tuple[str, WindowRecord, str]], moment: float | None = None) -> str:
    """The text: a HELP and a TYPE line, and the samples, of each number.

    Args:
        judged: Of each version that is watched `MODEL/version`, or empty; its latest window; and the metric that alarms
            are about: others are not told.
        moment: When they were judged, in seconds since 1970; now by default.
    """
    finished = time.time() if moment is None else moment
    samples = [
        (name, {"model": model} | labels, value)
        for model, window, metric in judged
        for name, labels, value in (
            *_samples(window, metric),
            ("sluice_monitor_finished_timestamp_seconds", {}, finished),
        )
    ]
    lines = []
    for shown in METRICS:
        lines += [f"# HELP {shown.name} {shown.help}", f"# TYPE {shown.name} gauge"]
        lines += [_line(*sample) for sample in samples if sample[0] == shown.name]
    return "\n".join(lines) + "\n"


def _samples(window: WindowRecord, metric: str) -> Iterator[Sample]:
    for how, found in (("labels", window.by_labels), ("estimated", window.estimated)):
        if found is None:
            continue
        yield "sluice_monitor_told", {"how": how}, float(found.state == "told")
        yield "sluice_monitor_assumption_failed", {"how": how}, float(bool(found.failed))
        if main := found.metrics.get(metric):
            labels = {"metric": metric, "how": how}
            yield "sluice_monitor_metric", labels, main.value
            yield "sluice_monitor_metric_low", labels, main.low
            yield "sluice_monitor_metric_high", labels, main.high
            yield "sluice_monitor_metric_reference", labels, main.reference
            yield "sluice_monitor_metric_worse", labels, main.worse
    for severity in ("page", "look"):
        count = sum(alarm.severity == severity for alarm in window.alarms)
        yield "sluice_monitor_alarm", {"severity": severity}, float(count)
    for channel, value in sorted(window.evidence.items()):
        yield "sluice_monitor_evidence", {"channel": channel}, min(value, 1e6)
    for kind, drifts in (("forecast", window.outputs), ("feature", window.inputs)):
        moved = sum(each.distance > each.margin for each in drifts)
        yield "sluice_monitor_moved_columns", {"kind": kind}, float(moved)
    yield "sluice_monitor_broken_columns", {}, float(len({each.column for each in window.faults}))
    yield "sluice_monitor_rows", {}, float(window.rows)
    labelled = window.by_labels.labelled if window.by_labels else 0
    yield "sluice_monitor_labelled_rows", {}, float(labelled)


def _line(name: str, labels: dict[str, str], value: float) -> str:
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{told}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

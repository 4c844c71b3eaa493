"""The numbers of a watch that Prometheus sees: one list, from which the rules and the dashboards are made."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Shown:
    """A number.

    Attributes:
        name: As Prometheus has it.
        help: What it is, in a sentence.
        labels: Its labels, beside `model`; each has few values, whatever the data is.
        unit: As Grafana names it.
        panel: The dashboard's panel that it is drawn in.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = "short"
    panel: str = ""


METRICS = (
    Shown("sluice_monitor_metric", "The metric of the latest window.", ("metric", "how"), panel="Performance"),
    Shown("sluice_monitor_metric_low", "Its 95 % interval's lower end.", ("metric", "how"), panel="Performance"),
    Shown("sluice_monitor_metric_high", "Its 95 % interval's upper end.", ("metric", "how"), panel="Performance"),
    Shown("sluice_monitor_metric_reference", "The metric of the reference.", ("metric", "how"), panel="Performance"),
    Shown(
        "sluice_monitor_metric_worse",
        "By how much it is worse than in the reference.",
        ("metric", "how"),
        "percentunit",
        "Worse than the reference",
    ),
    Shown(
        "sluice_monitor_told",
        "1 where the performance is told, 0 where rows are too few or it cannot be estimated.",
        ("how",),
        panel="Is the performance told?",
    ),
    Shown(
        "sluice_monitor_assumption_failed",
        "1 where it is told, but an assumption of the estimate fails.",
        ("how",),
        panel="Is the performance told?",
    ),
    Shown("sluice_monitor_alarm", "Alarms of the latest window.", ("severity",), panel="Alarms"),
    Shown(
        "sluice_monitor_evidence",
        "How far a channel's evidence is along its limit; 1 is enough.",
        ("channel",),
        panel="Evidence",
    ),
    Shown(
        "sluice_monitor_moved_columns",
        "Columns beyond the distance that does not matter.",
        ("kind",),
        panel="Moved columns",
    ),
    Shown("sluice_monitor_broken_columns", "Columns whose data broke.", (), panel="Broken columns"),
    Shown("sluice_monitor_rows", "Rows of the latest window.", (), panel="Rows"),
    Shown("sluice_monitor_labelled_rows", "Those that have a label.", (), panel="Rows"),
    Shown(
        "sluice_monitor_finished_timestamp_seconds",
        "When the latest window was judged.",
        (),
        "dateTimeAsIso",
        "Last judged",
    ),
)
"""Drawn panel by panel in this order: performance first."""

SERVED = (
    Shown("sluice_requests_total", "Requests answered, by status.", ("version", "status"), "reqps", "Requests"),
    Shown("sluice_rows_total", "Rows that were forecast.", ("version",), "short", "Rows forecast a second"),
    Shown("sluice_request_seconds", "How long an answer takes.", ("version",), "s", "Response time, 99th percentile"),
    Shown("sluice_model_info", "1 for each version that can answer.", ("version", "role"), "short", "Who can answer?"),
)
"""What the server tells, for the same dashboard."""


@dataclass(frozen=True)
class Rule:
    """An alert: a name, what has to hold and for how long, and what to say."""

    name: str
    expression: str
    wait: str
    severity: Literal["page", "look"]
    summary: str
    next: str


RULES = (
    Rule(
        "SluiceModelAlarm",
        'max by (model) (sluice_monitor_alarm{severity="page"}) > 0',
        "0m",
        "page",
        "{{ $labels.model }} has an alarm",
        "Open the page of the latest window: sluice monitor",
    ),
    Rule(
        "SluiceModelToLookAt",
        'max by (model) (sluice_monitor_alarm{severity="look"}) > 0',
        "0m",
        "look",
        "{{ $labels.model }} has moved",
        "Open the page of the latest window: sluice monitor",
    ),
    Rule(
        "SluicePerformanceUnknown",
        "max by (model) (sluice_monitor_told) == 0",
        "1d",
        "look",
        "Nobody knows how good {{ $labels.model }} is",
        "Make windows longer, or label some rows",
    ),
    Rule(
        "SluiceMonitorSilent",
        "time() - max by (model) (sluice_monitor_finished_timestamp_seconds) > 2 * 86400",
        "1h",
        "look",
        "{{ $labels.model }} has not been judged for two days",
        "Look at the watch's CronJob",
    ),
    Rule(
        "SluiceNoRows",
        "max by (model) (sluice_monitor_rows) == 0",
        "0m",
        "look",
        "{{ $labels.model }} had no row to judge",
        "An empty window is not a calm one: look at who calls the model",
    ),
    Rule(
        "SluiceNoModel",
        "absent(sluice_model_info)",
        "5m",
        "page",
        "No server has a model that can answer",
        "Look at the servers' pods and their logs",
    ),
    Rule(
        "SluiceServerErrors",
        'sum(rate(sluice_requests_total{status=~"5.."}[5m])) / sum(rate(sluice_requests_total[5m])) > 0.01',
        "5m",
        "page",
        "More than 1 % of the requests fail",
        "Look at the servers' logs; if a version is new: sluice rollback",
    ),
    Rule(
        "SluiceServerSlow",
        "histogram_quantile(0.99, sum by (version, le) (rate(sluice_request_seconds_bucket[5m]))) > 0.5",
        "10m",
        "look",
        "{{ $labels.version }} takes more than half a second for 1 % of its answers",
        "Give the servers more processors, or more of them",
    ),
    Rule(
        "SluiceModelUnused",
        "sum(increase(sluice_rows_total[1d])) == 0",
        "1h",
        "look",
        "Nobody asked a model for a day",
        "Look at who calls it; a model that nobody needs can go",
    ),
)

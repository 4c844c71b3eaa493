"""Prometheus' alerts about the operator itself: `python -m sluice.operator.on_cluster.alert_rules FILE` writes them."""

import sys
from pathlib import Path
from typing import Any

import yaml

from sluice.monitoring.metric_list import Rule

RULES = (
    Rule(
        "SluiceOperatorGone",
        "absent(sluice_operator_lease_held == 1)",
        "5m",
        "page",
        "No operator works: no model is trained, promoted or rolled back",
        "Look at the pod sluice-operator and at the Lease of its name",
    ),
    Rule(
        "SluiceOperatorBehind",
        "min_over_time(sluice_operator_queue_depth[10m]) > 0",
        "5m",
        "look",
        "The operator's queue has not been empty for ten minutes",
        "Give it more processors, or more workers (operator.workers)",
    ),
    Rule(
        "SluiceOperatorFails",
        "sum by (kind) (increase(sluice_operator_failures_total[15m])) > 20",
        "0m",
        "look",
        "Resources of kind {{ $labels.kind }} fail again and again",
        "Read the operator's log: KFP, MLflow, the store or the Kubernetes API is away",
    ),
)


def alert_rules() -> dict[str, Any]:
    """A file of Prometheus' alerting rules."""
    rules = [
        {
            "alert": rule.name,
            "expr": rule.expression,
            "for": rule.wait,
            "labels": {"severity": rule.severity},
            "annotations": {"summary": rule.summary, "description": rule.next},
        }
        for rule in RULES
    ]
    return {"groups": [{"name": "sluice-operator", "rules": rules}]}


def text() -> str:
    """The same as YAML."""
    return yaml.safe_dump(alert_rules(), sort_keys=False, width=120)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")

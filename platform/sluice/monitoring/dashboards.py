"""Alert rules for Prometheus and a dashboard for Grafana and Perses, made from one list of numbers.

`python -m sluice.monitoring.dashboards FOLDER` writes them.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sluice.monitoring.metric_list import METRICS, RULES, SERVED, Shown

_WIDTH, _HEIGHT, _ACROSS = 12, 8, 24
_TITLE = "Sluice: a model at work"
_QUERIES = {
    "sluice_requests_total": "sum by (version, status) (rate(sluice_requests_total[5m]))",
    "sluice_request_seconds": (
        "histogram_quantile(0.99, sum by (version, le) (rate(sluice_request_seconds_bucket[5m])))"
    ),
    "sluice_rows_total": "sum by (version) (rate(sluice_rows_total[5m]))",
    "sluice_model_info": "sum by (version, role) (sluice_model_info)",
}


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
    return {"groups": [{"name": "sluice-monitor", "rules": rules}]}


def grafana_dashboard() -> dict[str, Any]:
    """A dashboard in Grafana's JSON model (schema 39), whose data source is chosen when it is imported."""
    panels = []
    for place, (title, shown) in enumerate(_panels()):
        x, y = place % 2 * _WIDTH, place // 2 * _HEIGHT
        panels.append(
            {
                "id": place + 1,
                "type": "timeseries",
                "title": title,
                "description": " ".join(each.help for each in shown),
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
                "fieldConfig": {"defaults": {"unit": shown[0].unit}, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
                "targets": [
                    {"refId": chr(65 + number), "expr": _query(each), "legendFormat": _legend(each)}
                    for number, each in enumerate(shown)
                ],
            }
        )
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
        {
            "name": "model",
            "type": "query",
            "label": "Model",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": "label_values(sluice_monitor_rows, model)",
            "refresh": 2,
            "includeAll": True,
            "multi": True,
        },
    ]
    return {
        "uid": "sluice-model",
        "title": _TITLE,
        "tags": ["sluice"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-30d", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }


def perses_dashboard() -> dict[str, Any]:
    """The same in Perses' form."""
    panels, items = {}, []
    for place, (title, shown) in enumerate(_panels()):
        key = f"panel{place}"
        panels[key] = {
            "kind": "Panel",
            "spec": {
                "display": {"name": title, "description": " ".join(each.help for each in shown)},
                "plugin": {"kind": "TimeSeriesChart", "spec": {"legend": {"position": "bottom"}}},
                "queries": [
                    {
                        "kind": "TimeSeriesQuery",
                        "spec": {
                            "plugin": {
                                "kind": "PrometheusTimeSeriesQuery",
                                "spec": {"query": _query(each), "seriesNameFormat": _legend(each)},
                            }
                        },
                    }
                    for each in shown
                ],
            },
        }
        x, y = place % 2 * _WIDTH, place // 2 * _HEIGHT
        items.append({"x": x, "y": y, "width": _WIDTH, "height": _HEIGHT, "content": {"$ref": f"#/spec/panels/{key}"}})
    variable = {
        "kind": "ListVariable",
        "spec": {
            "name": "model",
            "display": {"name": "Model"},
            "allowAllValue": True,
            "allowMultiple": True,
            "plugin": {
                "kind": "PrometheusLabelValuesVariable",
                "spec": {"labelName": "model", "matchers": ["sluice_monitor_rows"]},
            },
        },
    }
    return {
        "kind": "Dashboard",
        "metadata": {"name": "sluice-model", "project": "sluice"},
        "spec": {
            "display": {"name": _TITLE},
            "duration": "30d",
            "variables": [variable],
            "panels": panels,
            "layouts": [{"kind": "Grid", "spec": {"items": items}}],
        },
    }


def _panels() -> Iterator[tuple[str, list[Shown]]]:
    """Panels in order, each with its numbers."""
    found: dict[str, list[Shown]] = {}
    for shown in (*METRICS, *SERVED):
        found.setdefault(shown.panel, []).append(shown)
    yield from found.items()


def _query(shown: Shown) -> str:
    return _QUERIES.get(shown.name, f'{shown.name}{{model=~"$model"}}')


def _legend(shown: Shown) -> str:
    suffix = shown.name.removeprefix("sluice_monitor_").removeprefix("sluice_")
    labels = shown.labels if shown.name in _QUERIES else ("model", *shown.labels)
    return " ".join([suffix, *(f"{{{{{label}}}}}" for label in labels)])


def write_files(folder: Path) -> list[Path]:
    """Write the three files; the same code writes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "alert-rules.yaml": yaml.safe_dump(alert_rules(), sort_keys=False, width=120),
        "grafana-dashboard.json": json.dumps(grafana_dashboard(), indent=1) + "\n",
        "perses-dashboard.json": json.dumps(perses_dashboard(), indent=1) + "\n",
    }
    written = []
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))

"""The report's head: what was decided and why, the key numbers, candidates against baselines."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from sluice.problems.metrics import Metric, shown_metric
from sluice.problems.registry import FORMS
from sluice.problems.task import BINARY, MULTICLASS
from sluice.reporting.pages import (
    Cell,
    Section,
    Tone,
    badge_html,
    estimate_html,
    facts_html,
    note_html,
    table_html,
    text_html,
)

_SHOWN = {
    BINARY: ("log_loss", "roc_auc", "accuracy", "f1", "calibration_error"),
    MULTICLASS: ("log_loss", "roc_auc", "accuracy", "f1", "calibration_error"),
}
_TONES: dict[str, Tone] = {
    "promoted": "good",
    "waits": "warn",
    "refused": "bad",
    "undecided": "warn",
    "unchanged": "plain",
}
_WORDS = {
    "promoted": "Promoted to champion.",
    "waits": "Passed the gate; it waits for an approval.",
    "refused": "Registered, not promoted.",
    "undecided": "Registered; the rows that judge it cannot tell.",
    "unchanged": "Nothing new to promote.",
}


def verdict_section(body: dict[str, Any]) -> Section:
    """What a reader with a minute needs."""
    winner = next(row for row in body["candidates"] if row["name"] == body["winner"])
    checks = body.get("checks", [])
    passed = sum(bool(check["passed"]) for check in checks)
    facts: list[tuple[str, Cell]] = [
        ("Model", f"{body['task']} v{body['version']}"),
        ("Aliases", ", ".join(body.get("aliases", [])) or None),
        ("Winner", body["winner"]),
        *([("Problem", str(body["problem_name"]))] if body.get("problem_name") else []),
        *((metric.title, _short(metric, winner["metrics"][metric.name])) for metric in headlines(body)),
        ("Checks passed", f"{passed} of {len(checks)}"),
    ]
    parts = [
        note_html(f"{_WORDS[body['decision']]} {body['reason']}", _TONES[body["decision"]]),
        facts_html(facts),
        *([text_html(body["folds"]["text"])] if body.get("folds") else []),
        *_served(body),
        _table(body),
    ]
    return Section("verdict", "Verdict", Markup("").join(parts))


def _served(body: Mapping[str, Any]) -> list[Markup]:
    """How the version is served and how near that is to what was judged, or why it is not."""
    served = body.get("served") or {}
    if not served.get("words"):
        return []
    return [text_html(f"{'Served by' if served.get('id') else 'Not served:'} {served['words']}.")]


def headlines(body: Mapping[str, Any]) -> list[Metric]:
    """The two metrics that tell most: what models were chosen by comes last."""
    first, second = FORMS[_problem(body)].headline
    chosen = body.get("metric", {}).get("name", first)
    return [_metric(body, second if chosen == first else first), _metric(body, chosen)]


def shown_metrics(body: Mapping[str, Any]) -> list[Metric]:
    """The metrics of the table, those that were measured."""
    problem, own = _problem(body), [metric["name"] for metric in body.get("own_metrics", [])]
    chosen = [body["metric"]["name"]] if "metric" in body else []
    wanted = dict.fromkeys([*_SHOWN.get(problem, FORMS[problem].shown), *chosen, *own])
    return [_metric(body, name) for name in wanted if name in body["candidates"][0]["metrics"]]


def _problem(body: Mapping[str, Any]) -> str:
    """The problem; a result of an earlier Sluice tells it by its metrics."""
    binary = "average_precision" in body["candidates"][0]["metrics"]
    return str(body.get("problem") or (BINARY if binary else MULTICLASS))


def _metric(body: Mapping[str, Any], name: str) -> Metric:
    known = {
        row["name"]: row for row in (*body.get("own_metrics", []), *([body["metric"]] if "metric" in body else []))
    }
    return replace(shown_metric(name), **known[name]) if name in known else shown_metric(name)


def _table(body: dict[str, Any]) -> Markup:
    known = shown_metrics(body)
    rows: list[list[Cell]] = []
    for row in body["candidates"]:
        word = badge_html("baseline") if row["baseline"] else Markup("")
        cells = [_estimate(metric, row["metrics"][metric.name]) for metric in known]
        rows.append([Markup("{} {}").format(row["name"], word), *cells])
    winner = [row["name"] for row in body["candidates"]].index(body["winner"])
    place = "out of fold" if body.get("folds") else "on the test rows"
    caption = f"Candidates against baselines {place}, with 95 % bootstrap intervals"
    return table_html(["Model", *(metric.title for metric in known)], rows, caption=caption, emphasis=winner)


def _estimate(metric: Metric, estimate: dict[str, Any]) -> Markup:
    return estimate_html(estimate["value"], estimate["low"], estimate["high"], metric.short)


def _short(metric: Metric, estimate: dict[str, Any]) -> str | None:
    return None if estimate["value"] is None else metric.short(estimate["value"])

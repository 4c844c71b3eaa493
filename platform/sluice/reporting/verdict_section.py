"""The report's head: what was decided and why, the key numbers, candidates against baselines."""

from typing import Any

from markupsafe import Markup

from sluice.reporting.pages import Cell, Section, Tone, badge_html, estimate_html, facts_html, note_html, table_html

_TITLES = {
    "log_loss": "Log loss",
    "roc_auc": "ROC AUC",
    "accuracy": "Accuracy",
    "f1": "F1",
    "calibration_error": "Calibration error",
}
_TONES: dict[str, Tone] = {"promoted": "good", "refused": "bad", "undecided": "warn", "unchanged": "plain"}
_WORDS = {
    "promoted": "Promoted to champion.",
    "refused": "Registered, not promoted.",
    "undecided": "Registered; the test rows cannot tell.",
    "unchanged": "Nothing new to promote.",
}


def verdict_section(body: dict[str, Any]) -> Section:
    """What a reader with a minute needs."""
    winner = next(row for row in body["candidates"] if row["name"] == body["winner"])
    checks = body.get("checks", [])
    passed = sum(bool(check["passed"]) for check in checks)
    told = "roc_auc" if "average_precision" in winner["metrics"] else "accuracy"
    facts: list[tuple[str, Cell]] = [
        ("Model", f"{body['task']} v{body['version']}"),
        ("Aliases", ", ".join(body.get("aliases", [])) or None),
        ("Winner", body["winner"]),
        *((_TITLES[metric], _short(winner["metrics"][metric])) for metric in (told, "log_loss")),
        ("Checks passed", f"{passed} of {len(checks)}"),
    ]
    parts = [
        note_html(f"{_WORDS[body['decision']]} {body['reason']}", _TONES[body["decision"]]),
        facts_html(facts),
        _table(body),
    ]
    return Section("verdict", "Verdict", Markup("").join(parts))


def _table(body: dict[str, Any]) -> Markup:
    known = [metric for metric in _TITLES if metric in body["candidates"][0]["metrics"]]
    rows: list[list[Cell]] = []
    for row in body["candidates"]:
        word = badge_html("baseline") if row["baseline"] else Markup("")
        rows.append([Markup("{} {}").format(row["name"], word), *(_estimate(row["metrics"][m]) for m in known)])
    place = [row["name"] for row in body["candidates"]].index(body["winner"])
    caption = "Candidates against baselines on the test rows, with 95 % bootstrap intervals"
    return table_html(["Model", *(_TITLES[m] for m in known)], rows, caption=caption, emphasis=place)


def _estimate(estimate: dict[str, float | None]) -> Markup:
    return estimate_html(estimate["value"], estimate["low"], estimate["high"])


def _short(estimate: dict[str, float | None]) -> str | None:
    return None if estimate["value"] is None else f"{estimate['value']:.3f}"

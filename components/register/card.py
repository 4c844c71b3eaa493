"""The model card (Mitchell et al. 2019): what the model is for, what it learned from, how good it is, its limits."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.common.bundles import Bundle
from components.common.provenance import origin
from components.common.steps import producer
from components.common.tasks import Task
from components.register.verdict import Verdict

_HEADLINES = ("log_loss", "roc_auc", "accuracy", "f1", "ece")


def model_card(task: Task, verdict: Verdict, lineage: list[Bundle]) -> str:
    """The card as Markdown.

    Args:
        task: What is learned.
        verdict: What evaluation found.
        lineage: The datasets behind it, sources first.
    """
    known = verdict.winner_row["metrics"]
    return (
        _templates()
        .get_template("card.md")
        .render(
            task=task,
            binary=len(task.classes) == 2,
            features=task.features,
            winner=verdict.winner_row,
            digest=verdict.body["winner_digest"],
            decision=verdict.body["decision"],
            reason=verdict.body["reason"],
            datasets=[_dataset(bundle) for bundle in lineage],
            rows=verdict.body["rows"],
            metrics=[metric for metric in _HEADLINES if metric in known],
            candidates=verdict.body["candidates"],
            interval=_interval,
            slices=_slices(verdict),
            checks=verdict.body["checks"],
            producer=producer("register", {}),
            evaluation=verdict.digest,
        )
    )


def _dataset(bundle: Bundle) -> tuple[str, str, str]:
    made = origin(bundle)
    return made.step, ", ".join(f"{name} {count:,}" for name, count in made.rows.items()), made.id


def _slices(verdict: Verdict) -> list[str]:
    """One line a slice column: how many groups, and the winner's log loss in the worst that can be judged."""
    lines = []
    for column in dict.fromkeys(entry["column"] for entry in verdict.body["slices"]):
        found = [entry for entry in verdict.body["slices"] if entry["column"] == column]
        judged = [entry for entry in found if entry["judged"]]
        line = f"`{column}`: {len(found)} groups, {len(found) - len(judged)} of them too small to judge"
        if judged:
            worst = max(judged, key=lambda entry: _loss(entry, verdict.winner))
            line += f"; the greatest log loss is {_loss(worst, verdict.winner):.3f}, in `{worst['group']}`"
        lines.append(line)
    return lines


def _loss(entry: dict[str, Any], winner: str) -> float:
    return float(entry["metrics"][winner]["log_loss"]["value"])


def _interval(estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return "undefined"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    return Environment(  # noqa: S701 - Markdown, not HTML
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

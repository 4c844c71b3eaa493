"""The step's account in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.plain_text import markdown
from sluice.leakage.gate import Feature
from sluice.problems.task import Task

_LEFT_OUT = (
    "Rows are left out by this step alone, for what is known only afterwards: the model speaks of events like those "
    "that stayed."
)


def summarize(task: Task, bundle: Bundle, details: Mapping[str, Any], features: Sequence[Feature]) -> str:
    """Tell what was prepared: rows, classes, what was left out or masked, and where each feature comes from.

    Args:
        task: The learning task.
        bundle: The dataset.
        details: What this run found; a dataset of the same id that was there before may remember less.
        features: What passed the gate.
    """
    rows = bundle.rows
    lines = [f"# {markdown(task.question)}", "", f"{rows:,} rows, dataset `{bundle.id[:12]}`.", ""]
    lines += _label(task, details, rows)
    lines += ["", _listed("Left out", details["left_out"])]
    if details["left_out"]:
        lines += ["", _LEFT_OUT]
    if details["heuristic_left_out"]:
        left_out = markdown(repr(details["heuristic_left_out"]))
        lines += ["", f"The models are judged without the baseline by {left_out}: not chosen."]
    lines += ["", _listed("Set to null by the contract", details["masked"])]
    lines += ["", "Every feature passed the leakage gate, and so did which rows there are.", ""]
    lines += ["| feature | known when | rows older by | rests on |", "| --- | --- | ---: | --- |"]
    lines += [_row(feature) for feature in features]
    if details["not_features"]:
        lines += ["", "Left out of the features:", "", "| column | why |", "| --- | --- |"]
        lines += [f"| {markdown(name)} | {markdown(why)} |" for name, why in details["not_features"].items()]
    return "\n".join(lines) + "\n"


def _label(task: Task, details: Mapping[str, Any], rows: int) -> list[str]:
    if not task.classes:
        least, most = details["label"]["limits"]
        return [f"{markdown(task.label)} is a number from {least:g} to {most:g}."]
    counts = details["classes"]
    lines = ["| class | rows | share |", "| --- | ---: | ---: |"]
    return lines + [f"| {markdown(name)} | {counts[name]:,} | {counts[name] / rows:.1%} |" for name in task.classes]


def _row(feature: Feature) -> str:
    older = "" if feature.lag_hours is None else f"{feature.lag_hours:g} h"
    name, sources = markdown(feature.name), markdown(", ".join(feature.sources))
    return f"| {name} | {feature.availability.name.lower()} | {older} | {sources} |"


def _listed(title: str, counts: dict[str, int]) -> str:
    named = ", ".join(f"{n:,} {markdown(name)}" for name, n in sorted(counts.items()))
    return f"{title}: {named or 'nothing'}."

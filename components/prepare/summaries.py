"""The step's account in Markdown."""

from collections.abc import Sequence

from components.common.bundles import Bundle
from components.common.tasks import Task
from components.prepare.gate import Feature


def summarize(task: Task, bundle: Bundle, features: Sequence[Feature]) -> str:
    """Tell what was prepared: rows, classes, what was left out or masked, and where each feature comes from."""
    details = bundle.manifest.details
    rows = bundle.rows
    lines = [f"# {task.question}", "", f"{rows:,} rows, dataset `{bundle.id[:12]}`.", "", "| class | rows | share |"]
    lines += ["| --- | ---: | ---: |"]
    lines += [f"| {name} | {n:,} | {n / rows:.1%} |" for name in task.classes for n in [details["classes"][name]]]
    lines += [
        "",
        _listed("Left out", details["left_out"]),
        "",
        _listed("Set to null by the contract", details["masked"]),
    ]
    lines += [
        "",
        "Every feature passed the leakage gate.",
        "",
        "| feature | known when | rests on |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {f.name} | {f.availability.name.lower()} | {', '.join(f.sources)} |" for f in features]
    return "\n".join(lines) + "\n"


def _listed(title: str, counts: dict[str, int]) -> str:
    return f"{title}: " + (", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())) or "nothing") + "."

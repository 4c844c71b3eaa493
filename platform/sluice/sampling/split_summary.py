"""The account of a split in Markdown."""

from collections.abc import Mapping
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.plain_text import markdown, markdown_code
from sluice.problems.task import Task
from sluice.sampling.folds import KEY, folds_of, names_of
from sluice.sampling.splitters import PARTS


def summarize(bundle: Bundle, task: Task) -> str:
    """Rows and label shares of each part; beside them those of the population, where the rows are weighted."""
    design = bundle.manifest.design
    way = _way(design)
    folds = folds_of(bundle)
    rows = bundle.manifest.tables["test"].rows if folds else bundle.rows
    title = f"# {rows:,} rows in {f'{folds.number} folds' if folds else 'three parts'}"
    lines = [title, "", f"{way}; dataset `{bundle.id[:12]}`.", ""]
    if folds:
        lines += ["Each row is judged once, by models that were fitted without its fold.", ""]
    if left_out := design.get("left_out"):
        reasons = ", ".join(f"{n:,} {markdown(reason)}" for reason, n in sorted(left_out.items()))
        lines += [f"Left out: {reasons}.", ""]
    if task.regression:
        return "\n".join(lines + _numbers(design) + _warnings(bundle)) + "\n"
    headings, keys = [*task.classes], ["label"]
    if task.weight is not None:
        weights = markdown_code(task.weight)
        lines += [f"Shares are of the rows; “weighted” ones are of the population, by the weights in {weights}.", ""]
        headings, keys = [*headings, *(f"{name}, weighted" for name in task.classes)], [*keys, "weighted_label"]
    lines += [f"| {_head(design)} | rows | share | {' | '.join(map(markdown, headings))} |"]
    lines += ["| --- | ---: | ---: |" + " ---: |" * len(headings)]
    for name, part in _parts(design):
        shares = " | ".join(f"{part[key][value]:.1%}" for key in keys for value in task.classes)
        lines += [f"| {name} | {part['rows']:,} | {part['share']:.1%} | {shares} |"]
    return "\n".join(lines + _warnings(bundle)) + "\n"


def _head(design: Mapping[str, Any]) -> str:
    return "fold" if design.get(KEY) else "part"


def _parts(design: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The parts, or folds, in their order."""
    number = design.get(KEY, {}).get("number", 0)
    return [(name, design["parts"][name]) for name in (names_of(number) if number else PARTS)]


def _way(design: Mapping[str, Any]) -> str:
    if "boundaries" in design:
        gap = f", with a gap of {design['gap']} before each" if design.get("gap") else ""
        return f"Cut at {' and '.join(design['boundaries'])}, midnights of {design['timezone']}{gap}"
    if "group" in design:
        return f"By {markdown_code(design['group'])}, each value in one {_head(design)}; seed {design['seed']}"
    return f"At random, seed {design['seed']}" if "seed" in design else f"By {markdown_code(design['strategy'])}"


def _numbers(design: Mapping[str, Any]) -> list[str]:
    lines = [
        f"| {_head(design)} | rows | share | least | median | greatest |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, part in _parts(design):
        values = " | ".join(f"{part['label'][key]:,.6g}" for key in ("least", "median", "greatest"))
        lines += [f"| {name} | {part['rows']:,} | {part['share']:.1%} | {values} |"]
    return lines


def _warnings(bundle: Bundle) -> list[str]:
    warnings = bundle.manifest.notes.get("overlap", {}).get("warnings", [])
    return ["", *(f"- **Warning.** {markdown(warning)}." for warning in warnings)] if warnings else []

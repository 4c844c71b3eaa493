"""The account of a split in Markdown."""

from sluice.artifacts.bundles import Bundle
from sluice.core.plain_text import markdown, markdown_code
from sluice.parameters.split import PARTS
from sluice.problems.task import Task


def summarize(bundle: Bundle, task: Task) -> str:
    """Rows and label shares of each part; beside them those of the population, where the rows are weighted."""
    design = bundle.manifest.design
    way = (
        f"Cut at {' and '.join(design['boundaries'])}, midnights of {design['timezone']}"
        if "boundaries" in design
        else f"At random, seed {design['seed']}"
    )
    lines = [f"# {bundle.rows:,} rows in three parts", "", f"{way}; dataset `{bundle.id[:12]}`.", ""]
    headings, keys = [*task.classes], ["label"]
    if task.weight is not None:
        weights = markdown_code(task.weight)
        lines += [f"Shares are of the rows; “weighted” ones are of the population, by the weights in {weights}.", ""]
        headings, keys = [*headings, *(f"{name}, weighted" for name in task.classes)], [*keys, "weighted_label"]
    lines += [f"| part | rows | share | {' | '.join(map(markdown, headings))} |"]
    lines += ["| --- | ---: | ---: |" + " ---: |" * len(headings)]
    for name in PARTS:
        part = design["parts"][name]
        shares = " | ".join(f"{part[key][value]:.1%}" for key in keys for value in task.classes)
        lines += [f"| {name} | {part['rows']:,} | {part['share']:.1%} | {shares} |"]
    warnings = bundle.manifest.notes.get("overlap", {}).get("warnings", [])
    lines += ["", *(f"- **Warning.** {markdown(warning)}." for warning in warnings)] if warnings else []
    return "\n".join(lines) + "\n"

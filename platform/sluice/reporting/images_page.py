"""The page about a set of images: how many of each class, and some to look at."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from sluice.reporting.pages import Section, facts_html, figure_html, render_page
from sluice.reporting.plots import SERIES, figure_svg, new_figure

_EACH = 6  # images shown of each class


def images_page(rows: Sequence[dict[str, Any]], label: str, classes: Sequence[str], lake: str) -> str:
    """One page with one section, `quality`.

    Args:
        rows: With `id`, `image` (PNG bytes), `width`, `height` (pixels) and the label (class code).
        label: The label's column.
        classes: The classes' names by code.
        lake: Where the images came from.
    """
    counts = Counter(row[label] for row in rows)
    sizes = sorted({f"{row['width']} x {row['height']}" for row in rows})
    facts = facts_html(
        [
            ("images", len(rows)),
            ("classes", len(counts)),
            ("size", sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"),
            ("fewest in a class", min(counts.values())),
            ("distinct images", len({row["image"] for row in rows})),
        ]
    )
    bars = figure_html(_class_counts(counts, classes), "Images by class.")
    shown = {code: [row for row in rows if row[label] == code][:_EACH] for code in range(len(classes))}
    sheet = Markup("").join(_sheet_row(shown[code], name) for code, name in enumerate(classes) if counts[code])
    box = Markup('<div role="group" aria-label="Examples of each class">{}</div>').format(sheet)
    section = Section("quality", "The images", Markup("").join([facts, bars, box]))
    return render_page(f"Images of {lake}", [section])


def _class_counts(counts: Counter[int], classes: Sequence[str]) -> Markup:
    figure, axes = new_figure(2.6)
    names, values = list(classes), [counts[code] for code in range(len(classes))]
    axes.bar(names, values, color=SERIES[0], width=0.7)
    axes.set_ylabel("images")
    axes.grid(axis="x", visible=False)
    return figure_svg(figure, f"Images by class, from {min(values)} to {max(values)}")


def _sheet_row(shown: Sequence[dict[str, Any]], name: str) -> Markup:
    style = "image-rendering:pixelated;margin:2px;border-radius:3px"
    images = Markup("").join(
        Markup('<img alt="{}, image {}" width="36" height="36" style="{}" src="data:image/png;base64,{}">').format(
            name, row["id"], style, base64.b64encode(row["image"]).decode()
        )
        for row in shown
    )
    return Markup('<div style="display:flex;align-items:center"><b style="width:1.6em">{}</b>{}</div>').format(
        name, images
    )

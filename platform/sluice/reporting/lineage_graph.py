"""The lineage as a graph: the lake on top, the registered model at the bottom, one box a step.

It flows downwards and is 360 units wide, so that it reads on a phone.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from sluice.artifacts.provenance import Origin, Source

WIDTH = 360.0
_EDGE, _GAP, _PAD = 4.0, 26.0, 10.0
_HEAD, _LINE = 28.0, 15.0
_LETTER = 6.1  # units that an average letter takes


@dataclass(frozen=True)
class Box:
    """A rectangle with a title, a short id and lines of text; `fill` and `stroke` are the page's CSS variables."""

    x: float
    y: float
    width: float
    title: str
    tag: str = ""
    lines: tuple[str, ...] = ()
    extra: float = 0.0
    fill: str = "--ground"
    stroke: str = "--line"

    @property
    def height(self) -> float:
        """From its lines, and the room inside for other boxes."""
        return _HEAD + _LINE * len(self.lines) + self.extra

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height


def lineage_svg(origins: Sequence[Origin], model: str, tag: str, facts: Sequence[str]) -> Markup:
    """Draw the way from the lake to a model.

    Args:
        origins: Parents before children.
        model: The last box's title.
        tag: Its short digest.
        facts: Its lines.

    Returns:
        An `<svg>` element in the page's colours.
    """
    sources = [source for entry in origins for source in entry.sources]
    boxes = _lake(sources)
    column, arrows = boxes[:1], list[str]()
    by_id: dict[str, Box] = {}
    for entry in origins:
        box = _below(column, entry.step, entry.id[:12], _facts(entry))
        parents = [by_id[parent] for parent in entry.parents] or column[:1]
        arrows += [_arrow(parent, box, adjacent=parent is column[-1]) for parent in parents]
        by_id[entry.id] = box
        column.append(box)
    last = _below(column, model, tag, facts, fill="--accent-wash", stroke="--accent")
    arrows.append(_arrow(column[-1], last, adjacent=True))
    alt = f"Lineage of {model}: {len(sources)} sources in the lake, then {', '.join(entry.step for entry in origins)}"
    drawn = _template().render(
        width=WIDTH, height=last.bottom + _EDGE, boxes=[*boxes, *column[1:], last], arrows=arrows, alt=alt
    )
    return Markup(drawn)  # noqa: S704 - rendered with autoescape


def _lake(sources: Sequence[Source]) -> list[Box]:
    """The lake's box, then the boxes of its tables inside it, two in a row."""
    by_table: dict[str, list[Source]] = {}
    for source in sources:
        by_table.setdefault(source.table, []).append(source)
    tables, inside, top = list(by_table.items()), [], _EDGE + _HEAD
    for start in range(0, len(tables), 2):
        row = tables[start : start + 2]
        width = (WIDTH - 2 * _EDGE - (len(row) + 1) * _PAD) / len(row)
        for place, (name, found) in enumerate(row):
            x = _EDGE + _PAD + place * (width + _PAD)
            inside.append(Box(x, top, width, name, lines=_source_lines(found, width), fill="--paper"))
        top = max(box.bottom for box in inside) + _PAD
    return [Box(_EDGE, _EDGE, WIDTH - 2 * _EDGE, "lake", extra=top - _EDGE - _HEAD), *inside]


def _source_lines(found: Sequence[Source], width: float) -> tuple[str, ...]:
    where = found[0].path if len(found) == 1 else f"{len(found)} files: {found[0].path} …"
    rows = sum(source.rows or 0 for source in found)
    return (*_wrapped(where, width)[:2], *([f"{rows:,} rows"] if rows else []))


def _facts(entry: Origin) -> list[str]:
    design = entry.design
    words = [f"cut at {' and '.join(str(at)[:10] for at in design['boundaries'])}"] if design.get("boundaries") else []
    words += [f"gap {design['gap']}"] if design.get("gap") else []
    words += [f"groups of {design['group']}"] if design.get("group") else []
    words += [f"seed {design['seed']}"] if "seed" in design else []
    return [
        " · ".join(f"{name} {count:,}" for name, count in entry.rows.items()),
        ", ".join([str(design["strategy"]), *words]) if "strategy" in design else "",
    ]


def _below(column: Sequence[Box], title: str, tag: str, facts: Sequence[str], **colours: str) -> Box:
    width = WIDTH - 2 * _EDGE
    lines = tuple(line for fact in facts for line in _wrapped(fact, width))
    return Box(_EDGE, column[-1].bottom + _GAP, width, title, tag, lines, **colours)  # type: ignore[arg-type]


def _wrapped(text: str, width: float) -> list[str]:
    return textwrap.wrap(text, int((width - 2 * _PAD) / _LETTER))


def _arrow(start: Box, end: Box, *, adjacent: bool) -> str:
    """An SVG path: down to the next box, or along the right edge past the boxes between."""
    if adjacent:
        return f"M{WIDTH / 2} {start.bottom} V{end.y}"
    edge, bend = WIDTH - 3 * _PAD, WIDTH + 2 * _PAD
    return f"M{edge} {start.bottom} C{bend} {start.bottom + _GAP} {bend} {end.y - _GAP} {edge} {end.y}"


def _template() -> Template:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("graph.svg")

"""Pages for people: self-contained HTML made of sections that a later step can take out again and join.

A page needs no network and no script. Text is escaped by Jinja2; only `Markup`, which the helpers here and
`plots.figure_svg` return, passes as HTML. Control and direction characters are shown, not obeyed.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sluice.core.errors import BadInput
from sluice.core.plain_text import lines

Cell = str | int | float | None
Tone = Literal["good", "bad", "warn", "plain"]

_SECTION = re.compile(
    r'<section id="(?P<id>[\w-]+)" data-section>\n<h2>(?P<title>[^<]*)</h2>\n(?P<html>.*?)\n</section><!-- (?P=id) -->',
    re.DOTALL,
)
_ID = re.compile(r"[a-z][\w-]*")
_SIGNS: dict[Tone, str] = {"good": "✓", "bad": "✗", "warn": "!", "plain": ""}


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        id: Its anchor: a lower-case word, unique on its page.
        title: Plain text.
        html: Its content, already escaped: build it with the helpers here.
    """

    id: str
    title: str
    html: str


def render_page(title: str, sections: Sequence[Section], subtitle: str = "") -> str:
    """One self-contained page with a list of contents.

    Args:
        title: Plain text.
        sections: In order.
        subtitle: Plain text under the title.

    Raises:
        BadInput: A section's id is no lower-case word, or appears twice.
    """
    ids = [section.id for section in sections]
    for name in ids:
        if not _ID.fullmatch(name) or ids.count(name) > 1:
            raise BadInput(f"page {title!r}: section id {name!r} must be a lower-case word that appears once")
    return lines(_templates().get_template("page.html").render(title=title, subtitle=subtitle, sections=sections))


def sections_of(page: str) -> list[Section]:
    """The sections of a page that `render_page` made, in order; empty for any other text."""
    found = _SECTION.finditer(page)
    return [Section(match["id"], html.unescape(match["title"]), match["html"]) for match in found]


def table_html(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], align: str = "", caption: str = "", emphasis: int = -1
) -> Markup:
    """A table that scrolls inside its own box where the screen is narrow.

    Args:
        headers: The columns' names.
        rows: The cells; `None` shows as a dash, `Markup` passes as HTML, a float shows four significant digits.
        align: One letter a column, `l`, `r` or `c`; by default `l`, then `r` for the rest.
        caption: A sentence above it.
        emphasis: The index of a row to point out.
    """
    letters = align or "l" + "r" * (len(headers) - 1)
    classes = [{"l": "left", "r": "right", "c": "centre"}[letter] for letter in letters]
    shown = [[_cell(cell) for cell in row] for row in rows]
    template = _templates().get_template("table.html")
    return Markup(  # noqa: S704 - rendered with autoescape
        template.render(headers=headers, rows=shown, classes=classes, caption=caption, emphasis=emphasis)
    )


def facts_html(facts: Iterable[tuple[str, Cell]]) -> Markup:
    """Key facts as label and value, side by side where there is room."""
    items = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(label, _cell(value)) for label, value in facts
    )
    return Markup('<dl class="facts">{}</dl>').format(items)


def text_html(text: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>").format(text)


def heading_html(text: str) -> Markup:
    """A heading inside a section."""
    return Markup("<h3>{}</h3>").format(text)


def note_html(text: str, tone: Tone = "plain") -> Markup:
    """A sentence in a box that stands out; the tone shows by a sign as well as by colour."""
    return Markup('<p class="note {}">{}<span>{}</span></p>').format(tone, _sign(tone), text)


def badge_html(text: str, tone: Tone = "plain") -> Markup:
    """A word in a pill, for a table's cell or a line of text."""
    return Markup('<span class="badge {}">{}{}</span>').format(tone, _sign(tone), text)


def code_html(text: str) -> Markup:
    """A word that a machine reads: an id, a command, a value."""
    return Markup("<code>{}</code>").format(text)


def figure_html(svg: Markup, caption: str = "") -> Markup:
    """A figure with a caption under it; `svg` comes from `plots.figure_svg`, which adds the text for screen readers."""
    return Markup("<figure>{}{}</figure>").format(svg, Markup("<figcaption>{}</figcaption>").format(caption))


def figures_html(figures: Iterable[Markup]) -> Markup:
    """Figures side by side where there is room."""
    return Markup('<div class="figures">{}</div>').format(Markup("").join(figures))


def estimate_html(
    value: float | None, low: float | None, high: float | None, form: str | Callable[[float], str] = ".3f"
) -> Markup:
    """A number with its interval under it, for a table's cell; a dash where it is undefined.

    Args:
        value: The number.
        low: The interval's lower end.
        high: Its upper end.
        form: A format specification, or what makes a text of a number.
    """
    if value is None or low is None or high is None:
        return Markup("&ndash;")
    shown = [f"{number:{form}}" if isinstance(form, str) else form(number) for number in (value, low, high)]
    return Markup("{}<small>{} to {}</small>").format(*shown)


def details_html(summary: str, content: Markup) -> Markup:
    """Content that opens on a click, for what few readers want."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, content)


def _sign(tone: Tone) -> Markup:
    return Markup('<b aria-hidden="true">{}</b>').format(_SIGNS[tone]) if _SIGNS[tone] else Markup("")


def _cell(value: Cell) -> Markup:
    if value is None:
        return Markup("&ndash;")
    if isinstance(value, float):
        return escape(f"{value:.4g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return escape(f"{value:,}")
    return escape(value)


@cache
def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

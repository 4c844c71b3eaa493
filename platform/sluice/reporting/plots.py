"""Figures for pages: matplotlib drawn to inline SVG whose colours and font follow the page, in light and in dark.

Draw with the names below (INK, MUTED, GRID, SERIES): they are sentinel colours that `figure_svg` turns into the
page's CSS variables. The same figure gives the same bytes. Only matplotlib's objects are used, never pyplot's
global state, so that a step may draw in any thread.
"""

import re
import warnings
from io import StringIO

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from sluice.core.digests import sha256_bytes
from sluice.core.plain_text import lines, one_line

INK, MUTED, GRID, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
GOOD, BAD = "#0d0e0f", "#101112"
SERIES = ("#131415", "#161718", "#191a1b", "#1c1d1e", "#1f2021", "#222324")
"""Six colours that stay apart for colour-blind readers; vary the marker or the dash as well."""

WIDTH = 5.0
"""A figure's width in inches: 11 pt text is then about 10 px high on a phone."""
FONT_SIZE = 11
_LONGEST = 24  # letters of a label

_VARIABLES = {
    INK: "var(--ink, #17212b)",
    MUTED: "var(--muted, #55626f)",
    GRID: "var(--line, #d8dee4)",
    PAPER: "var(--paper, #ffffff)",
    GOOD: "var(--good, #0a7350)",
    BAD: "var(--bad, #b3320f)",
    "#000000": "var(--ink, #17212b)",
    "#ffffff": "var(--paper, #ffffff)",
    **{
        colour: f"var(--series-{number}, {light})"
        for number, (colour, light) in enumerate(
            zip(SERIES, ("#0b69b3", "#c9500a", "#00806a", "#a6408f", "#7d6700", "#5a5fa8"), strict=True), 1
        )
    },
}
_STYLE = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same on every machine
    "font.size": FONT_SIZE,
    "text.parse_math": False,  # names come from the lake, and `$` in one is no formula
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.titlesize": FONT_SIZE + 0.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
}

# The reader's own fonts draw the text; this one only measures it.
warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)


def new_figure(height: float = 3.4, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure in the house style with one pair of axes.

    Args:
        height: In inches.
        width: In inches; keep the default, unless the figure is meant to be small.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        return figure, figure.add_subplot()


def shortened(name: str) -> str:
    """A name that leaves room for the picture beside it."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def legend(axes: Axes, columns: int = 1, where: str = "best") -> None:
    """A legend in the house style; it draws no box."""
    axes.legend(frameon=False, fontsize=FONT_SIZE - 0.5, labelcolor=INK, ncols=columns, loc=where)


def figure_svg(figure: Figure, alt: str) -> Markup:
    """The figure as an inline `<svg>` element that scales with its place.

    Args:
        figure: From `new_figure`, or any matplotlib figure drawn in the colours of this module.
        alt: What it shows, in a sentence, for readers who cannot see it.

    Returns:
        SVG without fixed size, background, date or global ids: two figures on a page cannot disturb each other.
    """
    for axes in figure.axes:
        box = axes.get_legend()
        if box is not None:
            box.set_frame_on(False)
    for text in figure.findobj(Text):  # those that are made while drawing follow the style
        text.set_parse_math(False)
    buffer = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({**_STYLE, "svg.fonttype": "none", "svg.hashsalt": "sluice"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawing = lines(buffer.getvalue())
    content = Markup(_own_ids(_page_colours(_body(drawing))))  # noqa: S704 - matplotlib escapes
    root = Markup('<svg role="img" aria-label="{}" viewBox="{}" style="{}">{}</svg>')
    view_box = _view_box(drawing)
    largest = float(view_box.split()[2]) * _LARGEST_SCALE
    return root.format(one_line(alt), view_box, f"{_ROOT_STYLE}; max-width: {largest:.0f}px", content)


_ROOT_STYLE = "fill: var(--ink, #17212b); stroke-linejoin: round; stroke-linecap: butt"
_LARGEST_SCALE = 1.55  # beyond it the letters would outgrow the page's
_FONT = "var(--font, system-ui, sans-serif)"


def _view_box(drawing: str) -> str:
    match = re.search(r'viewBox="([^"]+)"', drawing)
    assert match, "matplotlib writes a viewBox"  # noqa: S101 - a fact about the library, not about input
    return match[1]


def _body(drawing: str) -> str:
    """What stands inside the root element, without metadata and without the style that would leak into the page."""
    inner = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>\s*", "", inner, flags=re.DOTALL)
    return re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", inner, count=1, flags=re.DOTALL)


def _page_colours(body: str) -> str:
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: _VARIABLES.get(match[0], match[0]), body)
    return re.sub(r"'DejaVu Sans'(, [^;\"]+)?", _FONT, body)


def _own_ids(body: str) -> str:
    """Drop ids that nothing refers to; prefix the others with a digest of the drawing."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    mark = f"f{sha256_bytes(body.encode())[:10]}"
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{mark}-{match[1]}"' if match[1] in used else "", body)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", body)

"""Sections of the report that a project or an installed package brings.

A section is a function of the evaluation's record and of the rows that gives its content as data: paragraphs, tables
and plots. Sluice's own renderer writes them, so a text shows as it is, whatever signs it holds. In `mine.py`:

    from sluice.extending.sections import Content, Plot, Table

    def regions(evaluation, rows):
        counts = rows["test"]["region"].value_counts()
        table = Table(["Region", "Test rows"], list(counts.items()))
        plot = Plot("bars", {"test rows": (list(counts.index), list(counts))}, "Test rows of each region")
        return Content("Regions", ["Where the test rows come from.", table, plot])

and in the project: `report: {sections: [mine.py:regions]}`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from sluice.core.extensions import Registry

Cell = str | int | float | bool | None
PlotKind = Literal["line", "points", "bars"]
MOST_PARTS, MOST_ROWS, MOST_COLUMNS, MOST_POINTS, MOST_SERIES, LONGEST = 50, 1_000, 50, 10_000, 6, 10_000
"""What one section may hold: a page is for people, and travels by mail."""


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise ValueError(f"{what} is no text of 1 to {LONGEST:,} characters")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        headers: The columns' names.
        rows: One cell for each column: texts, numbers (a float shows four significant digits), or None for a dash.
        caption: A sentence above it, or empty.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        """Refuse what no page could show; the message is told with the line of the project's code."""
        if not 0 < len(self.headers) <= MOST_COLUMNS or len(self.rows) > MOST_ROWS:
            raise ValueError(
                f"Table: it has {len(self.headers)} columns and {len(self.rows):,} rows; from 1 to {MOST_COLUMNS} "
                f"columns and up to {MOST_ROWS:,} rows are shown"
            )
        for number, row in enumerate(self.rows):
            if isinstance(row, str) or len(row) != len(self.headers):
                raise ValueError(f"Table: row {number} has not one cell for each of {len(self.headers)} columns")


@dataclass(frozen=True)
class Plot:
    """A plot of a few series.

    Attributes:
        kind: `line`, `points` or `bars`.
        series: By name, places and heights, equally many: `{"test": (x, y)}`. The places of bars may be texts, and are
            the same in each series.
        shows: What it shows, in a sentence: the caption, and what a reader who cannot see it hears.
        x: The name of the horizontal axis.
        y: That of the vertical one.
    """

    kind: PlotKind
    series: Mapping[str, tuple[Sequence[Any], Sequence[float]]]
    shows: str
    x: str = ""
    y: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn; the message is told with the line of the project's code."""
        if self.kind not in get_args(PlotKind):
            raise ValueError(f"Plot: the kind {self.kind!r} is unknown; use one of {', '.join(get_args(PlotKind))}")
        _check_text("Plot: shows", self.shows)
        if not isinstance(self.series, Mapping) or not 0 < len(self.series) <= MOST_SERIES:
            raise ValueError(f"Plot: series must be a dict of 1 to {MOST_SERIES} names, each with (x, y)")
        for name, pair in self.series.items():
            _check_series(str(name), pair, self.kind)
        places = [list(pair[0]) for pair in self.series.values()]
        if self.kind == "bars" and any(each != places[0] for each in places):
            raise ValueError("Plot: the bars of each series must stand at the same places")


def _check_series(name: str, pair: Any, kind: str) -> None:  # noqa: ANN401 - whatever was given
    if not isinstance(pair, tuple | list) or len(pair) != 2 or len(pair[0]) != len(pair[1]) or not len(pair[0]):
        raise ValueError(f"Plot: series {name!r} is no pair (x, y) of equally many values")
    if len(pair[0]) > MOST_POINTS:
        raise ValueError(f"Plot: series {name!r} has {len(pair[0]):,} points; at most {MOST_POINTS:,} are drawn")
    numbers = pair[1] if kind == "bars" else [*pair[0], *pair[1]]
    if not all(_is_finite(number) for number in numbers):
        raise ValueError(f"Plot: series {name!r} holds something that is no finite number")


def _is_finite(number: Any) -> bool:  # noqa: ANN401 - whatever was given
    try:
        return not isinstance(number, str) and math.isfinite(number)
    except (TypeError, OverflowError):
        return False


@dataclass(frozen=True)
class Content:
    """What a section holds.

    Attributes:
        title: Its heading.
        parts: In order: a text is a paragraph.
    """

    title: str
    parts: Sequence[str | Table | Plot]

    def __post_init__(self) -> None:
        """Refuse what no page could show; the message is told with the line of the project's code."""
        _check_text("Content: the title", self.title)
        if isinstance(self.parts, str) or not 0 < len(self.parts) <= MOST_PARTS:
            raise ValueError(f"Content: parts must be a list of 1 to {MOST_PARTS} texts, tables and plots")
        for number, part in enumerate(self.parts):
            if isinstance(part, str):
                _check_text(f"Content: part {number}", part)
            elif not isinstance(part, Table | Plot):
                raise ValueError(f"Content: part {number} is {type(part).__name__}; give a text, Table or Plot")


class ReportSection(Protocol):
    """A section of the report."""

    def __call__(self, evaluation: Any, rows: Mapping[str, Any]) -> Content:  # noqa: ANN401 - a layer above
        """What it holds.

        Args:
            evaluation: The `sluice.evaluation.record.EvaluationRecord`: all that was found, the gate's decision too.
            rows: pandas data frames by name: `validation` and `test`, the rows with their label, and `forecasts`, what
                the winner says of each test row: its key, and `forecast`, or a column for each class.
        """
        ...


REPORT_SECTIONS: Registry[ReportSection] = Registry("report_sections", ReportSection, {}, title="report section")
"""Those that projects and installed packages bring."""

"""The quality page's figures."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import ibis
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.patches import Rectangle

from sluice.reporting.plots import FONT_SIZE, INK, SERIES, figure_svg, legend, new_figure, shortened

_DASHES = ("-", "--", "-.", ":")
MOST_COLUMNS = 16
_FAINTEST, _FULLEST = 0.06, 0.5  # opacity: the least is still to be seen, and numbers stay legible on the most
_MOST_MONTHS = 1200
_FIRST_YEAR, _LAST_YEAR = 100, 9900  # Matplotlib's dates end at the years 1 and 9999, its margins and ticks before
_LONGEST_YEAR = 366
_NUMBERED = 14  # more months leave no room for numbers


def rows_by_day(times: Mapping[str, Any]) -> Markup:
    """Rows by day of each table's timestamp, as lines.

    Args:
        times: Ibis timestamp columns by table.
    """
    figure, axes = new_figure()
    counts = {name: _by_day(column) for name, column in times.items()}
    extreme = any(not _FIRST_YEAR <= day.year <= _LAST_YEAR for days, _ in counts.values() for day in days)
    for place, (name, (days, rows)) in enumerate(counts.items()):
        dash, colour = _DASHES[place % len(_DASHES)], SERIES[place % len(SERIES)]
        along: list[Any] = list(map(_years, days)) if extreme else list(days)
        axes.plot(along, rows, dash, linewidth=1.2, color=colour, label=name)
    axes.set_ylim(bottom=0)
    if extreme:
        axes.set_xlabel("year")
    else:
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    legend(axes)
    return figure_svg(figure, f"Rows by day of {', '.join(times)}")


def _by_day(column: Any) -> tuple[list[datetime], list[int]]:  # noqa: ANN401 - Ibis's columns
    """The days that have rows, and how many each has."""
    days = column.truncate("D").name("day").value_counts(name="rows")
    found = days.filter(days.day.notnull()).order_by("day").to_pyarrow()
    return found["day"].to_pylist(), found["rows"].to_pylist()


def _years(day: datetime) -> float:
    return day.year + (day.timetuple().tm_yday - 1) / _LONGEST_YEAR


def missing_by_month(table: ibis.Table, time: str, columns: Sequence[str]) -> Markup | None:
    """The share of missing values by column and month, as a grid of fainter and fuller cells.

    Args:
        table: The table.
        time: Its timestamp column.
        columns: Columns with missing values; MOST_COLUMNS of them are shown.

    Returns:
        The figure, or None when no column has any, or the rows are of one month or of more than can be drawn.
    """
    if not columns:
        return None
    month = table[time].truncate("M")
    missing = [table[name].isnull().mean().name(f"share{place}") for place, name in enumerate(columns)]
    by_month = table.group_by(month=month).aggregate(missing)
    found = by_month.filter(by_month.month.notnull()).order_by("month").to_pyarrow().to_pylist()
    if not 2 <= len(found) <= _MOST_MONTHS:
        return None
    shares = {name: [row[f"share{place}"] for row in found] for place, name in enumerate(columns)}
    shown = sorted(columns, key=lambda name: -sum(shares[name]))[:MOST_COLUMNS]
    figure, axes = new_figure(1.0 + 0.3 * len(shown))
    _grid(axes, [row["month"] for row in found], shown, [shares[name] for name in shown])
    return figure_svg(figure, f"Share of missing values by month: most in {shown[0]}")


def _grid(axes: Axes, months: Sequence[datetime], columns: Sequence[str], shares: Sequence[Sequence[float]]) -> None:
    numbered = len(months) <= _NUMBERED
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            if share:
                shade = _FAINTEST + (_FULLEST - _FAINTEST) * share
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=SERIES[0], alpha=shade, lw=0))
            if share and numbered:
                number = f"{share * 100:.0f}" if share >= 0.01 else "<1"
                axes.text(x, y, number, ha="center", va="center", color=INK, fontsize=FONT_SIZE - 3)
    axes.set(xlim=(-0.5, len(months) - 0.5), ylim=(len(columns) - 0.5, -0.5))
    axes.set_yticks(range(len(columns)), [shortened(name) for name in columns])
    step = -(-len(months) // _NUMBERED)
    axes.set_xticks(
        range(0, len(months), step), [f"{month:%b\n%Y}" for month in months[::step]], fontsize=FONT_SIZE - 3
    )
    axes.grid(visible=False)
    axes.tick_params(length=0)

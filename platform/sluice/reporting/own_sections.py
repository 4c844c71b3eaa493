"""Sections that a project or an installed package brings, rendered: they give data, and the escaping is done here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from sluice.core.extensions import Opened
from sluice.engine.datasets import read_dataset
from sluice.evaluation.candidates import TEST
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.own_checks import in_time
from sluice.extending.sections import Content, Plot, ReportSection, Table
from sluice.reporting.pages import Cell, Section, figure_html, render_page, table_html, text_html
from sluice.reporting.plots import SERIES, figure_svg, legend, new_figure, shortened

FORECASTS = "forecasts"
_DASHES = ("-", "--", "-.", ":", "-", "--")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_LONGEST_CELL = 1000
_MOST_NAMED = 30  # places whose names an axis has room for


class RowTables(Mapping[str, pd.DataFrame]):
    """The tables of a split dataset and the winner's forecasts, each read when a section first asks for it.

    Args:
        splits: The dataset's address.
        found: The evaluation.
    """

    def __init__(self, splits: str, found: Evaluation) -> None:
        self._splits, self._found = splits, found
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table's rows, ordered by key; a section may change its copy."""
        if name not in tuple(self):
            raise KeyError(f"{name!r}; there are {', '.join(self)}")
        if name not in self._read:
            self._read[name] = self._forecasts() if name == FORECASTS else self._table(name)
        return self._read[name].copy()

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(("validation", TEST, FORECASTS))

    def __len__(self) -> int:
        """How many there are."""
        return 3

    def _table(self, name: str) -> pd.DataFrame:
        with read_dataset(self._splits) as (_, tables):
            frame: pd.DataFrame = tables[name].to_pandas()
            return frame

    def _forecasts(self) -> pd.DataFrame:
        task, rows = self._found.task, self[TEST]
        keys = rows[list(task.key)]
        if self._found.regression:
            return keys.assign(forecast=self._found.numbers.forecasts)
        said = pd.DataFrame(self._found.classified.probabilities, columns=list(task.classes), index=keys.index)
        return pd.concat([keys, said], axis=1)


def own_sections(
    found: Evaluation, sections: Sequence[tuple[str, Opened[ReportSection]]], splits: str
) -> list[Section]:
    """The sections, rendered.

    Args:
        found: The evaluation, with the answers of all checks.
        sections: The short name of each, and what makes it.
        splits: The address of the split dataset.

    Raises:
        BadInput: A section raised an error, gave no content, or did not end in time.
    """
    rows = RowTables(splits, found)
    return [_section(name, section, found, rows) for name, section in sections]


def _section(name: str, section: Opened[ReportSection], found: Evaluation, rows: RowTables) -> Section:
    with in_time(section.what, found.settings.seconds_per_check), section.blamed():
        content = section.thing(found.record(), rows)
    if not isinstance(content, Content):
        raise section.gave(content, "give sluice.extending.sections.Content(title, parts)")
    made = Section(f"own-{name.lower()}", _plain(content.title), Markup("").join(_part(part) for part in content.parts))
    render_page(content.title, [made])  # a title or an id that no page could hold is refused here, by its name
    return made


def _part(part: str | Table | Plot) -> Markup:
    if isinstance(part, str):
        return text_html(_plain(part))
    if isinstance(part, Table):
        rows = [[_cell(cell) for cell in row] for row in part.rows]
        return table_html([_plain(header) for header in part.headers], rows, caption=_plain(part.caption))
    return figure_html(_drawn(part), _plain(part.shows))


def _plain(text: object) -> str:
    """A text as it is: `Markup`, which would pass as HTML, becomes the letters that it is made of."""
    return "".join(str(text))


def _cell(cell: Any) -> Cell:  # noqa: ANN401 - whatever was given
    """A plain value, as `pages.table_html` shows them."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or (isinstance(cell, float) and not np.isfinite(cell)):
        return None
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return cell if isinstance(cell, int | float) else _plain(cell)[:_LONGEST_CELL]


def _drawn(plot: Plot) -> Markup:
    figure, axes = new_figure()
    for place, (name, (x, y)) in enumerate(plot.series.items()):
        label = shortened(str(name))
        if plot.kind == "line":
            axes.plot(list(x), list(y), color=SERIES[place], linestyle=_DASHES[place], label=label)
        elif plot.kind == "points":
            axes.plot(list(x), list(y), _MARKERS[place], color=SERIES[place], markersize=4, label=label)
        else:
            width = 0.8 / len(plot.series)
            axes.bar(np.arange(len(x)) + place * width, list(y), width * 0.9, color=SERIES[place], label=label)
    if plot.kind == "bars":
        _name_bars(axes, plot)
    axes.set(xlabel=plot.x, ylabel=plot.y)
    if len(plot.series) > 1:
        legend(axes)
    return figure_svg(figure, _plain(plot.shows))


def _name_bars(axes: Any, plot: Plot) -> None:  # noqa: ANN401 - matplotlib's
    """The bars' names, as many as there is room for."""
    names = [shortened(str(name)) for name in next(iter(plot.series.values()))[0]]
    places = np.arange(len(names)) + 0.4 * (1 - 1 / len(plot.series))
    step = -(-len(names) // _MOST_NAMED)
    slant = {"rotation": 45, "ha": "right"} if len(names) > 4 else {}
    axes.set_xticks(places[::step], names[::step], **slant)

"""What a window is held to: pinned rows, and all that is learned from them once.

A reference never rolls by itself: held to last week, a model that gets a little worse each week is fine for ever. A
seasonal one has the rows of the same weekdays, or of the same weekdays and hours, as the window.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sluice.core.errors import BadInput
from sluice.monitoring.column_counts import (
    QUANTILES,
    Cells,
    Counted,
    count,
    finite,
    is_name,
    learn_cells,
    numbers_of,
    watched,
)
from sluice.monitoring.distances import beyond_noise
from sluice.monitoring.evidence import share_bound
from sluice.monitoring.importances import importances
from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows
from sluice.monitoring.performance import Measured, measured, widening
from sluice.monitoring.records import Span, WatchSettings
from sluice.monitoring.row_tables import RowForm, RowTable, codes, quoted

_LEAST_WINDOWS = 4  # to tell from them how much windows differ
_MOST_WINDOWS = 14
_LEAST_LABELS = 50
_EXACT_ROWS = 2_000_000


@dataclass(frozen=True)
class Reference:
    """What is known of the reference.

    Attributes:
        table: Its rows.
        form: What their columns are.
        cells: By watched column.
        counted: By watched column.
        judged: Random rows as the model sees them; those with a label where there is a forecast and a label.
        known: Its metrics; None without forecasts or labels.
        importance: By feature.
        margins: By column, the distance that does not matter.
        missing: By column, the greatest share of missing values in any window of the reference.
        widening: By how much a metric's error exceeds what rows alone give.
        repeated: How many rows repeat another.
        windows: How many windows the reference has; 0 where rows have no moment.
        clocks: Columns that only grow with the rows' moments, which are not watched.
    """

    table: RowTable
    form: RowForm
    cells: dict[str, Cells]
    counted: dict[str, Counted]
    judged: JudgedRows | None
    known: Measured | None
    importance: dict[str, float]
    margins: dict[str, float]
    missing: dict[str, float]
    widening: float
    repeated: int
    windows: int
    clocks: tuple[str, ...] = ()


def learn_reference(table: RowTable, form: RowForm, settings: WatchSettings) -> Reference:
    """Learn all that a window is held to.

    Raises:
        BadInput: It has no column to watch.
    """
    if not form.features:
        raise BadInput(f"{table.name} has no column to watch: numbers and texts that are no forecast and no label")
    part = table.part(_needed(form), settings.rows)
    clocks = clocks_of(part, form)
    form = _without(form, clocks)
    cells = learn_cells(table, part, form)
    counted = with_quantiles(count(table, cells), cells, part)
    names = {name for name in cells if is_name(cells[name], counted[name])}
    if names:  # a column that names its rows says nothing of other rows
        form = _without(form, names)
        cells = {name: each for name, each in cells.items() if name not in names}
        counted = {name: each for name, each in counted.items() if name not in names}
    judged = judged_rows(part, form, cells) if form.forecasts else None
    labelled = judged.subset(np.asarray(judged.labelled)) if judged is not None else None
    known = measured(labelled) if labelled is not None and len(labelled) >= _LEAST_LABELS else None
    shares = importances(judged, list(form.features)) if judged is not None else {}
    spread = _spread(table, form, cells, counted, settings)
    wide, windows = 1.0, len(spread.rows)
    if labelled is not None and known is not None and windows >= _LEAST_WINDOWS and judged is not None:
        groups = window_numbers(part, form, settings.span)
        groups = groups[judged.labelled] if len(groups) == len(judged) else np.zeros(len(labelled), np.int64)
        wide = widening(labelled, groups, settings.metric)
    return Reference(
        table,
        form,
        cells,
        counted,
        labelled if known is not None else judged,
        known,
        shares or dict.fromkeys(form.features, 1 / len(form.features)),
        spread.margins,
        spread.missing,
        wide,
        repeated(table, form),
        windows,
        clocks,
    )


def _without(form: RowForm, names: Collection[str]) -> RowForm:
    kept = {name: kind for name, kind in form.features.items() if name not in names}
    return replace(form, features=kept, other=(*form.other, *sorted(names)))


def clocks_of(part: Any, form: RowForm) -> tuple[str, ...]:  # noqa: ANN401 - pyarrow
    """Numbers that only grow with the rows' moments, such as a month or a running number; not all of the features.

    Later rows lie beyond such a column whatever else changed, so that nothing could be learned for them from the
    reference, and each window would differ.

    Args:
        part: An Arrow table with the columns of the form.
        form: What they are.
    """
    if not form.time:
        return ()
    order = np.argsort(_microseconds(part, form.time), kind="stable")
    found = []
    for name in (name for name, kind in form.features.items() if kind == "number"):
        values = numbers_of(part.column(name))[order]
        values = values[np.isfinite(values)]
        if len(values) > 1 and values[0] < values[-1] and bool((np.diff(values) >= 0).all()):
            found.append(name)
    return tuple(found) if len(found) < len(form.features) else ()


def _microseconds(part: Any, name: str) -> Integers:  # noqa: ANN401 - pyarrow
    import pyarrow as pa

    column = part.column(name).cast(pa.timestamp("us")).cast(pa.int64()).combine_chunks()
    return np.asarray(np.nan_to_num(column.to_numpy(zero_copy_only=False)), np.int64)


def _needed(form: RowForm) -> list[str]:
    names = [*form.features, *form.forecasts, form.called, form.label, form.time]
    return list(dict.fromkeys(name for name in names if name))


def judged_rows(part: Any, form: RowForm, cells: Mapping[str, Cells]) -> JudgedRows:  # noqa: ANN401 - pyarrow
    """Rows as the model's judges see them.

    Args:
        part: An Arrow table with the columns of the form; a label may be absent.
        form: What they are.
        cells: Of the reference: they decide the codes of texts.
    """
    features = np.zeros((len(part), max(1, len(form.features))))
    for place, (name, kind) in enumerate(form.features.items()):
        column = part.column(name)
        features[:, place] = numbers_of(column) if kind == "number" else codes(column, cells[name].values)
    values = np.column_stack([numbers_of(part.column(name)) for name in form.forecasts])
    usable = np.isfinite(values).all(axis=1)
    called = labels = None
    if form.called and form.called in part.column_names and form.classes:
        called = codes(part.column(form.called), form.classes)
        usable &= np.isfinite(called) & (called < len(form.classes))
    if form.label and form.label in part.column_names:
        labels = _labels(part.column(form.label), form)
    rows = JudgedRows(
        form.problem,
        values[:, 0] if not form.classes else values,
        features,
        None if called is None else np.nan_to_num(called).astype(np.int64),
        labels,
    )
    return rows.subset(np.asarray(usable))


def _labels(column: Any, form: RowForm) -> Floats:  # noqa: ANN401 - pyarrow
    """Class codes, or numbers; NaN where a label has not come."""
    import pyarrow as pa

    if not form.classes:
        return numbers_of(column)
    if pa.types.is_integer(column.type) and not all(name.lstrip("-").isdigit() for name in form.classes):
        found = numbers_of(column)  # codes, as prepared rows have them
        wrong = np.isfinite(found) & ~np.isin(found, np.arange(len(form.classes)))
    elif pa.types.is_boolean(column.type):
        found = numbers_of(column.cast(pa.int8()))
        wrong = np.zeros(len(found), bool)
    else:
        found = codes(column, form.classes)
        wrong = found == len(form.classes)
    if wrong.any():
        shown = column[int(np.argmax(wrong))].as_py()
        raise BadInput(f"column {form.label!r} has the label {shown!r}, and the classes are {', '.join(form.classes)}")
    return found


def window_numbers(part: Any, form: RowForm, span: Span) -> Integers:  # noqa: ANN401 - pyarrow
    """Which window each row of a part is in, shape (rows,)."""
    if not form.time or span == "none":
        return np.zeros(len(part), np.int64)
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = part.column(form.time).cast(pa.timestamp("us"))
    floored = pc.floor_temporal(moments, unit=span)
    found = floored.cast(pa.int64()).combine_chunks().to_numpy(zero_copy_only=False)
    return np.asarray(np.unique(np.nan_to_num(found), return_inverse=True)[1], np.int64)


@dataclass(frozen=True)
class _Spread:
    """How much the reference's own windows differ: rows by window, and by column distances and missing values."""

    rows: dict[str, int]
    margins: dict[str, float]
    missing: dict[str, float]


def _spread(
    table: RowTable, form: RowForm, cells: dict[str, Cells], counted: dict[str, Counted], settings: WatchSettings
) -> _Spread:
    """The greatest distance of a reference window from the whole is no drift, nor is what it lacks."""
    margins = {name: settings.forecasts_apart if name in form.forecasts else settings.apart for name in cells}
    missing = {name: each.missing / each.rows for name, each in counted.items()}
    if not form.time or settings.span == "none":
        return _Spread({}, margins, missing)
    rows = {}
    found = window_tables(table, form.time, settings.span)[-_MOST_WINDOWS:]
    if len(found) < _LEAST_WINDOWS:
        return _Spread({name: each.rows for name, each in found}, margins, missing)
    for window, each in found:
        rows[window] = each.rows
        for name, now in count(each, cells).items():
            apart = beyond_noise(now.with_missing, counted[name].with_missing)
            margins[name] = max(margins[name], apart)
            missing[name] = max(missing[name], share_bound(now.missing, now.rows) if now.missing else 0.0)
    return _Spread(rows, margins, missing)


def window_tables(table: RowTable, time: str, span: Span) -> list[tuple[str, RowTable]]:
    """The windows of a table by name, in the order of time; rows without a moment are in none."""
    column = f"{quoted(time)}::TIMESTAMP"
    where = "AND" if table.where else "WHERE"
    begins = table.query(
        f"date_trunc('{span}', {column}) AS w, count(*)", f"{where} {quoted(time)} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    form = {"hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}.get(span, "%Y-%m-%d")
    return [
        (
            begin.strftime(form),
            replace(
                table.within("true"),
                where=(f"({table.where}) AND " if table.where else "")
                + f"{column} >= TIMESTAMP '{begin}' AND {column} < TIMESTAMP '{begin}' + INTERVAL 1 {span}",
                rows=int(rows),
            ),
        )
        for begin, rows in begins
    ]


def with_quantiles(counted: dict[str, Counted], cells: Mapping[str, Cells], part: Any) -> dict[str, Counted]:  # noqa: ANN401 - pyarrow
    """The same with the quantiles of the numbers of a part."""
    found = dict(counted)
    for name, each in counted.items():
        if cells[name].kind == "number" and len(values := finite(part.column(name))):
            found[name] = replace(each, quantiles=tuple(map(float, np.quantile(values, QUANTILES))))
    return found


def repeated(table: RowTable, form: RowForm) -> int:
    """How many rows repeat another in every feature; an estimate where there are millions."""
    names = ", ".join(quoted(name) for name in form.features if name in table.columns)
    if not names:
        return 0
    distinct = "count(DISTINCT {})" if table.rows <= _EXACT_ROWS else "approx_count_distinct({})"
    return max(0, table.rows - int(table.query(distinct.format(f"hash({names})"))[0][0]))


def season_of(table: RowTable, form: RowForm, settings: WatchSettings) -> str:
    """The condition on reference rows that are of the same season as a window; empty where all are."""
    if settings.season == "none" or not form.time:
        return ""
    column = f"{quoted(form.time)}::TIMESTAMP"
    part = f"isodow({column})" if settings.season == "weekday" else f"isodow({column}) * 24 + hour({column})"
    where = "AND" if table.where else "WHERE"
    found = sorted(int(row[0]) for row in table.query(f"DISTINCT {part}", f"{where} {quoted(form.time)} IS NOT NULL"))
    every = 7 if settings.season == "weekday" else 168
    return "" if len(found) == every else f"{part} IN ({', '.join(map(str, found))})"


__all__ = ["Reference", "judged_rows", "learn_reference", "repeated", "season_of", "watched", "window_tables"]

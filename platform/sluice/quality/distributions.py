"""How the values of each column are spread: drawn small enough to stand in a table's cell."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from math import isinf
from typing import Any

import ibis
from markupsafe import Markup

from sluice.contract.reading import Column, TableContract
from sluice.quality.aggregation import aggregated
from sluice.quality.profiles import ColumnProfile, Profile

_BINS = 24
_COMMON = 3
_LONGEST = 24
_HEIGHT = 10
_AT_ONCE = 20  # histograms in one query
_SCALE = 2.0**-10


def _histogram(place: Any) -> Any:  # noqa: ANN401 - Ibis's columns
    """DuckDB's own aggregate: how often each value occurs."""
    raise NotImplementedError(place)  # Ibis takes the signature alone


histogram = ibis.udf.agg.builtin(_histogram, name="histogram", signature=(("int64",), "map<int64, int64>"))


def spreads(table: ibis.Table, contract: TableContract, counted: Profile) -> dict[str, Markup | str]:
    """The spread by column: a small histogram of numbers and times, the commonest values of anything else.

    Args:
        table: The table.
        contract: What its values may be.
        counted: What was counted of it.

    Returns:
        A cell for a page's table by column; a column without values has none.
    """
    places: dict[str, Any] = {}
    cells: dict[str, Markup | str] = {}
    for name, found in counted.columns.items():
        stated = contract.columns[name]
        limits = _limits(stated, found)
        if stated.type in ("string", "bool"):
            cells[name] = _commonest(table, name)
        elif limits:
            places[name] = histogram(_place(table[name], stated, *limits))
    numbered = {f"h{n}": place for n, place in enumerate(places.values())}
    for name, counts in zip(places, aggregated(table, numbered, _AT_ONCE).values(), strict=True):
        cells[name] = _sparkline(_bins(counts))
    return cells


def _bins(counts: Sequence[tuple[int, int]] | None) -> list[int]:
    """Rows by bin; the greatest value itself, and what rounding puts beyond it, is in the last."""
    bins = [0] * _BINS
    for place, rows in counts or ():
        if place is not None:
            bins[min(max(place, 0), _BINS - 1)] += rows
    return bins


def _limits(stated: Column, counted: ColumnProfile) -> tuple[float, float] | None:
    """Where the values lie; what the contract calls implausible may not stretch the picture."""
    least, greatest = counted.least, counted.greatest
    if least is None or stated.type in ("string", "bool"):
        return None
    if isinstance(least, date):
        return _seconds(least), _seconds(greatest)
    if stated.range:
        least, greatest = max(least, stated.range[0]), min(greatest, stated.range[1])
    return (float(least), float(greatest)) if -float("inf") < least <= greatest < float("inf") else None


def _seconds(moment: date) -> float:
    when = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    return float((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() // 1)


def _place(column: Any, stated: Column, least: float, greatest: float) -> Any:  # noqa: ANN401 - Ibis's columns
    """The bin of each value, null outside the limits; as short as can be, for a table may have thousands of columns."""
    value = column.cast("timestamp").epoch_seconds() if stated.type in ("timestamp", "date") else column
    number, scale = value.cast("float64"), 1.0
    if stated.range or stated.type == "float64":
        number = ibis.ifelse(value.between(least, greatest), number, ibis.null("float64"))
    if isinf(greatest - least):
        number, scale = number * _SCALE, _SCALE  # a double cannot hold the difference
    width = (greatest * scale - least * scale) / _BINS or 1.0
    return ((number - least * scale) / width).floor().cast("int64")


def _commonest(table: ibis.Table, name: str) -> str:
    counts = table[name].name("value").value_counts(name="rows").filter(lambda t: t.value.notnull())
    whole = counts.mutate(total=counts.rows.sum().over(), values=counts.count().over())
    first = whole.order_by(ibis.desc("rows"), "value").limit(_COMMON).to_pyarrow().to_pylist()
    if first and first[0]["rows"] == 1:
        return f"{first[0]['values']:,} different values"
    shown = ", ".join(f"{_short(str(row['value']))} {row['rows'] / row['total']:.0%}" for row in first)
    more = first[0]["values"] - len(first) if first else 0
    return f"{shown} and {more:,} more" if more else shown


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _sparkline(counts: Sequence[int]) -> Markup:
    """Bars as one path in the page's colour. A page has dozens, and matplotlib takes 50 ms for each figure."""
    top = max(counts) or 1
    bars = "".join(
        f"M{place} {_HEIGHT}v{-max(count / top * _HEIGHT, 0.6):.2f}h.85V{_HEIGHT}z"
        for place, count in enumerate(counts)
        if count
    )
    return Markup(
        '<svg viewBox="0 0 {} {}" width="96" height="22" preserveAspectRatio="none" role="img" aria-label="histogram">'
        '<path d="{}" style="fill: var(--series-1)"/></svg>'
    ).format(_BINS, _HEIGHT, bars)

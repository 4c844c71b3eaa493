"""Joining what was known in time. The gate believes none of this: it reads the lag off the expression."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ibis

from sluice.core.column_names import free_name, named
from sluice.core.errors import BadInput

AGGREGATES = {"count": ("count",), "max": ("max",), "mean": ("count", "sum"), "min": ("min",), "sum": ("sum",)}


def join_earlier(
    events: ibis.Table,
    observations: ibis.Table,
    on: Sequence[str],
    time: str,
    columns: Sequence[str] | Mapping[str, str],
    *,
    hours: int = 1,
    observed_at: str | None = "observed_at",
) -> ibis.Table:
    """Give each event the observation made some hours before it.

    Args:
        events: Rows with the columns `on` and `time`.
        observations: At most one row for each value of `on` and `time`.
        on: Columns that must agree, such as the place.
        time: The timestamp column of both, on the hour.
        columns: What to take from the observation; a mapping gives it new names.
        hours: How much older the observation is than the event.
        observed_at: The column for the observation's time; None to leave it out.

    Returns:
        All events, with `columns` (null where nothing was observed) and `observed_at`.
    """
    taken = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    used = {*events.columns, *taken, *([observed_at] if observed_at else [])}
    keys, (known_at,) = _fresh("key", len(on), used), _fresh("known_at", 1, used)
    values = {name: observations[column] for name, column in taken.items()}
    stamp = {observed_at: observations[time]} if observed_at else {}
    keyed = _keyed(observations, keys, on)
    earlier = observations.select(
        named({**values, **stamp, **keyed, known_at: observations[time] + ibis.interval(hours=hours)})
    )
    matches = [events[name] == earlier[key] for key, name in zip(keys, on, strict=True)]
    return events.left_join(earlier, [*matches, events[time] == earlier[known_at]]).drop(*keys, known_at)


def aggregate_earlier(
    events: ibis.Table,
    observations: ibis.Table,
    on: Sequence[str],
    time: str,
    aggregates: Mapping[str, tuple[str, str]],
    *,
    lag_hours: float,
    window_hours: float,
    moments: ibis.Table | None = None,
) -> ibis.Table:
    """Give each event aggregates of what was observed before it, at least a lag before.

    The window is half open, so that three hours hold three hourly observations: an observation counts when
    `event.time - lag_hours - window_hours < observation.time <= event.time - lag_hours`.

    Args:
        events: Rows with the columns `on` and `time`.
        observations: Rows with `on`, `time` and what is aggregated; it may be the very table of the events.
        on: Columns that must agree, such as the route; none for all observations.
        time: The timestamp column of both.
        aggregates: For each new column the observations' column and one of AGGREGATES, such as `("rain", "sum")`.
        lag_hours: How much older an observation is than the event, at least: the contract's `known`.
        window_hours: How far the window reaches back beyond the lag.
        moments: Where to read off which values of `on` and `time` events have; by default the events themselves. The
            table that they were made from is cheaper when they were joined much.

    Returns:
        All events with the new columns, null (a count: 0) where nothing was observed in the window.

    Raises:
        BadInput: An aggregate is unknown, or the window is empty.
    """
    wrong = [how for _, how in aggregates.values() if how not in AGGREGATES]
    if wrong or window_hours <= 0:
        raise BadInput(
            f"aggregate_earlier: {wrong[0]!r} is no aggregate; use one of {', '.join(AGGREGATES)}"
            if wrong
            else f"aggregate_earlier: window_hours {window_hours:g} must be more than 0"
        )
    used = {*events.columns, *aggregates}
    keys, (at, asked) = _fresh("key", len(on), used), _fresh("at", 2, used)
    needed = dict.fromkeys(column for column, _ in aggregates.values())
    values = dict(zip(needed, _fresh("value", len(needed), used), strict=True))
    seen = observations.select(
        **_keyed(observations, keys, on),
        **{at: observations[time], asked: False},
        **{value: observations[column] for column, value in values.items()},
    )
    where = events if moments is None else moments
    nothing = {value: ibis.null(seen[value].type()) for value in values.values()}
    points = where.select(**_keyed(where, keys, on), **{at: where[time], asked: True}, **nothing)
    # The moments asked for stand among the observations, one row a moment, so that one window serves both.
    moment = seen.union(points.cast(seen.schema())).group_by(*keys, at)
    parts = {
        f"{values[column]}_{part}": (values[column], part)
        for column, how in aggregates.values()
        for part in AGGREGATES[how]
    }
    each = moment.agg(
        **{asked: lambda t: t[asked].any()},
        **{name: (lambda t, v=value, p=part: getattr(t[v], p)()) for name, (value, part) in parts.items()},
    )
    start, end = _interval(lag_hours + window_hours, -1), _interval(lag_hours)
    window = ibis.range_window(group_by=keys or None, order_by=at, preceding=(start, end))
    results = {name: _over(each, values[column], how, window) for name, (column, how) in aggregates.items()}
    known = each.select(*keys, at, asked, *named(results))
    known = known.filter(known[asked]).drop(asked)
    matches = [events[name].identical_to(known[key]) for key, name in zip(keys, on, strict=True)]
    return events.left_join(known, [*matches, events[time] == known[at]]).drop(*keys, at)


def _over(table: ibis.Table, value: str, how: str, window: Any) -> Any:  # noqa: ANN401 - Ibis's expressions
    """An aggregate over a window, from the counts, sums and extremes of each moment."""
    extreme = {"max": "max", "min": "min"}
    parts = [getattr(table[f"{value}_{part}"], extreme.get(part, "sum"))().over(window) for part in AGGREGATES[how]]
    if how == "mean":
        return parts[1].cast("float64") / parts[0].nullif(0)
    return ibis.coalesce(parts[0], 0) if how == "count" else parts[0]


def _keyed(table: ibis.Table, keys: Iterable[str], on: Iterable[str]) -> dict[str, Any]:
    return {key: table[name] for key, name in zip(keys, on, strict=True)}


def _interval(hours: float, microseconds: int = 0) -> Any:  # noqa: ANN401 - Ibis's expressions
    return ibis.interval(microseconds=round(hours * 3_600_000_000) + microseconds)


def _fresh(stem: str, number: int, used: Iterable[str]) -> list[str]:
    """Names that are not used, whatever the case."""
    return [free_name(f"{stem}_{place}", used) for place in range(number)]

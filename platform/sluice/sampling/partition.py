"""Which part each row belongs to, by time or at random, as Ibis expressions that every engine computes alike."""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import ibis

from sluice.core.column_names import free_name
from sluice.core.durations import duration_words
from sluice.core.errors import BadInput
from sluice.engine.row_order import with_row_order
from sluice.sampling.local_days import before, check_time, known_before, rows_by_day, stamps, zone_named
from sluice.sampling.splitters import PARTS

PURPOSE = "split"
UNKNOWN = "label not known when {} begins"
"""Why a row before a cut is in no part."""
_LEAST_TILE = 10


def by_time(
    table: ibis.Table, time: str, zone: str, shares: Sequence[Fraction], part: str, gap: float = 0.0
) -> tuple[ibis.Table, list[str]]:
    """Cut the rows at local midnights, so that the parts follow each other in time and share no day.

    Each cut is the midnight that comes nearest to the share wanted and leaves each part a day at least. Rows before a
    cut whose label is not known when the next part begins are in no part: whoever forecasts from then on could not have
    learned from them.

    Args:
        table: Rows.
        time: Their column with timestamps (without a zone they are UTC) or dates.
        zone: Whose midnights, e.g. `America/New_York`; days on which clocks change have 23 or 25 hours there.
        shares: Of train, validation and test.
        part: The new column, with the name of each row's part, or the reason why it is in none.
        gap: How many seconds after a row's time its label is known.

    Returns:
        The table with the new column, and the two cuts, ISO 8601 with the zone's offset: the first moment of
        validation, and of test.

    Raises:
        BadInput: A row has no time, the column is no time, the zone is unknown, the rows span less than three days, or
            the gap leaves no row of a part.
    """
    place = zone_named(zone)
    check_time(table, time)
    counted = rows_by_day(table, time, place)
    if len(counted) < len(PARTS):
        raise BadInput(
            f"the rows lie on {len(counted)} days of {time!r}, too few for a split by time; use strategy 'stratified'"
        )
    days = [counted[i][0] for i in _cuts([rows for _, rows in counted], shares)]
    branches = []
    for day, name, later in zip(days, PARTS, PARTS[1:], strict=False):
        below = before(table, time, day, place)
        if gap:
            branches.append((below & known_before(table, time, day, place, gap), name))
            branches.append((below, UNKNOWN.format(later)))
        else:
            branches.append((below, name))
    assigned = table.mutate(**{part: ibis.cases(*branches, else_=PARTS[-1])})
    if gap:
        _check_gap(assigned, part, gap)
    return assigned, stamps(days, place)


def _check_gap(assigned: ibis.Table, part: str, gap: float) -> None:
    filled = assigned.select(part).distinct().to_pyarrow()[part].to_pylist()
    for name in PARTS:
        if name not in filled:
            raise BadInput(
                f"a gap of {duration_words(gap)} leaves no row of part {name!r}: no label there is known when the next "
                "part begins; use rows of a longer time, other shares, or a shorter gap"
            )


def at_random(
    table: ibis.Table,
    key: Sequence[str],
    label: str | None,
    shares: Sequence[Fraction],
    seed: int,
    part: str,
    *,
    tiles: int = 0,
) -> ibis.Table:
    """Divide the rows of each class by their place in a seeded random order of their own.

    Args:
        table: Rows.
        key: Columns that identify a row.
        label: The class; each is divided for itself, to the nearest row. None divides all rows at once.
        shares: Of train, validation and test.
        seed: Any integer.
        part: The new column, with the name of each row's part.
        tiles: Of a label that is a number: into how many groups of rows, by its order, the rows go before each of them
            is divided for itself; fewer where a group would have under 10 rows.

    Returns:
        The table with the new column.
    """
    order, rank, size, tile = (
        free_name(wanted, [*table.columns, part]) for wanted in ("_order", "_rank", "_rows", "_tile")
    )
    ordered = with_row_order(table, key, seed, order, PURPOSE)
    stratum = label
    if tiles:
        ordered, stratum = with_tiles(ordered, str(label), [order, *key], tile, tiles), tile
    place = ibis.row_number().over(ibis.window(group_by=stratum, order_by=[order, *key]))
    places = ordered.mutate(**{rank: place, size: ordered.count().over(ibis.window(group_by=stratum))})
    # The middle of a row's place, (rank + 1/2) / rows, against the cumulative share: in integers, without rounding.
    middle = 2 * places[rank] + 1
    below = [middle * share.denominator < places[size] * (2 * share.numerator) for share in accumulate(shares[:-1])]
    value = ibis.cases((below[0], PARTS[0]), (below[1], PARTS[1]), else_=PARTS[2])
    return places.mutate(**{part: value}).drop(order, rank, size, *([tile] if tiles else []))


def with_tiles(table: ibis.Table, label: str, order: Sequence[str], tile: str, tiles: int = 10) -> ibis.Table:
    """Add the group of rows, by the order of a number, that each row is of: ten, or fewer of about ten rows each.

    Args:
        table: Rows.
        label: The number.
        order: Columns that decide between equal numbers.
        tile: The new column.
        tiles: How many groups there are at most.
    """
    number = min(tiles, max(int(table.count().to_pyarrow().as_py()) // _LEAST_TILE, 1))
    return table.mutate(**{tile: ibis.ntile(number).over(order_by=[label, *order])})


def _cuts(counts: Sequence[int], shares: Sequence[Fraction]) -> list[int]:
    """Positions of the days with which validation and test begin."""
    ends = list(accumulate(counts, initial=0))  # rows before each day
    found: list[int] = []
    for parts_after, share in zip((2, 1), accumulate(shares[:-1]), strict=True):
        wanted = share * ends[-1]
        right = bisect_left(ends, wanted)
        nearest = min(range(max(0, right - 1), right + 1), key=lambda i: abs(ends[i] - wanted))
        least = found[-1] + 1 if found else 1
        found.append(min(max(nearest, least), len(counts) - parts_after))
    return found

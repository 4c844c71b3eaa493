"""Which part each row belongs to, by time or at random, as Ibis expressions that every engine computes alike."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import accumulate

import ibis

from components.common.errors import BadInput
from components.common.hashing import with_row_order

PARTS = ("train", "validation", "test")
PART = "_part"
ORDER = "_row_order"
DAY_SECONDS = 86_400


def check_shares(shares: Sequence[float]) -> tuple[Fraction, ...]:
    """The shares of train, validation and test as exact numbers.

    Raises:
        BadInput: There are not three, one is not above 0, or they do not add up to 1.
    """
    try:
        exact = [Fraction(str(share)) for share in shares]
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"parameter shares={shares} holds something that is no number; use [0.7, 0.15, 0.15]") from None
    if len(exact) != len(PARTS) or any(share <= 0 for share in exact):
        raise BadInput(f"parameter shares={shares} must hold three numbers above 0, for {', '.join(PARTS)}")
    if abs(sum(exact, Fraction(-1))) > Fraction(1, 10**6):
        raise BadInput(f"parameter shares={shares} adds up to {float(sum(exact, Fraction())):g}; they must add up to 1")
    return tuple(exact)


def by_time(table: ibis.Table, time: str, shares: Sequence[Fraction]) -> tuple[ibis.Table, list[str]]:
    """Cut the rows at midnights UTC, so that the parts follow each other in time.

    Each cut is the midnight that comes nearest to the share wanted and leaves each part a day at least.

    Args:
        table: Rows.
        time: Their timestamp column.
        shares: Of train, validation and test.

    Returns:
        The table with the column PART, and the two cuts, ISO 8601: the first moment of validation, and of test.

    Raises:
        BadInput: A row has no time, or the rows span less than three days.
    """
    day = (table[time].epoch_seconds() / DAY_SECONDS).floor().cast("int64")
    counted = table.group_by(day=day).agg(n=table.count()).order_by("day").to_pyarrow().to_pylist()
    if any(row["day"] is None for row in counted):
        raise BadInput(f"column {time!r} is missing in some rows; a split by time needs it in all")
    if len(counted) < len(PARTS):
        raise BadInput(
            f"the rows lie on {len(counted)} days of {time!r}, too few for a split by time; use strategy 'stratified'"
        )
    cuts = [counted[i]["day"] for i in _cuts([row["n"] for row in counted], shares)]
    part = ibis.cases((day < cuts[0], PARTS[0]), (day < cuts[1], PARTS[1]), else_=PARTS[2])
    stamps = [datetime.fromtimestamp(cut * DAY_SECONDS, UTC).isoformat() for cut in cuts]
    return table.mutate(**{PART: part}), stamps


def at_random(table: ibis.Table, key: Sequence[str], label: str, shares: Sequence[Fraction], seed: int) -> ibis.Table:
    """Divide the rows of each class by their place in the seeded random order.

    Args:
        table: Rows.
        key: Columns that identify a row.
        label: The class; each is divided for itself, to the nearest row.
        shares: Of train, validation and test.
        seed: Any integer.

    Returns:
        The table with the column PART.
    """
    ordered = with_row_order(table, key, seed, ORDER)
    group = ibis.window(group_by=label)
    rank = ibis.row_number().over(ibis.window(group_by=label, order_by=[ORDER, *key]))
    places = ordered.mutate(_rank=rank, _rows=ordered.count().over(group))
    # The middle of a row's place, (rank + 1/2) / rows, against the cumulative share: in integers, without rounding.
    middle = 2 * places["_rank"] + 1
    below = [middle * share.denominator < places["_rows"] * (2 * share.numerator) for share in accumulate(shares[:-1])]
    part = ibis.cases((below[0], PARTS[0]), (below[1], PARTS[1]), else_=PARTS[2])
    return places.mutate(**{PART: part}).drop(ORDER, "_rank", "_rows")


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

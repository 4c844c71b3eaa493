"""Dividing rows by group, such as a customer: all rows of a group lie in one part.

Groups stand in a seeded random order that every machine and engine has alike, those that hold much of the same label
value beside each other, and a systematic sample of that order with a random start is drawn for each part: so a large
group is judged as often as a small one, which it is not where the largest go first. Then groups move, small ones before
large ones, for as long as that brings the counts of rows and of label values nearer to the shares asked for.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.core.column_names import free_name, named
from sluice.core.errors import BadInput
from sluice.engine.row_order import with_row_order

PURPOSE = "split groups"
_BINS = 4  # of a label that is a number
_MOST_MOVED = 20_000  # groups; with more the random order alone is near enough
_MOST_EXCHANGED = 2_000
_LEAST_GAIN = 1e-9
_PASSES = 8
Counts = npt.NDArray[np.float64]


def by_group(
    table: ibis.Table,
    group: str,
    label: str,
    shares: Sequence[Fraction],
    seed: int,
    part: str,
    names: Sequence[str],
    *,
    number: bool = False,
) -> ibis.Table:
    """Divide rows so that no group has rows in two parts.

    Args:
        table: Rows.
        group: The column whose equal values are a group; of a type that every engine writes alike.
        label: The column whose values are to be spread over the parts as evenly as groups allow.
        shares: Of the parts, adding up to 1.
        seed: Any integer.
        part: The new column, with the name of each row's part.
        names: The parts' names, as many as shares.
        number: Whether the label is a number, whose quarters are then spread.

    Returns:
        The table with the new column.

    Raises:
        BadInput: A row has no group, there are fewer groups than parts, or the column cannot be hashed.
    """
    _check(table, group, len(names))
    values, counts = _counted(table, group, _strata(table, label, number=number), seed)
    assigned = assign(counts, [float(share) for share in shares], seed)
    key = free_name("_group", [*table.columns, part])
    found = ibis.memtable(pa.table({key: values, part: pa.array([names[place] for place in assigned], pa.string())}))
    return table.inner_join(found, table[group] == found[key]).drop(key)


def assign(counts: Counts, shares: Sequence[float], seed: int) -> npt.NDArray[np.int64]:
    """The part of each group.

    The cost of a division is the sum over parts and label values of (rows - target)² / target, the statistic of
    Pearson's test of goodness of fit; the number of rows counts as one label value more.

    Args:
        counts: Shape (groups, label values): rows, the groups in a random order.
        shares: Of the parts.
        seed: Any integer; decides where the sample of the order begins.

    Returns:
        Shape (groups,): the number of its part.
    """
    weights = np.column_stack([counts, counts.sum(axis=1)])
    weights = weights[:, weights.sum(axis=0) > 0]
    target = np.outer(shares, weights.sum(axis=0))
    assigned = _drawn(weights, shares, seed)
    found = np.stack([weights[assigned == part].sum(axis=0) for part in range(len(shares))])
    if len(weights) <= _MOST_MOVED:
        _improve(weights, assigned, found, target)
    _fill(weights, assigned, found, target)
    return assigned


def _drawn(weights: Counts, shares: Sequence[float], seed: int) -> npt.NDArray[np.int64]:
    """A systematic sample for each label value, of the groups that hold more of it than others do."""
    kinds = np.argmax(weights / weights.sum(axis=0) / weights[:, -1:], axis=1)
    ends = np.cumsum(shares)[:-1]
    assigned = np.zeros(len(weights), np.int64)
    for kind in np.unique(kinds):
        groups = np.flatnonzero(kinds == kind)
        rows = weights[groups, -1]
        middles = (np.cumsum(rows) - rows / 2) / rows.sum()
        digest = hashlib.sha256(f"{PURPOSE} {seed} {kind}".encode()).digest()
        start = int.from_bytes(digest[:6], "big") / 2**48
        assigned[groups] = np.searchsorted(ends, (middles + start) % 1.0, side="right")
    return assigned


def _costs(rows: Counts, found: Counts, target: Counts) -> Counts:
    """By how much the cost grows in each part when it takes a group in."""
    grown: Counts = ((2 * rows * (found - target) + rows**2) / target).sum(axis=1)
    return grown


def _improve(weights: Counts, assigned: npt.NDArray[np.int64], found: Counts, target: Counts) -> None:
    """Move single groups, and of few groups exchange two, for as long as the cost falls."""
    smallest_first = np.argsort(weights[:, -1], kind="stable")
    for _ in range(_PASSES):
        moved = False
        for number in smallest_first:
            moved |= _move(int(number), weights, assigned, found, target)
            if len(weights) <= _MOST_EXCHANGED:
                moved |= _exchange(int(number), weights, assigned, found, target)
        if not moved:
            return


def _move(number: int, weights: Counts, assigned: npt.NDArray[np.int64], found: Counts, target: Counts) -> bool:
    rows, old = weights[number], assigned[number]
    found[old] -= rows
    costs = _costs(rows, found, target)
    new = int(np.argmin(costs))
    new = new if costs[new] < costs[old] - _LEAST_GAIN else int(old)
    found[new] += rows
    assigned[number] = new
    return bool(new != old)


def _exchange(number: int, weights: Counts, assigned: npt.NDArray[np.int64], found: Counts, target: Counts) -> bool:
    own = assigned[number]
    more = weights - weights[number]  # what the group's part gains by each exchange, and the other's part loses
    over = found - target
    gains = ((2 * more * over[own] + more**2) / target[own]).sum(axis=1)
    gains += ((more**2 - 2 * more * over[assigned]) / target[assigned]).sum(axis=1)
    gains[assigned == own] = 0.0
    other = int(np.argmin(gains))
    if gains[other] >= -_LEAST_GAIN:
        return False
    found[own] += more[other]
    found[assigned[other]] -= more[other]
    assigned[number], assigned[other] = assigned[other], own
    return True


def _fill(weights: Counts, assigned: npt.NDArray[np.int64], found: Counts, target: Counts) -> None:
    """Give each part one group at least: the one that costs least, of a part that has several."""
    for part in range(len(target)):
        if (assigned == part).any():
            continue
        held = np.bincount(assigned, minlength=len(target))
        free = [number for number in range(len(weights)) if held[assigned[number]] > 1]

        def price(number: int, part: int = part) -> float:
            rows, old = weights[number], assigned[number]
            left = found.copy()
            left[old] -= rows
            costs = _costs(rows, left, target)
            return float(costs[part] - costs[old])

        taken = min(free, key=price)
        found[assigned[taken]] -= weights[taken]
        found[part] += weights[taken]
        assigned[taken] = part


def _check(table: ibis.Table, group: str, parts: int) -> None:
    if group not in table.columns:
        raise BadInput(f"the rows have no column {group!r}, which their task names as the group; run prepare again")
    kind = table[group].type()
    if kind.is_floating() or kind.is_decimal():
        raise BadInput(f"group column {group!r} is {kind}; give it whole numbers or text (in the contract, its type)")
    found = table.agg(missing=table[group].isnull().sum(), groups=table[group].nunique()).to_pyarrow().to_pylist()[0]
    if found["missing"]:
        raise BadInput(
            f"group column {group!r} is missing in {found['missing']:,} rows, so nobody knows whose they are; "
            "leave these rows out in prepare, or use strategy 'stratified'"
        )
    if found["groups"] < parts:
        raise BadInput(
            f"the rows have {found['groups']} different values of {group!r}, too few for {parts} parts; "
            "use strategy 'stratified'"
        )


def _strata(table: ibis.Table, label: str, *, number: bool) -> Any:  # noqa: ANN401 - Ibis's columns
    """The label's value, or the quarter in which it lies."""
    if not number:
        return table[label]
    cuts = table.agg(cuts=table[label].quantile([place / _BINS for place in range(1, _BINS)])).to_pyarrow()
    above = [(table[label] > cut).cast("int64") for cut in sorted(set(cuts["cuts"][0].as_py()))]
    return sum(above[1:], above[0])


def _counted(table: ibis.Table, group: str, stratum: Any, seed: int) -> tuple[pa.ChunkedArray, Counts]:  # noqa: ANN401 - Ibis's columns
    """The groups in their random order, and the rows of each by stratum."""
    key, kind, rows, order = (free_name(name, ()) for name in ("key", "stratum", "rows", "place"))
    counted = table.group_by(named({key: table[group], kind: stratum})).agg(table.count().name(rows))
    ordered = with_row_order(counted.select(key).distinct(), (key,), seed, order, PURPOSE).order_by(order, key)
    values = ordered.to_pyarrow()[key]
    cells = counted.to_pyarrow()
    places = {value: place for place, value in enumerate(values.to_pylist())}
    kinds = {
        value: place for place, value in enumerate(sorted(set(cells[kind].to_pylist()), key=lambda v: (v is None, v)))
    }
    counts = np.zeros((len(places), len(kinds)))
    for each in cells.to_pylist():
        counts[places[each[key]], kinds[each[kind]]] = each[rows]
    return values, counts

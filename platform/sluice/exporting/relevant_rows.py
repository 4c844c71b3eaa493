"""Which rows of its tables a query needs for the rows that are asked about: the others are not read.

A feature such as "what this meter read in the two weeks before" looks at a table of any length, and takes a
few of its rows. What the rows asked about demand is carried down the expression: through a join to the columns that
must agree, into a window to its partition and its range, to the tables at the leaves. Where the way is not sure, all
rows are needed. This is the *magic sets* of deductive databases (Bancilhon et al. 1986), for row demands.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ibis
import ibis.expr.operations as ops

_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "D": 86_400_000_000}


@dataclass(frozen=True)
class Demand:
    """Rows whose value in a column is near that of a row asked about.

    Attributes:
        column: Of the relation.
        asked: The column of the rows asked about.
        low: From how many microseconds after that value on; 0 where it must be the same; None for any.
        high: Up to how many.
    """

    column: str
    asked: str
    low: int | None = 0
    high: int | None = 0


Demands = frozenset[Demand]
Leaf = Callable[[ops.Relation, Demands], ops.Relation]


def relevant(wide: ibis.Table, events: ibis.Table, tables: Iterable[ibis.Table], key: Iterable[str], leaf: Leaf) -> Any:  # noqa: ANN401 - Ibis
    """The same table for the rows asked about, from fewer rows.

    Args:
        wide: Made of the tables.
        events: The table of the rows asked about and earlier ones; where the key agrees, a row is one asked about.
        tables: The other tables.
        key: The columns of `wide` that identify a row.
        leaf: Gives the rows of `events` or of a table that satisfy all demands, and perhaps others.

    Returns:
        It agrees with `wide` in the rows whose key is that of a row asked about; others may lack.
    """
    traced = {name: _traced(wide.op(), name, events.op()) for name in wide.columns}
    demands = frozenset(Demand(name, found) for name, found in traced.items() if found is not None)
    if not set(key) <= {each.column for each in demands}:
        return wide
    return _Restriction({events.op(), *(table.op() for table in tables)}, leaf).of(wide.op(), demands).to_expr()


def _traced(relation: ops.Relation, name: str, events: ops.Relation) -> str | None:
    """The column of the events that a column is, unchanged, one row for one row."""
    if relation == events:
        return name
    if isinstance(relation, ops.DropColumns | ops.Filter | ops.Sort | ops.JoinReference | ops.SelfReference):
        return _traced(relation.parent, name, events)
    if isinstance(relation, ops.Project):
        value = relation.values[name]
        same = isinstance(value, ops.Field) and value.rel == relation.parent
        return _traced(relation.parent, value.name, events) if same else None
    if isinstance(relation, ops.JoinChain):
        value = relation.values[name]
        same = isinstance(value, ops.Field) and value.rel == relation.first
        return _traced(relation.first, value.name, events) if same else None
    return None


class _Restriction:
    """One call of `relevant`."""

    def __init__(self, leaves: set[ops.Relation], leaf: Leaf) -> None:
        self._leaves, self._leaf = leaves, leaf
        self._known: dict[tuple[ops.Relation, Demands], ops.Relation] = {}

    def of(self, relation: ops.Relation, demands: Demands) -> ops.Relation:
        """A relation with all rows that satisfy the demands, and perhaps others."""
        if not demands:
            return relation
        place = (relation, demands)
        if place not in self._known:
            self._known[place] = self._made(relation, demands)
        return self._known[place]

    def _made(self, relation: ops.Relation, demands: Demands) -> ops.Relation:
        if relation in self._leaves:
            return self._leaf(relation, demands)
        if isinstance(relation, ops.JoinChain):
            return self._joined(relation, demands)
        if isinstance(relation, ops.Union):
            sides = {side: self.of(side, demands) for side in (relation.left, relation.right)}
            return relation.replace(sides)
        if isinstance(relation, ops.Aggregate):
            inner = _mapped(demands, relation.groups, relation.parent)
        elif isinstance(relation, ops.Project):
            inner = _mapped(demands, relation.values, relation.parent)
            inner = _for_windows(inner, relation.values.values(), relation.parent)
        elif isinstance(relation, ops.Filter):
            inner = _for_windows(demands, relation.predicates, relation.parent)
        elif isinstance(relation, ops.DropColumns | ops.JoinReference | ops.SelfReference | ops.Distinct):
            inner = demands
        else:
            return relation
        return relation.replace({relation.parent: self.of(relation.parent, inner)})

    def _joined(self, chain: ops.JoinChain, demands: Demands) -> ops.Relation:
        """Of the first table what is demanded, of the others what can agree with that."""
        if any(link.how not in ("left", "inner", "semi", "anti") for link in chain.rest):
            return chain
        if any(value.find(ops.WindowFunction, filter=ops.Value) for value in chain.values.values()):
            return chain
        first = _mapped(demands, chain.values, chain.first)
        found = {chain.first: self.of(chain.first, first)}
        for link in chain.rest:
            known = {each.column: each for each in first}
            inner = [
                replace(known[ours], column=theirs) for ours, theirs in _agreeing(link, chain.first) if ours in known
            ]
            found[link.table] = self.of(link.table, frozenset(inner))
        return chain.replace(found)


def _agreeing(link: Any, first: ops.Relation) -> Iterable[tuple[str, str]]:  # noqa: ANN401 - a JoinLink
    """The columns of the first table and of a joined one that must have the same value."""
    for predicate in link.predicates:
        if isinstance(predicate, ops.Equals | ops.IdenticalTo):
            for ours, theirs in ((predicate.left, predicate.right), (predicate.right, predicate.left)):
                fields = isinstance(ours, ops.Field) and isinstance(theirs, ops.Field)
                if fields and ours.rel == first and theirs.rel == link.table and ours.dtype == theirs.dtype:
                    yield ours.name, theirs.name


def _mapped(demands: Demands, values: Mapping[str, Any], parent: ops.Relation) -> Demands:
    """The demands on the columns that values are made of."""
    found = []
    for each in demands:
        value, moved = values.get(each.column), 0
        if isinstance(value, ops.TimestampAdd | ops.TimestampSub):
            by = _length(value.right)
            if by is None:
                continue
            moved, value = by if isinstance(value, ops.TimestampAdd) else -by, value.left
        if isinstance(value, ops.Field) and value.rel == parent:
            found.append(replace(each, column=value.name, low=_plus(each.low, -moved), high=_plus(each.high, -moved)))
    return frozenset(found)


def _for_windows(demands: Demands, values: Iterable[Any], parent: ops.Relation) -> Demands:
    """The demands behind values: a window needs its whole partition, or of that its range."""
    values = tuple(values)
    if any(value.find(ops.Subquery, filter=ops.Value) for value in values):
        return frozenset()
    windows = [window for value in values for window in value.find(ops.WindowFunction, filter=ops.Value)]
    if not windows:
        return demands
    needed = [_for_window(demands, window, parent) for window in windows]
    common = set.intersection(*(set(each) for each in needed))
    return frozenset(
        replace(
            each,
            low=_least([found[each.column, each.asked][0] for found in needed]),
            high=_most([found[each.column, each.asked][1] for found in needed]),
        )
        for each in demands
        if (each.column, each.asked) in common
    )


def _for_window(demands: Demands, window: Any, parent: ops.Relation) -> dict[tuple[str, str], Any]:  # noqa: ANN401 - Ibis
    """What one window needs: low and high by column and column asked."""
    groups = {each.name for each in window.group_by if isinstance(each, ops.Field) and each.rel == parent}
    found = {(each.column, each.asked): (each.low, each.high) for each in demands if each.column in groups}
    if window.how != "range" or len(window.order_by) != 1 or not window.order_by[0].ascending:
        return found
    order = window.order_by[0].arg
    if not (isinstance(order, ops.Field) and order.rel == parent and order.dtype.is_timestamp()):
        return found
    begin, end = _bound(window.start), _bound(window.end)
    for each in demands:
        if each.column == order.name and each.column not in groups:
            low, high = _plus(each.low, begin), _plus(each.high, end)
            found[each.column, each.asked] = (_least([low, each.low]), _most([high, each.high]))
    return found


def _bound(boundary: Any) -> int | None:  # noqa: ANN401 - a WindowBoundary, or None
    """Where a window begins or ends, in microseconds after its row's moment; None where that is nowhere, or unknown."""
    length = _length(boundary.value) if boundary is not None else None
    return None if length is None else -length if boundary.preceding else length


def _length(value: Any) -> int | None:  # noqa: ANN401 - Ibis
    """A fixed interval in microseconds."""
    if isinstance(value, ops.Literal) and value.dtype.is_interval():
        unit = _MICROSECONDS.get(value.dtype.unit.short)
        return None if unit is None else int(value.value) * unit
    return None


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _least(values: list[int | None]) -> int | None:
    return None if None in values else min(value for value in values if value is not None)


def _most(values: list[int | None]) -> int | None:
    return None if None in values else max(value for value in values if value is not None)


def same(demands: Demands) -> Demands:
    """Those that ask for the same value: the others hold only where every row has a moment."""
    return frozenset(each for each in demands if (each.low, each.high) == (0, 0))


def demanded(table: ibis.Table, asked: ibis.Table, demands: Demands) -> ibis.Table:
    """The rows of a table that satisfy all demands of one row asked about; see `same`."""
    conditions = _conditions(table, asked := asked.view(), demands)  # the table may be made of them too
    return table.semi_join(asked, conditions) if conditions else table


def demanded_by(table: ibis.Table, values: Mapping[str, Any], demands: Demands) -> ibis.Table:
    """The same for one row, whose values by column are expressions without a table."""
    conditions = _conditions(table, values, demands)
    return table.filter(conditions) if conditions else table


def _conditions(table: ibis.Table, asked: Any, demands: Demands) -> list[Any]:  # noqa: ANN401 - a table, or values by name
    conditions = list[Any]()
    for each in sorted(demands, key=lambda each: (each.column, each.asked)):
        ours, theirs = table[each.column], asked[each.asked]
        if (each.low, each.high) == (0, 0):
            conditions.append(ours.identical_to(theirs))
            continue
        conditions += [ours >= theirs + ibis.interval(microseconds=each.low)] if each.low is not None else []
        conditions += [ours <= theirs + ibis.interval(microseconds=each.high)] if each.high is not None else []
    return conditions

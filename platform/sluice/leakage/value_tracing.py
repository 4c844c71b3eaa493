"""The sources of a value over the rows of one relation, or of several that are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from sluice.leakage.clocks import interval_seconds, shifted
from sluice.leakage.origins import NOTHING, Clock, Edge, Sources, opaque, renamed, unbounded, union
from sluice.leakage.traced_values import ORDERED, RANKS, ROW_WISE, SUBQUERIES, UNORDERED

if TYPE_CHECKING:
    from sluice.leakage.tracing import Tracer

OfField = Callable[[ops.Field], Sources]
_COUNTING_BACK = (ops.RowNumber, ops.MinRank, ops.DenseRank)  # of the rows that come before, or with, a row


class ValueTracer:
    """Traces values whose fields belong to `parents`.

    Attributes:
        clocks: The clocks of the parents, as `(relation, name)`: the terms of all bounds here.
        rows: What decides which rows the parents have.
        sorts: What the parents were sorted by.
        edges: What holds between the clocks of a row, where it has a row of each parent.
    """

    def __init__(self, tracer: Tracer, parents: Sequence[ops.Relation]) -> None:
        self.tracer, self.parents = tracer, tuple(parents)
        self.clocks: set[Clock] = {(p, name) for p in self.parents for name in tracer.relation(p).clocks}
        self.rows = union(self.rows_of(parent) for parent in self.parents)
        self.sorts = union(self.sorts_of(parent) for parent in self.parents)
        self.edges = frozenset[Edge]().union(*(self.edges_of(parent) for parent in self.parents))

    def rows_of(self, parent: ops.Relation) -> Sources:
        """What decides which rows a parent has, in terms of its clocks."""
        return self.lifted(parent, self.tracer.relation(parent).rows)

    def sorts_of(self, parent: ops.Relation) -> Sources:
        """What a parent was sorted by."""
        return unbounded(self.tracer.relation(parent).sorts)

    def edges_of(self, parent: ops.Relation) -> frozenset[Edge]:
        """What holds between the clocks of a row of a parent."""
        return frozenset(((parent, a), (parent, b), seconds) for a, b, seconds in self.tracer.relation(parent).edges)

    def field(self, value: ops.Field) -> Sources:
        """The sources of a parent's column; a field of anything else is a correlated subquery's."""
        if value.rel not in self.parents:
            return opaque("a correlated subquery")
        return self.lifted(value.rel, self.tracer.relation(value.rel).columns[value.name])

    def sources(self, value: ops.Value, of_field: OfField | None = None, *, in_group: bool = False) -> Sources:
        """The sources of a value in a row, or, `in_group`, of a reduction over a group of rows (its rows not counted).

        Args:
            value: Over fields of the parents.
            of_field: The sources of a field, where they are not the parent's.
            in_group: Whether the value is computed for a group.
        """
        kind, look = type(value), of_field or self.field
        if in_group and kind in (ops.Field, ops.WindowFunction):
            return opaque(f"a {kind.__name__} beside a group's reductions")
        if kind is ops.Field:
            return look(value)
        if kind is ops.WindowFunction:
            return self._window(value, look)
        if kind in UNORDERED or kind in ORDERED or kind in RANKS:
            return self._reduction(value, look, in_group=in_group)
        if kind in SUBQUERIES:
            return self._subquery(value, look)
        if kind not in ROW_WISE:
            return opaque(_name(value))
        return union(self.sources(part, of_field, in_group=in_group) for part in _parts(value))

    def _reduction(self, value: ops.Value, look: OfField, *, in_group: bool) -> Sources:
        found = union(self.sources(part, look) for part in _parts(value))
        if type(value) is ops.CountDistinctStar:
            found |= union(self.field(each) for each in value.arg.fields.values())
        if type(value) in RANKS | ORDERED and not _has_order(value):
            return found | opaque(f"{type(value).__name__} without order_by")
        if type(value) in ORDERED:
            found |= unbounded(self.rows)
        return found if in_group else unbounded(found | self.rows | self.sorts)

    def _subquery(self, value: ops.Value, look: OfField) -> Sources:
        inner = self.tracer.relation(value.rel)
        found = unbounded(union(inner.columns.values()) | inner.rows | inner.sorts)
        return found | (self.sources(value.needle, look) if type(value) is ops.InSubquery else NOTHING)

    def _window(self, value: ops.WindowFunction, look: OfField) -> Sources:
        """The row's own keys, and what lies in the other rows of its partition, or in those of its frame."""
        func, keys = value.func, [key.arg for key in value.order_by]
        if type(func) not in UNORDERED | RANKS | ORDERED:
            return opaque(_name(func))
        if type(func) in RANKS | ORDERED and not (keys or _has_order(func)):
            return opaque(f"{type(func).__name__} without order_by")
        own = union(self.sources(key, look) for key in (*value.group_by, *keys))
        parts = union(self.sources(part, look) for part in _parts(func))
        if type(func) is ops.CountDistinctStar:
            parts |= union(self.field(each) for each in func.arg.fields.values())
        pool = own | parts | self.rows | self.sorts
        if self._behind(value) is None and (type(func) in ORDERED or (keys and value.how == "rows")):
            pool |= unbounded(self.rows)  # ties: the order in which the engine meets rows may decide
        bounds = {b for b in (value.start, value.end) if b is not None}
        own |= union(self.sources(bound.value, look) for bound in bounds)
        return own | renamed(pool, self._images(value))

    def _images(self, value: ops.WindowFunction) -> dict[Clock, list[tuple[Clock, float, float]]]:
        """Bounds of other rows in terms of this row's clocks: keys of the partition agree; a frame ends before."""
        images: dict[Clock, list[tuple[Clock, float, float]]] = {}
        for key in value.group_by:
            self._add_image(images, key, 0.0)
        behind = self._behind(value)
        if behind is not None:
            self._add_image(images, value.order_by[0].arg, behind)
        return images

    def _add_image(self, images: dict[Clock, list[tuple[Clock, float, float]]], key: ops.Value, seconds: float) -> None:
        place = shifted(key)
        if place and place.clock in self.clocks:
            least = seconds - (place.most - place.least)
            images.setdefault(place.clock, []).append((place.clock, least, least))

    def _behind(self, value: ops.WindowFunction) -> float | None:
        """The least seconds by which the rows of a frame lie before its row, or None where nothing is proven.

        Of rows in the order of time, those that come before one are no younger, however many they are.
        """
        if not (value.order_by and value.order_by[0].ascending):
            return None
        if type(value.func) in _COUNTING_BACK:
            return 0.0
        if type(value.func) is ops.Lag:
            return 0.0 if _is_back(value.func.offset) else None
        if value.end is None or type(value.func) not in UNORDERED:
            return None
        if value.how == "rows" or _whole(value.end.value) == 0:
            return 0.0 if _whole(value.end.value) == 0 or (value.end.preceding and _is_back(value.end.value)) else None
        seconds = interval_seconds(value.end.value) if len(value.order_by) == 1 else None
        if seconds is None:
            return None
        return seconds if value.end.preceding else -seconds

    def lifted(self, parent: ops.Relation, sources: Sources) -> Sources:
        """Sources in terms of a parent's own clocks, in terms of those of all parents."""
        clocks = self.tracer.relation(parent).clocks
        return renamed(sources, {name: [((parent, name), 0.0, 0.0)] for name in clocks})


def _name(value: ops.Value) -> str:
    if isinstance(value, ops.ScalarUDF | ops.AggUDF):
        columns = sorted({field.name for field in value.find(ops.Field, filter=ops.Value)})
        over = f" over {', '.join(map(repr, columns))}" if columns else ""
        return f"a user-defined function ({value.__func_name__}{over})"
    return type(value).__name__


def _whole(value: Any) -> int | None:  # noqa: ANN401 - Ibis has values of many classes
    """A constant whole number, also where it is cast to another type of whole numbers."""
    if isinstance(value, ops.Cast) and value.dtype.is_integer():
        value = value.arg
    return int(value.value) if isinstance(value, ops.Literal) and isinstance(value.value, int) else None


def _is_back(offset: Any) -> bool:  # noqa: ANN401 - as above
    number = 1 if offset is None else _whole(offset)
    return number is not None and number >= 0


def _has_order(value: ops.Value) -> bool:
    return "order_by" in value.argnames and bool(value.order_by)


def _parts(value: ops.Value) -> list[ops.Value]:
    """The values that are arguments of a value, those in tuples and sort keys too; relations are not."""
    parts: list[ops.Value] = []
    for arg in value.__children__:
        if isinstance(arg, ops.SortKey):
            parts.append(arg.arg)
        elif isinstance(arg, ops.Value):
            parts.append(arg)
    return parts

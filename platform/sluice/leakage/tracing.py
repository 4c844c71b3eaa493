"""Where a column of an Ibis expression comes from: the columns of given tables that decide its value.

The answer is read off the expression that computes the column, so it cannot be declared wrongly. Which rows there are,
how often each appears and in what order is information too: a count, a window or a limit passes it on into values. So
a relation is traced as three things: its columns, its rows (which, and how often), and what it was sorted by.

The tracer fails closed. What it does not know becomes a source of its own, which the gate refuses by name.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ibis
import ibis.expr.operations as ops

from sluice.leakage.clocks import Shifted, orders, shifted
from sluice.leakage.origins import (
    NOTHING,
    Clock,
    Edge,
    Images,
    Origin,
    Sources,
    extended,
    opaque,
    renamed,
    renamed_edges,
    unbounded,
    union,
)
from sluice.leakage.value_tracing import ValueTracer

_OUTER_JOINS = ("left", "any_left", "asof")
_LEFT_JOINS = (*_OUTER_JOINS, "semi", "anti")
_PICKING_JOINS = ("any_left", "any_inner", "asof")  # one of several matches is taken: their order may decide which
_JOINS = (*_LEFT_JOINS, "any_inner", "inner", "cross")


@dataclass(frozen=True)
class Trace:
    """What a relation rests on.

    Attributes:
        columns: The sources of each column's value in a row.
        rows: The sources of which rows there are and how often each appears.
        sorts: The sources of the keys that rows were sorted by.
        clocks: Columns that are a given table's clock, shifted or not, and never missing; bounds are in their terms.
        edges: What holds between the clocks of a row.
        members: The sources of which rows there are at all, however often: a left join brings none, and the rows of a
            given table are there of themselves. Only `trace` tells it.
    """

    columns: Mapping[str, Sources]
    rows: Sources = NOTHING
    sorts: Sources = NOTHING
    clocks: frozenset[str] = frozenset()
    edges: frozenset[Edge] = frozenset()
    members: Sources = NOTHING


@dataclass
class Tracer:
    """Traces relations over given tables.

    Attributes:
        given: The physical tables that may be read, with their names in the contract.
        clocks: The column with the time of a row, by table; never missing.
        arriving: The tables with a clock of which nobody knows the rows before their time.
        traces: What was traced already.
    """

    given: Mapping[ops.Relation, str]
    clocks: Mapping[str, str]
    arriving: Collection[str] = ()
    traces: dict[ops.Relation, Trace] = field(default_factory=dict)

    def relation(self, relation: ops.Relation) -> Trace:
        """The trace of a relation."""
        if relation not in self.traces:
            rule: Callable[[Tracer, Any], Trace] = _RULES.get(type(relation), _unknown)
            self.traces[relation] = rule(self, relation)
        return self.traces[relation]

    def values(self, *parents: ops.Relation) -> ValueTracer:
        """Traces values over the rows of relations."""
        return ValueTracer(self, parents)


def trace(
    table: ibis.Table,
    given: Mapping[str, ibis.Table],
    clocks: Mapping[str, str] | None = None,
    arriving: Collection[str] = (),
) -> Trace:
    """Trace every column of a table, and its rows.

    Args:
        table: The expression.
        given: The physical tables that it may read, by their names in the contract. A table is known by its identity
            in the engine: another of the same name, a copy or a view is not among them.
        clocks: The column with the time of a row, by table, for tables where there is one that is never missing.
        arriving: Those of them of which nobody knows the rows before their time: their clock is then among the sources
            of whatever follows from which rows there are.

    Returns:
        Sources; those that cannot be traced have `unknown` set.
    """
    physical = {each.op(): name for name, each in given.items() if isinstance(each.op(), ops.PhysicalTable)}
    tracer = Tracer(physical, clocks or {}, arriving)
    return replace(tracer.relation(table.op()), members=_members(tracer, table.op()))


def _unknown(_: Tracer, relation: ops.Relation) -> Trace:
    reason = opaque(type(relation).__name__)
    return Trace(dict.fromkeys(relation.schema, reason), reason, reason)


def _physical(tracer: Tracer, relation: ops.PhysicalTable) -> Trace:
    name = tracer.given.get(relation)
    if name is None:
        reason = opaque(f"the table {relation.name!r}, which is none of those given to the recipe")
        return Trace(dict.fromkeys(relation.schema, reason), reason, reason)
    clock = tracer.clocks.get(name)
    clocks = frozenset([clock] if clock and clock in relation.schema else [])
    bounds = frozenset((each, 0.0) for each in clocks)
    columns = {column: frozenset({Origin(name, column, bounds)}) for column in relation.schema}
    rows = union(columns[each] for each in clocks) if name in tracer.arriving else NOTHING
    return Trace(columns, rows, clocks=clocks)


def _same(tracer: Tracer, relation: ops.Reference) -> Trace:
    return tracer.relation(relation.parent)


def _constants(tracer: Tracer, relation: ops.DummyTable) -> Trace:
    values = tracer.values()
    return Trace({name: values.sources(value) for name, value in relation.values.items()})


def _project(tracer: Tracer, relation: ops.Project | ops.DropColumns) -> Trace:
    values = tracer.values(relation.parent)
    clocks, images = images_of(relation.values, values.clocks)
    columns = {
        name: renamed(extended(values.sources(value), values.edges), images) for name, value in relation.values.items()
    }
    rows, edges = renamed(extended(values.rows, values.edges), images), renamed_edges(values.edges, images)
    return Trace(columns, rows, values.sorts, clocks, edges)


def _filter(tracer: Tracer, relation: ops.Filter) -> Trace:
    parent, values = tracer.relation(relation.parent), tracer.values(relation.parent)
    edges = _usable(orders(relation.predicates), values.clocks)
    rows = values.rows | union(values.sources(predicate) for predicate in relation.predicates)
    return _simple(relation, values, parent, rows, edges)


def _simple(
    relation: ops.Relation, values: ValueTracer, parent: Trace, rows: Sources, edges: Iterable[Edge] = ()
) -> Trace:
    """A relation with its parent's columns and other rows."""
    steps = values.edges | frozenset(edges)
    _, images = images_of(relation.parent.fields, values.clocks)
    columns = {name: values.sources(value) for name, value in relation.parent.fields.items()}
    named = {name: renamed(extended(sources, steps), images) for name, sources in columns.items()}
    rows = renamed(extended(rows, steps), images)
    return Trace(named, rows, parent.sorts, parent.clocks, renamed_edges(steps, images))


def _sort(tracer: Tracer, relation: ops.Sort) -> Trace:
    parent, values = tracer.relation(relation.parent), tracer.values(relation.parent)
    keys = union(values.sources(key.arg) for key in relation.keys)
    return replace(parent, sorts=parent.sorts | unbounded(keys))


def _limit(tracer: Tracer, relation: ops.Limit) -> Trace:
    parent = tracer.relation(relation.parent)
    if not _is_sorted(relation.parent):
        reason = opaque("Limit without an order")
    elif any(not (number is None or isinstance(number, int)) for number in (relation.n, relation.offset)):
        reason = opaque("Limit by a computed number")
    else:
        reason = NOTHING
    return replace(parent, rows=unbounded(parent.rows | parent.sorts) | reason)


def _is_sorted(relation: ops.Relation) -> bool:
    while isinstance(relation, ops.Project | ops.DropColumns | ops.Filter | ops.Reference):
        relation = relation.parent
    return isinstance(relation, ops.Sort)


def _aggregate(tracer: Tracer, relation: ops.Aggregate) -> Trace:
    values = tracer.values(relation.parent)
    clocks, images = images_of(relation.groups, values.clocks)
    groups = {name: values.sources(value) for name, value in relation.groups.items()}
    keys = union(groups.values())
    pool = values.rows | values.sorts | keys
    columns = {name: renamed(extended(sources, values.edges), images) for name, sources in groups.items()}
    for name, value in relation.metrics.items():
        columns[name] = renamed(extended(values.sources(value, in_group=True) | pool, values.edges), images)
    rows = renamed(extended(values.rows | keys, values.edges), images)
    edges = renamed_edges(values.edges, images)
    return Trace(columns, rows, values.sorts, clocks, edges)


def _distinct(tracer: Tracer, relation: ops.Distinct) -> Trace:
    parent = tracer.relation(relation.parent)
    return replace(parent, rows=parent.rows | union(parent.columns.values()))


def _drop_null(tracer: Tracer, relation: ops.DropNull) -> Trace:
    parent = tracer.relation(relation.parent)
    values = tracer.values(relation.parent)
    chosen = relation.parent.fields.values() if relation.subset is None else relation.subset
    rows = values.rows | union(values.sources(value) for value in chosen)
    return _simple(relation, values, parent, rows)


def _fill_null(tracer: Tracer, relation: ops.FillNull) -> Trace:
    parent = tracer.relation(relation.parent)
    filled = relation.replacements.values() if isinstance(relation.replacements, Mapping) else [relation.replacements]
    if any(isinstance(value, ops.Node) and type(value) is not ops.Literal for value in filled):
        return _unknown(tracer, relation)
    return parent


def _set(tracer: Tracer, relation: ops.Set) -> Trace:
    sides = [tracer.relation(relation.left), tracer.relation(relation.right)]
    clocks = sides[0].clocks & sides[1].clocks
    images = {clock: [(clock, 0.0, 0.0)] for clock in clocks}
    every = union(sources for side in sides for sources in side.columns.values())
    rows = union(side.rows for side in sides)
    if relation.distinct or type(relation) is not ops.Union:
        rows |= every
    columns = {name: union(side.columns[name] for side in sides) for name in relation.schema}
    if type(relation) is not ops.Union:
        columns = dict(sides[0].columns)
    named = {name: renamed(sources, images) for name, sources in columns.items()}
    sorts, edges = unbounded(union(side.sorts for side in sides)), sides[0].edges & sides[1].edges
    return Trace(named, renamed(rows, images), sorts, clocks, edges)


def _join(tracer: Tracer, relation: ops.JoinChain) -> Trace:
    wrong = [link.how for link in relation.rest if link.how not in _JOINS]
    if wrong:
        reason = opaque(f"the {wrong[0]} join; turn it round into a left join")
        return Trace(dict.fromkeys(relation.schema, reason), reason, reason)
    joined = _Joined(tracer, relation)
    clocks, images = images_of(relation.values, joined.lasting)
    columns = {
        name: renamed(joined.values.sources(value, joined.field), images) for name, value in relation.values.items()
    }
    rows, edges = renamed(joined.rows, images), renamed_edges(joined.everywhere, images)
    return Trace(columns, rows, joined.values.sorts, clocks, edges)


class _Joined:
    """The tables of a chain of joins: what each brings, in terms of the clocks of all.

    An edge that follows from an inner join's predicates holds in every row. One that follows from a left join's holds
    where there is a match: so for what the joined table brings, and for its effect on which rows there are, since a
    row of it that breaks a predicate has none. A clock of a left join's right side may be missing, so no bound in its
    terms lasts.
    """

    def __init__(self, tracer: Tracer, chain: ops.JoinChain) -> None:
        self.values = tracer.values(*chain.tables)
        edges = {link: self._edges_of(link) for link in chain.rest}
        inner = [link for link in chain.rest if link.how not in _LEFT_JOINS]
        everywhere = self.values.edges_of(chain.first).union(*(edges[link] for link in inner))
        lost = {link.table for link in chain.rest if link not in inner}
        self.lasting = {clock for clock in self.values.clocks if clock[0] not in lost}
        self.everywhere = everywhere
        self.own: dict[ops.Relation, frozenset[Edge]] = {chain.first: everywhere}
        self.matching: dict[ops.Relation, Sources] = {chain.first: NOTHING}
        self.rows = extended(self.values.rows_of(chain.first), everywhere)
        for link in chain.rest:
            self.own[link.table] = everywhere | edges[link]
            matching = self._matching(link)
            self.matching[link.table] = matching
            self.rows |= matching

    def _edges_of(self, link: ops.JoinLink) -> frozenset[Edge]:
        predicates = _usable(orders(link.predicates), self.values.clocks)
        return frozenset(predicates) | self.values.edges_of(link.table)

    def field(self, value: ops.Field) -> Sources:
        """The sources of a field of one of the tables."""
        if value.rel not in self.own:
            return self.values.field(value)
        return extended(self.values.field(value), self.own[value.rel]) | self.matching[value.rel]

    def _matching(self, link: ops.JoinLink) -> Sources:
        """What decides which rows of the joined table meet a row, and how many."""
        predicates = union(self.values.sources(predicate, self._in_predicate(link)) for predicate in link.predicates)
        found = predicates | extended(self.values.rows_of(link.table), self.own[link.table])
        if link.how in _PICKING_JOINS:
            found |= unbounded(self.values.rows_of(link.table)) | self.values.sorts_of(link.table)
        return found

    def _in_predicate(self, link: ops.JoinLink) -> Callable[[ops.Field], Sources]:
        def sources(value: ops.Field) -> Sources:
            if value.rel == link.table:
                return extended(self.values.field(value), self.own[link.table])
            return self.field(value)

        return sources


def _members(tracer: Tracer, relation: ops.Relation) -> Sources:
    """What decides which rows there are, in terms of the relation's clocks; see `Trace.members`.

    A bound holds for every row that was there to be chosen: it is taken from before the choice.
    """
    if isinstance(relation, ops.PhysicalTable) and relation in tracer.given:
        return NOTHING
    if isinstance(relation, ops.JoinChain) and all(link.how in _JOINS for link in relation.rest):
        joined = _Joined(tracer, relation)
        first = joined.values.lifted(relation.first, _members(tracer, relation.first))
        selecting = union(joined.matching[link.table] for link in relation.rest if link.how not in _OUTER_JOINS)
        return renamed(first | selecting, images_of(relation.values, joined.lasting)[1])
    if isinstance(relation, ops.Filter | ops.Project | ops.DropColumns):
        values = tracer.values(relation.parent)
        found = values.lifted(relation.parent, _members(tracer, relation.parent))
        if isinstance(relation, ops.Filter):
            found |= union(values.sources(predicate) for predicate in relation.predicates)
        kept = relation.parent.fields if isinstance(relation, ops.Filter) else relation.values
        return renamed(extended(found, values.edges), images_of(kept, values.clocks)[1])
    if isinstance(relation, ops.Sort | ops.FillNull | ops.Reference):
        return _members(tracer, relation.parent)
    return tracer.relation(relation).rows


def images_of(values: Mapping[str, ops.Value], clocks: Iterable[Clock]) -> tuple[frozenset[str], Images]:
    """Which columns are clocks, shifted or not, and of which old clock by how much."""
    known: set[Clock] = set(clocks)
    images: dict[Clock, list[tuple[Clock, float, float]]] = {}
    for name, value in values.items():
        place: Shifted | None = shifted(value)
        if place and place.clock in known:
            images.setdefault(place.clock, []).append((name, place.least, place.most))
    return frozenset(name for names in images.values() for name, *_ in names), images


def _usable(edges: Iterable[Edge], clocks: Iterable[Clock]) -> Iterable[Edge]:
    known = set(clocks)
    return (edge for edge in edges if edge[0] in known and edge[1] in known)


_RULES: Mapping[type, Callable[[Tracer, Any], Trace]] = {
    ops.DatabaseTable: _physical,
    ops.UnboundTable: _physical,
    ops.InMemoryTable: _physical,
    ops.DummyTable: _constants,
    ops.SelfReference: _same,
    ops.JoinReference: _same,
    ops.Project: _project,
    ops.DropColumns: _project,
    ops.Filter: _filter,
    ops.Sort: _sort,
    ops.Limit: _limit,
    ops.Aggregate: _aggregate,
    ops.Distinct: _distinct,
    ops.DropNull: _drop_null,
    ops.FillNull: _fill_null,
    ops.Union: _set,
    ops.Intersection: _set,
    ops.Difference: _set,
    ops.JoinChain: _join,
}

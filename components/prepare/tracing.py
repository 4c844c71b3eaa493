"""Where a column of an Ibis expression comes from: the physical columns that decide its value.

The answer is read off the expression that computes the column, so it cannot be declared wrongly. Beside the columns in
the formula it counts those that decide *which row* the value is taken from: the predicates of the join that brought the
row, and the filters under an aggregate, a window or a joined table.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import ibis
import ibis.expr.operations as ops

from components.common.errors import BadInput

_POOLING = (ops.Reduction, ops.Analytic, ops.WindowFunction)
_JOINS = ("inner", "left", "any_inner", "any_left", "asof", "cross", "semi", "anti")


@dataclass(frozen=True)
class Source:
    """A physical column that decides a value.

    Attributes:
        table: The physical table.
        column: Its column.
        via: The join that brought the row in; None where it is the row itself.
        pooled: Whether values of several rows were combined (an aggregate or a window).
    """

    table: str
    column: str
    via: ops.Relation | None = None
    pooled: bool = False


Sources = frozenset[Source]
_NONE: Sources = frozenset()


def sources_of(table: ibis.Table, column: str) -> Sources:
    """The physical columns that decide `table[column]`.

    Raises:
        BadInput: The expression has a part that cannot be read, such as a string of SQL.
    """
    return _of_field(table.op(), column)


def physical_column(table: ibis.Table, column: str) -> Source | None:
    """The physical column that `table[column]` is without any change, or None where something is computed."""
    relation, name, via = table.op(), column, None
    while not isinstance(relation, ops.PhysicalTable):
        if isinstance(relation, ops.Reference):
            relation = relation.parent
            continue
        value = relation.values.get(name)
        if not isinstance(value, ops.Field):
            return None
        if isinstance(relation, ops.JoinChain) and value.rel != relation.first:
            via = value.rel
        relation, name = value.rel, value.name
    return Source(relation.name, name, via)


def _of_field(relation: ops.Relation, name: str) -> Sources:
    if isinstance(relation, ops.SQLQueryResult | ops.SQLStringView):
        raise BadInput(f"column {name!r} comes from a string of SQL, which cannot be traced; write it with Ibis")
    if isinstance(relation, ops.PhysicalTable):
        return frozenset({Source(relation.name, name)})
    if isinstance(relation, ops.Reference):
        return _of_field(relation.parent, name)
    if isinstance(relation, ops.JoinChain):
        return _union(_of_joined(relation, field) for field in _fields(relation.values[name]))
    if isinstance(relation, ops.Set):
        return _union(_of_field(side, name) | _selection(side) for side in (relation.left, relation.right))
    if isinstance(relation, ops.Aggregate) and name in relation.metrics:
        grouping = _union(map(_of_value, relation.groups.values()))
        return _pooled(_of_value(relation.metrics[name]) | grouping)
    if name not in getattr(relation, "values", {}):
        raise BadInput(f"column {name!r} passes through {type(relation).__name__}, which cannot be traced")
    return _of_value(relation.values[name])


def _of_value(value: ops.Value) -> Sources:
    found = _union(_of_field(field.rel, field.name) for field in _fields(value))
    for query in value.find(ops.Subquery, filter=ops.Value):
        inner = _union(_of_field(query.rel, name) for name in query.rel.schema) | _selection(query.rel)
        found |= _pooled(inner)
    if value.find(_POOLING, filter=ops.Value):
        found = _pooled(found | _union(map(_selection, value.relations)))
    return found


def _of_joined(chain: ops.JoinChain, field: ops.Field) -> Sources:
    """A field of one of the joined tables; for one but the first, with what decided which row was joined."""
    own = _of_field(field.rel, field.name)
    for link in chain.rest:
        if link.how not in _JOINS:
            raise BadInput(
                f"column {field.name!r} passes through a {link.how} join, which cannot be traced; turn it round"
            )
        if link.table == field.rel:
            matched = _union(_of_field(f.rel, f.name) for predicate in link.predicates for f in _fields(predicate))
            ours = own | _selection(link.table.parent) | matched
            return frozenset(replace(s, via=s.via or link.table) for s in ours)
    return own


def _selection(relation: ops.Relation) -> Sources:
    """The columns that decide which rows a relation has."""
    if isinstance(relation, ops.PhysicalTable):
        return _NONE
    if isinstance(relation, ops.JoinChain):
        links = [link for link in relation.rest if "left" not in link.how]
        fields = (f for link in links for predicate in link.predicates for f in _fields(predicate))
        return _union([*(_of_field(f.rel, f.name) for f in fields), *(_selection(t.parent) for t in relation.tables)])
    if isinstance(relation, ops.Set):
        return _selection(relation.left) | _selection(relation.right)
    chosen: Iterable[ops.Value] = ()
    if isinstance(relation, ops.Filter):
        chosen = relation.predicates
    elif isinstance(relation, ops.Aggregate):
        chosen = relation.groups.values()
    elif isinstance(relation, ops.Sort):  # which rows a later limit leaves
        chosen = relation.keys
    elif isinstance(relation, ops.Distinct | ops.DropNull):
        chosen = relation.parent.fields.values()
    return _union(map(_of_value, chosen)) | _selection(relation.parent)


def _fields(value: ops.Value) -> list[ops.Field]:
    return list(value.find(ops.Field, filter=ops.Value))


def _pooled(found: Sources) -> Sources:
    return frozenset(replace(source, pooled=True) for source in found)


def _union(parts: Iterable[Sources]) -> Sources:
    return frozenset().union(*parts)

"""What an expression rests on: columns of the given tables, each with what is proven of the age of its rows.

A *bound* `(clock, seconds)` of a source says: every row of the source's table that has a part in it carries a time that
is at least so many seconds before the value of `clock`, a column of the row at hand. Bounds start at 0 at a table's own
clock and follow the expression: through a shift by an interval, a truncation, the predicates of joins and filters, the
keys of groups, and windows that end some time before their row. So they are difference bounds, as in R. Shostak,
*Deciding linear inequalities by computing loop residues* (1981).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Clock = Any  # a column's name in the facts of a relation; `(relation, name)` while one is traced
Bounds = frozenset[tuple[Clock, float]]
Edge = tuple[Clock, Clock, float]  # (earlier, later, seconds): earlier + seconds <= later in every row concerned
Images = Mapping[Clock, Iterable[tuple[Clock, float, float]]]  # new clocks, at least and at most so much later than one


@dataclass(frozen=True)
class Origin:
    """Something that decides a value or which rows there are.

    Attributes:
        table: The given table, by the name that the contract has for it; empty where the source is unknown.
        column: Its column.
        bounds: What is proven of the age of the rows of `table`; empty for nothing.
        unknown: What could not be traced, in words; empty where all could.
    """

    table: str = ""
    column: str = ""
    bounds: Bounds = frozenset()
    unknown: str = ""


Sources = frozenset[Origin]
NOTHING: Sources = frozenset()


def union(parts: Iterable[Sources]) -> Sources:
    """All sources of all parts."""
    return frozenset().union(*parts)


def opaque(what: str) -> Sources:
    """The source that stands for what cannot be traced."""
    return frozenset({Origin(unknown=what)})


def unbounded(sources: Sources) -> Sources:
    """The same sources, nothing proven of their age: rows of any time may have a part in them."""
    return frozenset(replace(source, bounds=frozenset()) for source in sources)


def renamed(sources: Sources, images: Images) -> Sources:
    """Bounds in terms of other clocks; those on a clock without an image are lost."""
    return frozenset(
        replace(
            source,
            bounds=_strongest(
                (new, seconds + least) for old, seconds in source.bounds for new, least, _ in images.get(old, ())
            ),
        )
        for source in sources
    )


def extended(sources: Sources, edges: Iterable[Edge]) -> Sources:
    """Add the bounds that follow from `edges`, which hold in every row concerned."""
    steps = list(edges)
    return frozenset(replace(source, bounds=_closed(source.bounds, steps)) for source in sources) if steps else sources


def renamed_edges(edges: Iterable[Edge], images: Images) -> frozenset[Edge]:
    """Edges in terms of other clocks, and those between clocks that are images of one."""
    every = [*edges, *((clock, clock, 0.0) for clock in images)]
    return frozenset(
        (new, other, seconds - most + least)
        for earlier, later, seconds in every
        for new, _, most in images.get(earlier, ())
        for other, least, _ in images.get(later, ())
        if new != other
    )


def _closed(bounds: Bounds, edges: list[Edge]) -> Bounds:
    known = dict(bounds)
    for _ in edges:  # no longest path has more steps, unless no row at all keeps the predicates
        before = dict(known)
        for earlier, later, seconds in edges:
            if earlier in known:
                known[later] = max(known.get(later, -float("inf")), known[earlier] + seconds)
        if known == before:
            break
    return frozenset(known.items())


def _strongest(bounds: Iterable[tuple[Clock, float]]) -> Bounds:
    known: dict[Clock, float] = {}
    for clock, seconds in bounds:
        known[clock] = max(known.get(clock, -float("inf")), seconds)
    return frozenset(known.items())

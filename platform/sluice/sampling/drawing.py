"""Drawing a stratified sample as Ibis expressions: the same rows on every engine, in about one pass over the data.

By definition the sample is, in each stratum, the first rows in the seeded random order (`sluice.engine.row_order`).
Ranking every row would mean sorting them all. But the order is uniform, so the first n of N rows lie below about n/N
of its range: only rows below that bound, with some slack, are ranked. A stratum that comes up short, which chance
allows about once in 10^9 draws, is ranked whole. The result is exactly that of the definition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import ibis
import pandas as pd

from sluice.core.column_names import free_name, repeated
from sluice.core.errors import BadInput
from sluice.engine.row_order import order_bound, with_row_order

PURPOSE = "sample"
SIGMAS = 6
MOST_STRATA = 10_000


@dataclass(frozen=True)
class _Names:
    """Columns added while drawing, none of which the table has: place in the order, quota, bound, 1/p, rank."""

    order: str
    quota: str
    bound: str
    inverse: str
    rank: str

    @classmethod
    def beside(cls, columns: Sequence[str]) -> "_Names":
        return cls(*(free_name(wanted, columns) for wanted in ("_order", "_quota", "_bound", "_inverse", "_rank")))


@dataclass(frozen=True)
class Weighting:
    """How the sample's rows get their weights.

    Attributes:
        column: The name of the weight column.
        earlier: What the rows weigh already: the column that the table has, or one number for all.
    """

    column: str
    earlier: str | Fraction = Fraction(1)


@dataclass(frozen=True)
class Stratum:
    """One stratum of a design.

    Attributes:
        values: Its values of the stratum columns; None stands for a missing one.
        rows: How many rows the table has of it.
        sampled: How many of them are drawn.
    """

    values: tuple[Any, ...]
    rows: int
    sampled: int

    @property
    def probability(self) -> float:
        """The inclusion probability of each of its rows."""
        return self.sampled / self.rows

    @property
    def share(self) -> Fraction:
        """The inclusion probability, exactly."""
        return Fraction(self.sampled, self.rows)


def count_strata(table: ibis.Table, strata: Sequence[str]) -> list[tuple[tuple[Any, ...], int]]:
    """The strata with their numbers of rows, in the order of their values, missing ones last.

    Raises:
        BadInput: A column is missing, named twice, or a float (whose values are no groups), or there are more than
            10,000 strata.
    """
    if twice := repeated(strata):
        raise BadInput(f"parameter strata names {twice!r} twice; name it once")
    for name in strata:
        if name not in table.columns:
            raise BadInput(f"parameter strata: the table has no column {name!r}; it has {', '.join(table.columns)}")
        kind = table[name].type()
        if not (kind.is_string() or kind.is_integer() or kind.is_boolean()):
            raise BadInput(f"parameter strata: column {name!r} is {kind}; use strings, integers or booleans")
    if not strata:
        return [((), int(table.count().execute()))]
    size = free_name("_rows", table.columns)
    counted = table.group_by(*strata).agg(**{size: lambda t: t.count()})
    found = counted.limit(MOST_STRATA + 1).to_pyarrow().to_pylist()
    if len(found) > MOST_STRATA:
        raise BadInput(f"parameter strata={list(strata)} makes more than {MOST_STRATA} strata; use coarser columns")
    groups = [(tuple(row[name] for name in strata), int(row[size])) for row in found]
    return sorted(groups, key=lambda group: [(value is None, 0 if value is None else value) for value in group[0]])


def draw(
    table: ibis.Table,
    key: Sequence[str],
    strata: Sequence[str],
    plan: Sequence[Stratum],
    seed: int,
    *,
    purpose: str = PURPOSE,
    weighting: Weighting | None = None,
    sigmas: int = SIGMAS,
) -> ibis.Table:
    """Draw the sample that a plan asks for.

    Args:
        table: Rows on any engine.
        key: Columns that identify a row.
        strata: The stratum columns, in the order of the plan's values; none for a simple random sample.
        plan: Every stratum of the table with the rows to draw.
        seed: Any integer.
        purpose: Names the order: a sample of a sample with the same seed needs another than the first.
        weighting: Adds each row's weight, one over its inclusion probability times what it weighed before; None for no
            such column.
        sigmas: Slack above the expected bound, in standard deviations. It changes the speed only.

    Returns:
        The sampled rows with the table's columns (the weight last where it is new), ordered by key.

    Raises:
        BadInput: Two rows share a key, or one misses it, so that no order is defined.
    """
    if all(stratum.sampled == stratum.rows for stratum in plan):
        return _weighted(table, table.columns, ibis.literal(1.0), weighting).order_by(*key)
    names = _Names.beside([*table.columns, *([weighting.column] if weighting else [])])
    ordered = with_row_order(table, key, seed, names.order, purpose)
    # A row without a key has no order; put first, it is among the candidates, where `_check_key` sees it.
    order = ordered[names.order]
    ordered = ordered.mutate(**{names.order: order.fill_null(order_bound(order, Fraction(0)))})
    bounds = [None if s.sampled == s.rows else _bound(ordered[names.order], s, sigmas) for s in plan]
    candidates = _below(ordered, names, strata, plan, bounds)
    short = _short(candidates, strata, plan)
    if short:
        bounds = [None if i in short else bound for i, bound in enumerate(bounds)]
        candidates = _below(ordered, names, strata, plan, bounds)
    _check_key(candidates, key)
    place = ibis.row_number().over(group_by=list(strata), order_by=[names.order, *key])
    ranked = candidates.mutate(**{names.rank: place})
    drawn = ranked.filter(ranked[names.rank] < ranked[names.quota])
    return _weighted(drawn, table.columns, drawn[names.inverse], weighting).order_by(*key)


def _weighted(rows: ibis.Table, columns: Sequence[str], inverse: ibis.Value, weighting: Weighting | None) -> ibis.Table:
    """The rows with these columns, and with their weights where they are asked for."""
    if weighting is None:
        return rows.select(*columns)
    earlier = weighting.earlier
    weight = inverse * (rows[earlier] if isinstance(earlier, str) else float(earlier))
    return rows.mutate(**{weighting.column: weight}).select(*dict.fromkeys((*columns, weighting.column)))


def _bound(order: ibis.Column, stratum: Stratum, sigmas: int) -> int | str | None:
    """Where the stratum's last sampled row is expected in the order, with slack; None where every row may be needed."""
    slack = sigmas * isqrt(stratum.sampled) + sigmas**2
    share = Fraction(stratum.sampled + slack, stratum.rows)
    return order_bound(order, share) if 0 <= share < 1 else None


def _below(
    ordered: ibis.Table,
    names: _Names,
    strata: Sequence[str],
    plan: Sequence[Stratum],
    bounds: Sequence[int | str | None],
) -> ibis.Table:
    """The rows below their stratum's bound, held by the engine, each with its stratum's quota."""
    limits, sides = _limits(ordered, names, strata, plan, bounds)
    # Ibis gives Spark a table held in memory when it runs a query, but forgets to when it caches one.
    ordered.get_backend().to_pyarrow(limits.limit(0))
    if strata:
        of_stratum = [ordered[name].identical_to(limits[side]) for name, side in zip(strata, sides, strict=True)]
        ordered = ordered.inner_join(limits, of_stratum)
    else:
        ordered = ordered.cross_join(limits)
    return ordered.filter(ordered[names.bound].isnull() | (ordered[names.order] < ordered[names.bound])).cache()


def _limits(
    ordered: ibis.Table,
    names: _Names,
    strata: Sequence[str],
    plan: Sequence[Stratum],
    bounds: Sequence[int | str | None],
) -> tuple[ibis.Table, list[str]]:
    """Every stratum with quota, bound and one over its inclusion probability; and its stratum columns' names."""
    sides = [free_name(f"_stratum_{place}", ordered.columns) for place, _ in enumerate(strata)]
    kinds = [*(ordered[name].type() for name in strata), "int64", ordered[names.order].type(), "float64"]
    rows = [[*s.values, s.sampled, bound, s.rows / s.sampled] for s, bound in zip(plan, bounds, strict=True)]
    columns = [*sides, names.quota, names.bound, names.inverse]
    # `object` keeps a missing integer from turning the column into floats.
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return ibis.memtable(frame, schema=dict(zip(columns, kinds, strict=True))), sides


def _short(candidates: ibis.Table, strata: Sequence[str], plan: Sequence[Stratum]) -> set[int]:
    """Positions in the plan of the strata that have fewer candidates than they must give."""
    found = dict(count_strata(candidates, strata))
    return {i for i, stratum in enumerate(plan) if found.get(stratum.values, 0) < stratum.sampled}


def _check_key(candidates: ibis.Table, key: Sequence[str]) -> None:
    way_out = "a sample needs a key that identifies each row"
    if candidates.filter(ibis.or_(*(candidates[name].isnull() for name in key))).count().execute():
        raise BadInput(f"a row has no value in its key ({', '.join(key)}); {way_out}")
    several = candidates.group_by(*key).having(candidates.count() > 1).agg().limit(1).to_pyarrow().to_pylist()
    if several:
        shown = ", ".join(f"{name}={value}" for name, value in several[0].items())
        raise BadInput(f"several rows have the key {shown}; {way_out}")

"""Drawing a stratified sample as Ibis expressions: the same rows on every engine, in about one pass over the data.

By definition the sample is, in each stratum, the first rows in the seeded random order (`components.common.hashing`).
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

from components.common.errors import BadInput
from components.common.hashing import order_bound, with_row_order

ORDER = "_row_order"
QUOTA = "_quota"
BOUND = "_bound"
RANK = "_rank"
SIDE = "_of_stratum"
SIGMAS = 6
MOST_STRATA = 10_000


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


def count_strata(table: ibis.Table, strata: Sequence[str]) -> list[tuple[tuple[Any, ...], int]]:
    """The strata with their numbers of rows, in the order of their values, missing ones last.

    Raises:
        BadInput: A column is missing, is a float (whose values are no groups), or makes more than 10,000 strata.
    """
    for name in strata:
        if name not in table.columns:
            raise BadInput(f"parameter strata: the table has no column {name!r}; it has {', '.join(table.columns)}")
        kind = table[name].type()
        if not (kind.is_string() or kind.is_integer() or kind.is_boolean()):
            raise BadInput(f"parameter strata: column {name!r} is {kind}; use strings, integers or booleans")
    if not strata:
        return [((), int(table.count().execute()))]
    counted = table.group_by(*strata).agg(**{QUOTA: lambda t: t.count()})
    found = counted.limit(MOST_STRATA + 1).to_pyarrow().to_pylist()
    if len(found) > MOST_STRATA:
        raise BadInput(f"parameter strata={list(strata)} makes more than {MOST_STRATA} strata; use coarser columns")
    groups = [(tuple(row[name] for name in strata), int(row[QUOTA])) for row in found]
    return sorted(groups, key=lambda group: [(value is None, value or 0) for value in group[0]])


def draw(
    table: ibis.Table,
    key: Sequence[str],
    strata: Sequence[str],
    plan: Sequence[Stratum],
    seed: int,
    sigmas: int = SIGMAS,
) -> ibis.Table:
    """Draw the sample that a plan asks for.

    Args:
        table: Rows on any engine.
        key: Columns that identify a row.
        strata: The stratum columns, in the order of the plan's values; none for a simple random sample.
        plan: Every stratum of the table with the rows to draw.
        seed: Any integer.
        sigmas: Slack above the expected bound, in standard deviations. It changes the speed only.

    Returns:
        The sampled rows with the table's columns, ordered by key.

    Raises:
        BadInput: Two rows share a key, or one misses it, so that no order is defined.
    """
    if all(stratum.sampled == stratum.rows for stratum in plan):
        return table.order_by(*key)
    ordered = with_row_order(table, key, seed, ORDER)
    # A row without a key has no order; put first, it is among the candidates, where `_check_key` sees it.
    ordered = ordered.mutate(**{ORDER: ordered[ORDER].fill_null(order_bound(ordered[ORDER], Fraction(0)))})
    bounds = [None if s.sampled == s.rows else _bound(ordered, s, sigmas) for s in plan]
    candidates = _below(ordered, strata, plan, bounds)
    short = _short(candidates, strata, plan)
    if short:
        bounds = [None if i in short else bound for i, bound in enumerate(bounds)]
        candidates = _below(ordered, strata, plan, bounds)
    _check_key(candidates, key)
    place = ibis.row_number().over(group_by=list(strata), order_by=[ORDER, *key])
    ranked = candidates.mutate(**{RANK: place})
    return ranked.filter(ranked[RANK] < ranked[QUOTA]).select(table.columns).order_by(*key)


def _bound(ordered: ibis.Table, stratum: Stratum, sigmas: int) -> int | str | None:
    """Where the stratum's last sampled row is expected in the order, with slack; None where every row may be needed."""
    slack = sigmas * isqrt(stratum.sampled) + sigmas**2
    share = Fraction(stratum.sampled + slack, stratum.rows)
    return order_bound(ordered[ORDER], share) if 0 <= share < 1 else None


def _below(
    ordered: ibis.Table,
    strata: Sequence[str],
    plan: Sequence[Stratum],
    bounds: Sequence[int | str | None],
) -> ibis.Table:
    """The rows below their stratum's bound, held by the engine, each with its stratum's quota."""
    limits = _limits(ordered, strata, plan, bounds)
    # Ibis gives Spark a table held in memory when it runs a query, but forgets to when it caches one.
    ordered.get_backend().to_pyarrow(limits.limit(0))
    if strata:
        ordered = ordered.inner_join(limits, [ordered[name].identical_to(limits[f"{name}{SIDE}"]) for name in strata])
    else:
        ordered = ordered.cross_join(limits)
    return ordered.filter(ordered[BOUND].isnull() | (ordered[ORDER] < ordered[BOUND])).cache()


def _limits(
    ordered: ibis.Table, strata: Sequence[str], plan: Sequence[Stratum], bounds: Sequence[int | str | None]
) -> ibis.Table:
    names = [*(f"{name}{SIDE}" for name in strata), QUOTA, BOUND]
    kinds = [*(ordered[name].type() for name in strata), "int64", ordered[ORDER].type()]
    rows = [[*stratum.values, stratum.sampled, bound] for stratum, bound in zip(plan, bounds, strict=True)]
    # `object` keeps a missing integer from turning the column into floats.
    return ibis.memtable(pd.DataFrame(rows, columns=names, dtype=object), schema=dict(zip(names, kinds, strict=True)))


def _short(candidates: ibis.Table, strata: Sequence[str], plan: Sequence[Stratum]) -> set[int]:
    """Positions in the plan of the strata that have fewer candidates than they must give."""
    found = dict(count_strata(candidates, strata))
    return {i for i, stratum in enumerate(plan) if found.get(stratum.values, 0) < stratum.sampled}


def _check_key(candidates: ibis.Table, key: Sequence[str]) -> None:
    way_out = "a sample needs a key that identifies each row"
    if candidates.filter(ibis.or_(*(candidates[name].isnull() for name in key))).count().execute():
        raise BadInput(f"a row has no value in its key ({', '.join(key)}); {way_out}")
    repeated = candidates.group_by(*key).having(candidates.count() > 1).agg().limit(1).to_pyarrow().to_pylist()
    if repeated:
        shown = ", ".join(f"{name}={value}" for name, value in repeated[0].items())
        raise BadInput(f"several rows have the key {shown}; {way_out}")

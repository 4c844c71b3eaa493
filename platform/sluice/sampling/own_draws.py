"""A sample by inclusion probabilities that a sampler says, drawn systematically in a portable random order.

The probabilities are laid end to end in random order, and a row is drawn where one of the points s, s + 1, s + 2, …
falls into its part; s is random in [0, 1). So each row is drawn with its probability, and the number of rows is their
sum, rounded up or down (W. G. Madow, *On the theory of systematic sampling II*, 1949; in random order: L. A. Goodman
and L. Kish, *Controlled selection*, 1950). Probabilities are whole numbers of 2^-32 here: sums of them are exact.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ibis

from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.core.extensions import Opened
from sluice.engine.row_order import check_key, with_row_order
from sluice.extending.samplers import Draw, Sampler

UNIT = 2**32
_LEAST = 1e-6  # a smaller one would be rounded by more than a ten-thousandth of it
_WAY_OUT = "give an Ibis table with the key and the column draw.probability"


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        rows: The rows, with their columns alone, ordered by key; the weight last, where rows weigh differently.
        weight: Its column, or None.
        sampled: How many there are.
        least: The least probability of all rows.
        greatest: The greatest.
    """

    rows: ibis.Table
    weight: str | None
    sampled: int
    least: float
    greatest: float


def draw_by(
    sampler: Opened[Sampler], rows: ibis.Table, draw: Draw, purpose: str, earlier: str | None, before: Fraction
) -> Drawn:
    """Draw rows with the probabilities that a sampler says.

    Args:
        sampler: The sampler.
        rows: All rows, whose key identifies them.
        draw: What is to be drawn.
        purpose: Names the random order.
        earlier: The column with the weights of an earlier draw, or None.
        before: What all rows weigh without such a column.

    Raises:
        BadInput: The sampler failed, gave no such table, left a row out, or said something that is no probability.
    """
    check_key(rows, draw.key)
    units = free_name("_units", rows.columns)
    counted = _counted(sampler, rows, draw, units)
    seen = counted.aggregate(least=counted[units].min(), greatest=counted[units].max()).to_pyarrow().to_pylist()[0]
    order, place = (free_name(name, counted.columns) for name in ("_order", "_place"))
    ordered = with_row_order(counted, draw.key, draw.seed, order, purpose)
    window = ibis.window(order_by=[ordered[order], *(ordered[name] for name in draw.key)], preceding=None, following=0)
    upto = ordered[units].sum().over(window).cast("int64")
    placed = ordered.mutate(**{place: upto + _start(purpose, draw.seed)})
    hit = (placed[place] >> 32) > ((placed[place] - placed[units]) >> 32)
    found = placed.filter(hit)
    weight = earlier
    columns: dict[str, Any] = {name: found[name] for name in rows.columns}
    if earlier or seen["least"] != seen["greatest"]:
        weight = earlier or free_name("weight", rows.columns)
        columns[weight] = float(UNIT) / found[units] * (found[earlier] if earlier else float(before))
    kept = found.select(**columns).order_by(*draw.key).cache()
    return Drawn(kept, weight, int(kept.count().execute()), seen["least"] / UNIT, seen["greatest"] / UNIT)


def _start(purpose: str, seed: int) -> int:
    """Where the points begin, in units: random by the seed, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"sluice start {purpose} {seed}".encode()).digest()[:4], "big")


def _counted(sampler: Opened[Sampler], rows: ibis.Table, draw: Draw, units: str) -> ibis.Table:
    """The rows, each with its probability in units."""
    with sampler.blamed():
        said = sampler.thing(rows, draw)
        if not isinstance(said, ibis.Table):
            raise sampler.gave(said, _WAY_OUT)
        missing = [name for name in (*draw.key, draw.probability) if name not in said.columns]
        if missing:
            raise BadInput(f"{sampler.what}: its table has no column {missing[0]!r}; {_WAY_OUT}")
        if not said[draw.probability].type().is_numeric():
            kind = said[draw.probability].type()
            raise BadInput(f"{sampler.what}: {draw.probability} is {kind}; give numbers above 0 and at most 1")
        told = said.select(*draw.key, **{draw.probability: said[draw.probability].cast("float64")}).cache()
    _check_rows(sampler, rows, told, draw)
    scaled = (told[draw.probability] * UNIT).round().cast("int64")
    return rows.inner_join(told.select(*draw.key, **{units: scaled}), draw.key).select(*rows.columns, units)


def _check_rows(sampler: Opened[Sampler], rows: ibis.Table, told: ibis.Table, draw: Draw) -> None:
    share = told[draw.probability]
    wrong = share.isnull() | share.isnan() | (share < _LEAST) | (share > 1)
    if row := _first(told.filter(wrong)):
        value = row.pop(draw.probability)
        raise BadInput(
            f"{sampler.what}: {_named(row)} has the inclusion probability {value}; give each row one from {_LEAST:g} "
            "to 1 (what can never be drawn stands for nothing: take such rows away in prepare)"
        )
    if row := _first(told.group_by(*draw.key).having(told.count() > 1).agg()):
        raise BadInput(f"{sampler.what}: its table has {_named(row)} twice; give each row once")
    if row := _first(rows.anti_join(told, draw.key).select(*draw.key)):
        raise BadInput(f"{sampler.what}: its table lacks {_named(row)}; give the probability of every row")


def _first(table: ibis.Table) -> dict[str, Any]:
    found: list[dict[str, Any]] = table.limit(1).to_pyarrow().to_pylist()
    return found[0] if found else {}


def _named(key: dict[str, Any]) -> str:
    return "the row " + ", ".join(f"{name}={value}" for name, value in key.items())


def spread(drawn: Drawn, by: str, rows: int, key: Sequence[str], seed: int) -> dict[str, Any]:
    """The design of such a sample, as the manifest keeps it."""
    return {
        "strategy": "by probability",
        "by": by,
        "seed": seed,
        "key": list(key),
        "rows": rows,
        "sampled": drawn.sampled,
        "least": drawn.least,
        "greatest": drawn.greatest,
        "weight": drawn.weight,
    }

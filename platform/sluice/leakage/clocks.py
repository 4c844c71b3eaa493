"""Times in an expression: how far a value is from a column, and what predicates say of the order of columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ibis.expr.operations as ops

from sluice.leakage.origins import Edge

_HOUR, _DAY = 3600.0, 86_400.0
# The most that truncating takes off, in the engine's zone (UTC, `sluice.engine.duckdb_engine`): no day has 25 hours.
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": _HOUR,
    "D": _DAY,
    "W": 7 * _DAY,
    "M": 31 * _DAY,
    "Q": 92 * _DAY,
    "Y": 366 * _DAY,
}
_VARYING = ("M", "Q", "Y")


@dataclass(frozen=True)
class Shifted:
    """A time that lies `least` to `most` seconds after the column `(relation, name)`."""

    relation: ops.Relation
    name: str
    least: float = 0.0
    most: float = 0.0

    @property
    def clock(self) -> tuple[ops.Relation, str]:
        """The column."""
        return self.relation, self.name


def shifted(value: ops.Value) -> Shifted | None:
    """How far a time is from a column, or None where it is not a column, shifted or truncated."""
    if isinstance(value, ops.Field):
        return Shifted(value.rel, value.name) if value.dtype.is_timestamp() or value.dtype.is_date() else None
    if type(value) in (ops.TimestampTruncate, ops.DateTruncate):
        return _moved(shifted(value.arg), -_UNITS.get(value.unit.short, float("inf")), 0.0)
    if type(value) is ops.Date:
        return _moved(shifted(value.arg), -_DAY, 0.0)
    if type(value) in (ops.TimestampAdd, ops.TimestampSub, ops.DateAdd, ops.DateSub):
        seconds = interval_seconds(value.right)
        sign = -1.0 if type(value) in (ops.TimestampSub, ops.DateSub) else 1.0
        return None if seconds is None else _moved(shifted(value.left), sign * seconds, sign * seconds)
    return None


def interval_seconds(value: ops.Value) -> float | None:
    """The length of a constant interval, or None where it is not constant or its unit varies, such as a month."""
    if type(value) is ops.Negate:
        inner = interval_seconds(value.arg)
        return None if inner is None else -inner
    if type(value) is ops.Literal and value.dtype.is_interval() and value.dtype.unit.short not in _VARYING:
        return None if value.value is None else float(value.value) * _UNITS[value.dtype.unit.short]
    return None


def orders(predicates: Iterable[ops.Value]) -> Iterator[Edge]:
    """What holds of the times in every row that keeps all predicates."""
    for predicate in predicates:
        if type(predicate) is ops.And:
            yield from orders((predicate.left, predicate.right))
        elif type(predicate) in (ops.LessEqual, ops.Less):
            yield from _edge(predicate.left, predicate.right)
        elif type(predicate) in (ops.GreaterEqual, ops.Greater):
            yield from _edge(predicate.right, predicate.left)
        elif type(predicate) is ops.Equals:
            yield from _edge(predicate.left, predicate.right)
            yield from _edge(predicate.right, predicate.left)
        elif type(predicate) is ops.Between:
            yield from _edge(predicate.lower_bound, predicate.arg)
            yield from _edge(predicate.arg, predicate.upper_bound)


def _edge(earlier: ops.Value, later: ops.Value) -> Iterator[Edge]:
    """From `earlier <= later` to columns: a + least <= earlier <= later <= b + most."""
    a, b = shifted(earlier), shifted(later)
    if a and b:
        yield a.clock, b.clock, a.least - b.most


def _moved(place: Shifted | None, least: float, most: float) -> Shifted | None:
    return place and Shifted(place.relation, place.name, place.least + least, place.most + most)

"""Data that broke, told apart from drift: missing columns and values, new values, other units, numbers cut off.

Drift is a world that changed; a fault is a pipeline that did. Each fault points to the clause of the data contract that
says how it should be, or that could say it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sluice.contract.reading import Column
from sluice.monitoring.column_counts import Cells, Counted
from sluice.monitoring.evidence import share_bound, share_p_value
from sluice.monitoring.judged_rows import Floats

_MISSING, _NOVEL, _BEYOND, _ENDS, _REPEATED = 0.01, 0.002, 0.005, 0.02, 0.05
"""Shares of rows that do not matter, on top of what the reference shows."""
_ALIKE = 0.05  # a unit's factor is met as well as that, at every quantile
_FACTORS = (
    (1.609344, "miles became kilometres"),
    (1000.0, "thousands became units, such as km and m"),
    (100.0, "a factor of 100, such as shares and per cent, m and cm"),
    (60.0, "a factor of 60, such as hours and minutes"),
    (3600.0, "hours became seconds"),
    (24.0, "days became hours"),
    (1440.0, "days became minutes"),
    (2.204623, "kilogrammes became pounds"),
    (3.28084, "metres became feet"),
    (2.54, "inches became centimetres"),
    (3.6, "m/s became km/h"),
    (1.943844, "m/s became knots"),
    (33.8639, "inches of mercury became hectopascals"),
    (1e6, "millions became units"),
)


@dataclass(frozen=True)
class Fault:
    """Something that broke.

    Attributes:
        column: The column; empty for the rows as a whole.
        kind: See `records.FaultRecord`.
        words: A sentence.
        clause: The contract's.
        p_value: How probable it is where nothing broke.
    """

    column: str
    kind: str
    words: str
    clause: str
    p_value: float


TESTS = 5
"""How many tests each column has at most; they share what false alarms a column may make."""


def column_faults(
    name: str,
    cells: Cells,
    reference: Counted,
    current: Counted | None,
    distance: float,
    contract: Mapping[str, Column],
) -> Iterator[Fault]:
    """What broke in a column.

    Args:
        name: The column.
        cells: Its cells.
        reference: What was counted of the reference.
        current: What was counted now; None where the table lacks the column.
        distance: The p-value of the two distributions' distance.
        contract: What a contract says of columns, by name; may be empty.
    """
    said = contract.get(name)
    if current is None:
        yield Fault(name, "schema", f"{name} is missing from the table", clause_on(name, "type", said), 0.0)
        return
    yield from _missing(name, reference, current, said)
    if cells.kind == "category":
        yield from _novel(name, cells, reference, current, said)
    else:
        unit = _unit(name, reference, current, distance, said)
        yield from [unit] if unit else [*_beyond(name, cells, reference, current, said)]
        yield from _cut(name, cells, reference, current, said)


def _missing(name: str, reference: Counted, current: Counted, said: Column | None) -> Iterator[Fault]:
    limit = share_bound(reference.missing, reference.rows) + _MISSING
    now, before = current.missing / current.rows, reference.missing / reference.rows
    words = f"{name} is missing in {now:.1%} of the rows, in the reference in {before:.1%}"
    p_value = share_p_value(current.missing, current.rows, limit)
    yield Fault(name, "missing values", words, clause_on(name, "nullable", said), p_value)


def _novel(name: str, cells: Cells, reference: Counted, current: Counted, said: Column | None) -> Iterator[Fault]:
    if not cells.known:
        return
    limit = share_bound(round(cells.rare * reference.rows), reference.rows) + _NOVEL
    shown = ", ".join(map(repr, current.novel[:3]))
    words = f"{name} has values that the reference lacks in {current.beyond / current.rows:.1%} of the rows: {shown}"
    yield Fault(
        name, "new values", words, clause_on(name, "values", said), share_p_value(current.beyond, current.rows, limit)
    )


def _beyond(name: str, cells: Cells, reference: Counted, current: Counted, said: Column | None) -> Iterator[Fault]:
    limit = share_bound(2, max(reference.rows, 3)) + _BEYOND
    words = (
        f"{name} is outside {cells.least:g} to {cells.greatest:g}, all that the reference has, in "
        f"{current.beyond / current.rows:.1%} of the rows"
    )
    p_value = share_p_value(current.beyond, current.rows, limit)
    yield Fault(name, "out of range", words, clause_on(name, "range", said), p_value)


def _cut(name: str, cells: Cells, reference: Counted, current: Counted, said: Column | None) -> Iterator[Fault]:
    """Many rows at one end of the numbers, which lies inside what the reference has."""
    if cells.whole:
        return
    for end, now, before, value, inside in (
        ("above", current.at_greatest, reference.at_greatest, current.greatest, current.greatest < reference.greatest),
        ("below", current.at_least, reference.at_least, current.least, current.least > reference.least),
    ):
        if inside:
            limit = share_bound(before, reference.rows) + _ENDS
            which = "greatest" if end == "above" else "least"
            words = f"{name} is {value:g}, its {which}, in {now / current.rows:.1%} of the rows, as if cut off there"
            yield Fault(
                name, f"cut off {end}", words, clause_on(name, "range", said), share_p_value(now, current.rows, limit)
            )


def _unit(name: str, reference: Counted, current: Counted, distance: float, said: Column | None) -> Fault | None:
    """All quantiles moved by the factor of two units, or as from one scale of temperature to the other."""
    before, now = np.array(reference.quantiles), np.array(current.quantiles)
    if len(before) != len(now) or not len(now) or np.ptp(before) == 0:
        return None
    words = _factor_words(before, now) or _temperature_words(before, now)
    if not words:
        return None
    middle = len(now) // 2
    told = f"{name} has the median {now[middle]:g} where the reference has {before[middle]:g}: as if {words}"
    return Fault(name, "other unit", told, clause_on(name, "unit", said), distance)


def _factor_words(before: Floats, now: Floats) -> str:
    if (before * now <= 0).any():
        return ""
    logs = np.log(now / before)
    for factor, words in _FACTORS:
        for sign, told in ((1, words), (-1, f"{words}, the other way round")):
            if (abs(logs - sign * np.log(factor)) < _ALIKE).all():
                return told
    return ""


def _temperature_words(before: Floats, now: Floats) -> str:
    room = _ALIKE * float(np.ptp(before))
    if (abs(now - (32 + 1.8 * before)) < 1.8 * room).all():
        return "degrees Celsius became Fahrenheit"
    if (abs(now - (before - 32) / 1.8) < room).all():
        return "degrees Fahrenheit became Celsius"
    if (abs(now - (before + 273.15)) < room).all():
        return "degrees Celsius became kelvin"
    return ""


def repeated_rows(current: int, rows: int, reference: int, reference_rows: int) -> Fault:
    """Rows that are like an earlier row in every column.

    Args:
        current: How many there are now.
        rows: Of so many.
        reference: How many the reference has.
        reference_rows: Of so many.
    """
    limit = share_bound(reference, reference_rows) + _REPEATED
    now, before = current / rows, reference / reference_rows
    words = f"{now:.1%} of the rows repeat another in every column, in the reference {before:.1%}"
    return Fault("", "repeated rows", words, "the table's key", share_p_value(current, rows, limit))


def clause_on(name: str, clause: str, said: Column | None) -> str:
    """What a contract says of a column in one of its clauses, or that it says nothing."""
    if said is None:
        return f"no contract was given; its clause would be columns.{name}.{clause}"
    value = getattr(said, clause)
    if value in (None, "", ()):
        return f"the contract says nothing in columns.{name}.{clause}"
    shown = "true" if value is True else "false" if value is False else value
    return f"contract, columns.{name}.{clause}: {shown}"

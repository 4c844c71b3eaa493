"""Rows as people send them, held to the contract: each wrong value is told by row and field, all at once."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.exporting.graph_values import ABSENT, NO_MOMENT
from sluice.exporting.served_files import RowField

MOST_TOLD = 20
"""Problems in one answer; the rest is only counted."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_SHOWN = 60
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value.

    Attributes:
        row: Its place in the request, from 0; None where it is wrong in all rows.
        field: The column.
        message: What it is and what it should be.
    """

    row: int | None
    field: str
    message: str


class InvalidRows(Exception):
    """Rows that break the contract.

    Attributes:
        problems: The first of them.
        count: How many there are.
    """

    def __init__(self, problems: Sequence[Problem], count: int) -> None:
        super().__init__(problems[0].message)
        self.problems, self.count = tuple(problems[:MOST_TOLD]), count


class RowSchema:
    """What a row holds, ready to check many.

    Args:
        fields: By the contract; the same names as the graph's inputs.
    """

    def __init__(self, fields: Sequence[RowField]) -> None:
        self.fields = tuple(fields)
        self._readers = {field.name: _reader(field) for field in fields}

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """Rows as arrays, shape (rows,): float64, texts (object) or microseconds since 1970 (int64), by column.

        Other keys are passed over: a label, or columns that no feature rests on.

        Raises:
            InvalidRows: A value is missing, of another type or outside of what the contract allows.
        """
        problems: list[Problem] = []
        count = 0
        found: Columns = {}
        for field in self.fields:
            read, blank, dtype = self._readers[field.name]
            values = np.empty(len(rows), dtype)
            name = field.name
            for place, row in enumerate(rows):
                given = row.get(name)
                if given is None:
                    if field.nullable:
                        values[place] = blank
                        continue
                    wrong = "is missing"
                else:
                    try:
                        values[place] = read(given)
                        continue
                    except _Wrong as error:
                        wrong = str(error)
                count += 1
                if len(problems) < MOST_TOLD:
                    problems.append(Problem(place, name, f"{name} {wrong}"))
            found[name] = values
        if problems:
            raise InvalidRows(problems, count)
        return found


class _Wrong(Exception):
    """A value that breaks the contract, in words that go on after the field's name."""


def _reader(field: RowField) -> tuple[Any, Any, Any]:
    """How a field's value is read, what stands for a missing one, and the array's type."""
    if field.type == "string":
        return _text_reader(field), ABSENT, object
    if field.type in ("timestamp", "date"):
        return _moment, NO_MOMENT, np.int64
    return _number_reader(field), np.nan, np.float64


def _text_reader(field: RowField) -> Any:  # noqa: ANN401 - a function
    allowed = frozenset(field.values) if field.values is not None else None

    def read(given: Any) -> str:  # noqa: ANN401 - JSON
        if not isinstance(given, str):
            raise _Wrong(f"is {_shown(given)}, which is no text")
        if allowed is not None and given not in allowed:
            raise _Wrong(f"is {_shown(given)}, which is none of {', '.join(sorted(allowed)[:10])}")
        return given

    return read


def _number_reader(field: RowField) -> Any:  # noqa: ANN401 - a function
    low, high = field.range or (-math.inf, math.inf)
    whole, truth = field.type == "int64", field.type == "bool"
    allowed = frozenset(field.values) if field.values is not None else None

    def read(given: Any) -> float:  # noqa: ANN401 - JSON
        if truth:
            if given is True or given is False:
                return float(given)
            raise _Wrong(f"is {_shown(given)}, which is neither true nor false")
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise _Wrong(f"is {_shown(given)}, which is no number")
        try:
            value = float(given)
        except OverflowError:
            raise _Wrong(f"is {_shown(given)}, which is too large for a number") from None
        if not math.isfinite(value):
            raise _Wrong(f"is {_shown(given)}, which is no number; leave a missing value out, or send null")
        if whole and value != math.floor(value):
            raise _Wrong(f"is {_shown(given)}, which is not whole")
        if not low <= value <= high:
            raise _Wrong(f"is {_shown(given)}, which is not from {low:g} to {high:g}")
        if allowed is not None and f"{value:g}" not in allowed and str(given) not in allowed:
            raise _Wrong(f"is {_shown(given)}, which is none of {', '.join(sorted(allowed)[:10])}")
        return value

    return read


def _moment(given: Any) -> int:  # noqa: ANN401 - JSON
    """A moment in microseconds since 1970; without a zone it is in UTC, as in the lake."""
    if isinstance(given, str):
        try:
            moment = datetime.datetime.fromisoformat(given)
        except ValueError:
            raise _Wrong(f"is {_shown(given)}, which is no time; write it like 2026-03-01T14:00:00Z") from None
    elif isinstance(given, datetime.datetime):
        moment = given
    else:
        raise _Wrong(f"is {_shown(given)}, which is no time; write it like 2026-03-01T14:00:00Z")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // _MICROSECOND


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

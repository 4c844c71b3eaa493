"""Rows as people send them, held to the contract: each wrong value is told by row and field, all at once."""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.exporting.served_files import RowField
from sluice.serving.field_readers import Reader, Wrong, reader_of

MOST_TOLD = 20
"""Problems in one answer, and names that are passed over; the rest is only counted."""
MOST_PIXEL_VALUES = 2**26
"""Width times height times channels of all images of a request: 445 of 224 x 224 in colour."""
_MANY = 8  # rows from which looking at a whole column at once is faster than at its values
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value.

    Attributes:
        row: Its place in the request, from 0; None where it is wrong in all rows.
        field: The column.
        message: What it is and what it should be.
        kind: `missing`, `type`, `time`, `range` or `value`.
    """

    row: int | None
    field: str
    message: str
    kind: str = "value"


class InvalidRows(Exception):
    """Rows that break the contract.

    Attributes:
        problems: The first of them.
        count: How many there are.
        kinds: How many there are of each kind.
    """

    def __init__(self, problems: Sequence[Problem], count: int, kinds: Mapping[str, int] | None = None) -> None:
        super().__init__(problems[0].message)
        self.problems, self.count = tuple(problems[:MOST_TOLD]), count
        self.kinds = dict(kinds or Counter(problem.kind for problem in problems))


class RowSchema:
    """What a row holds, ready to check many.

    Args:
        fields: By the contract; the same names as the graph's inputs.

    Attributes:
        fields: The same.
        types: The contract's type of each, by name.
        names: Their names.
    """

    def __init__(self, fields: Sequence[RowField]) -> None:
        self.fields = tuple(fields)
        self.types = {field.name: field.type for field in fields}
        self.names = frozenset(self.types)
        self._readers = tuple((field.name, reader_of(field)) for field in fields)
        self._images = tuple(field for field in fields if field.shape is not None)

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """Rows as arrays, shape (rows,): float64, texts (object) or microseconds since 1970 (int64), by column.

        Other keys are passed over: a label, or columns that no feature rests on; see `passed_over`.

        Raises:
            InvalidRows: A value is missing, of another type or outside of what the contract allows.
        """
        self._check_images(len(rows))
        found = _Found(len(rows))
        for name, reader in self._readers:
            found.read(name, reader, [row.get(name) for row in rows], rows)
        return found.checked()

    def given_columns(self, given: Mapping[str, Sequence[Any]], count: int) -> Columns:
        """The same of a table that is sent column by column.

        Args:
            given: Raw values, by column; a column that is not there is missing in all rows.
            count: Rows.
        """
        self._check_images(count)
        found = _Found(count)
        for name, reader in self._readers:
            values = given.get(name)
            found.read(name, reader, [None] * count if values is None else values, (given,))
        return found.checked()

    def _check_images(self, count: int) -> None:
        """Small files may unfold to many pixels, which take time: there is a most for a request."""
        for field in self._images:
            most = max(1, MOST_PIXEL_VALUES // math.prod(field.shape or ()))
            if count > most:
                words = (
                    f"{field.name}: {count:,} images of this size are too many for one request; send at most {most:,}"
                )
                raise InvalidRows([Problem(None, field.name, words, "range")], 1)

    def passed_over(self, rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """Names that rows have and the model does not take, sorted; at most MOST_TOLD."""
        names = self.names
        others: set[str] = set()
        for row in rows:
            if not row.keys() <= names and len(others) < MOST_TOLD:
                others.update(row.keys() - names)
        return tuple(sorted(others)[:MOST_TOLD])


class _Found:
    """The columns of a request, and what is wrong with them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._columns: Columns = {}
        self._problems: list[Problem] = []
        self._kinds: Counter[str] = Counter()

    def read(self, name: str, reader: Reader, values: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Read one column; `rows` are where else a missing value's name may be, misspelt."""
        if self._count >= _MANY:
            whole = reader.column(values)
            if whole is not None:
                self._columns[name] = whole
                return
        column = np.empty(self._count, reader.dtype)
        for place, given in enumerate(values):
            try:
                column[place] = reader.value(given)
            except Wrong as wrong:
                self._add(place, name, wrong, rows)
        self._columns[name] = column

    def _add(self, place: int, name: str, wrong: Wrong, rows: Sequence[Mapping[str, Any]]) -> None:
        self._kinds[wrong.kind] += 1
        if len(self._problems) >= MOST_TOLD:
            return
        message = f"{name} {wrong}"
        if wrong.kind == "missing":
            message += _meant(name, rows[min(place, len(rows) - 1)])
        self._problems.append(Problem(place, name, message, wrong.kind))

    def checked(self) -> Columns:
        if self._problems:
            raise InvalidRows(self._problems, self._kinds.total(), self._kinds)
        return self._columns


def _meant(name: str, row: Mapping[str, Any]) -> str:
    """The name in the row that may be a misspelling of the one that is missing."""
    if name in row:
        return ""
    near = difflib.get_close_matches(name, [str(key)[:200] for key in list(row)[:200]], 1)
    return f"; did you mean it by {near[0]!r}?" if near else ""

"""What a row holds beside the model's own columns, such as its key: it goes into the log, and never to a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sluice.exporting.served_files import RowField
from sluice.serving.field_readers import Array, Reader, Wrong, reader_of


class CarriedColumns:
    """Reads such columns.

    Args:
        fields: What a row may hold beside; all may be missing.
    """

    def __init__(self, fields: Sequence[RowField]) -> None:
        self._readers = tuple((field.name, reader_of(field)) for field in fields)

    def columns(
        self, rows: Sequence[Mapping[str, Any]], given: Mapping[str, Sequence[Any]] | None = None
    ) -> dict[str, Array]:
        """Arrays as `RowSchema` makes them, shape (rows,), of those columns that the request has.

        A value of another type than the contract's counts as missing: no forecast rests on it, so it is no reason to
        refuse a row, and labels find the row by the request's id.

        Args:
            rows: One mapping a row; none where columns are sent.
            given: Raw values by column; None where rows are sent.
        """
        found: dict[str, Array] = {}
        for name, reader in self._readers:
            if given is None:
                values: Sequence[Any] | None = [row.get(name) for row in rows] if any(name in r for r in rows) else None
            else:
                values = given.get(name)
            if values is not None:
                found[name] = _read(reader, values)
        return found


def _read(reader: Reader, values: Sequence[Any]) -> Array:
    whole = reader.column(values)
    if whole is not None:
        return whole
    column = np.empty(len(values), reader.dtype)
    for place, value in enumerate(values):
        try:
            column[place] = reader.value(value)
        except Wrong:
            column[place] = reader.value(None)
    return column

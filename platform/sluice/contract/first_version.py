"""Contracts of version 1, as manifests from before 2026-12 hold them: four moments that every contract had.

They knew no `moments`; the four stood in the code, and a column's wait in hours.
"""

import math
from typing import Any

from sluice.core.durations import duration_text

_MOMENTS: list[Any] = [{"scheduled": "always"}, {"observed": "1h"}, "departed", "arrived"]
_WAIT = "known_after_hours"
_HOUR = 3600


def upgraded(body: dict[str, Any]) -> dict[str, Any]:
    """The same contract in the form of version 2; what is no contract at all is left to the reader to refuse.

    Args:
        body: As JSON values.
    """
    new = dict(body) | {"schema": 2}
    tables = body.get("tables")
    if not isinstance(tables, dict):
        return new
    new["tables"] = {name: _table(table) for name, table in tables.items()}
    return new | {"moments": _MOMENTS}


def _table(table: Any) -> Any:  # noqa: ANN401 - JSON
    columns = table.get("columns") if isinstance(table, dict) else None
    if not isinstance(columns, dict):
        return table
    return table | {"columns": {name: _column(column) for name, column in columns.items()}}


def _column(column: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(column, dict):
        return column
    new: dict[str, Any] = {"availability": "scheduled"} | column
    hours = new.get(_WAIT)
    if isinstance(hours, int | float) and math.isfinite(hours):
        del new[_WAIT]
        new["known"] = duration_text(hours * _HOUR)
    return new

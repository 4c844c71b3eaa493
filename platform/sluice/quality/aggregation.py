"""Many aggregates of one table, in parts."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import ibis

_AT_ONCE = 50
"""DuckDB's planning time, and Ibis's, grow with the square of the aggregates of one query: parts make it linear."""


def aggregated(table: ibis.Table, wanted: Mapping[str, Any], at_once: int = _AT_ONCE) -> dict[str, Any]:
    """The values of aggregates over all rows of a table.

    A part reads its own columns only, so a table is read once however many parts there are.

    Args:
        table: The table.
        wanted: Ibis aggregates by a name of ours, never of a user's: two that differ in case only are one to DuckDB.
        at_once: How many are asked for in one query.

    Returns:
        Python values by name.
    """
    found: dict[str, Any] = {}
    entries = iter(wanted.items())
    while part := dict(islice(entries, at_once)):
        found |= table.aggregate(**part).to_pyarrow().to_pylist()[0]
    return found

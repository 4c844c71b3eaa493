"""Counting what the checks and the page need of a table, in as few passes over it as that takes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from sluice.contract.reading import Column, TableContract
from sluice.quality.aggregation import aggregated


@dataclass(frozen=True)
class ColumnProfile:
    """What is counted of a column.

    Attributes:
        nulls: Missing values.
        broken: Values outside the contract's range or list, or not finite.
        least: The least value, of a number or time; None where there is none.
        greatest: The greatest value.
    """

    nulls: int
    broken: int
    least: Any = None
    greatest: Any = None


@dataclass(frozen=True)
class Profile:
    """What is counted of a table.

    Attributes:
        rows: Its rows.
        columns: By name: those of the contract that the table has, with the type that it says.
        duplicates: Rows whose key another row has before them.
    """

    rows: int
    columns: dict[str, ColumnProfile]
    duplicates: int

    def newest(self, contract: TableContract) -> datetime | None:
        """The newest value of the freshness column, or None."""
        found = self.columns.get(contract.freshness_column or "")
        return found.greatest if found else None


def profile(table: ibis.Table, contract: TableContract) -> Profile:
    """Profile a table: each column is read once, and the key once more."""
    columns = {name: stated for name, stated in contract.columns.items() if fits(table, name, stated)}
    wanted: dict[str, Any] = {"rows": table.count()}
    for place, (name, stated) in enumerate(columns.items()):
        value = table[name]
        wanted[f"nulls{place}"] = value.isnull().sum()
        if stated.range or stated.values or stated.type == "float64":
            wanted[f"broken{place}"] = breaks(value, stated).sum()
        if stated.type not in ("string", "bool"):
            wanted |= {f"least{place}": value.min(), f"greatest{place}": value.max()}
    found = aggregated(table, wanted)
    counted = {
        name: ColumnProfile(
            int(found[f"nulls{place}"] or 0),
            int(found.get(f"broken{place}") or 0),
            found.get(f"least{place}"),
            found.get(f"greatest{place}"),
        )
        for place, name in enumerate(columns)
    }
    return Profile(found["rows"], counted, _duplicates(table, contract, found["rows"]))


def breaks(value: Any, column: Column) -> Any:  # noqa: ANN401 - Ibis's expressions
    """Whether a value is outside its range or list, or not finite; a missing one is not."""
    broken = ibis.literal(False)
    if column.type == "float64":
        broken = broken | value.isnan() | value.isinf()
    if column.range:
        broken = broken | ~value.between(*column.range)
    if column.values:
        broken = broken | ~value.isin(column.values)
    return value.notnull() & broken


def fits(table: ibis.Table, name: str, column: Column) -> bool:
    """Whether the table has the column with the contract's type; a timestamp's unit and zone do not matter."""
    if name not in table.columns:
        return False
    found, said = table.schema()[name], dt.dtype("boolean" if column.type == "bool" else column.type)
    return bool(found.is_timestamp() if said.is_timestamp() else found.copy(nullable=True) == said)


def _duplicates(table: ibis.Table, contract: TableContract, rows: int) -> int:
    if not contract.key or any(name not in table.columns for name in contract.key):
        return 0
    return int(rows - table.select(*contract.key).distinct().count().to_pyarrow().as_py())

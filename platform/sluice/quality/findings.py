"""What a check found, and how it is said."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class DataFinding:
    """Something in the data that the contract does not allow, or only tolerates.

    Attributes:
        table: The table.
        column: The column, or the key's columns joined by a comma.
        check: `schema`, `nulls`, `range`, `values`, `duplicates`, `freshness`, `references`, `known_after` or
            `availability`.
        severity: `error` closes the gate; `warning` is within the contract's tolerance, or worth knowing.
        rows: Rows concerned.
        share: The same as a share of the table's rows, 0 to 1.
        tolerance: The share that the contract tolerates.
        example: The first row concerned, as `key=value, …`, or empty.
        message: One sentence that starts with the column.
    """

    table: str
    column: str
    check: str
    severity: Severity
    rows: int = 0
    share: float = 0.0
    tolerance: float = 0.0
    example: str = ""
    message: str = ""


def count_of(rows: int, share: float) -> str:
    """A number of rows in words, with its share."""
    shown = f"{share:.1%}" if share >= 0.001 else f"{share:.4%}"
    return f"{rows:,} row{'s' if rows != 1 else ''} ({shown})"

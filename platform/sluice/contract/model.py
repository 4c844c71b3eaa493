"""The lake's data contract: what each table holds, what its values may be, and when each column is known.

The owners of a lake keep it beside their data as `contract.yaml`. The steps ingest and validate hold the data to it,
and the leakage gate of prepare reads each column's availability from it.
"""

from dataclasses import dataclass
from enum import IntEnum

CONTRACT = "contract.yaml"
TYPES = ("string", "int64", "float64", "bool", "timestamp", "date")


class Availability(IntEnum):
    """When a value is known, in the order of the life of the event that a row tells of."""

    SCHEDULED = 0  # known once the event is planned: the timetable, reference data
    OBSERVED = 1  # measured at the row's timestamp, known an hour later: usable only with that lag
    DEPARTED = 2  # known after the event has begun
    ARRIVED = 3  # known after the event has ended: labels


@dataclass(frozen=True)
class Column:
    """What the contract says of a column.

    Attributes:
        type: One of TYPES.
        nullable: Whether a value may be missing.
        range: Least and greatest value, inclusive, or None.
        values: The values allowed, or None.
        tolerance: The share of rows that may break range or values before the gate closes;
            prepare sets those values to null.
        availability: When it is known.
        known_after_hours: How many hours after the row's timestamp (the table's freshness column) it is known at the
            latest; 1 for what is observed, unless said otherwise; None where the contract does not say.
        unit: E.g. `minutes`.
        description: One sentence.
        references: `table.column` where every value should also stand, or None. Rows whose value does not are only
            warned about: reference data is seldom complete.
    """

    type: str
    nullable: bool = False
    range: tuple[float, float] | None = None
    values: tuple[str, ...] | None = None
    tolerance: float = 0.0
    availability: Availability = Availability.SCHEDULED
    unit: str = ""
    description: str = ""
    references: str | None = None
    known_after_hours: float | None = None

    @property
    def lag_hours(self) -> float | None:
        """How much later than its row's timestamp it is known at the latest; None where that is not said."""
        if self.known_after_hours is not None:
            return self.known_after_hours
        return {Availability.SCHEDULED: 0.0, Availability.OBSERVED: 1.0}.get(self.availability)


@dataclass(frozen=True)
class TableContract:
    """What the contract says of a table.

    Attributes:
        source: How to read it: `{sql: URL, table: NAME}`, `{csv: GLOB}` or `{json: PATH}`;
            paths are relative to the lake.
        columns: By name, in order. A column of the source that is not named here is not read.
        key: Columns that identify a row.
        freshness_column: The timestamp whose newest value tells the table's age, or None.
        max_age_days: How old that may be.
        timezone: The zone in which a day of the table's timestamps (UTC) begins and ends, as the IANA database names
            it, such as `America/New_York`.
    """

    source: dict[str, str]
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    freshness_column: str | None = None
    max_age_days: float | None = None
    timezone: str = "UTC"

    @property
    def clock(self) -> str | None:
        """The timestamp column that dates every row: the freshness column, where it is planned and never missing."""
        column = self.columns.get(self.freshness_column or "")
        dated = column and not column.nullable and column.availability is Availability.SCHEDULED
        return self.freshness_column if dated else None


@dataclass(frozen=True)
class Contract:
    """A lake's contract."""

    name: str
    tables: dict[str, TableContract]
    license: str = ""

    def availability(self, table: str, column: str) -> Availability:
        """When a source column is known."""
        return self.tables[table].columns[column].availability

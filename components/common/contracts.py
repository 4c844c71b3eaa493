"""The lake's data contract: what each table holds, what its values may be, and when each column is known.

The owners of a lake keep it beside their data as `contract.yaml`. The steps ingest and validate hold the data to it,
and the leakage gate of prepare reads each column's availability from it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import yaml

from components.common.errors import BadInput

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
        unit: E.g. `minutes`.
        description: One sentence.
    """

    type: str
    nullable: bool = False
    range: tuple[float, float] | None = None
    values: tuple[str, ...] | None = None
    tolerance: float = 0.0
    availability: Availability = Availability.SCHEDULED
    unit: str = ""
    description: str = ""


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
    """

    source: dict[str, str]
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    freshness_column: str | None = None
    max_age_days: float | None = None


@dataclass(frozen=True)
class Contract:
    """A lake's contract."""

    name: str
    tables: dict[str, TableContract]
    license: str = ""

    def availability(self, table: str, column: str) -> Availability:
        """When a source column is known."""
        return self.tables[table].columns[column].availability


def parse_contract(text: str, where: str) -> Contract:
    """Read a contract from YAML.

    Args:
        text: The YAML.
        where: The file's name, for errors.

    Raises:
        BadInput: It is not YAML, misses a field, has an unknown field or an unknown word.
    """
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{where} is not YAML: {error}") from None
    fields = _fields(body, where, {"name", "tables"}, {"license"})
    if not isinstance(fields["tables"], dict) or not fields["tables"]:
        raise BadInput(f"{where}: `tables` must name at least one table")
    tables = {str(name): _table(value, f"{where}: table {name!r}") for name, value in fields["tables"].items()}
    return Contract(name=str(fields["name"]), tables=tables, license=str(fields.get("license", "")))


def contract_body(contract: Contract) -> dict[str, Any]:
    """The contract as JSON values, the inverse of `contract_from_body`: what a dataset's manifest remembers."""
    return {
        "name": contract.name,
        "license": contract.license,
        "tables": {name: _table_body(table) for name, table in contract.tables.items()},
    }


def contract_from_body(body: Any, where: str) -> Contract:  # noqa: ANN401 - JSON
    """The contract that a manifest remembers."""
    return parse_contract(yaml.safe_dump(body, sort_keys=False), where)


def _table(body: Any, where: str) -> TableContract:  # noqa: ANN401 - YAML
    fields = _fields(body, where, {"source", "columns"}, {"key", "freshness"})
    columns = {str(n): _column(c, f"{where}, column {n!r}") for n, c in fields["columns"].items()}
    key = tuple(fields.get("key", ()))
    freshness = fields.get("freshness") or {}
    for name in (*key, *([freshness["column"]] if freshness else [])):
        if name not in columns:
            raise BadInput(f"{where}: key or freshness names column {name!r}, which is not among its columns")
    return TableContract(
        source={str(k): str(v) for k, v in fields["source"].items()},
        columns=columns,
        key=key,
        freshness_column=freshness.get("column"),
        max_age_days=freshness.get("max_age_days"),
    )


def _column(body: Any, where: str) -> Column:  # noqa: ANN401 - YAML
    optional = {"nullable", "range", "values", "tolerance", "availability", "unit", "description"}
    fields = _fields(body, where, {"type"}, optional)
    if fields["type"] not in TYPES:
        raise BadInput(f"{where}: type {fields['type']!r} is unknown; use one of {', '.join(TYPES)}")
    word = str(fields.get("availability", "scheduled"))
    if word.upper() not in Availability.__members__:
        names = ", ".join(a.name.lower() for a in Availability)
        raise BadInput(f"{where}: availability {word!r} is unknown; use one of {names}")
    limits = fields.get("range")
    if limits is not None and (len(limits) != 2 or limits[0] > limits[1]):
        raise BadInput(f"{where}: range {limits} is not [least, greatest]")
    values = fields.get("values")
    return Column(
        type=fields["type"],
        nullable=bool(fields.get("nullable", False)),
        range=(float(limits[0]), float(limits[1])) if limits else None,
        values=tuple(str(v) for v in values) if values else None,
        tolerance=float(fields.get("tolerance", 0.0)),
        availability=Availability[word.upper()],
        unit=str(fields.get("unit", "")),
        description=str(fields.get("description", "")),
    )


def _table_body(table: TableContract) -> dict[str, Any]:
    body: dict[str, Any] = {"source": table.source, "key": list(table.key)}
    if table.freshness_column:
        body["freshness"] = {"column": table.freshness_column, "max_age_days": table.max_age_days}
    body["columns"] = {name: _column_body(column) for name, column in table.columns.items()}
    return body


def _column_body(column: Column) -> dict[str, Any]:
    body: dict[str, Any] = {"type": column.type, "availability": column.availability.name.lower()}
    body |= {"nullable": column.nullable, "tolerance": column.tolerance}
    body |= {"unit": column.unit, "description": column.description}
    if column.range:
        body["range"] = list(column.range)
    if column.values:
        body["values"] = list(column.values)
    return body


def _fields(body: Any, where: str, required: set[str], optional: set[str]) -> dict[str, Any]:  # noqa: ANN401 - YAML
    if not isinstance(body, dict):
        raise BadInput(f"{where} must be a mapping with {', '.join(sorted(required))}")
    missing, unknown = required - body.keys(), body.keys() - required - optional
    if missing:
        raise BadInput(f"{where}: {', '.join(sorted(missing))} missing")
    if unknown:
        raise BadInput(
            f"{where}: unknown {', '.join(sorted(map(str, unknown)))}; known: {', '.join(sorted(required | optional))}"
        )
    return body

"""Reading a data contract from YAML, and keeping it in a dataset's manifest.

What a contract says is in `sluice.contract.model`, whose names this module passes on.
"""

import difflib
import math
import re
import zoneinfo
from typing import Any

from sluice.contract.model import CONTRACT, TYPES, Availability, Column, Contract, TableContract
from sluice.core.column_names import check_name
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml, quoted_text

__all__ = [
    "CONTRACT",
    "TYPES",
    "Availability",
    "Column",
    "Contract",
    "TableContract",
    "contract_body",
    "contract_from_body",
    "parse_contract",
]

_SOURCES = ({"csv"}, {"json"}, {"sql", "table"})
_TABLE = re.compile(r"[A-Za-z]\w*", re.ASCII)
_HALF = re.compile(r"(?<!\\)(?:\\\\)*(\\u[dD][89a-fA-F][0-9a-fA-F]{2})")
_COLUMN_WORDS = {"nullable", "range", "values", "tolerance", "availability", "unit", "description", "references"} | {
    "known_after_hours"
}


def parse_contract(text: str, where: str) -> Contract:
    """Read a contract from YAML.

    Args:
        text: The YAML.
        where: The file's name, for errors.

    Raises:
        BadInput: It is not YAML, misses a field, or has an unknown field or a value that makes no sense.
    """
    if half := _HALF.search(text):
        raise BadInput(f"{where} has {half[1]}, the escape of half a character; write the character itself")
    return contract_from_body(parse_yaml(text, where), where)


def contract_body(contract: Contract) -> dict[str, Any]:
    """The contract as JSON values, the inverse of `contract_from_body`: what a dataset's manifest remembers."""
    return {
        "name": contract.name,
        "license": contract.license,
        "tables": {name: _table_body(table) for name, table in contract.tables.items()},
    }


def contract_from_body(body: Any, where: str) -> Contract:  # noqa: ANN401 - JSON
    """The contract that a manifest remembers.

    Raises:
        BadInput: See `parse_contract`.
    """
    fields = _fields(body, where, {"name", "tables"}, {"license"})
    tables = {
        name: _table(name, value, f"{where}: table {name!r}")
        for name, value in _named(fields["tables"], where, "tables")
    }
    contract = Contract(_text(fields, "name", where), tables, _text(fields, "license", where))
    _check_references(contract, where)
    return contract


def _table(name: str, body: Any, where: str) -> TableContract:  # noqa: ANN401 - YAML
    if not _TABLE.fullmatch(name):
        raise BadInput(f"{where}: a table's name must be letters, digits and underscores, and start with a letter")
    fields = _fields(body, where, {"source", "columns"}, {"key", "freshness", "timezone"})
    columns = {n: _column(c, f"{where}, column {n!r}") for n, c in _named(fields["columns"], where, "columns")}
    key = fields.get("key", [])
    if not isinstance(key, list):
        raise BadInput(f"{where}: key must be a list of columns")
    freshness = _freshness(fields.get("freshness"), where)
    named = tuple(quoted_text(column, f"{where}: key") for column in key)
    if len(set(named)) < len(named):
        raise BadInput(f"{where}: key names a column twice: {', '.join(named)}; keep one of them")
    for column in (*named, *([freshness[0]] if freshness[0] else [])):
        if column not in columns:
            raise BadInput(f"{where}: key or freshness names column {column!r}, which is not among its columns")
    if freshness[0] and columns[freshness[0]].type != "timestamp":
        raise BadInput(f"{where}: freshness column {freshness[0]!r} must be of type timestamp")
    zone = _timezone(_text(fields, "timezone", where, "UTC"), where)
    return TableContract(_source(fields["source"], where), columns, named, *freshness, timezone=zone)


def _timezone(name: str, where: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no path within the database; a folder of it
        zones = sorted(zoneinfo.available_timezones())
        near = difflib.get_close_matches(name[:40], zones, n=1) or ["America/New_York"]
        raise BadInput(
            f"{where}: timezone {name!r} is unknown; write a name of the IANA database, such as {near[0]}"
        ) from None
    return name


def _source(body: Any, where: str) -> dict[str, str]:  # noqa: ANN401 - YAML
    if (
        not isinstance(body, dict)
        or body.keys() not in _SOURCES
        or not all(v and isinstance(v, str) for v in body.values())
    ):
        raise BadInput(f"{where}: source must be {{csv: GLOB}}, {{json: PATH}} or {{sql: URL, table: NAME}}")
    return dict(body)


def _freshness(body: Any, where: str) -> tuple[str | None, float | None]:  # noqa: ANN401 - YAML
    if body is None:
        return None, None
    fields = _fields(body, f"{where}, freshness", {"column", "max_age_days"}, set())
    return _text(fields, "column", f"{where}, freshness"), _number(
        fields["max_age_days"], f"{where}, freshness: max_age_days"
    )


def _column(body: Any, where: str) -> Column:  # noqa: ANN401 - YAML
    fields = _fields(body, where, {"type"}, _COLUMN_WORDS)
    if fields["type"] not in TYPES:
        raise BadInput(f"{where}: type {fields['type']!r} is unknown; use one of {', '.join(TYPES)}")
    limits, values = fields.get("range"), fields.get("values")
    if values is not None and (not isinstance(values, list) or not values or fields["type"] != "string"):
        raise BadInput(f"{where}: values must be a list of strings, for a column of type string")
    if not isinstance(fields.get("nullable", False), bool):
        raise BadInput(f"{where}: nullable must be true or false")
    tolerance = _number(fields.get("tolerance", 0.0), f"{where}: tolerance")
    if not 0 <= tolerance <= 1:
        raise BadInput(f"{where}: tolerance {tolerance:g} is no share between 0 and 1")
    known = _availability(fields.get("availability", "scheduled"), where)
    return Column(
        type=fields["type"],
        nullable=fields.get("nullable", False),
        range=None if limits is None else _range(limits, fields["type"], where),
        values=tuple(quoted_text(value, f"{where}: values:") for value in values) if values else None,
        tolerance=tolerance,
        availability=known,
        known_after_hours=_known_after(fields.get("known_after_hours"), known, where),
        unit=_text(fields, "unit", where),
        description=_text(fields, "description", where),
        references=_text(fields, "references", where) or None,
    )


def _availability(word: Any, where: str) -> Availability:  # noqa: ANN401 - YAML
    if str(word).upper() not in Availability.__members__:
        names = ", ".join(a.name.lower() for a in Availability)
        raise BadInput(f"{where}: availability {word!r} is unknown; use one of {names}")
    return Availability[str(word).upper()]


def _known_after(hours: Any, known: Availability, where: str) -> float | None:  # noqa: ANN401 - YAML
    if hours is None:
        return None
    number = _number(hours, f"{where}: known_after_hours")
    if number < 0 or known is Availability.SCHEDULED:
        raise BadInput(
            f"{where}: known_after_hours says how long after the row's timestamp a value is known that is not known "
            "when its event is scheduled; give 0 or more, beside availability observed, departed or arrived"
        )
    return number


def _range(limits: Any, kind: str, where: str) -> tuple[float, float]:  # noqa: ANN401 - YAML
    if kind not in ("int64", "float64"):
        raise BadInput(f"{where}: only a column of type int64 or float64 has a range")
    if not isinstance(limits, list) or len(limits) != 2:
        raise BadInput(f"{where}: range {limits!r} is not [least, greatest]")
    least, greatest = (_number(limit, f"{where}: range") for limit in limits)
    if least > greatest:
        raise BadInput(f"{where}: range {limits!r} is not [least, greatest]")
    return least, greatest


def _number(value: Any, where: str) -> float:  # noqa: ANN401 - YAML
    try:
        number = float("nan") if isinstance(value, bool | str) else float(value)
    except (TypeError, OverflowError):
        number = float("nan")
    if not math.isfinite(number):
        raise BadInput(f"{where} {value!r} is no number")
    return number


def _check_references(contract: Contract, where: str) -> None:
    for name, table in contract.tables.items():
        for column, stated in table.columns.items():
            target, _, named = (stated.references or "").partition(".")
            if target and (target not in contract.tables or named not in contract.tables[target].columns):
                place = f"{where}: table {name!r}, column {column!r}"
                raise BadInput(f"{place}: references {stated.references!r} is no table.column of this contract")
            if target and contract.tables[target].columns[named].type != stated.type:
                other = contract.tables[target].columns[named].type
                raise BadInput(
                    f"{where}: table {name!r}, column {column!r}: is of type {stated.type}, and references "
                    f"{stated.references!r} of type {other}; give both one type"
                )


def _table_body(table: TableContract) -> dict[str, Any]:
    body: dict[str, Any] = {"source": dict(table.source), "key": list(table.key)}
    if table.freshness_column:
        body["freshness"] = {"column": table.freshness_column, "max_age_days": table.max_age_days}
    if table.timezone != "UTC":
        body["timezone"] = table.timezone
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
    if column.references:
        body["references"] = column.references
    if column.known_after_hours is not None:
        body["known_after_hours"] = column.known_after_hours
    return body


def _text(fields: dict[str, Any], name: str, where: str, default: str = "") -> str:
    return quoted_text(fields.get(name, default), f"{where}: {name}")


def _named(body: Any, where: str, what: str) -> list[tuple[str, Any]]:  # noqa: ANN401 - YAML
    """The entries of a mapping by name; names that SQL engines could not tell apart are refused."""
    if not isinstance(body, dict) or not body:
        raise BadInput(f"{where}: `{what}` must be a mapping with at least one entry")
    names: dict[str, str] = {}
    for name in body:
        check_name(name, f"{where}: `{what}`")
        other = names.setdefault(name.casefold(), name)
        if other != name:
            raise BadInput(f"{where}: `{what}` has {name!r} beside {other!r}; names must differ by more than case")
    return list(body.items())


def _fields(body: Any, where: str, required: set[str], optional: set[str]) -> dict[str, Any]:  # noqa: ANN401 - YAML
    if not isinstance(body, dict):
        raise BadInput(f"{where} must be a mapping with {', '.join(sorted(required))}")
    missing, unknown = required - body.keys(), body.keys() - required - optional
    if missing:
        raise BadInput(f"{where}: {', '.join(sorted(missing))} missing")
    if unknown:
        known = ", ".join(sorted(required | optional))
        raise BadInput(f"{where}: unknown {', '.join(sorted(map(str, unknown)))}; known: {known}")
    return body

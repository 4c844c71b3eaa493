"""Reading a data contract from YAML, and keeping it in a dataset's manifest.

What a contract says is in `sluice.contract.model`, whose names this module passes on.
"""

import dataclasses
import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice.contract.availability import Availability
from sluice.contract.field_checks import REFUSAL
from sluice.contract.first_version import upgraded
from sluice.contract.model import CONTRACT, SCHEMA, TYPES, Column, Contract, Freshness, TableContract
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import Lines, parse_with_lines

__all__ = [
    "CONTRACT",
    "TYPES",
    "Availability",
    "Column",
    "Contract",
    "TableContract",
    "contract_body",
    "contract_from_body",
    "contract_schema",
    "parse_contract",
]

_HALF = re.compile(r"(?<!\\)(?:\\\\)*(\\u[dD][89a-fA-F][0-9a-fA-F]{2})")
_READER: TypeAdapter[Contract] = TypeAdapter(Contract)
_Place = Sequence[str | int]


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
    body, lines = parse_with_lines(text, where)
    return _read(body, where, lines)


def contract_body(contract: Contract) -> dict[str, Any]:
    """The contract as JSON values, the inverse of `contract_from_body`: what a dataset's manifest remembers."""
    body: dict[str, Any] = {"schema": contract.schema, "name": contract.name, "license": contract.license}
    if contract.moments:
        body["moments"] = [moment.body() for moment in contract.moments]
    return body | {"tables": {name: _table_body(table) for name, table in contract.tables.items()}}


def contract_from_body(body: Any, where: str) -> Contract:  # noqa: ANN401 - JSON
    """The contract that a manifest remembers; also one of version 1, which does not tell its version.

    Raises:
        BadInput: See `parse_contract`.
    """
    return _read(upgraded(body) if isinstance(body, dict) and "schema" not in body else body, where, None)


def contract_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    schema = _READER.json_schema()
    for form in (schema, *schema["$defs"].values()):
        form["description"] = form.get("description", "").partition("\n")[0]
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": CONTRACT}


def _read(body: Any, where: str, lines: Lines | None) -> Contract:  # noqa: ANN401 - JSON
    try:
        return _READER.validate_python(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        locs = [(*each["loc"], *each.get("ctx", {}).get("below", ())) for each in found]
        places = [(lines.of(loc) or 0) if lines else 0 for loc in locs]
        first = min(range(len(found)), key=lambda number: places[number])
        line = f", line {places[first]}" if places[first] else ""
        inside, words = _words(locs[first], found[first])
        raise BadInput(f"{where}{line}{inside}: {words}") from None


def _words(loc: _Place, error: Any) -> tuple[str, str]:  # noqa: ANN401 - pydantic's
    """Where in the contract, and what is wrong there."""
    kind = error["type"]
    place, form = _place(loc)
    name = str(loc[-1]) if loc else ""
    fields = {each.name: each for each in dataclasses.fields(form)}
    required = sorted(
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if kind == REFUSAL:
        return place, str(error["ctx"]["message"])
    if kind == "missing":
        return place, f"{name} missing"
    if kind == "unexpected_keyword_argument":
        return place, f"unknown {name[:80]}; {_known_fields(name, fields)}"
    if kind in ("dataclass_type", "dataclass_exact_type"):
        return place, f"must be a mapping with {', '.join(required)}"
    if kind == "literal_error":
        return place, f"{name} is of another Sluice; this one reads {name}: {SCHEMA}"
    return place, f"{name}: {str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}"


def _known_fields(name: str, fields: dict[str, Any]) -> str:
    if name == "known_after_hours":
        return "write known: 24h in its place, for 24 hours after the row's time"
    near = difflib.get_close_matches(name, fields, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}known: {', '.join(sorted(fields))}"


def _place(loc: _Place) -> tuple[str, Any]:
    """The place in words, and the class that the file's text stands for there."""
    words, form = "", Contract
    steps = [str(step) for step in loc]
    if steps[:1] == ["tables"] and len(steps) > 1:
        words, form = f": table {steps[1]!r}", TableContract  # type: ignore[assignment]
        if steps[2:3] == ["columns"] and len(steps) > 3:
            words, form = f"{words}, column {steps[3]!r}", Column  # type: ignore[assignment]
        elif steps[2:3] == ["freshness"]:
            words, form = f"{words}, freshness", Freshness  # type: ignore[assignment]
    return words, form


def _table_body(table: TableContract) -> dict[str, Any]:
    body: dict[str, Any] = {"source": dict(table.source), "key": list(table.key)}
    if table.freshness:
        body["freshness"] = {"column": table.freshness.column, "max_age_days": table.freshness.max_age_days}
    if table.timezone != "UTC":
        body["timezone"] = table.timezone
    body |= {name: value for name in ("time", "known") if (value := getattr(table, name)) is not None}
    body["columns"] = {name: _column_body(column) for name, column in table.columns.items()}
    return body


def _column_body(column: Column) -> dict[str, Any]:
    body: dict[str, Any] = {"type": column.type, "nullable": column.nullable, "tolerance": column.tolerance}
    body |= {"unit": column.unit, "description": column.description}
    if column.range:
        body["range"] = list(column.range)
    if column.values:
        body["values"] = list(column.values)
    optional = {name: getattr(column, name) for name in ("references", "availability", "known", "mask")}
    return body | {name: value for name, value in optional.items() if value is not None}

"""The lake's data contract: what each table holds, what its values may be, and when each column is known.

The owners of a lake keep it beside their data as `contract.yaml`. The steps ingest and validate hold the data to it,
and the leakage gate of prepare reads from it when each column is known.

The classes below have the form of the file: pydantic checks them, and makes the JSON schema that editors use.
"""

import difflib
import re
import zoneinfo
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic.dataclasses import dataclass

from sluice.contract.availability import (
    ALWAYS,
    KNOWN_ALWAYS,
    KNOWN_WITH_ROW,
    Availability,
    Moments,
    availability_of,
    read_known,
    unknown_word,
)
from sluice.contract.field_checks import before, entries, lag, number, optional_text, refusal, text, truth
from sluice.core.durations import is_duration

CONTRACT = "contract.yaml"
SCHEMA: Literal[2] = 2
"""The version of a contract's form. Version 1, without this number, stands in manifests from before 2026-12."""
TYPES = ("string", "int64", "float64", "bool", "timestamp", "date")
MASKS = ("hash", "drop")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}", re.ASCII)
_SOURCES = ({"csv"}, {"json"}, {"sql", "table"})
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_RANGE = WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2})
_SOURCE = WithJsonSchema(
    {
        "type": "object",
        "additionalProperties": {"type": "string", "minLength": 1},
        "oneOf": [
            {"required": ["csv"]},
            {"required": ["json"]},
            {"required": ["sql", "table"]},
            {"required": ["by"]},
        ],
    }
)
_KNOWN = (
    "When it is known: how long after its row's time at the latest (0s, 1h, 30d), a moment that the contract declares, "
    "or always."
)


def _said(description: str) -> Any:  # noqa: ANN401 - pydantic's
    return Field(description=description)


@dataclass(frozen=True, config=_STRICT)
class Column:
    """What the contract says of a column.

    Attributes:
        type: One of TYPES.
        nullable: Whether a value may be missing.
        range: Least and greatest value, inclusive, or None.
        values: The values allowed, or None.
        tolerance: The share of rows that may break range or values before the gate closes;
            prepare sets those values to null.
        availability: The moment at which it is known, or `always`; None where the contract names none.
        unit: E.g. `minutes`.
        description: One sentence.
        references: `table.column` where every value should also stand, or None. Rows whose value does not are only
            warned about: reference data is seldom complete.
        known: How long after its row's time it is known at the latest, such as `30d`; beside a moment, in place of the
            moment's own lag. In a file it may name the moment instead.
        mask: How its values stand in what a server logs, where they tell of a person: `hash`, one of MASKS, keeps
            which are equal and nothing else; `drop` keeps nothing. None logs them as they are.
    """

    type: Annotated[str, _said(f"What its values are: {', '.join(TYPES)}."), WithJsonSchema({"enum": list(TYPES)})]
    nullable: Annotated[bool, before(truth, "nullable"), _said("Whether a value may be missing.")] = False
    range: Annotated[tuple[float, float] | None, _said("Least and greatest value."), _RANGE] = None
    values: Annotated[tuple[str, ...] | None, _said("The texts allowed.")] = None
    tolerance: Annotated[float, before(number, "tolerance"), _said("Share of rows that may break range or values.")] = 0
    availability: Annotated[
        str | None, before(optional_text, "availability"), _said("The moment at which it is known, or always.")
    ] = None
    unit: Annotated[str, before(text, "unit"), _said("E.g. minutes.")] = ""
    description: Annotated[str, before(text, "description"), _said("One sentence.")] = ""
    references: Annotated[
        str | None, before(optional_text, "references"), _said("table.column where every value should stand too.")
    ] = None
    known: Annotated[str | None, before(lag, "known"), _said(_KNOWN)] = None
    mask: Annotated[
        str | None,
        _said(
            "How a server logs values that tell of a person: hash (which are equal, nothing else) or drop (nothing)."
        ),
        WithJsonSchema({"enum": ["hash", "drop", None]}),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _take_moment(cls, given: Any) -> Any:  # noqa: ANN401 - pydantic's
        """`known: arrived` names the moment as `availability: arrived` does."""
        body = given if isinstance(given, dict) else getattr(given, "kwargs", None)
        known = (body or {}).get("known")
        if body is None or not isinstance(known, str) or is_duration(known):
            return given
        if body.get("availability") is not None:
            raise refusal(
                f"known {known[:40]!r} is no duration; beside availability write the lag after the row's time, such as "
                "known: 24h"
            )
        moved = {name: value for name, value in body.items() if name != "known"} | {"availability": known}
        return moved if isinstance(given, dict) else type(given)(given.args, moved)

    @field_validator("type", mode="before")
    @classmethod
    def _check_type(cls, value: Any) -> Any:  # noqa: ANN401 - YAML
        if value not in TYPES:
            near = difflib.get_close_matches(str(value)[:40], TYPES, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise refusal(f"type {str(value)[:40]!r} is unknown; use one of {', '.join(TYPES)}{meant}")
        return value

    @field_validator("mask", mode="before")
    @classmethod
    def _check_mask(cls, value: Any) -> Any:  # noqa: ANN401 - YAML
        if value is not None and value not in MASKS:
            raise refusal(f"mask {str(value)[:40]!r} is unknown; use {' or '.join(MASKS)}, or leave it out")
        return value

    @field_validator("range", mode="before")
    @classmethod
    def _check_range(cls, limits: Any) -> Any:  # noqa: ANN401 - YAML
        if limits is None:
            return None
        ends = [number("range", limit) for limit in limits] if isinstance(limits, list | tuple) else []
        if len(ends) != 2 or ends[0] > ends[1]:
            raise refusal(f"range {str(limits)[:80]} is not [least, greatest]")
        return tuple(ends)

    @field_validator("values", mode="before")
    @classmethod
    def _check_values(cls, values: Any) -> Any:  # noqa: ANN401 - YAML
        if values is None:
            return None
        if not isinstance(values, list | tuple) or not values:
            raise refusal("values must be a list of strings, for a column of type string")
        return tuple(text("values:", value) for value in values)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not 0 <= self.tolerance <= 1:
            raise refusal(f"tolerance {self.tolerance:g} is no share between 0 and 1")
        if self.values is not None and self.type != "string":
            raise refusal("values must be a list of strings, for a column of type string")
        if self.range is not None and self.type not in ("int64", "float64"):
            raise refusal("only a column of type int64 or float64 has a range")
        if self.availability and is_duration(self.availability):
            raise refusal(f"availability names a moment; for a lag write known: {self.availability}")
        if self.availability == ALWAYS and self.known is not None:
            raise refusal(f"what is always known has no lag; take known: {self.known} or availability: {ALWAYS} away")
        return self


@dataclass(frozen=True, config=_STRICT)
class Freshness:
    """How old a table may be.

    Attributes:
        column: The timestamp whose newest value tells the table's age.
        max_age_days: How old that may be.
    """

    column: Annotated[str, before(text, "column"), _said("The timestamp whose newest value tells the table's age.")]
    max_age_days: Annotated[float, before(number, "max_age_days"), _said("How many days old it may be.")]


@dataclass(frozen=True, config=_STRICT)
class TableContract:
    """What the contract says of a table.

    Attributes:
        source: How to read it: `{sql: URL, table: NAME}`, `{csv: GLOB}` or `{json: PATH}`; or `{by: NAME}`, a source
            of the project's or an installed package's, with `files: GLOB` where it reads some and settings of its own.
            Paths are relative to the lake.
        columns: By name, in order. A column of the source that is not named here is not read.
        key: Columns that identify a row.
        freshness: How old it may be, or None.
        timezone: The zone in which a day of the table's timestamps (UTC) begins and ends, as the IANA database names
            it, such as `America/New_York`.
        time: The column with the time of each row, from which lags count; None for the freshness column.
        known: When those columns are known that do not say it themselves, as a column's `known`.
    """

    source: Annotated[
        dict[str, str],
        _said("{csv: GLOB}, {json: PATH}, {sql: URL, table: NAME}, or {by: NAME} of a project's own source."),
        _SOURCE,
    ]
    columns: Annotated[dict[str, Column], before(entries, "columns"), _said("The columns by name.")]
    key: Annotated[tuple[str, ...], _said("Columns that identify a row.")] = ()
    freshness: Annotated[Freshness | None, _said("How old the table may be.")] = None
    timezone: Annotated[str, before(text, "timezone"), _said("Where its days begin; an IANA name.")] = "UTC"
    time: Annotated[
        str | None,
        before(optional_text, "time"),
        _said("The column with the time of each row, from which lags count; left out: the freshness column."),
    ] = None
    known: Annotated[
        str | None, before(optional_text, "known"), _said(f"{_KNOWN} It holds for columns that do not say it.")
    ] = None

    @field_validator("source", mode="before")
    @classmethod
    def _check_source(cls, body: Any) -> Any:  # noqa: ANN401 - YAML
        texts = isinstance(body, dict) and all(value and isinstance(value, str) for value in body.values())
        named = texts and _NAME.fullmatch(body.get("by", "")) and not {"csv", "json", "sql"} & body.keys()
        if not texts or not (named or body.keys() in _SOURCES):
            raise refusal("source must be {csv: GLOB}, {json: PATH}, {sql: URL, table: NAME} or {by: NAME}")
        return dict(body)

    @field_validator("key", mode="before")
    @classmethod
    def _check_key(cls, key: Any) -> Any:  # noqa: ANN401 - YAML
        if not isinstance(key, list | tuple):
            raise refusal("key must be a list of columns")
        names = tuple(text("key", column) for column in key)
        if len(set(names)) < len(names):
            raise refusal(f"key names a column twice: {', '.join(names)}; keep one of them")
        return names

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (LookupError, ValueError, OSError):  # unknown; no path within the database; a folder of it
            zones = sorted(zoneinfo.available_timezones())
            near = difflib.get_close_matches(name[:40], zones, n=1) or ["America/New_York"]
            raise refusal(
                f"timezone {name[:80]!r} is unknown; write a name of the IANA database, such as {near[0]}"
            ) from None
        return name

    @model_validator(mode="after")
    def _agree(self) -> Self:
        fresh = self.freshness_column
        for column in (*self.key, *([fresh] if fresh is not None else [])):
            if column not in self.columns:
                raise refusal(f"key or freshness names column {column!r}, which is not among its columns")
        if fresh is not None and self.columns[fresh].type != "timestamp":
            raise refusal(f"freshness column {fresh!r} must be of type timestamp")
        if self.time is None:
            return self
        if self.time not in self.columns:
            raise refusal(f"time names column {self.time!r}, which is not among its columns")
        if self.columns[self.time].type not in ("timestamp", "date"):
            raise refusal(f"time column {self.time!r} must be of type timestamp or date")
        if self.columns[self.time].nullable:
            raise refusal(f"time column {self.time!r} must never be missing; take its nullable: true away")
        return self

    @property
    def freshness_column(self) -> str | None:
        """The timestamp whose newest value tells the table's age, or None."""
        return self.freshness.column if self.freshness else None

    @property
    def max_age_days(self) -> float | None:
        """How old the table may be, or None."""
        return self.freshness.max_age_days if self.freshness else None

    @property
    def dated_by(self) -> str | None:
        """The column that is to give each row its time: the one that `time` names, else the freshness column."""
        return self.time or self.freshness_column


@dataclass(frozen=True, config=_STRICT)
class Contract:
    """A lake's contract.

    Attributes:
        name: The lake's name.
        tables: By name.
        license: Under which the data may be used.
        moments: The moments in the life of what a row tells of, in their order.
        schema: The version of the form.
    """

    name: Annotated[str, before(text, "name"), _said("The lake's name.")]
    tables: Annotated[dict[str, TableContract], before(entries, "tables"), _said("The tables by name.")]
    license: Annotated[str, before(text, "license"), _said("Under which the data may be used.")] = ""
    moments: Annotated[
        Moments, _said("Moments in the life of what a row tells of, in their order: a name, or {name: 24h}.")
    ] = ()
    schema: Annotated[Literal[2], _said("The version of this file's form.")] = SCHEMA

    @field_validator("tables")
    @classmethod
    def _check_tables(cls, tables: dict[str, TableContract]) -> dict[str, TableContract]:
        for name in tables:
            if not (name.isascii() and name[0].isalpha() and name.replace("_", "a").isalnum()):
                words = "a table's name must be letters, digits and underscores, and start with a letter"
                raise refusal(words, name)
        return tables

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, table in self.tables.items():
            if table.known and (reason := unknown_word(table.known, self.moments)):
                raise refusal(reason, "tables", name, "known")
            for column, stated in table.columns.items():
                if stated.availability and (reason := unknown_word(stated.availability, self.moments)):
                    raise refusal(reason, "tables", name, "columns", column)
                if reason := self._wrong_reference(stated):
                    raise refusal(reason, "tables", name, "columns", column, "references")
        return self

    def _wrong_reference(self, stated: Column) -> str:
        target, _, named = (stated.references or "").partition(".")
        if not target:
            return ""
        if target not in self.tables or named not in self.tables[target].columns:
            return f"references {stated.references!r} is no table.column of this contract"
        other = self.tables[target].columns[named].type
        if other == stated.type:
            return ""
        return f"is of type {stated.type}, and references {stated.references!r} of type {other}; give both one type"

    def availability(self, table: str, column: str) -> Availability | None:
        """When a source column is known; None where nobody has said it.

        In a table whose rows have no time everything counts as known, unless the contract says otherwise. In one whose
        rows have, so do the time itself and the key, with their row.

        Raises:
            KeyError: The contract names no such column.
        """
        stated = self.tables[table].columns[column]
        if stated.availability or stated.known:
            return availability_of(stated.availability, stated.known, self.moments)
        if self.tables[table].known:
            return self.moment(self.tables[table].known or "")
        dated = self.tables[table].dated_by
        if dated is None:
            return KNOWN_ALWAYS
        return KNOWN_WITH_ROW if column in (dated, *self.tables[table].key) else None

    def moment(self, word: str, what: str = "known") -> Availability:
        """What `known: WORD` says: a lag, a moment's name, or `always`.

        Args:
            word: As it was written.
            what: What says it, for messages.

        Raises:
            BadInput: It is none of them.
        """
        return read_known(word, self.moments, what)

    def clock(self, table: str) -> str | None:
        """The column that dates every row of a table: never missing, and known with its row. None where none does."""
        stated = self.tables[table]
        name = stated.dated_by
        if name is None or stated.columns[name].nullable:
            return None
        known = self.availability(table, name)
        return name if known is not None and known.with_its_row else None

    def with_time(self, table: str, column: str) -> "Contract":
        """The same, where this column gives the rows of a table their time."""
        return replace(self, tables=self.tables | {table: replace(self.tables[table], time=column)})

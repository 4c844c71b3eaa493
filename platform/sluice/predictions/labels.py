"""Labels of rows that were forecast: kept as they come, late, in parts or corrected, each with the moment it arrived.

Nothing is replaced: what was known at a moment can be asked for at any later one. A label finds its rows by the key
that the log has of them, or by the request and the row's place in it.
"""

import difflib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.predictions.forms import REQUEST, ROW, LogForm, LoggedField
from sluice.predictions.masking import masker, salt_of
from sluice.predictions.parquet_bytes import ParquetColumn, parquet_bytes
from sluice.predictions.places import labels_key
from sluice.storage.stores import Store

ARRIVED, LABEL_CLASS, LABEL_NUMBER = "sluice_arrived", "sluice_label", "sluice_label_number"
NOTE = "sluice.labels"
"""The key of a file's metadata that says by which columns its labels find their rows."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST = 2**63
_SHOWN = 60


@dataclass(frozen=True)
class Taken:
    """Labels that were kept.

    Attributes:
        model: The registered model.
        labels: How many.
        without: Rows that had none, and were passed over.
        by: The columns by which they find their rows.
        key: Where they stand in the store.
    """

    model: str
    labels: int
    without: int
    by: tuple[str, ...]
    key: str


def keep_labels(
    store: Store, form: LogForm, rows: Sequence[Mapping[str, Any]], where: str, arrived: datetime | None = None
) -> Taken:
    """Keep labels beside those that are there already; the same ones again, with the same moment, change nothing.

    Args:
        store: Where the log is.
        form: What the model's log says of it.
        rows: Each with the label, under its own name or `label`, and the columns of the key, or `request` and, where
            the request had several rows, `row` (from 0). Values as JSON or as the texts of a CSV file.
        where: The file or request, for messages.
        arrived: When they became known; None for now.

    Raises:
        BadInput: Rows lack a key or have another one than the log, a label is none of the classes or no number, or two
            rows give one key different labels.
        EnvironmentFault: The store failed.
    """
    if not rows:
        raise BadInput(f"{where} has no row; give one a label")
    moment = arrived or datetime.fromtimestamp(time.time(), UTC)
    by, name = _identity(form, rows[0], where), _label_name(form, rows[0], where)
    found: dict[tuple[Any, ...], Any] = {}
    without = 0
    for number, row in enumerate(rows, 1):
        label = row.get(name)
        if label is None or label == "":
            without += 1
            continue
        identity = tuple(_value(each, row, where, number) for each in by)
        value = _label(form, label, where, number)
        if found.setdefault(identity, value) != value:
            said = ", ".join(f"{each.name}={part}" for each, part in zip(by, identity, strict=True))
            raise BadInput(f"{where}, row {number}: {said} has the labels {found[identity]} and {value}; keep one")
    if not found:
        raise BadInput(f"{where} has no label in column {name!r}; a row without one says nothing")
    data = _file(store, form, by, found, moment)
    seconds = (moment - _EPOCH) / timedelta(seconds=1)
    key = labels_key(form.model, (seconds, seconds), sha256_bytes(data), len(found))
    store.put_bytes(key, data)
    return Taken(form.model, len(found), without, tuple(each.name for each in by), key)


def moment_in(text: str | None) -> datetime | None:
    """A moment as people write it, in UTC where it names no zone; None for None.

    Raises:
        BadInput: It is none, or before 1970, where no key of a store can say it.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{text[:60]!r} is no time; write it like 2026-03-01T14:00:00Z") from None
    if moment < _EPOCH:
        raise BadInput(f"{text[:60]!r} is before 1970; write a time like 2026-03-01T14:00:00Z")
    return moment


def _identity(form: LogForm, row: Mapping[str, Any], where: str) -> tuple[LoggedField, ...]:
    """The columns by which labels find their rows."""
    if "request" in row:
        return (
            LoggedField(name=REQUEST, type="string", contract_type="string"),
            LoggedField(name=ROW, type="int64", contract_type="int64"),
        )
    fields = {each.name: each for each in form.fields}
    missing = [name for name in form.key if name not in fields]
    if not form.key or missing:
        lacking = f"its column {missing[0]!r}" if missing else "no key"
        raise BadInput(f"the log of {form.model} lacks {lacking}; name rows by the columns request and row in {where}")
    if absent := [name for name in form.key if name not in row]:
        near = difflib.get_close_matches(absent[0], list(row), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInput(
            f"{where} has no column {absent[0]!r}, by which labels find their rows (key {', '.join(form.key)}){meant}; "
            "or name rows by the columns request and row"
        )
    return tuple(fields[name] for name in form.key)


def _label_name(form: LogForm, row: Mapping[str, Any], where: str) -> str:
    if found := [name for name in (form.label, "label") if name in row]:
        return found[0]
    near = difflib.get_close_matches(form.label, list(row), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInput(f"{where} has no column {form.label!r} with the label{meant}")


def _value(field: LoggedField, row: Mapping[str, Any], where: str, number: int) -> Any:  # noqa: ANN401 - JSON
    """A value that identifies a row, as the log has it before it is masked."""
    given = row.get("request" if field.name == REQUEST else "row" if field.name == ROW else field.name)
    if field.name == ROW and given in (None, ""):
        return 0
    if given is None or given == "":
        raise BadInput(f"{where}, row {number}: {field.name.removeprefix('sluice_')} is missing; say which row it is")
    try:
        return _typed(given, field.contract_type)
    except (KeyError, TypeError, ValueError, OverflowError):
        shown = str(given)[:_SHOWN]
        kind = field.contract_type
        raise BadInput(f"{where}, row {number}: {field.name} has {shown!r}, which is no {kind}; correct it") from None


def _typed(given: Any, kind: str) -> Any:  # noqa: ANN401 - JSON
    if kind == "string":
        return given if isinstance(given, str) else json.dumps(given)
    if kind in ("timestamp", "date"):
        moment = datetime.fromisoformat(str(given))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    if kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}[str(given).lower()]
    number = float(given)
    if kind == "float64":
        return number
    if not number.is_integer():
        raise ValueError
    whole = int(number) if isinstance(given, float) else int(str(given).partition(".")[0])
    if not -_MOST <= whole < _MOST:
        raise OverflowError
    return whole


def _label(form: LogForm, given: Any, where: str, number: int) -> Any:  # noqa: ANN401 - JSON
    """A class or a number."""
    if form.classes:
        name = str(given).lower() if isinstance(given, bool) else str(given)
        if name in form.classes:
            return name
        near = difflib.get_close_matches(name[:_SHOWN], form.classes, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(form.classes[:10])
        raise BadInput(f"{where}, row {number}: label {name[:_SHOWN]!r} is none of the classes {known}{meant}")
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or isinstance(given, bool):
        raise BadInput(f"{where}, row {number}: label {str(given)[:_SHOWN]!r} is no number; correct it")
    return value


def _file(
    store: Store, form: LogForm, by: Sequence[LoggedField], found: Mapping[tuple[Any, ...], Any], moment: datetime
) -> bytes:
    salt = salt_of(store) if any(each.hashed for each in by) else b""
    columns = []
    for place, each in enumerate(by):
        values = [identity[place] for identity in found]
        if each.hashed:
            mask = masker(salt, each.name, each.contract_type)
            values = [mask(value) for value in values]
        elif each.type == "date":
            values = [value // 86_400_000_000 for value in values]
        columns.append(ParquetColumn(each.name, each.type, values))
    labels = list(found.values())
    name, kind = (LABEL_CLASS, "string") if form.classes else (LABEL_NUMBER, "float64")
    columns.append(ParquetColumn(name, kind, labels))
    columns.append(ParquetColumn(ARRIVED, "timestamp", np.full(len(labels), (moment - _EPOCH) // _MICROSECOND)))
    return parquet_bytes(columns, {NOTE: json.dumps({"schema": 1, "by": [each.name for each in by]})})

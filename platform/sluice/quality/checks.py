"""The checks: schema, missing values, ranges, allowed values, repeated keys, freshness, references, availability."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import ibis

from sluice.contract.reading import Contract, TableContract
from sluice.quality.findings import DataFinding, Severity, count_of
from sluice.quality.hindsight import contradictions, too_late
from sluice.quality.profiles import Profile, breaks, fits

_DAY = 86_400.0  # seconds
_FUTURE_DAYS = 1.0  # a day's data may be newer than the day's first moment


def check(
    tables: Mapping[str, ibis.Table], contract: Contract, profiles: Mapping[str, Profile], as_of: date | None
) -> list[DataFinding]:
    """All findings, errors first, then in the contract's order.

    Args:
        tables: By name.
        contract: The lake's.
        profiles: What was counted, by table.
        as_of: The day that counts as today, or None to skip freshness.
    """
    found: list[DataFinding] = []
    for name, stated in contract.tables.items():
        if name not in tables:
            found.append(DataFinding(name, "", "schema", "error", message="the table is missing"))
            continue
        table, counted = tables[name], profiles[name]
        found += _schema(name, table, stated)
        found += _nulls(name, table, stated, counted)
        found += _broken(name, table, stated, counted)
        found += _repeated(name, table, stated, counted)
        found += _age(name, stated, counted, as_of)
        found += _references(name, tables, stated, counted)
        found += too_late(name, table, contract, counted)
    found += contradictions(tables, contract, profiles)
    return sorted(found, key=lambda finding: finding.severity)


def _schema(name: str, table: ibis.Table, stated: TableContract) -> Iterator[DataFinding]:
    for column, wanted in stated.columns.items():
        if column not in table.columns:
            yield DataFinding(name, column, "schema", "error", message=f"{column} is missing from the table")
        elif not fits(table, column, wanted):
            message = f"{column} is {table.schema()[column]} where the contract says {wanted.type}"
            yield DataFinding(name, column, "schema", "error", message=message)


def _nulls(name: str, table: ibis.Table, stated: TableContract, counted: Profile) -> Iterator[DataFinding]:
    for column, found in counted.columns.items():
        if found.nulls and not stated.columns[column].nullable:
            share = found.nulls / counted.rows
            example = _example(table, table[column].isnull(), stated.key, column)
            message = f"{column} is missing in {count_of(found.nulls, share)}, and the contract says it never is"
            yield DataFinding(name, column, "nulls", "error", found.nulls, share, 0.0, example, message)


def _broken(name: str, table: ibis.Table, stated: TableContract, counted: Profile) -> Iterator[DataFinding]:
    for column, found in counted.columns.items():
        if not found.broken:
            continue
        limits, share = stated.columns[column], found.broken / counted.rows
        tolerated = share <= limits.tolerance
        severity: Severity = "warning" if tolerated else "error"
        allowed = "not a finite number"
        if limits.range:
            allowed = f"outside {limits.range[0]:g} to {limits.range[1]:g}"
        elif limits.values:
            allowed = "not among the values allowed"
        verdict = "tolerated; those values count as missing" if tolerated else f"at most {limits.tolerance:.3%} may be"
        example = _example(table, breaks(table[column], limits), stated.key, column)
        message = f"{column} is {allowed} in {count_of(found.broken, share)}, {verdict}"
        kind = "values" if limits.values else "range"
        yield DataFinding(name, column, kind, severity, found.broken, share, limits.tolerance, example, message)


def _repeated(name: str, table: ibis.Table, stated: TableContract, counted: Profile) -> Iterator[DataFinding]:
    if counted.duplicates:
        key, share = list(stated.key), counted.duplicates / counted.rows
        twice = table.group_by(key).having(table.count() > 1).aggregate()
        example = _first(twice.order_by(key).select(key))
        message = f"{', '.join(key)}: {count_of(counted.duplicates, share)} repeat the key of another row"
        yield DataFinding(name, ",".join(key), "duplicates", "error", counted.duplicates, share, 0.0, example, message)


def _age(name: str, stated: TableContract, counted: Profile, as_of: date | None) -> Iterator[DataFinding]:
    newest, column, limit = counted.newest(stated), stated.freshness_column, stated.max_age_days
    if as_of is None or column is None or limit is None or column not in counted.columns:
        return
    if newest is None:
        message = f"{column} is missing in every row, so nothing tells how old the table is"
        yield DataFinding(name, column, "freshness", "error", counted.rows, 1.0, 0.0, f"{column}=None", message)
        return
    midnight = datetime.combine(as_of, time(), UTC)
    days = (midnight - (newest if newest.tzinfo else newest.replace(tzinfo=UTC))).total_seconds() / _DAY
    said, example = f"{column}: the newest is {newest:%Y-%m-%d %H:%M}", f"{column}={newest}"
    if days > limit:
        message = f"{said}, {days:.1f} days before {as_of}, where at most {limit:g} are allowed"
        yield DataFinding(name, column, "freshness", "error", counted.rows, 1.0, 0.0, example, message)
    elif -days > _FUTURE_DAYS:
        message = f"{said}, {-days:.1f} days after {as_of}; look at the clock of whoever writes it, or at as_of"
        yield DataFinding(name, column, "freshness", "warning", counted.rows, 1.0, 0.0, example, message)


def _references(
    name: str, tables: Mapping[str, ibis.Table], stated: TableContract, counted: Profile
) -> Iterator[DataFinding]:
    for column, said in stated.columns.items():
        target, _, named = (said.references or "").partition(".")
        if column not in counted.columns or target not in tables or named not in tables[target].columns:
            continue
        table, known = tables[name], tables[target].select(known=named).distinct()
        used = table.filter(table[column].notnull()).group_by(value=column).aggregate(rows=lambda t: t.count())
        lost = used.anti_join(known, used.value == known.known).order_by("value")
        found = lost.aggregate(rows=lost.rows.sum(), values=lost.count()).to_pyarrow().to_pylist()[0]
        if found["values"]:
            share = found["rows"] / counted.rows
            values = f"one of {found['values']:,} values" if found["values"] > 1 else "a value"
            message = f"{column}: {count_of(found['rows'], share)} with {values} that {target}.{named} lacks"
            example = _first(lost.select(lost.value.name(column)))
            yield DataFinding(name, column, "references", "warning", found["rows"], share, 1.0, example, message)


def _example(table: ibis.Table, condition: Any, key: tuple[str, ...], column: str) -> str:  # noqa: ANN401 - Ibis
    names = list(dict.fromkeys([*key, column]))
    return _first(table.filter(condition).order_by(list(key) or [column]).select(names))


def _first(rows: ibis.Table) -> str:
    found = rows.limit(1).to_pyarrow().to_pylist()
    return ", ".join(f"{name}={value}" for name, value in found[0].items()) if found else ""

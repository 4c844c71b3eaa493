"""Which type a text has, as SQL for DuckDB: the same that the step ingest will read, in far less time.

The SQL gives the typed value, or null where the text is none. A test holds it to ingest's own conversions.
"""

from collections.abc import Callable

_TIMESTAMP = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3])(:[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?)?"
    "( ?UTC|Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?"
)
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EXACT = 2**53  # from here on, a double no longer holds every integer


def _integer(text: str) -> str:
    double = f"try_cast({text} AS DOUBLE)"
    return (
        f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]+') THEN try_cast({text} AS BIGINT) "
        f"WHEN regexp_full_match({text}, '[+-]?[0-9]+[.]0*') "
        f"THEN try_cast(regexp_replace({text}, '[.]0*$', '') AS BIGINT) "
        f"WHEN regexp_full_match({text}, '[+-]?[0-9.]{{1,16}}[eE][+-]?[0-9]{{1,3}}') "
        f"AND abs({double}) < {_EXACT} AND {double} = floor({double}) THEN try_cast({double} AS BIGINT) END"
    )


def _double(text: str) -> str:
    return f"CASE WHEN NOT contains({text}, '_') THEN try_cast({text} AS DOUBLE) END"


def _timestamp(text: str) -> str:
    moment = f"CAST(try_cast({text} AS TIMESTAMP WITH TIME ZONE) AS TIMESTAMP)"
    return (
        f"CASE WHEN regexp_full_match({text}, '{_TIMESTAMP}') AND {moment} BETWEEN TIMESTAMP '0001-01-01' "
        f"AND TIMESTAMP '9999-12-31 23:59:59.999999' THEN {moment} END"
    )


def _date(text: str) -> str:
    day = f"try_cast({text} AS DATE)"
    return f"CASE WHEN regexp_full_match({text}, '{_DATE}') AND {day} >= DATE '0001-01-01' THEN {day} END"


_SQL: dict[str, Callable[[str], str]] = {
    "int64": _integer,
    "float64": _double,
    "bool": lambda text: f"try_cast({text} AS BOOLEAN)",
    "timestamp": _timestamp,
    "date": _date,
}
DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}
"""A data contract's types as DuckDB's."""


def typed(column: str, kind: str) -> str:
    """SQL for the value of a text column in one of a contract's types; null where it is missing or no such value."""
    return column if kind == "string" else _SQL[kind](f"trim({column})")


def contract_type(duckdb_type: str) -> str | None:
    """The contract's type for one of DuckDB's, or None for what no contract takes (lists, blobs, times)."""
    name = duckdb_type.upper()
    if name.endswith("[]"):
        return None
    if name.startswith("DECIMAL"):
        return "int64" if name.endswith(",0)") and int(name[8:].partition(",")[0]) < 19 else "float64"
    if name.startswith("TIMESTAMP"):
        return "timestamp"
    if name.startswith("ENUM"):
        return "string"
    integers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
    kinds = {"VARCHAR": "string", "BOOLEAN": "bool", "DATE": "date", "FLOAT": "float64", "DOUBLE": "float64"}
    return "int64" if name in integers else kinds.get(name)

"""A query over rows that are handed in: planned once, and asked many times in well under a millisecond each.

DuckDB reads NumPy arrays where they lie. So one row's values are written into arrays that a prepared statement reads,
and neither the query's text nor its plan is looked at again. What chooses rows of other tables by values of that row
can be said by parameters instead of joins, which cost more than all else where the rows are few. Several rows at once
are planned anew: that takes milliseconds, and is shared by all of them.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.exporting.graph_values import ABSENT, NO_MOMENT, NUMBER, TEXT
from sluice.exporting.refusals import NotExportable, Unanswerable
from sluice.features.closed_duckdb import quoted

Columns = Mapping[str, np.ndarray]
PLACE = "place"
"""The column with each row's place among those asked about, where a query wants it."""
_GIVEN = "given_values"


@dataclass(frozen=True)
class OneRow:
    """The query of one row, where it can do without joins to that row.

    Attributes:
        query: With `$1`, `$2`, … for values of the row.
        values: The columns handed in that these are.
        kinds: How DuckDB calls the results' types is asked of this query, whose parameters are values; else the same.
    """

    query: str
    values: tuple[str, ...]
    kinds: str


class StandingQuery:
    """A query, ready to run; calls may come from several threads.

    Args:
        engine: DuckDB's connection; it is this query's own from here on.
        table: What the query calls the rows.
        columns: All columns of that table with their types in DuckDB's words.
        given: The columns that are handed in, by their kind (NUMBER, TEXT or MOMENT); the others are NULL.
        query: One result for each row, in their order.
        results: The results that are wanted, NUMBER or TEXT by name.
        place: What the table's column with each row's place is called, where the query asks for it.
        one: The query of one row, where there is another: it may have no result, or several.

    Raises:
        NotExportable: DuckDB does not take the query, or a result has a type that no model takes.
    """

    def __init__(
        self,
        engine: Any,  # noqa: ANN401 - duckdb's is untyped
        table: str,
        columns: Mapping[str, str],
        given: Mapping[str, str],
        query: str,
        results: Mapping[str, str],
        place: str = "",
        one: OneRow | None = None,
    ) -> None:
        import duckdb

        self._one, self._many = engine, engine.cursor()
        self._given, self._results, self._lock = dict(given), dict(results), threading.Lock()
        self._row = {f"v{n}": _blank(kind, 1) for n, kind in enumerate(given.values())}
        self._row |= {PLACE: np.zeros(1, np.int64)}
        view = _view(table, columns, given, place)
        try:
            for connection in (self._one, self._many):
                connection.register(_GIVEN, self._row)
                connection.execute(view)
            self._query = _asked(self._one, query, results)
            alone = self._query if one is None else _asked(self._one, one.query, results, one.kinds)
            self._one.execute(f"PREPARE ask AS {alone}")
            self._values = one.values if one else ()
            self._statement = None if self._values else self._one.extract_statements("EXECUTE ask")[0]
        except duckdb.Error as error:
            raise NotExportable(f"DuckDB does not take the query: {_reason(error)}") from None

    def ask(self, columns: Columns) -> dict[str, np.ndarray]:
        """The results: float64 with NaN, or texts (object) with ABSENT, shape (rows,).

        Args:
            columns: Those handed in: float64 with NaN, texts with ABSENT, or microseconds since 1970 with NO_MOMENT.

        Raises:
            Unanswerable: The query fails for these rows.
        """
        import duckdb

        count = len(next(iter(columns.values()))) if columns else 1
        try:
            with self._lock:
                return self._of_one(columns) if count == 1 and self._sayable(columns) else self._of_many(columns, count)
        except duckdb.Error as error:  # a value that the query cannot take, such as a text that is no number
            raise Unanswerable((), f"no features can be made of these rows: {_reason(error)}") from None

    def _of_one(self, columns: Columns) -> dict[str, np.ndarray]:
        row = self._row
        for place, (name, kind) in enumerate(self._given.items()):
            value = columns[name][0]
            row[f"v{place}"][0] = None if kind == TEXT and value == ABSENT else value
        answers = self._one.execute(self._statement or self._called(columns)).fetchall()
        return {
            name: _column([answer[place] for answer in answers], kind)
            for place, (name, kind) in enumerate(self._results.items())
        }

    def _sayable(self, columns: Columns) -> bool:
        """Whether the parameters can stand in a statement: a text with a zero character cannot."""
        return not any("\0" in str(columns[name][0]) for name in self._values if self._given[name] == TEXT)

    def _called(self, columns: Columns) -> str:
        """The prepared statement with its parameters; they are few."""
        values = ", ".join(_literal(columns[name][0], self._given[name]) for name in self._values)
        return f"EXECUTE ask({values})"

    def _of_many(self, columns: Columns, count: int) -> dict[str, np.ndarray]:
        rows = {f"v{n}": _plain(columns[name], kind) for n, (name, kind) in enumerate(self._given.items())}
        rows |= {PLACE: np.arange(count)}
        self._many.register(_GIVEN, rows)
        found = self._many.execute(self._query).fetchnumpy()
        self._many.register(_GIVEN, self._row)  # the rows themselves are not kept
        return {name: _filled(found[f"r{place}"], kind) for place, (name, kind) in enumerate(self._results.items())}


def _view(table: str, columns: Mapping[str, str], given: Mapping[str, str], place: str) -> str:
    names = list(given)
    parts = [
        f"{_typed(f'v{names.index(name)}', given[name], kind) if name in given else f'CAST(NULL AS {kind})'} "
        f"AS {quoted(name)}"
        for name, kind in columns.items()
    ]
    parts += [f"{PLACE} AS {quoted(place)}"] if place else []
    return f"CREATE TEMP VIEW {quoted(table)} AS SELECT {', '.join(parts)} FROM {_GIVEN}"  # noqa: S608 - quoted names


def _typed(value: str, kind: str, wanted: str) -> str:
    """A value that was handed in as the table has it."""
    if kind == NUMBER:
        return f"CAST(CASE WHEN isnan({value}) THEN NULL ELSE {value} END AS {wanted})"
    if kind == TEXT:
        return f"CAST({value} AS {wanted})"
    moment = (
        f"make_timestamp(CASE WHEN {value} = {NO_MOMENT + 1} - 1 THEN NULL ELSE {value} END)"  # no literal holds it
    )
    return f"CAST({moment} AS {wanted})"


def _literal(value: Any, kind: str) -> str:  # noqa: ANN401 - NumPy's or Python's
    """One value as it stands in a statement."""
    if kind == TEXT:
        return "NULL" if value is None or value == ABSENT else "'" + str(value).replace("'", "''") + "'"
    if kind == NUMBER:
        return "NULL" if np.isnan(value) else f"'{float(value)!r}'::DOUBLE"
    return "NULL" if value == NO_MOMENT else f"make_timestamp({int(value)})"


def _asked(engine: Any, query: str, results: Mapping[str, str], like: str = "") -> str:  # noqa: ANN401 - as above
    """The query with the results that are wanted, in the types that models take; `like`: without parameters."""
    kinds = {str(row[0]): str(row[1]) for row in engine.execute(f"DESCRIBE {like or query}").fetchall()}
    parts = []
    for place, (name, kind) in enumerate(results.items()):
        found = kinds.get(name, "")
        if kind == TEXT and not found.startswith(("VARCHAR", *_WHOLE)):
            raise NotExportable(f"{name} is {found or 'not'} in the query, and the model takes it as a text")
        parts.append(f"CAST({quoted(name)} AS {'VARCHAR' if kind == TEXT else 'DOUBLE'}) AS r{place}")
    return f"SELECT {', '.join(parts)} FROM ({query}) asked"  # noqa: S608 - the model's own query, behind its digest


_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")


def _blank(kind: str, count: int) -> np.ndarray:
    """Values that DuckDB takes the type of a column from."""
    if kind == TEXT:
        return np.full(count, "", object)
    return np.full(count, np.nan) if kind == NUMBER else np.full(count, NO_MOMENT, np.int64)


def _plain(values: np.ndarray, kind: str) -> np.ndarray:
    if kind != TEXT:
        return np.ascontiguousarray(values)
    texts = np.array(values, object)
    texts[texts == ABSENT] = None
    return texts


def _column(values: list[Any], kind: str) -> np.ndarray:
    if kind == TEXT:
        return np.array([ABSENT if value is None else value for value in values], object)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _filled(values: Any, kind: str) -> np.ndarray:  # noqa: ANN401 - a masked array where something is NULL
    blank: Any = ABSENT if kind == TEXT else np.nan
    found: np.ndarray = np.ma.filled(values, blank) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    return found.astype(object if kind == TEXT else np.float64, copy=False)


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]

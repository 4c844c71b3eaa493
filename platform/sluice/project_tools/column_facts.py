"""What the columns of a table hold: counted over all rows, by DuckDB."""

# ruff: noqa: S608 - all names in the SQL are ours: c0, c1, …

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from sluice.project_tools.data_files import Table

NUMBERS = ("int64", "float64")
TIMES = ("timestamp", "date")
SAMPLE_ROWS = 20_000
_BINS = 50
_EXACT_ROWS = 2_000_000  # with more, values that differ are counted within some per cent


@dataclass(frozen=True)
class ColumnFacts:
    """What a column holds.

    Attributes:
        name: Its name.
        type: The contract's.
        rows: Of the table.
        missing: Rows without a value; a number that is NaN counts as none.
        infinite: Rows whose number is infinite.
        distinct: How many values differ.
        least: The smallest value, None where there is none.
        greatest: The greatest value.
    """

    name: str
    type: str
    rows: int
    missing: int
    infinite: int
    distinct: int
    least: Any
    greatest: Any

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing


def column_facts(
    connection: duckdb.DuckDBPyConnection, table: Table, exactly: Iterable[str | None] | None = None
) -> dict[str, ColumnFacts]:
    """The facts of all columns, by name; one pass over the table.

    Args:
        connection: From `looking`.
        table: The table.
        exactly: The columns whose different values are counted exactly, None for all; the others' within some per cent.
    """
    sure = set(table.columns if exactly is None else exactly) if table.rows <= _EXACT_ROWS else set()
    asked = []
    for i, (name, kind) in enumerate(table.columns.items()):
        value = _value(f"c{i}", kind)
        infinite = f"count(*) FILTER (isinf(c{i}))" if kind == "float64" else "0"
        distinct = f"count(DISTINCT {value})" if name in sure else f"approx_count_distinct({value})"
        least, greatest = (f"{which}({value})" for which in ("min", "max"))
        if kind == "string":  # long texts need not be carried here
            least, greatest = (f"left({each}, 100)" for each in (least, greatest))
        asked += [f"count({value})", infinite, distinct, least, greatest]
    found = connection.execute(f"SELECT {', '.join(asked)} FROM {table.name}").fetchone() or ()
    each = [found[5 * i : 5 * i + 5] for i in range(len(table.columns))]
    return {
        name: ColumnFacts(name, kind, table.rows, table.rows - there, int(infinite), int(distinct), least, greatest)
        for (name, kind), (there, infinite, distinct, least, greatest) in zip(table.columns.items(), each, strict=True)
    }


def _value(column: str, kind: str) -> str:
    return f"CASE WHEN NOT isnan({column}) THEN {column} END" if kind == "float64" else column


def combinations(connection: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> int:
    """How many different combinations of values the columns have, over all rows; a missing one counts as a value."""
    names = ", ".join(table.sql(column) for column in columns)
    (count,) = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {names} FROM {table.name})").fetchone() or (
        0,
    )
    return int(count)


def value_counts(
    connection: duckdb.DuckDBPyConnection, table: Table, column: str, most: int = 20
) -> list[tuple[Any, int]]:
    """The values of a column with their rows, the most frequent first; missing ones are left out."""
    value = _value(table.sql(column), table.columns[column])
    rows = connection.execute(
        f"SELECT v, count(*) n FROM (SELECT {value} AS v FROM {table.name}) WHERE v IS NOT NULL "
        f"GROUP BY v ORDER BY n DESC, v LIMIT {most}"
    ).fetchall()
    return [(value, int(n)) for value, n in rows]


def largest_group(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> int:
    """The rows of the most frequent value."""
    counts = value_counts(connection, table, column, 1)
    return counts[0][1] if counts else 0


def both_missing(
    connection: duckdb.DuckDBPyConnection, table: Table, column: str, others: Sequence[str]
) -> dict[str, int]:
    """For each of the others the rows in which both it and the column have no value."""
    first = _value(table.sql(column), table.columns[column])
    asked = ", ".join(
        f"count(*) FILTER ({first} IS NULL AND {_value(table.sql(name), table.columns[name])} IS NULL)"
        for name in others
    )
    found = connection.execute(f"SELECT {asked} FROM {table.name}").fetchone() or ()
    return dict(zip(others, map(int, found), strict=True))


def earliest_shares(connection: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> dict[str, float]:
    """For each column of times the share of rows in which none of the others is earlier."""
    names = [table.sql(column) for column in columns]
    least = f"least({', '.join(f'CAST({name} AS TIMESTAMP)' for name in names)})"
    asked = ", ".join(f"avg(CAST(CAST({name} AS TIMESTAMP) <= {least} AS INTEGER))" for name in names)
    found = connection.execute(f"SELECT {asked} FROM {table.name}").fetchone() or ()
    return {column: float(share or 0) for column, share in zip(columns, found, strict=True)}


def associations(
    connection: duckdb.DuckDBPyConnection, table: Table, label: str, features: Sequence[str], *, classes: bool
) -> dict[str, float]:
    """How much of the label each feature explains by itself, from 0 (nothing) to 1 (all), on up to 20,000 rows.

    It is the share of the label's variance between the groups of a feature's values (numbers in 50 bins of equally many
    rows), adjusted for the number of groups: the adjusted correlation ratio; for classes, whose values are taken as
    indicators, Goodman and Kruskal's tau.

    Args:
        connection: From `looking`.
        table: The table.
        label: Its label.
        features: Columns of numbers, texts or truth values.
        classes: Whether the label's values are classes.
    """
    names = [table.sql(label), *(table.sql(name) for name in features)]
    rows = connection.execute(
        f"SELECT {', '.join(names)} FROM {table.name} WHERE {names[0]} IS NOT NULL "
        f"USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (7)"
    ).fetchnumpy()
    outcome = _outcome(rows[names[0]], classes=classes)
    return {
        feature: _explained(_groups(rows[name], table.columns[feature]), outcome)
        for feature, name in zip(features, names[1:], strict=True)
    }


def _outcome(values: Any, *, classes: bool) -> npt.NDArray[np.float64]:  # noqa: ANN401 - a masked array
    """The label, shape (rows, classes), or (rows, 1) for numbers."""
    if not classes:
        numbers = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
        finite = np.isfinite(numbers)
        middle = float(np.median(numbers[finite])) if finite.any() else 0.0
        return np.where(finite, numbers, middle)[:, None]
    codes = _groups(values, "string")
    return np.asarray(codes[:, None] == np.arange(codes.max(initial=0) + 1)[None, :], np.float64)


def _groups(values: Any, kind: str) -> npt.NDArray[np.int64]:  # noqa: ANN401 - a masked array
    """The group of each row, from 0; rows without a value are a group of their own."""
    masked = np.ma.asarray(values)
    missing = np.ma.getmaskarray(masked)
    edges: npt.NDArray[np.float64] = np.empty(0)
    if kind in NUMBERS:
        numbers = np.ma.filled(masked.astype(np.float64), np.nan)
        missing = ~np.isfinite(numbers)
        if not missing.all():
            edges = np.unique(np.quantile(numbers[~missing], np.linspace(0, 1, _BINS + 1)[1:-1]))
        codes = np.searchsorted(edges, numbers, side="left").astype(np.int64)
    else:
        texts = np.where(missing, "", np.ma.getdata(masked).astype(object)).astype(str)
        codes = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    codes[missing] = codes.max(initial=0) + 1
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _explained(groups: npt.NDArray[np.int64], outcome: npt.NDArray[np.float64]) -> float:
    n, k = len(groups), int(groups.max(initial=0)) + 1
    total = float(((outcome - outcome.mean(axis=0)) ** 2).sum()) if n else 0.0
    if n <= k or k < 2 or total <= 0:
        return 0.0
    counts = np.bincount(groups, minlength=k)
    means = np.stack([np.bincount(groups, column, minlength=k) / counts for column in outcome.T], axis=1)
    within = float(((outcome - means[groups]) ** 2).sum())
    return max(0.0, 1 - (within / (n - k)) / (total / (n - 1)))

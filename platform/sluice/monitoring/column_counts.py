"""How often each column's values lie in which cell: counted by DuckDB in one pass, whatever the number of rows.

The cells come from the reference and stay: about ten of equal size for numbers, the commonest values for texts. Beside
them stand what tells broken data: missing values, values beyond all that the reference has, values at its very ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.monitoring.distances import Counts
from sluice.monitoring.row_tables import RowForm, RowTable, literal, quoted

_CELLS = 10
_COMMON = 20
_MOST_VALUES = 2000
_AT_ONCE = 16  # columns in one query: a chunk's cells fit the memory that was allowed
_DISTINCT_SHARE = 0.5
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Cells:
    """The cells of a column.

    Attributes:
        kind: `number` or `category`.
        edges: Upper ends of a number's cells but the last.
        values: The commonest values of a text.
        known: All values of a text in the reference, where these are few; else empty.
        least: The least number of the reference.
        greatest: The greatest.
        whole: Whether the numbers of the reference are whole.
        rare: The share of reference rows with a value that no other row has: as many rows bring a value that has not
            been seen yet (I. J. Good, 1953).
    """

    kind: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    least: float = float("nan")
    greatest: float = float("nan")
    whole: bool = False
    rare: float = 0.0


@dataclass(frozen=True)
class Counted:
    """What was counted of a column.

    Attributes:
        rows: Of the table.
        missing: Rows without a value.
        cells: Rows by cell, the last one for anything else; without the missing ones.
        beyond: Rows with a number outside all of the reference, or a value that it never has.
        at_least: Rows at the very least number of this table.
        at_greatest: Rows at its greatest.
        least: The least number of this table.
        greatest: The greatest.
        novel: The commonest values that the reference lacks.
        quantiles: Of the numbers, at QUANTILES, of the part that was drawn.
    """

    rows: int
    missing: int
    cells: Counts
    beyond: int = 0
    at_least: int = 0
    at_greatest: int = 0
    least: float = float("nan")
    greatest: float = float("nan")
    novel: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = field(default=())

    @property
    def with_missing(self) -> Counts:
        """Rows by cell, missing values in a cell of their own."""
        return np.append(self.cells, self.missing)


def learn_cells(reference: RowTable, part: Any, form: RowForm) -> dict[str, Cells]:  # noqa: ANN401 - pyarrow
    """The cells of each feature and forecast.

    Args:
        reference: The reference rows.
        part: A random part of them, with these columns.
        form: What the columns are.
    """
    numbers = [name for name, kind in watched(form).items() if kind == "number"]
    ends = dict(zip(numbers, _ends(reference, numbers), strict=True))
    found = {}
    for name, kind in watched(form).items():
        if kind == "number":
            values = finite(part.column(name))
            edges = np.unique(np.quantile(values, np.linspace(0, 1, _CELLS + 1)[1:-1])) if len(values) else np.array([])
            least, greatest = ends[name]
            whole = bool(len(values)) and bool((values == np.rint(values)).all())
            found[name] = Cells(kind, tuple(map(float, edges)), (), (), least, greatest, whole)
        else:
            counts = _texts(reference, name)
            known = tuple(value for value, _ in counts) if len(counts) < _MOST_VALUES else ()
            common = tuple(value for value, _ in counts[:_COMMON])
            rare = sum(rows == 1 for _, rows in counts) / reference.rows
            found[name] = Cells(kind, (), common, known, rare=rare)
    return found


def watched(form: RowForm) -> dict[str, str]:
    """The columns that have cells: features, and what the model said."""
    return form.features | dict.fromkeys(form.forecasts, "number")


def finite(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401 - pyarrow
    """The finite numbers of an Arrow column."""
    values = numbers_of(column)
    return np.asarray(values[np.isfinite(values)])


def numbers_of(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401 - pyarrow
    """The numbers of an Arrow column, NaN for missing."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False), np.float64)


def count(table: RowTable, cells: dict[str, Cells]) -> dict[str, Counted]:
    """Count a table's columns by cell; a column that it lacks is left out."""
    there = {name: each for name, each in cells.items() if name in table.columns}
    numbers = [name for name, each in there.items() if each.kind == "number"]
    found: dict[str, Counted] = {}
    for names in _chunks(numbers):
        found |= _numbers(table, names, cells)
    for name, each in there.items():
        if each.kind == "category":
            found[name] = _category(table, name, each)
    return {name: found[name] for name in there}


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _value(name: str, kind: str = "DOUBLE") -> str:
    """A column as finite doubles: what cannot be one is missing."""
    text = f"TRY_CAST({quoted(name)} AS {kind})"
    return f"CASE WHEN isfinite({text}) THEN {text} END"


def _ends(table: RowTable, names: Sequence[str]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for chunk in _chunks(names):
        ends = ", ".join(f"min({_value(name)}), max({_value(name)})" for name in chunk)
        row = [float("nan") if value is None else float(value) for value in table.query(ends)[0]]
        found += list(zip(row[::2], row[1::2], strict=True))
    return found


def _numbers(table: RowTable, names: Sequence[str], cells: dict[str, Cells]) -> dict[str, Counted]:
    ends = _ends(table, names)
    select = ["count(*)"]
    for name, (least, greatest) in zip(names, ends, strict=True):
        each, value = cells[name], _value(name)
        edges = ", ".join(f"{edge!r}::DOUBLE" for edge in each.edges)
        select += [
            f"histogram({value}, [{edges + ', ' if edges else ''}'infinity'::DOUBLE])",
            f"count({value})",
            _counted(value, "<", each.least) + " + " + _counted(value, ">", each.greatest),
            _counted(value, "=", least),
            _counted(value, "=", greatest),
        ]
    row = table.query(", ".join(select))[0]
    rows, found = int(row[0]), {}
    for place, name in enumerate(names):
        histogram, there, beyond, at_least, at_greatest = row[1 + 5 * place : 6 + 5 * place]
        placed = [int((histogram or {}).get(edge, 0)) for edge in (*cells[name].edges, float("inf"))]
        least, greatest = ends[place]
        found[name] = Counted(
            rows,
            rows - int(there),
            np.array(placed, np.int64),
            int(beyond),
            int(at_least),
            int(at_greatest),
            least,
            greatest,
        )
    return found


def _counted(value: str, sign: str, bound: float) -> str:
    if np.isnan(bound):
        return "0::HUGEINT"
    return f"coalesce(sum(({value} {sign} {bound!r}::DOUBLE)::INTEGER), 0)"


def _texts(table: RowTable, name: str) -> list[tuple[str, int]]:
    """Values with their rows, the commonest first; at most _MOST_VALUES."""
    where = "AND" if table.where else "WHERE"
    rest = f"{where} {quoted(name)} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_VALUES}"
    return [(str(value), int(rows)) for value, rows in table.query(f"{quoted(name)}::VARCHAR AS v, count(*)", rest)]


def _category(table: RowTable, name: str, cells: Cells) -> Counted:
    rows, there = table.query(f"count(*), count({quoted(name)})")[0]
    text = f"{quoted(name)}::VARCHAR"
    known = ", ".join(map(literal, cells.values))
    common = f"CASE WHEN {text} IN ({known}) THEN {text} END" if known else "NULL"
    counts = dict(table.query(f"{common} AS v, count(*)", "GROUP BY 1"))
    placed = [int(counts.get(value, 0)) for value in cells.values]
    placed.append(int(there) - sum(placed))
    novel: list[tuple[str, int]] = []
    if cells.known:
        seen = set(cells.known)
        novel = [(value, number) for value, number in _texts(table, name) if value not in seen]
    return Counted(
        int(rows),
        int(rows) - int(there),
        np.array(placed, np.int64),
        sum(number for _, number in novel),
        novel=tuple(value for value, _ in novel[:5]),
    )


def is_name(cells: Cells, counted: Counted) -> bool:
    """Whether a column names its rows: so many values that none of them says anything about another row."""
    if cells.kind != "category" or not counted.rows:
        return False
    return not cells.known and counted.cells[-1] > _DISTINCT_SHARE * counted.rows

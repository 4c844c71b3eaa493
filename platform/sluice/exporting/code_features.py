"""Features by the project's own code, for rows that come one by one: what does not change is made once.

`sluice.features.new_rows` makes the same features for a file: it reads the other tables, runs the project's function
and lets DuckDB plan its expression, each time. Here the tables are read and the expression is planned when the model is
opened; a request only hands in its rows.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import numpy as np
import sqlglot

from sluice.core.column_names import free_name
from sluice.engine.datasets import read_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.exporting.forms import KINDS
from sluice.exporting.graph_values import NUMBER
from sluice.exporting.refusals import NotExportable, Unanswerable
from sluice.exporting.relevant_rows import Demands, Leaf, demanded, demanded_by, relevant, same
from sluice.exporting.standing_query import Columns, OneRow, StandingQuery
from sluice.features.building import build_table
from sluice.features.masks import mask
from sluice.features.new_row_answers import answer_rows, made_features
from sluice.features.new_rows import opened_prepare, schema_of
from sluice.features.preparations import Preparation
from sluice.features.roles import key_of
from sluice.leakage.row_wise import reads, reads_other_rows
from sluice.storage.stores import Store

_ROWS = "new_rows"
_VALUE = "sluice_asked_value_"
_SMALL = 40_000
"""Values of a table, rows times columns, up to which to look for the rows that are needed costs more than all."""


class CodeFeatures:
    """A project's prepare function with its tables, ready for rows; `close` lets go of them.

    Args:
        made: How the model's rows were prepared.
        takes: The features that the model takes, NUMBER or TEXT by name.
        store: Where the tables and the code are.
        threads: DuckDB's; one answers single rows soonest.

    Raises:
        NotExportable: The expression cannot be planned.
        BadInput: Tables or code are gone or were changed, or the code fails.
        EnvironmentFault: The store or the disk failed.
    """

    def __init__(self, made: Preparation, takes: Mapping[str, str], store: Store, threads: int = 1) -> None:
        self._made, self._takes = made, dict(takes)
        self._opened = opened_prepare(made, store)
        self._where = made.declared.prepare or f"table {made.table!r}"
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))
            self._engine = duckdb_engine(scratch, threads=threads)
            tables, history = self._tables()
            query = self._expression(tables, history)
            self._query = self._standing(query, self._of_one(tables, history))
            self._held = stack.pop_all()

    @property
    def needed(self) -> tuple[str, ...]:
        """The raw columns to hand in, in the contract's order: a feature or a row's identity rests on them."""
        made = self._made
        resting = {name for columns in made.sources.values() for name in columns}
        resting |= set(made.key) if self._opened else set()
        return tuple(name for name in made.columns if name in resting)

    def make(self, columns: Columns) -> dict[str, np.ndarray]:
        """The features of rows, float64 with NaN or texts with ABSENT, shape (rows,).

        Args:
            columns: `needed`, as `StandingQuery.ask` takes them.

        Raises:
            Unanswerable: The code leaves rows out, or makes several of one.
        """
        count = len(next(iter(columns.values())))
        found = self._query.ask(columns)
        order = np.argsort(found["place"], kind="stable")
        found = {name: values[order] for name, values in found.items()}
        places = found.pop("place").astype(np.int64)
        there = found.pop("there", None)
        if not len(places):  # the query of one row has no result where that row is left out
            raise self._left_out(np.arange(count))
        if len(places) != count or (places != np.arange(count)).any():
            wrong = _repeated(places, count)
            raise Unanswerable(wrong, f"has the key of another row, or {self._where} makes several rows of it")
        if there is not None and (left_out := np.flatnonzero(np.isnan(there))).size:
            raise self._left_out(left_out)
        return {name: found[f"f{place}"] for place, name in enumerate(self._takes)}

    def _left_out(self, rows: np.ndarray) -> Unanswerable:
        return Unanswerable(tuple(rows.tolist()), f"gets no forecast: {self._where} leaves it out")

    def close(self) -> None:
        """Let go of the tables."""
        self._engine.disconnect()
        self._held.close()

    def _tables(self) -> tuple[dict[str, ibis.Table], ibis.Table | None]:
        """The tables by name, with rows where the code reads them; and the rows' own table where it is read."""
        made, engine = self._made, self._engine
        stated = made.contract.tables.items()
        empty = {name: engine.create_table(f"empty_{name}", schema=schema_of(t.columns)) for name, t in stated}
        if self._opened is None:
            return empty, None
        given, own = dict(empty), made.table
        if row_number := key_of(made.declared.rows, made.contract, given[own])[1]:
            numbered = given[own].mutate(ibis.row_number().name(row_number))
            given[own] = engine.create_table(f"empty_{own}_numbered", numbered)
        wide = self._built(given)
        wanted = [name for name, table in given.items() if name != own and reads(wide, table)]
        history = reads_other_rows(wide, given[own])
        kept = self._kept([*wanted, *([own] if history else [])])
        return {**empty, **kept}, kept.get(own) if history else None

    def _kept(self, names: list[str]) -> dict[str, ibis.Table]:
        """Tables of the lake as the contract takes them, in memory."""
        if not names:
            return {}
        with read_dataset(self._made.dataset.uri, self._engine) as (_, tables):
            stated = {name: tables[name].select(*self._made.contract.tables[name].columns) for name in names}
            masked = mask(stated, self._made.contract)[0]
            return {name: self._engine.create_table(f"kept_{name}", table) for name, table in masked.items()}

    def _expression(self, tables: Mapping[str, ibis.Table], history: ibis.Table | None) -> ibis.Table:
        """The features of the rows in the table `new_rows`, which has no row yet."""
        made = self._made
        self._place = free_name("place", made.columns)
        schema = ibis.schema({**schema_of(made.columns), self._place: "int64"})
        whole = self._engine.create_table(_ROWS, schema=schema)
        asked = mask({made.table: whole}, made.contract)[0][made.table]
        rows = asked.drop(self._place)
        row_number = key_of(made.declared.rows, made.contract, rows)[1]
        if row_number:
            asked = asked.mutate(asked[self._place].name(row_number))
            rows = asked.drop(self._place)
        earlier = None if history is None else self._numbered(history, row_number).select(*rows.columns)
        earlier = None if earlier is None else earlier.cast(rows.schema())
        self._identity = () if row_number else made.contract.tables[made.table].key or made.declared.rows.key
        events = self._with_asked(earlier, rows)
        wide = self._built({**tables, made.table: events}) if self._opened else None
        if wide is not None and set(self._identity) <= set(made.key):  # who has an asked row's key is that row
            wide = relevant(wide, events, tables.values(), made.key, self._leaf(earlier, rows, events))
        return answer_rows(asked, self._place, made.key, wide, list(self._takes), self._where)

    def _leaf(self, earlier: ibis.Table | None, rows: ibis.Table, events: ibis.Table) -> Leaf:
        """Gives a table's rows that are demanded, or the earlier rows that are and all that are asked about."""

        def found(relation: ops.Relation, demands: Demands) -> ops.Relation:
            if relation != events.op():
                return fewer(relation.to_expr(), demands).op()
            return self._with_asked(None if earlier is None else fewer(earlier, demands), rows).op()

        def fewer(table: ibis.Table, demands: Demands) -> ibis.Table:
            values = int(table.count().to_pyarrow().as_py()) * len(table.columns)
            return table if values <= _SMALL else demanded(table, rows, self._sure(table, demands))

        return found

    def _sure(self, table: ibis.Table, demands: Demands) -> Demands:
        """The demands that hold though a row may have no moment."""
        near = [each for each in demands if each not in same(demands)]
        stated = self._made.columns
        if all(each.asked in stated and not stated[each.asked].nullable for each in near) and not any(
            table[each.column].isnull().any().to_pyarrow().as_py() for each in near
        ):
            return demands
        return same(demands)

    def _of_one(self, tables: Mapping[str, ibis.Table], history: ibis.Table | None) -> ibis.Table | None:
        """The features of the one row in `new_rows`, without a join to it; None where that cannot be said.

        What chooses rows by a value of that row is a comparison with a parameter: of a table in memory that takes a
        tenth of what a join takes.
        """
        made, whole = self._made, self._engine.table(_ROWS)
        asked = mask({made.table: whole}, made.contract)[0][made.table]
        key = set(made.key)
        numbered = key_of(made.declared.rows, made.contract, asked.drop(self._place))[1]
        if self._opened is None or numbered or not set(self._identity) <= key <= set(self.needed):
            return None
        values = {name: _value_of(asked, whole, name, place) for place, name in enumerate(self.needed)}
        rows = asked.drop(self._place)
        stored = None if history is None else history.select(*rows.columns).cast(rows.schema())
        earlier = stored
        if earlier is not None and self._identity:
            same_row = [earlier[name].identical_to(values[name]) for name in self._identity]
            earlier = earlier.filter(~ibis.and_(*same_row))
        events = rows if earlier is None else earlier.union(rows, distinct=False)

        def leaf(relation: ops.Relation, demands: Demands) -> ops.Relation:
            if relation != events.op():
                return demanded_by(relation.to_expr(), values, known(relation.to_expr(), demands)).op()
            if earlier is None or stored is None:
                return rows.op()
            return demanded_by(earlier, values, known(stored, demands)).union(rows, distinct=False).op()

        def known(table: ibis.Table, demands: Demands) -> Demands:
            """Of a table that can be read now: one that rests on the row's values cannot. Fewer demands choose more."""
            return frozenset(each for each in self._sure(table, demands) if each.asked in values)

        wide = relevant(self._built({**tables, made.table: events}), events, tables.values(), made.key, leaf)
        found = wide.filter([wide[name].identical_to(values[name]) for name in made.key])
        flags = (ibis.literal(0, "int64").name("place"), ibis.literal(1, "int64").name("there"))
        return found.select(*flags, *made_features(found, list(self._takes)))

    @staticmethod
    def _numbered(earlier: ibis.Table, row_number: str | None) -> ibis.Table:
        """Earlier rows with their places where these are the key; those asked about begin with 0."""
        if row_number is None:
            return earlier
        count = int(earlier.count().to_pyarrow().as_py())
        return earlier.mutate((ibis.row_number() - count).name(row_number))

    def _with_asked(self, earlier: ibis.Table | None, rows: ibis.Table) -> ibis.Table:
        """Earlier rows and those asked about, which take the place of earlier ones as in `sluice predict`."""
        if earlier is None:
            return rows
        if self._identity:
            ours = rows.select(*self._identity).distinct()
            earlier = earlier.anti_join(ours, [earlier[name].identical_to(ours[name]) for name in self._identity])
        return earlier.union(rows, distinct=False)

    def _built(self, tables: Mapping[str, ibis.Table]) -> ibis.Table:
        if self._opened is None:
            return tables[self._made.table]
        return build_table(self._opened.function, self._where, tables, self._engine, self._opened.blamed())

    def _standing(self, expression: ibis.Table, one: ibis.Table | None) -> StandingQuery:
        """The expression's query, planned over rows that are handed in; `one`: that of one row."""
        ordered = expression.op()
        plain = ordered.parent.to_expr() if isinstance(ordered, ops.Sort) else expression  # `make` puts rows in order
        sql = _unqualified(str(ibis.to_sql(plain, dialect="duckdb")))
        lacking = [name for name in self._takes if f"f{list(self._takes).index(name)}" not in expression.columns]
        if lacking:
            raise NotExportable(f"{self._where} gives no column {lacking[0]!r}")
        connection: Any = self._engine.con
        described = connection.execute(f"DESCRIBE {_ROWS}").fetchall()
        columns = {str(row[0]): str(row[1]) for row in described if row[0] != self._place}
        connection.execute(f"DROP TABLE {_ROWS}")
        given = {name: KINDS[self._made.columns[name].type] for name in self.needed}
        results = {"place": NUMBER} | ({"there": NUMBER} if "there" in expression.columns else {})
        results |= {f"f{place}": kind for place, kind in enumerate(self._takes.values())}
        alone = None if one is None else _with_parameters(str(ibis.to_sql(one, dialect="duckdb")), self.needed, columns)
        return StandingQuery(connection, _ROWS, columns, given, sql, results, self._place, alone)


def _value_of(asked: ibis.Table, whole: ibis.Table, name: str, place: int) -> Any:  # noqa: ANN401 - Ibis
    """The value of the one row in a column, as `mask` leaves it: a call that `_with_parameters` makes a parameter.

    Args:
        asked: The rows as the contract takes them.
        whole: The same as they are handed in.
        name: The column.
        place: Its place among those handed in.
    """
    value = ibis.udf.scalar.builtin(lambda: None, name=f"{_VALUE}{place}", signature=((), whole[name].type()))()
    if asked.equals(whole):
        return value
    stated = asked.op().values[name]
    return stated.replace({whole[name].op(): value.op()}).to_expr()


def _with_parameters(query: str, names: Sequence[str], kinds: Mapping[str, str]) -> OneRow:
    """The query of one row with `$1`, `$2`, … for those of its values that it asks for; kinds: DuckDB's, by column."""
    parsed, used = sqlglot.parse_one(_unqualified(query), dialect="duckdb"), list[str]()
    blank = parsed.copy()
    for tree in (parsed, blank):
        for call in list(tree.find_all(sqlglot.exp.Anonymous)):
            if not (called := call.name.lower()).startswith(_VALUE):
                continue
            name = names[int(called.removeprefix(_VALUE))]
            if name not in used:
                used.append(name)
            value = "NULL" if tree is blank else f"${used.index(name) + 1}"
            call.replace(sqlglot.parse_one(f"CAST({value} AS {kinds[name]})", dialect="duckdb"))
    return OneRow(parsed.sql(dialect="duckdb"), tuple(used), blank.sql(dialect="duckdb"))


def _unqualified(query: str) -> str:
    """The query with tables by their bare names, so that a view of this connection's own can take a table's place."""
    parsed = sqlglot.parse_one(query, dialect="duckdb")
    for table in parsed.find_all(sqlglot.exp.Table):
        table.set("db", None)
        table.set("catalog", None)
    return parsed.sql(dialect="duckdb")


def _repeated(places: np.ndarray, count: int) -> tuple[int, ...]:
    """The rows that are there several times, or not at all."""
    times = np.bincount(places, minlength=count)
    return tuple(np.flatnonzero(times[:count] != 1).tolist())

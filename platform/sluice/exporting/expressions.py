"""A model's feature query as a graph: DuckDB's SELECT over one table's rows, expression by expression.

Every value has a mask beside it that says where it is NULL, so SQL's logic of three values holds. What has no operator
in ONNX, or not one that is sure to say what DuckDB says, is refused by name: the query is then run by DuckDB itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlglot
from sqlglot import expressions as sql

from sluice.exporting.graph import ML, Graph, NotExportable
from sluice.exporting.graph_values import ABSENT, MOMENT, NO_MOMENT, NUMBER, TEXT

INTEGER, FLOAT, TRUTH, DAY = "integer", "float", "truth", "day"
_DTYPES: Mapping[str, Any] = {
    INTEGER: np.int64,
    FLOAT: np.float64,
    TEXT: object,
    TRUTH: np.bool_,
    MOMENT: np.int64,
    DAY: np.int64,
}
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "INT")
_DAY_MICROSECONDS, _HOUR_MICROSECONDS, _MINUTE_MICROSECONDS = 86_400_000_000, 3_600_000_000, 60_000_000


@dataclass(frozen=True)
class Value:
    """A column in the graph.

    Attributes:
        kind: INTEGER, FLOAT, TEXT, TRUTH, MOMENT (microseconds since 1970, UTC) or DAY (days since 1970).
        data: Shape (rows,), or () for a constant; anything where it is NULL.
        null: Where it is NULL, of bool; None where it never is.
        odd: Whether it may be no number (NaN) without being NULL: then it is the greatest of all, as in DuckDB.
    """

    kind: str
    data: str
    null: str | None = None
    odd: bool = False


def feature_columns(
    graph: Graph, query: str, columns: Mapping[str, str], features: Mapping[str, str]
) -> dict[str, str]:
    """Add a query's results.

    Args:
        graph: Gets the nodes, and an input for each raw column that is used.
        query: A SELECT of DuckDB's over one table, without conditions: one row for each.
        columns: The raw columns' types by name, in DuckDB's words.
        features: NUMBER or TEXT for each result that is wanted, by name.

    Returns:
        For each of those the column as models take it: float64 with NaN, or texts with ABSENT. Numbers keep what breaks
        the contract's bounds until `Graph.matrix` puts them beside each other.

    Raises:
        NotExportable: The query has something that a graph cannot say; the text names it.
    """
    parsed = sqlglot.parse_one(query, dialect="duckdb")
    if not isinstance(parsed, sql.Select) or any(
        parsed.args.get(part) for part in ("where", "group", "joins", "with_")
    ):
        raise NotExportable("the feature query is no plain SELECT")
    results = {each.alias_or_name: each.unalias() for each in parsed.selects}
    translator = _Translator(graph, columns)
    return {name: translator.as_feature(results[name], kind) for name, kind in features.items()}


class _Translator:
    """One query's translation."""

    def __init__(self, graph: Graph, columns: Mapping[str, str]) -> None:
        self._graph, self._columns = graph, columns
        self._known: dict[str, Value] = {}

    def as_feature(self, expression: sql.Expr, kind: str) -> str:
        """A result as models take it."""
        if (plain := self._plain(expression, kind)) is not None:
            return plain
        value = self.value(expression)
        if self._graph.is_single(value.data) and (value.null is None or self._graph.is_single(value.null)):
            raise NotExportable("a constant has no row")
        if kind == TEXT:
            value = self._to(value, TEXT)
            return self._filled(value, self._graph.constant(np.array(ABSENT, object)))
        return self._filled(self._to(value, FLOAT), self._graph.constant(np.float64(np.nan)))

    def _plain(self, expression: sql.Expr, kind: str) -> str | None:
        """A raw column as it is, or without what the contract forbids: the most frequent of all features, in a node."""
        column, test = _lawful(expression)
        name = column.name if isinstance(column, sql.Column) else ""
        known = self._columns.get(name, "").upper()
        graph = self._graph
        if kind == NUMBER and known in (*_WHOLE, "DOUBLE", "FLOAT", "BOOLEAN"):
            given = graph.input(name, NUMBER)
            if test is None:
                return given
            ends = [_number(test.args[end]) if isinstance(test, sql.Between) else None for end in ("low", "high")]
            return graph.bounded(given, *ends) if None not in ends else None  # type: ignore[arg-type]
        if kind == TEXT and known.startswith(("VARCHAR", "TEXT")):
            given = graph.input(name, TEXT)
            if test is None:
                return given
            if isinstance(test, sql.In) and all(_is_text(each) for each in test.expressions) and test.expressions:
                allowed = list(dict.fromkeys(each.this for each in test.expressions))
                same = {"keys_strings": allowed, "values_strings": allowed}
                return graph.add("LabelEncoder", given, domain=ML, default_string=ABSENT, **same)
        return None

    def value(self, expression: sql.Expr) -> Value:
        """An expression's value; the same expression is computed once."""
        key = expression.sql(dialect="duckdb")
        if key not in self._known:
            self._known[key] = self._made(expression)
        return self._known[key]

    def _made(self, node: sql.Expr) -> Value:
        for kind in type(node).__mro__:
            if made := _RULES.get(kind):
                return made(self, node)
        raise NotExportable(f"{type(node).__name__.upper()} has no operator in ONNX that is sure to say the same")

    # --- what stands at the ends of an expression ---------------------------------------------------------------

    def column(self, node: sql.Column) -> Value:
        name = node.name
        if name not in self._columns:
            raise NotExportable(f"column {name!r} is not one of the table")
        kind = self._columns[name].upper()
        graph = self._graph
        if kind.startswith(("VARCHAR", "TEXT")):
            data = graph.input(name, TEXT)
            return Value(TEXT, data, graph.add("Equal", data, graph.constant(np.array(ABSENT, object))))
        if kind in ("TIMESTAMP", "DATE"):
            data = graph.input(name, MOMENT)
            null = graph.add("Equal", data, graph.constant(np.int64(NO_MOMENT)))
            if kind == "TIMESTAMP":
                return Value(MOMENT, data, null)
            return Value(DAY, self._floored(data, _DAY_MICROSECONDS), null)
        if kind in (*_WHOLE, "DOUBLE", "FLOAT", "BOOLEAN"):
            given = graph.input(name, NUMBER)
            null = graph.add("IsNaN", given)
            if kind in ("DOUBLE", "FLOAT"):
                return Value(FLOAT, given, null)
            whole = graph.add("Where", null, graph.constant(np.float64(0)), given)
            return Value(TRUTH if kind == "BOOLEAN" else INTEGER, graph.cast(whole, _kind_of(kind)), null)
        raise NotExportable(f"column {name!r} has the type {kind}, which a graph does not take")

    def literal(self, node: sql.Literal) -> Value:
        if node.is_string:
            return Value(TEXT, self._graph.constant(np.array(node.this, object)))
        if node.is_int and abs(int(node.this)) < 2**63:
            return Value(INTEGER, self._graph.constant(np.int64(node.this)))
        return Value(FLOAT, self._graph.constant(np.float64(node.this)))

    def truth(self, node: sql.Boolean) -> Value:
        return Value(TRUTH, self._graph.constant(np.bool_(node.this)))

    # --- logic --------------------------------------------------------------------------------------------------

    def conjunction(self, node: sql.And) -> Value:
        return self._logic(node, "And", decisive=False)

    def disjunction(self, node: sql.Or) -> Value:
        return self._logic(node, "Or", decisive=True)

    def _logic(self, node: sql.Binary, operator: str, *, decisive: bool) -> Value:
        left, right = (self._to(self.value(side), TRUTH) for side in (node.left, node.right))
        return self._combined(left, right, operator, decisive=decisive)

    def _combined(self, left: Value, right: Value, operator: str, *, decisive: bool) -> Value:
        """Two truth values by And (False is decisive) or Or (True is)."""
        for one, other in ((left, right), (right, left)):
            if one.data == self._graph.constant(np.bool_(not decisive)):  # TRUE AND x, FALSE OR x
                return other
        graph = self._graph
        data = graph.add(operator, left.data, right.data)
        if left.null is None and right.null is None:
            return Value(TRUTH, data)
        null = self._either(left.null, right.null)
        decided = [self._decides(side, decisive=decisive) for side in (left, right)]
        open_ = graph.add("Not", graph.add("Or", *decided))
        answer = graph.add("Or", data, graph.add("Not", open_)) if decisive else graph.add("And", data, open_)
        return Value(TRUTH, answer, graph.add("And", null or "", open_))

    def _decides(self, side: Value, *, decisive: bool) -> str:
        """Where one side alone says what the whole is."""
        graph = self._graph
        data = side.data if decisive else graph.add("Not", side.data)
        return graph.add("And", data, graph.add("Not", side.null)) if side.null else data

    def negation(self, node: sql.Not) -> Value:
        value = self._to(self.value(node.this), TRUTH)
        return Value(TRUTH, self._graph.add("Not", value.data), value.null)

    def is_null(self, node: sql.Is) -> Value:
        if not isinstance(node.expression, sql.Null):
            raise NotExportable("IS of something else than NULL")
        value = self.value(node.this)
        return Value(TRUTH, value.null or self._graph.constant(np.bool_(False)))

    # --- comparisons ---------------------------------------------------------------------------------------------

    def compare(self, operator: str, left: Value, right: Value) -> Value:
        if TEXT in (left.kind, right.kind) and operator != "Equal":
            raise NotExportable("texts have no order in a graph")
        left, right = self._alike(left, right)
        if left.kind == TRUTH and operator != "Equal":
            left, right = self._to(left, INTEGER), self._to(right, INTEGER)
        data = self._graph.add(operator, left.data, right.data)
        if left.odd or right.odd:
            data = self._graph.add("Or", data, self._odd(operator, left, right))
        return Value(TRUTH, data, self._either(left.null, right.null))

    def _odd(self, operator: str, left: Value, right: Value) -> str:
        """Where a comparison holds because of a NaN: it equals itself, and is greater than every number."""
        graph = self._graph
        ours, theirs = graph.add("IsNaN", left.data), graph.add("IsNaN", right.data)
        if operator == "Equal":
            return graph.add("And", ours, theirs)
        if operator in ("LessOrEqual", "GreaterOrEqual"):
            return theirs if operator == "LessOrEqual" else ours
        greater, less = (theirs, ours) if operator == "Less" else (ours, theirs)
        return graph.add("And", greater, graph.add("Not", less))

    def between(self, node: sql.Between) -> Value:
        value, low, high = (self.value(node.args[part]) for part in ("this", "low", "high"))
        least, most = self.compare("GreaterOrEqual", value, low), self.compare("LessOrEqual", value, high)
        return self._combined(least, most, "And", decisive=False)

    def member(self, node: sql.In) -> Value:
        value = self.value(node.this)
        if node.args.get("query") or not node.expressions:
            raise NotExportable("IN of a query")
        found = [self.compare("Equal", value, self.value(each)) for each in node.expressions]
        among = found[0]
        for each in found[1:]:
            among = self._among(among, each, value)
        return among

    def _among(self, one: Value, other: Value, value: Value) -> Value:
        """Either of two comparisons; where only the value itself may be NULL, both are NULL together."""
        if {one.null, other.null} <= {value.null}:
            return Value(TRUTH, self._graph.add("Or", one.data, other.data), value.null)
        return self._combined(one, other, "Or", decisive=True)

    # --- choices -------------------------------------------------------------------------------------------------

    def case(self, node: sql.Case) -> Value:
        if node.this is not None:
            raise NotExportable("CASE of a value")
        default = node.args.get("default")
        branches = [(self.value(each.this), each.args["true"]) for each in node.args["ifs"]]
        return self._chosen(branches, default)

    def if_else(self, node: sql.If) -> Value:
        return self._chosen([(self.value(node.this), node.args["true"])], node.args.get("false"))

    def _chosen(self, branches: list[tuple[Value, sql.Expr]], default: sql.Expr | None) -> Value:
        results = [each for _, each in branches] + ([default] if default is not None else [])
        known = [self.value(each) for each in results if not isinstance(each, sql.Null)]
        if not known:
            raise NotExportable("a CASE that is always NULL")
        kind = self._common(*(each.kind for each in known))
        found = self._null(kind) if default is None else self._as(default, kind)
        for condition, result in reversed(branches):
            taken = self._to(condition, TRUTH)
            where = self._graph.add("And", taken.data, self._graph.add("Not", taken.null)) if taken.null else taken.data
            found = self._where(where, self._as(result, kind), found)
        return found

    def _where(self, condition: str, one: Value, other: Value) -> Value:
        graph = self._graph
        null: str | None = None
        if one.null or other.null:
            nulls = [each.null or graph.constant(np.bool_(False)) for each in (one, other)]
            null = self._truth_where(condition, *nulls)
        if one.kind == TRUTH:
            return Value(TRUTH, self._truth_where(condition, one.data, other.data), null)
        return Value(one.kind, graph.add("Where", condition, one.data, other.data), null, one.odd or other.odd)

    def _truth_where(self, condition: str, one: str, other: str) -> str:
        """Where, for truth values: onnxruntime has none."""
        graph = self._graph
        kept = graph.add("And", graph.add("Not", condition), other)
        return graph.add("Or", graph.add("And", condition, one), kept)

    def coalesce(self, node: sql.Coalesce) -> Value:
        values = [self.value(each) for each in (node.this, *node.expressions) if not isinstance(each, sql.Null)]
        kind = self._common(*(each.kind for each in values))
        found = self._to(values[-1], kind)
        for each in reversed(values[:-1]):
            value = self._to(each, kind)
            found = value if value.null is None else self._where(self._graph.add("Not", value.null), value, found)
        return found

    def null_if(self, node: sql.Nullif) -> Value:
        value, other = self.value(node.this), self.value(node.expression)
        same = self.compare("Equal", value, other)
        known = self._graph.add("And", same.data, self._graph.add("Not", same.null)) if same.null else same.data
        return Value(value.kind, value.data, self._either(value.null, known), value.odd)

    # --- numbers -------------------------------------------------------------------------------------------------

    def arithmetic(self, operator: str, node: sql.Binary) -> Value:
        left, right = self._numbers(self.value(node.left), self.value(node.right))
        data, null = self._graph.add(operator, left.data, right.data), self._either(left.null, right.null)
        return Value(left.kind, data, null, odd=left.kind == FLOAT)

    def divide(self, node: sql.Div) -> Value:
        left, right = (self._to(self.value(side), FLOAT) for side in (node.left, node.right))
        data, null = self._graph.add("Div", left.data, right.data), self._either(left.null, right.null)
        return Value(FLOAT, data, null, odd=True)

    def modulus(self, node: sql.Mod) -> Value:
        left, right = self._numbers(self.value(node.left), self.value(node.right))
        if left.kind == FLOAT:
            raise NotExportable("the remainder of numbers that are not whole")
        zero = self._graph.add("Equal", right.data, self._graph.constant(np.int64(0)))
        safe = self._graph.add("Where", zero, self._graph.constant(np.int64(1)), right.data)
        data = self._graph.add("Mod", left.data, safe, fmod=1)
        return Value(INTEGER, data, self._either(self._either(left.null, right.null), zero))

    def whole_division(self, node: sql.IntDiv) -> Value:
        left, right = self._numbers(self.value(node.left), self.value(node.right))
        if left.kind == FLOAT:
            raise NotExportable("// of numbers that are not whole")
        zero = self._graph.add("Equal", right.data, self._graph.constant(np.int64(0)))
        safe = self._graph.add("Where", zero, self._graph.constant(np.int64(1)), right.data)
        return Value(
            INTEGER, self._graph.add("Div", left.data, safe), self._either(self._either(left.null, right.null), zero)
        )

    def of_float(self, operator: str, node: sql.Func) -> Value:
        """A function of one number that gives a number."""
        value = self._to(self.value(node.this), FLOAT)
        return Value(FLOAT, self._graph.add(operator, value.data), value.null, value.odd)

    def floor(self, operator: str, node: sql.Func) -> Value:
        if node.args.get("decimals") is not None:
            raise NotExportable(f"{operator.upper()} with digits")
        value = self.value(node.this)
        return value if value.kind == INTEGER else self.of_float(operator, node)

    def sign_change(self, operator: str, node: sql.Unary | sql.Func) -> Value:
        value = self.value(node.this)
        if value.kind not in (INTEGER, FLOAT):
            raise NotExportable(f"{operator.upper()} of a {value.kind}")
        return Value(value.kind, self._graph.add(operator, value.data), value.null, value.odd)

    def extreme(self, operator: str, node: sql.Func) -> Value:
        """LEAST and GREATEST, which pass over NULL."""
        values = [self.value(each) for each in (node.this, *node.expressions)]
        kind = self._common(*(each.kind for each in values))
        if kind not in (INTEGER, FLOAT):
            raise NotExportable(f"{operator.upper()} of a {kind}")
        found = self._to(values[0], kind)
        for each in values[1:]:
            other = self._to(each, kind)
            if found.odd or other.odd:
                comparison = self.compare("Less" if operator == "Min" else "Greater", other, found)
                best = self._where(comparison.data, replace(other, null=None), replace(found, null=None))
            else:
                best = Value(kind, self._graph.add(operator, found.data, other.data))
            both = self._either(found.null, other.null)
            if both:
                ours = best if other.null is None else self._where(other.null, found, best)
                best = ours if found.null is None else self._where(found.null, other, ours)
            found = best
        return found

    # --- casts and texts -----------------------------------------------------------------------------------------

    def cast(self, node: sql.Cast) -> Value:
        value, wanted = self.value(node.this), node.to.sql(dialect="duckdb").upper()
        if wanted in _WHOLE:
            if value.kind == FLOAT:
                whole = self._graph.add("Round", value.data)  # to even, as DuckDB
                zero = self._graph.constant(np.float64(0))
                kept = self._graph.add("Where", value.null, zero, whole) if value.null else whole
                return Value(INTEGER, self._graph.cast(kept, np.int64), value.null)
            if value.kind in (INTEGER, TRUTH):
                return self._to(value, INTEGER)
        if wanted in ("DOUBLE", "FLOAT8") and value.kind in (INTEGER, FLOAT, TRUTH):
            return self._to(value, FLOAT)
        if wanted in ("TEXT", "VARCHAR") and value.kind in (INTEGER, TEXT):
            return self._to(value, TEXT)
        if wanted == "DATE" and value.kind in (MOMENT, DAY):
            return value if value.kind == DAY else Value(DAY, self._floored(value.data, _DAY_MICROSECONDS), value.null)
        if wanted in ("TIMESTAMP", "DATETIME") and value.kind in (MOMENT, DAY):
            if value.kind == MOMENT:
                return value
            day = self._graph.constant(np.int64(_DAY_MICROSECONDS))
            return Value(MOMENT, self._graph.add("Mul", value.data, day), value.null)
        raise NotExportable(f"a cast of a {value.kind} to {wanted}")

    def concatenate(self, node: sql.DPipe) -> Value:
        left, right = (self._to(self.value(side), TEXT) for side in (node.left, node.right))
        return Value(TEXT, self._graph.add("StringConcat", left.data, right.data), self._either(left.null, right.null))

    # --- time ----------------------------------------------------------------------------------------------------

    def extract(self, node: sql.Extract) -> Value:
        return self.part_of_time(node.this.name.upper(), self.value(node.expression))

    def part_of_time(self, part: str, value: Value) -> Value:
        """A part of a moment or day, in UTC."""
        if value.kind not in (MOMENT, DAY):
            raise NotExportable(f"{part} of a {value.kind}")
        graph = self._graph
        days = value.data if value.kind == DAY else self._floored(value.data, _DAY_MICROSECONDS)
        if part in ("HOUR", "MINUTE"):
            if value.kind == DAY:
                raise NotExportable(f"{part} of a day")
            unit, many = (_HOUR_MICROSECONDS, 24) if part == "HOUR" else (_MINUTE_MICROSECONDS, 60)
            return Value(INTEGER, self._remainder(self._floored(value.data, unit), many), value.null)
        if part in ("DOW", "DAYOFWEEK", "ISODOW"):
            place = self._remainder(graph.add("Add", days, graph.constant(np.int64(4))), 7)  # 1970 began on a Thursday
            if part == "ISODOW":
                sunday = graph.add("Equal", place, graph.constant(np.int64(0)))
                place = graph.add("Where", sunday, graph.constant(np.int64(7)), place)
            return Value(INTEGER, place, value.null)
        if part in ("YEAR", "MONTH", "DAY"):
            return Value(INTEGER, self._civil(days)[("YEAR", "MONTH", "DAY").index(part)], value.null)
        raise NotExportable(f"{part} of a time")

    def _civil(self, days: str) -> tuple[str, str, str]:
        """Year, month and day of days since 1970.

        Source: H. Hinnant, *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`.
        """
        graph = self._graph

        def plus(one: str, other: str | int) -> str:
            return graph.add("Add", one, graph.constant(np.int64(other)) if isinstance(other, int) else other)

        def times(one: str, factor: int) -> str:
            return graph.add("Mul", one, graph.constant(np.int64(factor)))

        def part(one: str, unit: int) -> str:
            return graph.add("Div", one, graph.constant(np.int64(unit)))  # of numbers that are not negative

        shifted = plus(days, 719_468)
        era = self._floored(shifted, 146_097)
        of_era = plus(shifted, times(era, -146_097))
        less = plus(plus(part(of_era, 1460), times(part(of_era, 36_524), -1)), part(of_era, 146_096))
        year_of_era = part(plus(of_era, times(less, -1)), 365)
        leaps = plus(part(year_of_era, 4), times(part(year_of_era, 100), -1))
        day_of_year = plus(of_era, times(plus(times(year_of_era, 365), leaps), -1))
        march = part(plus(times(day_of_year, 5), 2), 153)
        day = plus(plus(day_of_year, times(part(plus(times(march, 153), 2), 5), -1)), 1)
        late = graph.add("GreaterOrEqual", march, graph.constant(np.int64(10)))
        month = graph.add("Where", late, plus(march, -9), plus(march, 3))
        year = plus(plus(year_of_era, times(era, 400)), graph.cast(late, np.int64))
        return year, month, day

    def _floored(self, data: str, unit: int) -> str:
        """Division of whole numbers, rounded down."""
        graph = self._graph
        remainder = self._remainder(data, unit)
        return graph.add("Div", graph.add("Sub", data, remainder), graph.constant(np.int64(unit)))

    def _remainder(self, data: str, unit: int) -> str:
        return self._graph.add("Mod", data, self._graph.constant(np.int64(unit)))  # of the divisor's sign

    # --- kinds ---------------------------------------------------------------------------------------------------

    def _as(self, expression: sql.Expr, kind: str) -> Value:
        return self._null(kind) if isinstance(expression, sql.Null) else self._to(self.value(expression), kind)

    def _null(self, kind: str) -> Value:
        blank = np.array("", object) if kind == TEXT else np.zeros((), _DTYPES[kind])
        return Value(kind, self._graph.constant(blank), self._graph.constant(np.bool_(True)))

    def _filled(self, value: Value, missing: str) -> str:
        if value.null is None:
            return value.data
        return self._graph.add("Where", value.null, missing, value.data)

    def _to(self, value: Value, kind: str) -> Value:
        if value.kind == kind:
            return value
        numbers = (INTEGER, FLOAT, TRUTH)
        if value.kind in numbers and kind in numbers:
            return Value(kind, self._graph.cast(value.data, _DTYPES[kind]), value.null, value.odd)
        if value.kind == INTEGER and kind == TEXT:
            from onnx import TensorProto

            return Value(TEXT, self._graph.add("Cast", value.data, to=TensorProto.STRING), value.null)
        if value.kind == DAY and kind == MOMENT:
            day = self._graph.constant(np.int64(_DAY_MICROSECONDS))
            return Value(MOMENT, self._graph.add("Mul", value.data, day), value.null)
        raise NotExportable(f"a {value.kind} as a {kind}")

    def _common(self, *kinds: str) -> str:
        distinct = set(kinds)
        if len(distinct) == 1:
            return kinds[0]
        if distinct <= {INTEGER, FLOAT}:
            return FLOAT
        if distinct <= {MOMENT, DAY}:
            return MOMENT
        raise NotExportable(f"{' and '.join(sorted(distinct))} in one column")

    def _alike(self, left: Value, right: Value) -> tuple[Value, Value]:
        kind = self._common(left.kind, right.kind)
        return self._to(left, kind), self._to(right, kind)

    def _numbers(self, left: Value, right: Value) -> tuple[Value, Value]:
        left, right = self._alike(left, right)
        if left.kind not in (INTEGER, FLOAT):
            raise NotExportable(f"arithmetic of a {left.kind}")
        return left, right

    def _either(self, one: str | None, other: str | None) -> str | None:
        if one is None or other is None or one == other:
            return one or other
        return self._graph.add("Or", one, other)


def _lawful(expression: sql.Expr) -> tuple[sql.Expr, sql.Expr | None]:
    """A value and what must hold of it where it is not NULL, as `sluice.features.masks` says it; or the expression."""
    if not isinstance(expression, sql.Case) or expression.this is not None or len(expression.args["ifs"]) != 1:
        return expression, None
    branch, value = expression.args["ifs"][0], expression.args.get("default")
    unlawful = _bare(branch.this)
    if not (isinstance(branch.args["true"], sql.Null) and isinstance(unlawful, sql.And) and value is not None):
        return expression, None
    there, broken = _bare(unlawful.left), _bare(unlawful.right)
    null = _bare(there.this) if isinstance(there, sql.Not) else None
    test = _bare(broken.this) if isinstance(broken, sql.Not) else None
    if isinstance(test, sql.And) and isinstance(test.left, sql.Boolean) and test.left.this:
        test = _bare(test.right)  # TRUE AND …
    same = isinstance(null, sql.Is) and isinstance(null.expression, sql.Null) and null.this == value
    known = isinstance(test, sql.Between | sql.In) and test.this == value
    return (value, test) if same and known else (expression, None)


def _bare(expression: sql.Expr) -> sql.Expr:
    return expression.unnest()


def _number(expression: sql.Expr) -> float | None:
    """A number that is written out."""
    expression = _bare(expression)
    if isinstance(expression, sql.Neg):
        inner = _number(expression.this)
        return None if inner is None else -inner
    plain = isinstance(expression, sql.Literal) and not expression.is_string
    return float(expression.this) if plain else None


def _is_text(expression: sql.Expr) -> bool:
    return isinstance(expression, sql.Literal) and bool(expression.is_string)


def _kind_of(kind: str) -> Any:  # noqa: ANN401 - a NumPy type
    return np.bool_ if kind == "BOOLEAN" else np.int64


_Rule = Callable[[_Translator, Any], Value]


def _comparison(operator: str) -> _Rule:
    return lambda t, node: t.compare(operator, t.value(node.left), t.value(node.right))


def _unequal(translator: _Translator, node: sql.NEQ) -> Value:
    same = translator.compare("Equal", translator.value(node.left), translator.value(node.right))
    return Value(TRUTH, translator._graph.add("Not", same.data), same.null)


_RULES: dict[type, _Rule] = {
    sql.Column: _Translator.column,
    sql.Literal: _Translator.literal,
    sql.Boolean: _Translator.truth,
    sql.Paren: lambda t, node: t.value(node.this),
    sql.And: _Translator.conjunction,
    sql.Or: _Translator.disjunction,
    sql.Not: _Translator.negation,
    sql.Is: _Translator.is_null,
    sql.EQ: _comparison("Equal"),
    sql.NEQ: _unequal,
    sql.LT: _comparison("Less"),
    sql.LTE: _comparison("LessOrEqual"),
    sql.GT: _comparison("Greater"),
    sql.GTE: _comparison("GreaterOrEqual"),
    sql.Between: _Translator.between,
    sql.In: _Translator.member,
    sql.Case: _Translator.case,
    sql.If: _Translator.if_else,
    sql.Coalesce: _Translator.coalesce,
    sql.Nullif: _Translator.null_if,
    sql.Add: lambda t, node: t.arithmetic("Add", node),
    sql.Sub: lambda t, node: t.arithmetic("Sub", node),
    sql.Mul: lambda t, node: t.arithmetic("Mul", node),
    sql.Div: _Translator.divide,
    sql.IntDiv: _Translator.whole_division,
    sql.Mod: _Translator.modulus,
    sql.Neg: lambda t, node: t.sign_change("Neg", node),
    sql.Abs: lambda t, node: t.sign_change("Abs", node),
    sql.Floor: lambda t, node: t.floor("Floor", node),
    sql.Ceil: lambda t, node: t.floor("Ceil", node),
    sql.Least: lambda t, node: t.extreme("Min", node),
    sql.Greatest: lambda t, node: t.extreme("Max", node),
    sql.Exp: lambda t, node: t.of_float("Exp", node),
    sql.Sqrt: lambda t, node: t.of_float("Sqrt", node),
    sql.Ln: lambda t, node: t.of_float("Log", node),
    sql.Cast: _Translator.cast,
    sql.DPipe: _Translator.concatenate,
    sql.Extract: _Translator.extract,
    sql.DayOfWeek: lambda t, node: t.part_of_time("DOW", t.value(node.this)),
    sql.Year: lambda t, node: t.part_of_time("YEAR", t.value(node.this)),
    sql.Month: lambda t, node: t.part_of_time("MONTH", t.value(node.this)),
    sql.Day: lambda t, node: t.part_of_time("DAY", t.value(node.this)),
}

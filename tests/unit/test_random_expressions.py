"""Random feature expressions as graphs say what DuckDB says of them, with NULLs and at the ends of the numbers.

A short run in the suite; `SLUICE_LONG_EXPRESSIONS=5000` tries that many.
"""

import math
import os

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sluice.exporting.expressions import feature_columns
from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.graph_values import ABSENT, MOMENT, NO_MOMENT, NUMBER, TEXT

EXAMPLES = int(os.environ.get("SLUICE_LONG_EXPRESSIONS", "60"))
COLUMNS = {"a": "BIGINT", "b": "BIGINT", "x": "DOUBLE", "y": "DOUBLE", "s": "VARCHAR", "t": "TIMESTAMP", "f": "BOOLEAN"}
KINDS = {"a": NUMBER, "b": NUMBER, "x": NUMBER, "y": NUMBER, "s": TEXT, "t": MOMENT, "f": NUMBER}
VALUES = {
    "a": [None, 0, 1, -1, 7, -13, 100, 2359, 10**9],
    "b": [None, 0, 2, -3, 12, 1440],
    "x": [None, 0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 1e-300, -1e300, 1e300, 33.25, 0.1],
    "y": [None, 0.0, 1.0, -7.75, 1e17, 3.0],
    "s": [None, "", "EWR", "jfk", "ö", " a"],
    "t": [None, 0, -1, 951_782_399_999_999, 1_709_251_199_000_000, -2_208_988_800_000_000, 4_102_444_800_000_001],
    "f": [None, True, False],
}
GENERATOR = np.random.default_rng(11)
ROWS = {name: [values[n] for n in GENERATOR.integers(0, len(values), 400)] for name, values in VALUES.items()}


def binary(left: st.SearchStrategy[str], right: st.SearchStrategy[str], signs: list[str]) -> st.SearchStrategy[str]:
    return st.tuples(left, st.sampled_from(signs), right).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})")


def applied(names: list[str], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(names), inner).map(lambda parts: f"{parts[0]}({parts[1]})")


TEXTS = st.one_of(st.just("s"), st.sampled_from(["'EWR'", "''", "'x'"]), st.sampled_from(["CAST(b AS TEXT)"]))
MOMENTS = st.sampled_from(["t", "CAST(t AS DATE)"])
PARTS = st.tuples(st.sampled_from(["year", "month", "day", "dayofweek", "isodow"]), MOMENTS).map(
    lambda parts: f"extract({parts[0]} FROM {parts[1]})"
)
WHOLE_LEAVES = st.one_of(
    st.sampled_from(["a", "b", "CAST(f AS BIGINT)", "extract(hour FROM t)", "extract(minute FROM t)"]),
    st.integers(-20, 3000).map(lambda number: f"({number})"),
    PARTS,
)
NUMBER_LEAVES = st.one_of(st.sampled_from(["x", "y", "CAST(a AS DOUBLE)"]), st.sampled_from(["0.5", "(-2.0)", "1e9"]))


def grown(depth: int) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Whole numbers, numbers and truth values, so many steps deep."""
    if depth == 0:
        return WHOLE_LEAVES, NUMBER_LEAVES, st.sampled_from(["f", "TRUE", "FALSE", "s IN ('EWR', 'jfk')", "s = 'ö'"])
    whole, number, truth = grown(depth - 1)
    some = st.one_of(whole, number)
    truths = st.one_of(
        truth,
        binary(some, some, ["<", "<=", ">", ">=", "=", "<>"]),
        binary(truth, truth, ["AND", "OR"]),
        truth.map(lambda inner: f"(NOT {inner})"),
        some.map(lambda inner: f"({inner} IS NULL)"),
        st.tuples(some, some, some).map(lambda parts: f"({parts[0]} BETWEEN {parts[1]} AND {parts[2]})"),
        st.tuples(whole, whole, whole).map(lambda parts: f"({parts[0]} IN ({parts[1]}, {parts[2]}))"),
        st.tuples(TEXTS, TEXTS).map(lambda parts: f"({parts[0]} = {parts[1]})"),
    )
    wholes = st.one_of(
        whole,
        binary(whole, whole, ["+", "-", "%", "//"]),
        st.tuples(whole, st.integers(-60, 60)).map(lambda parts: f"({parts[0]} * ({parts[1]}))"),
        applied(["-", "abs"], whole),
        st.tuples(st.sampled_from(["least", "greatest", "coalesce", "nullif"]), whole, whole).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
        st.tuples(truth, whole, whole).map(lambda parts: f"CASE WHEN {parts[0]} THEN {parts[1]} ELSE {parts[2]} END"),
        truth.map(lambda inner: f"CAST({inner} AS BIGINT)"),
    )
    numbers = st.one_of(
        number,
        binary(some, number, ["+", "-", "*"]),
        binary(some, some, ["/"]),
        applied(["-", "abs", "floor", "ceil"], number),
        number.map(lambda inner: f"sqrt(abs({inner}))"),
        st.tuples(st.sampled_from(["least", "greatest", "coalesce"]), number, some).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
        st.tuples(truth, number, some).map(lambda parts: f"CASE WHEN {parts[0]} THEN {parts[1]} ELSE {parts[2]} END"),
        st.tuples(truth, number).map(lambda parts: f"CASE WHEN {parts[0]} THEN {parts[1]} END"),
    )
    return wholes, numbers, truths


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute(f"CREATE TABLE given ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}, place BIGINT)")
    values = ["?" if name != "t" else "make_timestamp(CAST(? AS BIGINT))" for name in COLUMNS]
    rows = [[*row, place] for place, row in enumerate(zip(*ROWS.values(), strict=True))]
    made.executemany(f"INSERT INTO given VALUES ({', '.join(values)}, ?)", rows)
    return made


def column(name: str) -> np.ndarray:
    values, kind = ROWS[name], KINDS[name]
    if kind == TEXT:
        return np.array([ABSENT if value is None else value for value in values], object)
    if kind == MOMENT:
        return np.array([NO_MOMENT if value is None else value for value in values], np.int64)
    return np.array([np.nan if value is None else float(value) for value in values])


def by_graph(query: str) -> np.ndarray:
    graph = Graph()
    found = feature_columns(graph, query, COLUMNS, {"found": NUMBER})["found"]
    made = graph.model(graph.matrix([found], np.inf), "found", 1, {})
    answer = GraphSession(made.SerializeToString()).forecast({name: column(name) for name in graph.inputs})
    return np.broadcast_to(answer.reshape(-1), len(ROWS["a"]))


WHOLE, NUMBERS, TRUTHS = grown(3)


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize="SLUICE_LONG_EXPRESSIONS" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
@given(expression=st.one_of(WHOLE, NUMBERS, TRUTHS))
def test_a_random_expression_is_that_of_duckdb(engine: duckdb.DuckDBPyConnection, expression: str) -> None:
    query = f"SELECT {expression} AS found FROM given"
    try:
        answers = engine.execute(
            f"SELECT CAST(found AS DOUBLE) FROM (SELECT {expression} AS found, place FROM given) ORDER BY place"
        )
        wanted = [math.nan if row[0] is None else row[0] for row in answers.fetchall()]
    except duckdb.Error:  # out of a type's range: training would have failed
        assume(False)
    try:
        found = by_graph(query)
    except NotExportable:
        assume(False)
    close = np.isclose(found, np.array(wanted), rtol=1e-14, atol=0, equal_nan=True)
    first = int(np.argmin(close))
    row = {name: values[first] for name, values in ROWS.items()}
    assert close.all(), f"{expression}\nof {row}: {found[first]!r}, DuckDB {wanted[first]!r}"

"""Feature queries as graphs say what DuckDB says, row by row, NULL included."""

import datetime
from functools import cache

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from sluice.exporting.expressions import feature_columns
from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.graph_values import ABSENT, MOMENT, NO_MOMENT, NUMBER, TEXT

COLUMNS = {
    "a": "BIGINT",
    "b": "BIGINT",
    "x": "DOUBLE",
    "y": "DOUBLE",
    "s": "VARCHAR",
    "t": "TIMESTAMP",
    "d": "DATE",
    "f": "BOOLEAN",
}
SAME = [
    "a", "x", "f", "a + b", "a - 2 * x", "a / b", "a % b", "a // b", "-a", "abs(x)", "floor(x)", "ceil(x)",
    "CAST(floor(a / 100) AS BIGINT) * 60 + a % 100", "CAST(x AS BIGINT)", "CAST(f AS BIGINT)", "CAST(a AS DOUBLE)",
    "least(a, b)", "greatest(x, y, 0.5)", "exp(x)", "sqrt(abs(x))", "ln(abs(x) + 1)",
    "CASE WHEN a IS NOT NULL AND NOT (TRUE AND a BETWEEN -3.0 AND 7.0) THEN NULL ELSE a END",
    "CASE WHEN (x IS NOT NULL) AND NOT (TRUE AND x BETWEEN -0.5 AND 2.5) THEN NULL ELSE y END",
    "CASE WHEN x > y THEN a WHEN a > b THEN x ELSE NULL END", "CASE WHEN x > 0 OR a > 0 THEN 1 END",
    "CASE WHEN x > 0 AND a > 0 THEN 1 ELSE 0 END", "CASE WHEN NOT (x > 0 OR y > 0) THEN 1 ELSE 0 END",
    "CASE WHEN f THEN a ELSE b END", "CASE WHEN s IN ('EWR', 'JFK') THEN 1 ELSE 0 END",
    "CASE WHEN s = 'EWR' THEN 1 END",
    "CASE WHEN a <> b THEN 1 ELSE 0 END", "CASE WHEN a IN (1, 2, 3, -4, -5, -6, 7) THEN x END",
    "coalesce(a, b, 0)", "coalesce(x, a)", "nullif(a, b)", "if(x < y, x, y)",
    "extract(hour FROM t)", "extract(minute FROM t)", "extract(year FROM t)", "extract(month FROM t)",
    "extract(day FROM t)",
    "dayofweek(t)", "(dayofweek(CAST(t AS DATE)) + 6) % 7", "extract(isodow FROM d)", "year(d)", "month(d)", "day(d)",
    "CASE WHEN t < CAST(d AS TIMESTAMP) THEN 1 ELSE 0 END",
]  # fmt: skip
TEXTS = [
    "s", "s || '-' || CAST(a AS TEXT)", "coalesce(s, 'none')",
    "CASE WHEN s IS NOT NULL AND NOT (TRUE AND s IN ('EWR', 'JFK')) THEN NULL ELSE s END", "CAST(b AS TEXT)",
]  # fmt: skip


def rows(count: int = 500) -> pd.DataFrame:
    generator = np.random.default_rng(7)

    def some(values: object) -> pd.Series:
        return pd.Series(values, dtype=object).where(generator.random(count) < 0.8, None)

    days = [
        datetime.datetime(1890, 1, 1) + datetime.timedelta(days=int(n)) for n in generator.integers(0, 90_000, count)
    ]
    parts = [datetime.timedelta(microseconds=int(n)) for n in generator.integers(0, 86_400_000_000, count)]
    return pd.DataFrame(
        {
            "a": some(generator.integers(-10, 10, count).tolist()),
            "b": some(generator.integers(-3, 2400, count).tolist()),
            "x": some(generator.choice([-2.5, -0.5, 0.5, 1.5, 2.5, 1e-9, 33.25], count).tolist()),
            "y": some(generator.normal(size=count).tolist()),
            "s": some(generator.choice(["EWR", "JFK", "LGA", "", "ö"], count).tolist()),
            "t": some([day + part for day, part in zip(days, parts, strict=True)]),
            "d": some([day.date() for day in days]),
            "f": some(generator.choice([True, False], count).tolist()),
        }
    )  # fmt: skip


GIVEN = rows()


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """DuckDB with the rows; filled once, for that takes most of a second."""
    made = duckdb.connect()
    made.execute(f"CREATE TABLE given ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
    made.executemany(
        f"INSERT INTO given VALUES ({', '.join('?' * len(COLUMNS))})",
        [[None if value is None else value for value in row] for row in GIVEN.itertuples(index=False)],
    )
    return made


def by_duckdb(query: str) -> pd.DataFrame:
    return engine().execute(query).df()


def by_graph(query: str, kind: str) -> np.ndarray:
    graph = Graph()
    found = feature_columns(graph, query, COLUMNS, {"found": kind})["found"]
    output = graph.matrix([found], np.inf) if kind == NUMBER else found
    texts = kind == TEXT
    made = graph.model(output, "found", 1, {}, texts=texts)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {f"in:{name}": as_input(name, each) for name, each in graph.inputs.items()}
    answer: np.ndarray = session.run(None, given)[0]
    return np.broadcast_to(answer.reshape(-1), len(GIVEN))


def as_input(name: str, kind: str) -> np.ndarray:
    column = GIVEN[name]
    if kind == TEXT:
        return column.map(lambda text: ABSENT if text is None else text).to_numpy(object)
    if kind == MOMENT:
        epoch = pd.Timestamp(1970, 1, 1)
        return np.array([NO_MOMENT if v is None else (pd.Timestamp(v) - epoch) // pd.Timedelta("1us") for v in column])
    return np.array([np.nan if value is None else float(value) for value in column])


@pytest.mark.parametrize("expression", SAME)
def test_numbers_are_those_of_duckdb(expression: str) -> None:
    query = f"SELECT {expression} AS found FROM given"
    wanted = pd.to_numeric(by_duckdb(query)["found"].astype(object)).to_numpy(np.float64, na_value=np.nan)
    found = by_graph(query, NUMBER)
    assert np.isnan(wanted).mean() < 0.9
    assert np.allclose(found, wanted, rtol=1e-15, atol=0, equal_nan=True)


@pytest.mark.parametrize("expression", TEXTS)
def test_texts_are_those_of_duckdb(expression: str) -> None:
    query = f"SELECT {expression} AS found FROM given"
    wanted = by_duckdb(query)["found"].astype(object)
    assert by_graph(query, TEXT).tolist() == [ABSENT if pd.isna(text) else text for text in wanted]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT upper(s) AS found FROM given", "UPPER has no operator"),
        ("SELECT CAST(s AS BIGINT) AS found FROM given", "cast of a text to BIGINT"),
        ("SELECT x % 2.5 AS found FROM given", "not whole"),
        ("SELECT a AS found FROM given WHERE a > 0", "no plain SELECT"),
        ("SELECT CASE WHEN s < 'x' THEN 1 END AS found FROM given", "no order"),
        ("SELECT strftime(t, '%Y') AS found FROM given", "has no operator"),
    ],
)
def test_what_a_graph_cannot_say_is_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(NotExportable, match=said):
        feature_columns(Graph(), query, COLUMNS, {"found": NUMBER})


def test_many_columns_within_the_contract_take_few_nodes_and_lose_only_what_breaks_it() -> None:
    """Masks of plain columns are one comparison for all of them."""
    masks = {
        "a": "CASE WHEN (a IS NOT NULL) AND NOT (TRUE AND a BETWEEN -3.0 AND 7.0) THEN NULL ELSE a END",
        "x": "CASE WHEN (x IS NOT NULL) AND NOT (TRUE AND x BETWEEN -0.5 AND 2.5) THEN NULL ELSE x END",
        "y": "y",
        "f": "f",
    }
    query = f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in masks.items())} FROM given"
    graph = Graph()
    found = feature_columns(graph, query, COLUMNS, dict.fromkeys(masks, NUMBER))
    made = graph.model(graph.matrix([found[name] for name in masks], 1.5), "found", 4, {})
    assert len(made.graph.node) <= 10
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    answer = session.run(None, {f"in:{name}": as_input(name, each) for name, each in graph.inputs.items()})[0]
    wanted = by_duckdb(query)
    for place, name in enumerate(masks):
        column = pd.to_numeric(wanted[name].astype(object)).to_numpy(np.float64, na_value=np.nan)
        column = np.where(np.abs(column) <= 1.5, column, np.nan)
        np.testing.assert_array_equal(answer[:, place], column)

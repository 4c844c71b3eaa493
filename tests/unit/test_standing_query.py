"""A query that is planned once answers rows one by one as it answers them together."""

import threading

import numpy as np
import pytest

from sluice.exporting.graph_values import ABSENT, MOMENT, NO_MOMENT, NUMBER, TEXT
from sluice.exporting.refusals import NotExportable, Unanswerable
from sluice.exporting.standing_query import Columns, StandingQuery
from sluice.features.closed_duckdb import open_closed

COLUMNS = {"a": "BIGINT", "x": "DOUBLE", "s": "VARCHAR", "t": "TIMESTAMP", "d": "DATE", "f": "BOOLEAN", "z": "VARCHAR"}
GIVEN = {"a": NUMBER, "x": NUMBER, "s": TEXT, "t": MOMENT, "d": MOMENT, "f": NUMBER}
QUERY = (
    "SELECT a + 1 AS a, x, upper(s) AS u, extract(year FROM t) AS y, month(d) AS m, CAST(f AS BIGINT) AS f, z, "
    "TRY_CAST(s AS BIGINT) AS n, place FROM rows"
)
RESULTS = {name: TEXT if name in "uz" else NUMBER for name in ("a", "x", "u", "y", "m", "f", "z", "n", "place")}


def query(sql: str = QUERY, results: dict[str, str] = RESULTS) -> StandingQuery:
    return StandingQuery(open_closed(), "rows", COLUMNS, GIVEN, sql, results, "place")


def columns(rows: list[tuple[float, float, str, int, int, float]]) -> Columns:
    kinds = {NUMBER: np.float64, TEXT: object, MOMENT: np.int64}
    return {
        name: np.array(values, kinds[kind])
        for (name, kind), values in zip(GIVEN.items(), zip(*rows, strict=True), strict=True)
    }


MOMENTS = 1_709_251_199_000_000
ROWS = [
    (1, np.nan, "é", NO_MOMENT, NO_MOMENT, 1),
    (np.nan, 2, ABSENT, MOMENTS, MOMENTS, 0),
    (2.0**53, 1e300, "12", -1, 0, np.nan),
]


def test_missing_values_are_null_and_come_back_as_such() -> None:
    found = query().ask(columns(ROWS))
    np.testing.assert_array_equal(found["a"], [2, np.nan, 2.0**53 + 1])
    np.testing.assert_array_equal(found["y"], [np.nan, 2024, 1969])
    np.testing.assert_array_equal(found["m"], [np.nan, 2, 1])
    np.testing.assert_array_equal(found["f"], [1, 0, np.nan])
    np.testing.assert_array_equal(found["n"], [np.nan, np.nan, 12])
    np.testing.assert_array_equal(found["place"], [0, 1, 2])
    assert found["u"].tolist() == ["É", ABSENT, "12"]
    assert found["z"].tolist() == [ABSENT] * 3


def test_one_row_after_another_answers_as_all_together_also_from_several_threads() -> None:
    asked = query()
    whole = asked.ask(columns(ROWS))
    wrong: list[str] = []

    def ask() -> None:
        for turn in range(60):
            place = turn % 3
            one = asked.ask(columns(ROWS[place : place + 1]))
            for name, values in one.items():
                same = name == "place" or values[0] == whole[name][place] or values[0] != values[0]
                wrong.extend([] if same else [name])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_duckdb_or_a_model_does_not_take_is_refused() -> None:
    with pytest.raises(NotExportable, match=r"DuckDB does not take the query: .*nowhere"):
        query("SELECT nowhere AS a FROM rows", {"a": NUMBER})
    with pytest.raises(NotExportable, match="x is DOUBLE in the query, and the model takes it as a text"):
        query("SELECT x FROM rows", {"x": TEXT})
    strict = query("SELECT CAST(s AS BIGINT) AS n FROM rows", {"n": NUMBER})
    assert strict.ask(columns([ROWS[2]]))["n"].tolist() == [12]
    for rows in (ROWS[:1], ROWS):
        with pytest.raises(Unanswerable, match=r"no features can be made of these rows: .*é"):
            strict.ask(columns(rows))
    assert strict.ask(columns([ROWS[2]]))["n"].tolist() == [12]
    for reach in ("read_csv('/etc/passwd')", "read_parquet('x.parquet')"):
        with pytest.raises(NotExportable):
            query(f"SELECT 1 AS a FROM {reach}", {"a": NUMBER})

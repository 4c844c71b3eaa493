"""Features of a single row are told from those that other rows decide, and their SQL gives the very same values."""

from datetime import UTC, datetime

import duckdb
import ibis
import pyarrow as pa

from sluice.engine.duckdb_engine import duckdb_engine
from sluice.leakage.row_wise import row_wise

ROWS = pa.table(
    {
        "id": [1, 2, 3],
        "at": [datetime(2013, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "x": [1.0, None, 300.0],
        "place": ["a", "b", "a"],
        "unused": [0, 0, 0],
    }
)
PLACES = pa.table({"name": ["a", "b"], "height": [5, 6]})


def test_what_follows_from_a_row_alone_is_computed_anew() -> None:
    engine = duckdb_engine(threads=1)
    given = {"events": engine.create_table("view_7", ROWS), "places": engine.create_table("places", PLACES)}
    events = given["events"]
    masked = events.mutate(x=ibis.ifelse(events.x > 100, ibis.null(), events.x))
    table = masked.mutate(double=masked.x * 2, n=masked.count().over(group_by=masked.place), day=masked.at.day())
    table = table.left_join(given["places"], table.place == given["places"].name).drop("name")
    table = (
        table.filter(table.id > 0).order_by("id").mutate(high=lambda t: t.height > 5, deeper=lambda t: t.double + t.day)
    )
    table = table.mutate(mean=table.x - table.x.mean(), none=ibis.literal(4))
    names = ["x", "double", "n", "day", "height", "high", "deeper", "mean", "place"]
    alone = row_wise(table, names, given, "events")
    assert alone["table"] == "events"
    assert alone["features"] == ["day", "deeper", "double", "place", "x"]
    assert set(alone["columns"]) == {"x", "place", "at"}
    raw = duckdb.connect()
    raw.execute("SET TimeZone = 'UTC'")
    raw.register("events", ROWS.select(["at", "place", "x"]))
    again = raw.execute(alone["sql"]).to_arrow_table().to_pylist()
    whole = table.select(*alone["features"]).to_pyarrow().to_pylist()
    assert [{name: row[name] for name in alone["features"]} for row in again] == whole


def test_there_may_be_none() -> None:
    events = ibis.table({"id": "int64", "at": "timestamp"}, name="events")
    table = events.mutate(n=events.count().over(group_by="id"))
    assert row_wise(table, ["n"], {"events": events}, "events") == {}

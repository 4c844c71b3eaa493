"""Sources are read off the expression, whatever road a value takes; what cannot be read is refused by name."""

from typing import Any

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pytest

from sluice.engine.duckdb_engine import duckdb_engine
from sluice.leakage.origins import Sources
from sluice.leakage.tracing import Trace, trace

FLIGHTS = ibis.table(
    {"origin": "string", "dest": "string", "time": "timestamp", "delay": "float64", "distance": "int64"}, name="flights"
)
WEATHER = ibis.table({"origin": "string", "time": "timestamp", "temp": "float64"}, name="weather")
GIVEN = {"flights": FLIGHTS, "weather": WEATHER}
OWN = {"flights.origin", "weather.origin"}
MATCH = FLIGHTS.left_join(WEATHER, [FLIGHTS.origin == WEATHER.origin, FLIGHTS.delay > WEATHER.temp])


def traced(table: ibis.Table) -> Trace:
    return trace(table, GIVEN, {"flights": "time", "weather": "time"})


def listed(sources: Sources) -> set[str]:
    return {source.unknown or f"{source.table}.{source.column}" for source in sources}


def names(table: ibis.Table, column: str = "x") -> set[str]:
    return listed(traced(table).columns[column])


def bounds(table: ibis.Table, column: str, source: str) -> set[float | None]:
    """The lag against `time`, in hours, of each way in which a source has a part in a column."""
    found = [s for s in traced(table).columns[column] if f"{s.table}.{s.column}" == source]
    return {dict(s.bounds)["time"] / 3600 if "time" in dict(s.bounds) else None for s in found}


def test_formulas_renames_and_row_wise_steps() -> None:
    table = FLIGHTS.mutate(speed=FLIGHTS.distance / FLIGHTS.delay, one=1).rename(far="distance")
    table = table.filter(table.delay > 0).order_by("far").drop("dest").mutate(double=lambda t: t.speed * 2)
    assert names(table, "far") == {"flights.distance"}
    assert names(table, "double") == {"flights.distance", "flights.delay"}
    assert names(table, "one") == set()
    assert listed(traced(table).members) == {"flights.delay"}


def test_a_joined_value_rests_on_what_decided_which_row_was_joined() -> None:
    joined = FLIGHTS.left_join(WEATHER, ["origin", FLIGHTS.time == WEATHER.time])
    assert names(joined, "temp") == OWN | {"weather.temp", "flights.time", "weather.time"}
    assert names(joined, "distance") == {"flights.distance"}
    by_delay = FLIGHTS.left_join(WEATHER, [FLIGHTS.delay == WEATHER.temp])
    assert "flights.delay" in names(by_delay, "origin_right")
    assert listed(traced(by_delay).members) == set(), "a left join takes no row away"
    assert listed(traced(by_delay).rows) == {"flights.delay", "weather.temp"}, "yet may repeat it"


def test_a_filter_speaks_through_counts_and_through_joined_rows() -> None:
    late = FLIGHTS.filter(FLIGHTS.delay > 15)
    counted = late.group_by("dest").agg(n=lambda t: t.count())
    assert names(counted, "n") == {"flights.dest", "flights.delay"}
    assert names(FLIGHTS.left_join(counted, "dest"), "n") == {"flights.dest", "flights.delay"}
    assert names(late.mutate(n=late.distance.count().over(group_by="dest")), "n") >= {"flights.delay", "flights.dest"}
    some = late.select(d="dest")
    assert names(FLIGHTS.left_join(some, FLIGHTS.dest == some.d), "d") >= {"flights.delay"}
    assert names(late, "distance") == {"flights.distance"}


LATE, COUNT = FLIGHTS.filter(FLIGHTS.delay > 0), ibis._.count()
DOUBLE = FLIGHTS.select("time", delay=FLIGHTS.delay * 2)
SAME = (FLIGHTS.delay, WEATHER.temp)
HOLES = {
    "the label's order, then a row number": FLIGHTS.order_by("delay").mutate(x=ibis.row_number().over(order_by="dest")),
    "a left join on the label, then a count": MATCH.group_by("time").agg(x=lambda t: t.count()),
    "a left join on the label, then a window": MATCH.mutate(x=MATCH.count().over(group_by=MATCH.time)),
    "the label's order within a group": FLIGHTS.group_by("dest").agg(x=FLIGHTS.time.first(order_by=FLIGHTS.delay)),
    "a sorted table, then the first": FLIGHTS.order_by("delay")
    .group_by("dest")
    .agg(x=ibis._.time.first(order_by="origin")),
    "a limit of a sorted table": FLIGHTS.order_by("delay").limit(9).agg(x=ibis._.distance.mean()),
    "a window": FLIGHTS.mutate(x=FLIGHTS.delay.max().over(order_by=FLIGHTS.time)),
    "a rank": FLIGHTS.mutate(x=FLIGHTS.distance.rank().over(order_by=FLIGHTS.delay)),
    "a partition": FLIGHTS.mutate(x=FLIGHTS.count().over(group_by=FLIGHTS.delay)),
    "a lag": FLIGHTS.mutate(x=FLIGHTS.distance.lag().over(order_by=FLIGHTS.delay)),
    "a scalar subquery": FLIGHTS.mutate(x=FLIGHTS.delay.max().as_scalar()),
    "a case": FLIGHTS.mutate(x=ibis.ifelse(FLIGHTS.delay > 0, 1, 0)),
    "a list": FLIGHTS.mutate(x=FLIGHTS.distance.isin(LATE.distance)),
    "a union": FLIGHTS.select(x="distance").union(FLIGHTS.select(x=FLIGHTS.delay.cast("int64"))),
    "an intersection": FLIGHTS.select("time", "delay").intersect(DOUBLE).agg(x=COUNT),
    "a difference": FLIGHTS.select("time").difference(LATE.select("time")).agg(x=COUNT),
    "distinct rows": FLIGHTS.select("dest", "delay").distinct().group_by("dest").agg(x=COUNT),
    "distinct rows of a filter": LATE.select(x="distance").distinct().agg(x=ibis._.x.count()),
    "counting distinct rows": FLIGHTS.agg(x=FLIGHTS.nunique()),
    "a semi join": FLIGHTS.semi_join(WEATHER, FLIGHTS.delay == WEATHER.temp).agg(x=ibis._.distance.mean()),
    "rows without a gap": FLIGHTS.drop_null("delay").agg(x=ibis._.distance.mean()),
    "a view of itself": FLIGHTS.view().select(x="delay"),
    "an inner join of itself": FLIGHTS.inner_join(FLIGHTS.view(), "delay").group_by("time").agg(x=COUNT),
    "a cross join with a filter": WEATHER.cross_join(LATE).group_by("temp").agg(x=COUNT),
    "the closest earlier": FLIGHTS.asof_join(WEATHER.mutate(d="temp"), on="time", predicates=[SAME]).select(x="d"),
}


@pytest.mark.parametrize("hole", HOLES)
def test_no_road_hides_the_delay(hole: str) -> None:
    assert "flights.delay" in names(HOLES[hole])


UDF = ibis.udf.scalar.builtin(lambda x: x, name="abs", signature=(("float64",), "float64"))
AGGREGATE = ibis.udf.agg.builtin(lambda x: x, name="first", signature=(("float64",), "float64"))
ARRAYS = FLIGHTS.group_by("dest").agg(all=FLIGHTS.delay.collect(order_by=FLIGHTS.time))
UNKNOWN = {
    "RowNumber without order_by": FLIGHTS.order_by("delay").mutate(x=ibis.row_number()),
    "Lag without order_by": FLIGHTS.order_by("delay").mutate(x=FLIGHTS.distance.lag()),
    "First without order_by": FLIGHTS.order_by("delay").group_by("dest").agg(x=ibis._.distance.first()),
    "ArrayCollect without order_by": FLIGHTS.group_by("dest").agg(x=FLIGHTS.distance.collect()),
    "Arbitrary": FLIGHTS.order_by("delay").group_by("dest").agg(x=ibis._.distance.arbitrary()),
    "Mode": FLIGHTS.group_by("dest").agg(x=FLIGHTS.distance.mode()),
    "ArgMax": FLIGHTS.group_by("dest").agg(x=FLIGHTS.distance.argmax(FLIGHTS.time)),
    "Limit without an order": FLIGHTS.limit(5).agg(x=ibis._.distance.mean()),
    "Sample": FLIGHTS.sample(0.5).agg(x=ibis._.distance.mean()),
    "RandomScalar": FLIGHTS.mutate(x=ibis.random()),
    "TimestampNow": FLIGHTS.mutate(x=ibis.now()),
    "Unnest": ARRAYS.mutate(x=ARRAYS["all"].unnest()),
    "TableUnnest": ARRAYS.unnest("all").agg(x=ibis._.count()),
    "ArrayMap": ARRAYS.mutate(x=ARRAYS["all"].map(lambda each: each + 1)),
    "a user-defined function (abs over 'distance')": FLIGHTS.mutate(x=UDF(FLIGHTS.distance.cast("float64"))),
    "a user-defined function (first over 'delay')": FLIGHTS.group_by("dest").agg(x=AGGREGATE(FLIGHTS.delay)),
    "the right join; turn it round into a left join": FLIGHTS.right_join(WEATHER, "origin").select(x="temp"),
    "the outer join; turn it round into a left join": FLIGHTS.outer_join(WEATHER, "origin").select(x="temp"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_cannot_be_read_is_named(what: str) -> None:
    assert what in names(UNKNOWN[what])


def test_a_table_is_known_by_its_identity_not_by_its_name() -> None:
    engine = duckdb_engine(threads=1)
    rows = pa.table({"id": [1, 2], "delay": [3.0, 4.0], "list": [[1], [2]]})
    given = engine.create_table("flights", rows)
    engine.con.execute("CREATE SCHEMA other; CREATE TABLE other.flights AS SELECT * FROM flights")
    borrowed = engine.table("flights", database="other")
    assert borrowed.op().name == given.op().name
    memtable = ibis.memtable(rows).op().copy(name="flights").to_expr()
    copy = given.order_by("delay").mutate(id=given.id + 1).cache()
    schema, text = ibis.schema({"x": "float64"}), "SELECT delay AS x FROM flights"
    query = ops.SQLQueryResult(text, schema, engine).to_expr()
    direct = ops.SQLStringView(given.op(), text, schema).to_expr()
    alias = given.alias("other_flights")
    for table in (borrowed, memtable, copy, query, direct, alias):
        for sources in trace(table, {"flights": given}).columns.values():
            assert any(source.unknown for source in sources), table
    lateral = given.mutate(x=given.filter(given.delay > 0).count().as_scalar(), r=given.rowid())
    assert listed(trace(lateral, {"flights": given}).columns["r"]) == {"RowID"}
    assert "flights.delay" in listed(trace(lateral, {"flights": given}).columns["x"])


def test_a_correlated_subquery_is_refused() -> None:
    inner = WEATHER.filter(WEATHER.temp > FLIGHTS.delay)
    assert "a correlated subquery" in names(FLIGHTS.mutate(x=inner.temp.max().as_scalar()))


def test_bounds_follow_shifts_truncations_and_predicates() -> None:
    def past(predicate: Any, how: str = "left") -> ibis.Table:
        old = FLIGHTS.select(then="time", d="delay")
        return FLIGHTS.join(old, predicate(FLIGHTS, old), how=how)

    hours = ibis.interval
    cases = [
        (lambda f, o: [o.then + hours(hours=5) == f.time], 5),
        (lambda f, o: [o.then <= f.time - hours(days=2)], 48),
        (lambda f, o: [f.time > o.then + hours(hours=5), f.time < o.then + hours(hours=9)], 5),
        (lambda f, o: [o.then.between(f.time - hours(hours=9), f.time - hours(hours=7))], 7),
        (lambda f, o: [(o.then + hours(hours=3) <= f.time) & (f.origin == "JFK")], 3),
        (lambda f, o: [o.then.truncate("D") + hours(days=2) == f.time.truncate("D")], 24),
        (lambda f, o: [o.then.date() < f.time.date()], -24),
        (lambda f, o: [o.then - hours(hours=5) == f.time], -5),
        (lambda f, o: [(o.then + hours(hours=3) <= f.time) | (f.origin == "JFK")], None),
        (lambda f, o: [o.then + hours(months=3) <= f.time], None),
        (lambda f, o: [~(o.then + hours(hours=3) > f.time)], None),
        (lambda f, o: [f.origin == "JFK"], None),
    ]
    for predicate, lag in cases:
        assert bounds(past(predicate), "d", "flights.delay") == {lag}
    inner = past(lambda f, o: [f.time >= o.then + hours(hours=4)], how="inner")
    assert bounds(inner, "d", "flights.delay") == {4}


def test_a_clock_that_may_be_missing_proves_nothing() -> None:
    """Rows that met no other have no clock: a window over them counts all such rows, of whatever time."""
    old = FLIGHTS.select(then="time", d="delay")
    joined = FLIGHTS.left_join(old, [FLIGHTS.distance.cast("float64") == old.d]).select("then", "d", "distance")
    window = ibis.range_window(order_by="then", preceding=(None, ibis.interval(hours=48)))
    counted = joined.mutate(n=joined.distance.count().over(window), time="then")
    assert None in bounds(counted, "n", "flights.delay")


def test_frames_that_reach_the_row_itself_prove_nothing() -> None:
    def history(**frame: Any) -> ibis.Table:
        return FLIGHTS.mutate(m=FLIGHTS.delay.mean().over(ibis.window(group_by="dest", **frame)))

    two, three = ibis.interval(days=2), ibis.interval(days=3)
    assert bounds(history(order_by="time", preceding=(three, two)), "m", "flights.delay") == {48}
    assert bounds(history(order_by="time", preceding=(None, two)), "m", "flights.delay") == {48}
    assert bounds(history(order_by=FLIGHTS.time.truncate("D"), preceding=(three, two)), "m", "flights.delay") == {24}
    assert bounds(history(order_by="time", following=(two, three)), "m", "flights.delay") == {-72}
    assert bounds(history(order_by=ibis.desc("time"), preceding=(three, two)), "m", "flights.delay") == {None}
    assert bounds(history(order_by="time", preceding=(9, 1)), "m", "flights.delay") == {0}, "no younger than the row"
    assert bounds(history(order_by="time"), "m", "flights.delay") == {None}

"""Sources are read off the expression, whatever road a value takes."""

import ibis
import ibis.expr.operations as ops
import pytest

from components.common.errors import BadInput
from components.prepare.tracing import physical_column, sources_of

FLIGHTS = ibis.table(
    {"origin": "string", "dest": "string", "time": "timestamp", "delay": "float64", "distance": "int64"}, name="flights"
)
WEATHER = ibis.table({"origin": "string", "time": "timestamp", "temp": "float64"}, name="weather")
OWN = {"flights.origin", "weather.origin"}


def names(table: ibis.Table, column: str) -> set[str]:
    return {f"{source.table}.{source.column}" for source in sources_of(table, column)}


def test_formulas_renames_and_row_wise_steps() -> None:
    table = FLIGHTS.mutate(speed=FLIGHTS.distance / FLIGHTS.delay, one=1).rename(far="distance")
    table = table.filter(table.delay > 0).order_by("far").drop("dest").mutate(double=lambda t: t.speed * 2)
    assert names(table, "far") == {"flights.distance"}
    assert names(table, "double") == {"flights.distance", "flights.delay"}
    assert names(table, "one") == set()


def test_a_joined_value_rests_on_what_decided_which_row_was_joined() -> None:
    joined = FLIGHTS.left_join(WEATHER, ["origin", FLIGHTS.time == WEATHER.time])
    assert names(joined, "temp") == OWN | {"weather.temp", "flights.time", "weather.time"}
    assert names(joined, "distance") == {"flights.distance"}
    by_delay = FLIGHTS.left_join(WEATHER, [FLIGHTS.delay == WEATHER.temp])
    assert "flights.delay" in names(by_delay, "origin_right")


def test_a_filter_speaks_through_counts_and_through_joined_rows() -> None:
    late = FLIGHTS.filter(FLIGHTS.delay > 15)
    counted = late.group_by("dest").agg(n=lambda t: t.count())
    assert names(counted, "n") == {"flights.dest", "flights.delay"}
    assert names(FLIGHTS.left_join(counted, "dest"), "n") == {"flights.dest", "flights.delay"}
    assert names(late.mutate(n=late.distance.count().over(group_by="dest")), "n") >= {"flights.delay", "flights.dest"}
    some = late.select(d="dest")
    assert names(FLIGHTS.left_join(some, FLIGHTS.dest == some.d), "d") >= {"flights.delay"}
    assert names(late, "distance") == {"flights.distance"}, "which rows there are is no feature"


@pytest.mark.parametrize(
    "table",
    [
        FLIGHTS.mutate(x=FLIGHTS.delay.max().over(order_by=FLIGHTS.time)),
        FLIGHTS.mutate(x=FLIGHTS.distance.rank().over(order_by=FLIGHTS.delay)),
        FLIGHTS.mutate(x=FLIGHTS.delay.max().as_scalar()),
        FLIGHTS.mutate(x=ibis.ifelse(FLIGHTS.delay > 0, 1, 0)),
        FLIGHTS.mutate(x=FLIGHTS.distance.isin(FLIGHTS.filter(FLIGHTS.delay > 0).distance)),
        FLIGHTS.select(x="distance").union(FLIGHTS.select(x=FLIGHTS.delay.cast("int64"))),
        FLIGHTS.filter(FLIGHTS.delay > 0).select(x="distance").distinct().agg(x=ibis._.x.count()),
        FLIGHTS.order_by("delay").limit(9).agg(x=ibis._.distance.mean()),
        FLIGHTS.semi_join(WEATHER, FLIGHTS.delay == WEATHER.temp).agg(x=ibis._.distance.mean()),
        FLIGHTS.view().select(x="delay"),
    ],
    ids=lambda table: "",
)
def test_no_road_hides_the_delay(table: ibis.Table) -> None:
    assert "flights.delay" in names(table, "x")


def test_what_cannot_be_read_is_refused() -> None:
    query = ops.SQLQueryResult("SELECT delay AS x FROM flights", ibis.schema({"x": "float64"}), ibis.duckdb.connect())
    with pytest.raises(BadInput, match="string of SQL"):
        sources_of(query.to_expr(), "x")
    with pytest.raises(BadInput, match="right join"):
        sources_of(FLIGHTS.right_join(WEATHER, "origin"), "temp")


def test_a_column_unchanged_is_known_from_one_computed() -> None:
    weather = WEATHER.select("temp", o="origin", t="time")
    joined = FLIGHTS.left_join(weather, FLIGHTS.origin == weather.o)
    found = physical_column(joined.filter(joined.delay > 0), "t")
    assert found is not None
    assert (found.table, found.column) == ("weather", "time")
    assert found.via is not None
    assert physical_column(joined, "delay") == physical_column(FLIGHTS, "delay")
    assert physical_column(joined.mutate(t=joined.t + ibis.interval(hours=1)), "t") is None

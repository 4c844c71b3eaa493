"""The leakage gate: what is known too late is refused, history passes with a lag that the expression proves."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pandas as pd
import pytest

from sluice.contract.reading import Availability, Contract, parse_contract
from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.features.joins import aggregate_earlier, join_earlier
from sluice.leakage.gate import Feature, LeakageGate, gate_of

CONTRACT: Contract = parse_contract(
    """
name: test
moments: [{scheduled: always}, {observed: 1h}, departed, {arrived: 48h}]
tables:
  flights:
    source: {csv: x}
    freshness: {column: time, max_age_days: 1}
    timezone: America/New_York
    known: scheduled
    columns:
      id: {type: int64}
      origin: {type: string}
      time: {type: timestamp}
      dep_delay: {type: float64, known: departed}
      arr_delay: {type: float64, availability: arrived, known: 36h}
  weather:
    source: {csv: x}
    freshness: {column: time, max_age_days: 1}
    known: observed
    columns:
      origin: {type: string, known: scheduled}
      time: {type: timestamp, known: scheduled}
      temp: {type: float64}
      pressure: {type: float64}
  undated:
    source: {csv: x}
    columns:
      origin: {type: string}
      fog: {type: float64, known: observed}
""",
    "contract.yaml",
)
SCHEDULED = Availability("scheduled", -math.inf, 0)
START = datetime(2013, 1, 1, tzinfo=UTC)
HOURS = 120
ENGINE = duckdb_engine(threads=1)
TYPES = {"id": "int64", "origin": "string", "time": "timestamp('UTC')"}
TYPES |= dict.fromkeys(("dep_delay", "arr_delay", "secret", "temp", "pressure"), "float64")


def engine_table(name: str, rows: dict[str, list[Any]]) -> ibis.Table:
    schema = {column: TYPES[column] for column in rows}
    return ENGINE.create_table(name, ibis.memtable(pd.DataFrame(rows), schema=schema), overwrite=True)


@pytest.fixture(scope="module")
def flights() -> ibis.Table:
    rows = {"id": list(range(HOURS)), "origin": ["JFK", "LGA"] * (HOURS // 2)}
    rows |= {"time": [START + timedelta(hours=h) for h in range(HOURS)], "dep_delay": [1.0] * HOURS}
    return engine_table("flights", rows | {"arr_delay": [float(h % 7) for h in range(HOURS)], "secret": [3.0] * HOURS})


@pytest.fixture(scope="module")
def weather() -> ibis.Table:
    rows = {"origin": ["JFK"] * 20, "time": [START + timedelta(hours=h) for h in range(20)]}
    return engine_table("weather", rows | {"temp": list(range(20)), "pressure": [1000 + h**2 for h in range(20)]})


def gate(table: ibis.Table, *given: ibis.Table) -> LeakageGate:
    return gate_of(table, {each.op().name: each for each in given}, CONTRACT, "time")


def refusal(judge: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        judge()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("dep_delay", "flights.dep_delay, which is known only at the moment 'departed' of the contract"),
        ("arr_delay", "at the moment 'arrived'"),
    ],
)
def test_a_late_column_is_refused_under_any_name(flights: ibis.Table, column: str, known: str) -> None:
    table = flights.mutate(harmless=flights.origin.length() + 0 * flights[column])
    judge = gate(table, flights)
    assert judge.feature("origin") == Feature("origin", ("flights.origin",), SCHEDULED)
    said = refusal(lambda: judge.feature("harmless"))
    assert said.startswith("feature 'harmless' rests on flights.")
    assert known in said


def test_a_column_that_the_contract_does_not_name_is_refused(flights: ibis.Table) -> None:
    said = refusal(lambda: gate(flights, flights).feature("secret"))
    assert "flights.secret, which the contract does not name" in said


def test_an_observation_passes_with_its_lag(flights: ibis.Table, weather: ibis.Table) -> None:
    table = join_earlier(flights, weather, ["origin"], "time", ["temp"])
    table = table.mutate(celsius=(table.temp - 32) / 1.8)
    passed = gate(table, flights, weather).feature("celsius")
    assert (passed.availability.name, passed.lag_hours) == ("observed", 1.0)
    joined = table.order_by("time").temp.to_pyarrow().to_pylist()
    assert joined[:5] == [None, None, 1.0, None, 3.0], "each flight from JFK has the weather of the hour before"


@pytest.mark.parametrize(("hours", "shown"), [(0, "a lag of 0 hours is proven"), (-1, "a lag of -1 hour is proven")])
def test_an_observation_too_young_is_refused(flights: ibis.Table, weather: ibis.Table, hours: int, shown: str) -> None:
    table = join_earlier(flights, weather, ["origin"], "time", ["temp"], hours=hours)
    said = refusal(lambda: gate(table, flights, weather).feature("temp"))
    assert "'temp' rests on weather.temp" in said
    assert "unless its rows are at least 1 hour older than 'time'" in said
    assert shown in said


def test_a_window_ahead_is_refused(flights: ibis.Table, weather: ibis.Table) -> None:
    ahead = weather.mutate(temp=weather.temp.lead().over(group_by="origin", order_by="time"))
    table = join_earlier(flights, ahead, ["origin"], "time", ["temp"])
    assert "no lag is proven" in refusal(lambda: gate(table, flights, weather).feature("temp"))


def test_without_a_clock_no_lag_can_be_proven(flights: ibis.Table) -> None:
    undated = ibis.table({"origin": "string", "fog": "float64"}, name="undated")
    table = flights.left_join(undated, "origin")
    said = refusal(lambda: gate(table, flights, undated).feature("fog"))
    assert "names no time that dates the rows of 'undated'" in said


def pressure_change(flights: ibis.Table, weather: ibis.Table, hours: int) -> ibis.Table:
    table = join_earlier(flights, weather, ["origin"], "time", {"now": "pressure"}, hours=hours, observed_at=None)
    table = join_earlier(table, weather, ["origin"], "time", {"then": "pressure"}, hours=hours + 3, observed_at=None)
    return table.mutate(change=table.now - table.then)


def rain(flights: ibis.Table, weather: ibis.Table, hours: int) -> ibis.Table:
    sums = {"change": ("temp", "sum")}
    return aggregate_earlier(flights, weather, ["origin"], "time", sums, lag_hours=hours, window_hours=3)


@pytest.mark.parametrize("history", [pressure_change, rain])
def test_several_observations_pass_when_all_are_old_enough(
    flights: ibis.Table, weather: ibis.Table, history: Callable[[ibis.Table, ibis.Table, int], ibis.Table]
) -> None:
    assert gate(history(flights, weather, 1), flights, weather).feature("change").lag_hours == 1
    said = refusal(lambda: gate(history(flights, weather, 0), flights, weather).feature("change"))
    assert "at least 1 hour older" in said


def two_days_before(flights: ibis.Table, days: int) -> ibis.Table:
    """By calendar days, as one would write it without the helper."""
    daily = flights.group_by(where="origin", day=flights.time.truncate("D")).agg(late=lambda t: t.arr_delay.mean())
    daily = daily.mutate(day=daily.day + ibis.interval(days=days))
    today = flights.mutate(today=flights.time.truncate("D"))
    return today.left_join(daily, [today.origin == daily["where"], today.today == daily.day])


def by_window(flights: ibis.Table, days: int) -> ibis.Table:
    frame = (ibis.interval(days=days + 1), ibis.interval(days=days - 1))
    window = ibis.range_window(group_by="origin", order_by="time", preceding=frame)
    return flights.mutate(late=flights.arr_delay.mean().over(window))


def by_inner_join(flights: ibis.Table, days: int) -> ibis.Table:
    """Every pair of flights with enough time between, counted by the later one."""
    before = flights.select(past="time", place="origin", delay="arr_delay")
    pairs = flights.inner_join(before, [flights.origin == before.place, before.past < flights.time])
    pairs = pairs.filter(pairs.time - ibis.interval(hours=24 * (days - 1)) >= pairs.past, pairs.delay > 3)
    counts = pairs.group_by("origin", moment="time").agg(late=pairs.count())
    counts = counts.rename(place="origin")
    return flights.left_join(counts, [flights.time == counts.moment, flights.origin == counts.place])


def by_helper(flights: ibis.Table, days: int) -> ibis.Table:
    means = {"late": ("arr_delay", "mean")}
    hours = 24 * (days - 1)
    return aggregate_earlier(flights, flights, ["origin"], "time", means, lag_hours=hours, window_hours=24)


@pytest.mark.parametrize("history", [two_days_before, by_window, by_inner_join, by_helper])
def test_lateness_some_days_old_passes_and_younger_is_refused(
    flights: ibis.Table, history: Callable[[ibis.Table, int], ibis.Table]
) -> None:
    passed = gate(history(flights, 3), flights).feature("late")
    assert (passed.availability.name, passed.lag_hours) == ("arrived", 48)
    said = refusal(lambda: gate(history(flights, 2), flights).feature("late"))
    assert "flights.arr_delay" in said
    assert "at least 36 hours older than 'time'; a lag of 24 hours is proven" in said


def test_what_the_contract_gives_no_wait_for_has_no_safe_history(flights: ibis.Table) -> None:
    old = flights.select(o="origin", past=flights.time + ibis.interval(days=900), d="dep_delay")
    table = flights.left_join(old, [flights.origin == old.o, flights.time == old.past])
    said = refusal(lambda: gate(table, flights).feature("d"))
    assert "add tables.flights.columns.dep_delay: {availability: departed, known: 24h}" in said


def test_the_helper_computes_what_it_says(flights: ibis.Table) -> None:
    wanted = {"n": ("arr_delay", "count"), "mean": ("arr_delay", "mean"), "most": ("arr_delay", "max")}
    wanted |= {"least": ("arr_delay", "min"), "all": ("arr_delay", "sum")}
    table = aggregate_earlier(flights, flights, ["origin"], "time", wanted, lag_hours=40, window_hours=30)
    frame = table.order_by("id").to_pyarrow().to_pandas()
    for row in frame.itertuples():
        old = frame[(frame.origin == row.origin)]
        ages = (row.time - old.time).dt.total_seconds() / 3600
        delays = old.arr_delay[(ages >= 40) & (ages < 70)]
        assert row.n == len(delays)
        for name, value in {"mean": delays.mean(), "most": delays.max(), "least": delays.min()}.items():
            assert getattr(row, name) == pytest.approx(value, nan_ok=True)
        assert row.all == pytest.approx(delays.sum() if len(delays) else math.nan, nan_ok=True)


def test_the_helper_refuses_what_it_cannot_do(flights: ibis.Table) -> None:
    for how, hours, said in (
        ("mode", 24.0, "'mode' is no aggregate; use one of count, max"),
        ("sum", 0.0, "more than 0"),
    ):
        with pytest.raises(BadInput, match=said):
            aggregate_earlier(flights, flights, ["origin"], "time", {"x": ("id", how)}, lag_hours=1, window_hours=hours)


def test_the_rows_themselves_may_not_depend_on_what_is_late(flights: ibis.Table, weather: ibis.Table) -> None:
    way_out = "name in the column 'left_out' why one cannot be learned from"
    chosen = flights.filter(flights.arr_delay > 0)
    some = flights.filter(flights.dep_delay > 0).select(number="id")
    for table in (
        chosen,
        flights.semi_join(some, flights.id == some.number),
        flights.inner_join(some, flights.id == some.number),
        flights.order_by("arr_delay").limit(9),
        flights.filter(flights.id.isin(some.number)),
        flights.select("id", "time", "arr_delay").distinct(),
        flights.union(chosen),
        flights.difference(chosen),
    ):
        said = refusal(lambda table=table: gate(table, flights).rows("left_out"))
        assert said.startswith("which rows there are rests on flights.")
        assert way_out in said
    gate(join_earlier(flights, weather, ["origin"], "time", ["temp"]), flights, weather).rows("left_out")


def test_key_and_time_may_not_depend_on_what_is_late(flights: ibis.Table) -> None:
    table = flights.mutate(id=flights.id + flights.arr_delay.cast("int64"))
    assert "column 'id', by which rows are told apart" in refusal(lambda: gate(table, flights).identity(["id", "time"]))
    gate(flights, flights).identity(["id", "time"])


def test_a_label_that_is_known_is_no_question(flights: ibis.Table) -> None:
    table = flights.mutate(late=flights.arr_delay > 3, early=flights.id > 3)
    gate(table, flights).label("late")
    assert "label 'early' rests only on what is known" in refusal(lambda: gate(table, flights).label("early"))
    later = table.mutate(time=table.time + ibis.interval(hours=36))
    assert "label 'late' rests only on what is known" in refusal(lambda: gate(later, flights).label("late"))


def test_the_time_zone_is_that_of_the_time(flights: ibis.Table, weather: ibis.Table) -> None:
    assert gate(flights, flights).timezone() == "America/New_York"
    assert gate(weather, weather).timezone() == "UTC"

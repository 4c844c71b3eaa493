"""The leakage gate: what is known too late is refused, observations only with their lag."""

from datetime import UTC, datetime, timedelta

import ibis
import pandas as pd
import pytest

from components.common.contracts import Availability, Contract, parse_contract
from components.common.engines import duckdb_engine
from components.common.errors import BadInput
from components.prepare.gate import check_features, check_lag
from components.prepare.joins import join_earlier

CONTRACT: Contract = parse_contract(
    """
name: test
tables:
  flights:
    source: {csv: x}
    columns:
      origin: {type: string}
      time: {type: timestamp}
      dep_delay: {type: float64, availability: departed}
      arr_delay: {type: float64, availability: arrived}
  weather:
    source: {csv: x}
    freshness: {column: time, max_age_days: 1}
    columns:
      origin: {type: string}
      time: {type: timestamp}
      temp: {type: float64, availability: observed}
""",
    "contract.yaml",
)
START = datetime(2013, 1, 1, tzinfo=UTC)
TYPES = {"origin": "string", "time": "timestamp('UTC')"}


@pytest.fixture
def flights() -> ibis.Table:
    rows = {"origin": ["JFK"] * 24, "time": [START + timedelta(hours=h) for h in range(24)]}
    rows |= {"dep_delay": [1.0] * 24, "arr_delay": [2.0] * 24, "secret": [3.0] * 24}
    schema = TYPES | dict.fromkeys(("dep_delay", "arr_delay", "secret"), "float64")
    return ENGINE.create_table("flights", ibis.memtable(pd.DataFrame(rows), schema=schema), overwrite=True)


@pytest.fixture
def weather() -> ibis.Table:
    rows = {"origin": ["JFK"] * 20, "time": [START + timedelta(hours=h) for h in range(20)], "temp": range(20)}
    return ENGINE.create_table(
        "weather", ibis.memtable(pd.DataFrame(rows), schema=TYPES | {"temp": "float64"}), overwrite=True
    )


ENGINE = duckdb_engine(threads=1)


@pytest.mark.parametrize(
    ("column", "known"),
    [("dep_delay", "flights.dep_delay, which is known only after the event has begun"), ("arr_delay", "has ended")],
)
def test_a_late_column_is_refused_under_any_name(flights: ibis.Table, column: str, known: str) -> None:
    table = flights.mutate(harmless=flights.origin.length() + 0 * flights[column])
    with pytest.raises(BadInput, match=f"'harmless' rests on .*{known}"):
        check_features(table, ["origin", "harmless"], CONTRACT)


def test_a_column_that_the_contract_does_not_name_is_refused(flights: ibis.Table) -> None:
    with pytest.raises(BadInput, match=r"flights\.secret, which the contract does not name"):
        check_features(flights, ["secret"], CONTRACT)


def test_an_observation_passes_with_its_lag(flights: ibis.Table, weather: ibis.Table) -> None:
    table = join_earlier(flights, weather, ["origin"], "time", ["temp"])
    table = table.mutate(celsius=(table.temp - 32) / 1.8)
    passed = check_features(table, ["origin", "celsius"], CONTRACT)
    assert [feature.availability for feature in passed] == [Availability.SCHEDULED, Availability.OBSERVED]
    assert [feature.observed_at for feature in passed] == [None, "observed_at"]
    check_lag(table, passed, "time")
    joined = table.order_by("time").temp.to_pyarrow().to_pylist()
    assert joined == [None, *range(20), None, None, None], "each flight has the weather of the hour before"


@pytest.mark.parametrize(("hours", "age"), [(0, 0), (-1, -3600)])
def test_an_observation_too_young_is_found_in_the_rows(
    flights: ibis.Table, weather: ibis.Table, hours: int, age: int
) -> None:
    table = join_earlier(flights, weather, ["origin"], "time", ["temp"], hours=hours)
    passed = check_features(table, ["temp"], CONTRACT)
    with pytest.raises(BadInput, match=f"'temp' rests on an observation .* made {age} seconds before time"):
        check_lag(table, passed, "time")


def test_an_observation_without_its_time_is_refused(flights: ibis.Table, weather: ibis.Table) -> None:
    bare = join_earlier(flights, weather, ["origin"], "time", ["temp"]).drop("observed_at")
    clock = weather.select(o="origin", t="time")
    other = bare.left_join(clock, bare.time == clock.t)
    shifted = join_earlier(flights, weather, ["origin"], "time", ["temp"])
    shifted = shifted.mutate(observed_at=shifted.observed_at - ibis.interval(hours=9))
    for table in (bare, other, shifted):
        with pytest.raises(BadInput, match=r"an observation that comes without its time \(weather\.time\)"):
            check_features(table, ["temp"], CONTRACT)


def test_a_window_over_observations_is_refused(flights: ibis.Table, weather: ibis.Table) -> None:
    ahead = weather.mutate(temp=weather.temp.lead().over(group_by="origin", order_by="time"))
    table = join_earlier(flights, ahead, ["origin"], "time", ["temp"])
    with pytest.raises(BadInput, match="combines several observations"):
        check_features(table, ["temp"], CONTRACT)

"""A split by time cuts where the day of the data begins, in its own zone; pandas is the judge of that."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.parameters.split import check_shares
from sluice.sampling.local_days import day_numbers, first_moment, rows_by_day
from sluice.sampling.partition import by_time

ENGINE = duckdb_engine(threads=1)
SHARES = check_shares("shares", [0.6, 0.2, 0.2])
NEW_YORK = "America/New_York"
ZONES = [NEW_YORK, "UTC", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "Africa/Monrovia", "Australia/Lord_Howe"]


def table(times: Any, kind: str = "timestamp('UTC')") -> ibis.Table:
    frame = pd.DataFrame({"id": range(len(times)), "time": list(times)}, dtype=object)
    return ENGINE.create_table("t", ibis.memtable(frame, schema={"id": "int64", "time": kind}), overwrite=True)


def instants(start: str, end: str, step: str) -> list[dt.datetime]:
    return [moment.to_pydatetime() for moment in pd.date_range(start, end, freq=step, tz="UTC", inclusive="left")]


@settings(max_examples=40)
@given(
    seconds=st.lists(st.integers(-3_000_000_000, 3_000_000_000), min_size=1, max_size=30),
    spread=st.sampled_from([1, 50_000, 3_000_000_000]),
    zone=st.sampled_from(ZONES),
    naive=st.booleans(),
)
def test_rows_are_counted_by_the_day_of_the_zone(seconds: list[int], spread: int, zone: str, naive: bool) -> None:
    start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    times = [start + dt.timedelta(seconds=second % (2 * spread) - spread, microseconds=7) for second in seconds]
    found = rows_by_day(table(times, "timestamp" if naive else "timestamp('UTC')"), "time", ZoneInfo(zone))
    days = pd.Series(pd.to_datetime(times, utc=True)).dt.tz_convert(zone).dt.date
    assert dict(found) == days.value_counts().to_dict()
    assert [day for day, _ in found] == sorted(days.unique())


def test_new_york_is_cut_at_its_own_midnights_through_both_changes_of_the_clock() -> None:
    for start, end, hours, cuts in [
        ("2013-03-06", "2013-03-16", 23, ["2013-03-10T00:00:00-05:00", "2013-03-11T00:00:00-04:00"]),
        ("2013-10-30", "2013-11-09", 25, ["2013-11-03T00:00:00-04:00", "2013-11-04T00:00:00-05:00"]),
    ]:
        times = instants(start, end, "1h")
        change = [str(cut)[:10] for cut in cuts]
        local = pd.Series(times).dt.tz_convert(NEW_YORK)
        shares = (local < pd.Timestamp(change[0], tz=NEW_YORK)).mean(), hours / len(times)
        exact = check_shares("shares", [shares[0], shares[1], 1 - sum(shares)])
        assigned, found = by_time(table(times), "time", NEW_YORK, exact, "part")
        assert found == cuts
        rows = assigned.order_by("id").to_pyarrow().to_pandas()
        assert (rows.part == "validation").sum() == hours, "the day of the change alone is the part in the middle"
        assert set(local[rows.part == "validation"].dt.strftime("%Y-%m-%d")) == {change[0]}


@pytest.mark.parametrize("zone", ZONES)
def test_no_local_day_is_in_two_parts(zone: str) -> None:
    times = instants("2018-10-30", "2018-11-09", "30min")
    assigned, cuts = by_time(table(times), "time", zone, SHARES, "part")
    rows = assigned.order_by("id").to_pyarrow().to_pandas()
    days = pd.Series(pd.to_datetime(times)).dt.tz_convert(zone).dt.date
    assert (rows.groupby(days).part.nunique() == 1).all()
    for cut, part in zip(cuts, ("validation", "test"), strict=True):
        assert pd.Timestamp(cut) <= rows.time[rows.part == part].min() < pd.Timestamp(cut) + pd.Timedelta("30min")
        assert pd.Timestamp(cut).utcoffset() == pd.Timestamp(cut).tz_convert(zone).utcoffset()


def test_a_day_begins_when_the_clock_shows_it_first() -> None:
    first = {
        ("America/Sao_Paulo", dt.date(2018, 11, 4)): "2018-11-04T01:00:00-02:00",  # midnight was skipped
        ("America/Havana", dt.date(2013, 11, 3)): "2013-11-03T00:00:00-04:00",  # and here it came twice
        ("Pacific/Apia", dt.date(2011, 12, 31)): "2011-12-31T00:00:00+14:00",  # the day before was skipped whole
    }
    assert {key: first_moment(key[1], ZoneInfo(key[0])).isoformat() for key in first} == first


def test_dates_are_days_already() -> None:
    dates = [dt.date(2013, 3, 1) + dt.timedelta(days=i // 3) for i in range(30)]
    assigned, cuts = by_time(table(dates, "date"), "time", NEW_YORK, SHARES, "part")
    assert cuts == ["2013-03-07T00:00:00-05:00", "2013-03-09T00:00:00-05:00"]
    parts = assigned.order_by("id").part.to_pyarrow().to_pylist()
    assert parts == ["train"] * 18 + ["validation"] * 6 + ["test"] * 6


@pytest.mark.parametrize(("kind", "value"), [("string", "2013-01-01"), ("int64", 20130101), ("float64", 1.5)])
def test_a_time_that_is_no_time_is_refused_in_a_line(kind: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"time column 'time' is {kind}, .* type: timestamp.*'stratified'"):
        by_time(table([value] * 9, kind), "time", "UTC", SHARES, "part")


def test_a_zone_or_column_that_is_not_there_is_refused() -> None:
    rows = table(instants("2013-01-01", "2013-01-05", "1h"))
    for zone in ("Mars/Olympus", "", "../etc/passwd"):
        with pytest.raises(BadInput, match=r"time zone .* is unknown; use a name such as UTC or America/New_York"):
            by_time(rows, "time", zone, SHARES, "part")
    with pytest.raises(BadInput, match="no column 'when'"):
        by_time(rows, "when", "UTC", SHARES, "part")


def test_the_cut_of_a_microsecond() -> None:
    edge = dt.datetime(2013, 1, 3, 5, tzinfo=dt.UTC)
    times = [edge + i * dt.timedelta(days=1) for i in range(-9, 10)]
    times += [edge - dt.timedelta(microseconds=1), edge]
    assigned, _ = by_time(table(times), "time", NEW_YORK, check_shares("shares", [0.5, 0.25, 0.25]), "part")
    rows = assigned.order_by("id").to_pyarrow().to_pandas()
    days = rows.time.dt.tz_convert(NEW_YORK).dt.date
    assert (rows.groupby(days).part.nunique() == 1).all()
    assert np.unique(rows.part).tolist() == ["test", "train", "validation"]


ENDS = st.integers(-30 * 3600, 30 * 3600)
ZONES = ("America/New_York", "Pacific/Kiritimati", "Asia/Tokyo", "Asia/Manila", "America/Juneau", "UTC", "Etc/GMT+12")


@given(zone=st.sampled_from(ZONES), early=st.lists(ENDS, min_size=1), late=st.lists(ENDS, min_size=1))
def test_the_calendars_ends_have_days_in_every_zone(zone: str, early: list[int], late: list[int]) -> None:
    """What the zone's clocks lift over the first day or the last counts to that day; of all others Python says it."""
    epoch = dt.datetime(1970, 1, 1)
    least, most = (
        int((edge - epoch).total_seconds()) for edge in (dt.datetime.min, dt.datetime(9999, 12, 31, 23, 59, 59))
    )
    seconds = np.clip([least + abs(n) for n in early] + [most - abs(n) for n in late] + early, least, most)
    found = day_numbers(seconds, ZoneInfo(zone))
    for moment, number in zip(seconds.tolist(), found.tolist(), strict=True):
        try:
            local = (epoch + dt.timedelta(seconds=moment)).replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone))
        except OverflowError:
            assert number == (1 if moment < 0 else dt.date.max.toordinal())
        else:
            assert number == local.date().toordinal()

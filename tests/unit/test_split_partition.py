"""Parts by time follow each other; parts at random keep each class's shares."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.parameters.split import PARTS, check_shares
from sluice.sampling.partition import at_random, by_time

ENGINE = duckdb_engine(threads=1)
PART = "_part"
SHARES = check_shares("shares", [0.7, 0.15, 0.15])
START = datetime(2013, 1, 1, tzinfo=UTC)
ANY_SHARES = st.tuples(st.integers(1, 90), st.integers(1, 90)).map(
    lambda parts: check_shares("shares", [parts[0] / 200, parts[1] / 200, round(1 - sum(parts) / 200, 3)])
)


def make(times: list[datetime | None] | None = None, labels: list[int] | None = None, zone: str = "UTC") -> ibis.Table:
    count = len(times or labels or [])
    columns = {"id": list(range(count)), "time": times or [START] * count, "label": labels or [0] * count}
    schema = {"id": "int64", "time": f"timestamp('{zone}')" if zone else "timestamp", "label": "int64"}
    return ENGINE.create_table("t", ibis.memtable(pd.DataFrame(columns, dtype=object), schema=schema), overwrite=True)


def test_shares_are_checked() -> None:
    assert check_shares("shares", [0.7, 0.15, 0.15]) == (Fraction(7, 10), Fraction(3, 20), Fraction(3, 20))
    assert check_shares("shares", [1 / 3, 1 / 3, 1 / 3])[0] == Fraction("0.3333333333333333")
    for shares, named in [
        ([0.5, 0.5], "three numbers above 0, for train, validation, test"),
        ([1.0, 0.0, 0.0], "three numbers above 0"),
        ([-0.1, 0.6, 0.5], "three numbers above 0"),
        ([0.5, 0.1, 0.1], "adds up to 0.7"),
        (["x", 0.1, 0.1], "no number"),
        ([float("nan"), 0.1, 0.1], "no number"),
    ]:
        with pytest.raises(BadInput, match=f"parameter 'shares' is .*{named}"):
            check_shares("shares", shares)


@settings(max_examples=30)
@given(
    days=st.lists(st.integers(-400, 400), min_size=3, max_size=60).filter(lambda found: len(set(found)) >= 3),
    shares=ANY_SHARES,
    zone=st.sampled_from(["UTC", ""]),
)
def test_parts_by_time_never_overlap(days: list[int], shares: tuple[Fraction, ...], zone: str) -> None:
    times: list[datetime | None] = [START + timedelta(days=day, hours=i % 24) for i, day in enumerate(days)]
    assigned, cuts = by_time(make(times, zone=zone), "time", "UTC", shares, PART)
    rows = assigned.to_pyarrow().to_pandas()
    assert len(rows) == len(days)
    spans = [rows[rows[PART] == part].time.dt.floor("D") for part in PARTS]
    assert all(len(span) for span in spans), "each part has a day at least"
    assert spans[0].max() < spans[1].min()
    assert spans[1].max() < spans[2].min()
    found = [pd.Timestamp(span.min()).tz_localize("UTC") if not zone else span.min() for span in spans]
    assert [moment.isoformat() for moment in found[1:]] == cuts


def test_cuts_are_the_midnights_nearest_to_the_shares() -> None:
    hours = [START + timedelta(hours=h) for h in range(24 * 20)]
    assigned, cuts = by_time(make([*hours]), "time", "UTC", SHARES, PART)
    assert cuts == ["2013-01-15T00:00:00+00:00", "2013-01-18T00:00:00+00:00"]
    assert assigned.group_by(PART).agg(n=assigned.count()).order_by("n").n.to_pyarrow().to_pylist() == [72, 72, 336]


def test_one_crowded_day_leaves_the_others_to_the_other_parts() -> None:
    times: list[datetime | None] = [START] * 97 + [START + timedelta(days=d) for d in (1, 2, 3)]
    assert by_time(make(times), "time", "UTC", SHARES, PART)[1] == [
        "2013-01-02T00:00:00+00:00",
        "2013-01-03T00:00:00+00:00",
    ]
    times = [START - timedelta(days=d) for d in (1, 2, 3)] + [START] * 97
    assert by_time(make(times), "time", "UTC", SHARES, PART)[1] == [
        "2012-12-31T00:00:00+00:00",
        "2013-01-01T00:00:00+00:00",
    ]


def test_times_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(BadInput, match=r"lie on 2 days of 'time', too few for a split by time; use .*'stratified'"):
        by_time(make([START, START + timedelta(days=1)]), "time", "UTC", SHARES, PART)
    with pytest.raises(BadInput, match="column 'time' is missing in some rows"):
        by_time(make([START, None, START + timedelta(days=1)]), "time", "UTC", SHARES, PART)


@settings(max_examples=30)
@given(labels=st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=200), shares=ANY_SHARES)
def test_random_parts_keep_each_class_to_the_nearest_row(labels: list[int], shares: tuple[Fraction, ...]) -> None:
    rows = at_random(make(labels=labels), ["id"], "label", shares, 1, PART).to_pyarrow().to_pandas()
    assert sorted(rows.id) == list(range(len(labels)))
    for label, group in rows.groupby("label"):
        counts = [int((group[PART] == part).sum()) for part in PARTS]
        assert sum(counts) == labels.count(label)
        assert all(abs(n - share * len(group)) <= 1 for n, share in zip(counts, shares, strict=True))
        assert abs(counts[0] - shares[0] * len(group)) <= Fraction(1, 2)


def test_random_parts_follow_the_seed_and_not_the_order_of_rows() -> None:
    table = make(labels=[0, 1] * 500)
    first, again, other = (
        t.order_by("id")[PART].to_pyarrow().to_pylist()
        for t in (
            at_random(table, ["id"], "label", SHARES, 1, PART),
            at_random(table.order_by(ibis.desc("id")), ["id"], "label", SHARES, 1, PART),
            at_random(table, ["id"], "label", SHARES, 2, PART),
        )
    )
    assert first == again
    assert 0.4 < sum(a == b for a, b in zip(first, other, strict=True)) / 1000 < 0.7, "agreeing by chance only"
    places = pd.Series(first[::2]).eq("train").to_numpy().nonzero()[0]
    assert 0.45 < places.mean() / 500 < 0.55, "the rows of training lie all over the table"

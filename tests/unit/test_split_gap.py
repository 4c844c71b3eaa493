"""A label that is known only later: nobody learns from it before, and what the gap leaves out is told."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.split.run import run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.parameters.split import PARTS, check_gap, check_shares
from sluice.problems.task import Task, task_of
from sluice.sampling.partition import UNKNOWN, by_time
from sluice.storage.locations import default_store

ENGINE = duckdb_engine(threads=1)
SHARES = check_shares("shares", [0.6, 0.2, 0.2])
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400
TASK = Task("sold", "Sold?", "sold", ("no", "yes"), ("id",), numeric=("x",), time="time")


def table(times: list[datetime] | list[date], kind: str) -> ibis.Table:
    frame = pd.DataFrame({"id": range(len(times)), "time": times}, dtype=object)
    return ENGINE.create_table("t", ibis.memtable(frame, schema={"id": "int64", "time": kind}), overwrite=True)


@settings(max_examples=10, deadline=None)
@given(
    hours=st.lists(st.integers(0, 24 * 400), min_size=30, max_size=80, unique=True),
    gap=st.sampled_from([1, 3600, DAY - 1, DAY, 7 * DAY]),
    zone=st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland"]),
)
def test_no_label_of_a_part_is_unknown_when_the_next_begins(hours: list[int], gap: int, zone: str) -> None:
    """Recomputed by pandas, on the clock of UTC, over days on which clocks change."""
    times = [START + timedelta(hours=hour) for hour in hours]
    try:
        assigned, cuts = by_time(table(times, "timestamp('UTC')"), "time", zone, SHARES, "_part", gap)
    except BadInput as error:
        few = ("leaves no row of part", "too few for a split by time")
        assert any(words in str(error) for words in few)  # noqa: PT017 - these rows may be too few, the gap too long
        return
    rows = assigned.to_pyarrow().to_pandas()
    known = rows["time"] + pd.Timedelta(seconds=gap)
    begins = [pd.Timestamp(cut).tz_convert("UTC") for cut in cuts]
    for part, begin, later in zip(PARTS, begins, PARTS[1:], strict=False):
        assert (known[rows["_part"] == part] <= begin).all()
        left = rows["_part"] == UNKNOWN.format(later)
        assert (known[left] > begin).all()
        assert (rows["time"][left] < begin).all()
    assert (rows["time"][rows["_part"] == "test"] >= begins[1]).all()
    assert (rows["time"][rows["_part"] == "validation"] >= begins[0]).all()
    whole, same = by_time(table(times, "timestamp('UTC')"), "time", zone, SHARES, "_part")
    assert same == cuts, "a gap moves no cut"
    before = whole.to_pyarrow().to_pandas()
    kept = rows["_part"].isin(PARTS)
    assert (before.set_index("id")["_part"][rows["id"][kept]].to_numpy() == rows["_part"][kept].to_numpy()).all()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("gap", [1, DAY, 3 * DAY, 3 * DAY + 1])
def test_a_date_stands_for_its_first_moment(gap: int, zone: str) -> None:
    days = [date(2024, 2, 20) + timedelta(days=number) for number in range(40)]  # over 10 March, a day of 23 hours
    assigned, cuts = by_time(table(days, "date"), "time", zone, SHARES, "_part", gap)
    rows = assigned.to_pyarrow().to_pandas()
    for name, cut in zip(PARTS, cuts, strict=False):
        begin = datetime.fromisoformat(cut).astimezone(UTC)
        for day in rows["time"][rows["_part"] == name]:
            first = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
            assert first + timedelta(seconds=gap) <= begin
    left = rows[~rows["_part"].isin(PARTS)]
    assert len(left) == 2 * (-(-gap // DAY) - 1), "the days whose label is not known yet, before each cut"


def test_what_is_learned_through_a_label_that_overlaps_is_gone_with_the_gap() -> None:
    """Labels that are means of the 30 days after their row: without a gap the last one learned tells the first."""
    lag, days, series = 30, 400, 300
    times = [START + timedelta(days=number) for number in range(days)]
    noise = np.random.default_rng(4).normal(size=(series, days + lag))
    labels = np.stack([noise[:, day : day + lag].mean(axis=1) for day in range(days)], axis=1)
    correlations = {}
    for gap in (0, lag * DAY):
        assigned, _ = by_time(table(times, "timestamp('UTC')"), "time", "UTC", SHARES, "_part", gap)
        parts = assigned.order_by("id").to_pyarrow()["_part"].to_pylist()
        last = max(place for place, part in enumerate(parts) if part == "train")
        first = parts.index("validation")
        correlations[gap] = np.corrcoef(labels[:, last], labels[:, first])[0, 1]
    assert correlations[0] > 0.9
    assert abs(correlations[lag * DAY]) < 4 / np.sqrt(series)


def publish(task: Task, rows: int = 400, **columns: list[float]) -> Bundle:
    times = [START + timedelta(hours=6 * number) for number in range(rows)]
    frame = pd.DataFrame({"id": range(rows), "x": range(rows), "time": times})
    frame[task.label] = columns.get(task.label, [int(number % 4 == 0) for number in range(rows)])
    kinds = {"id": "int64", "x": "int64", "time": "timestamp('UTC')"}
    kinds[task.label] = "float64" if task.regression else "int64"
    made = duckdb_engine().create_table("made", ibis.memtable(frame.astype(object), schema=kinds))
    return write_dataset(
        default_store(), {"rows": made.order_by("id")}, producer("prepare", {}), details=task.details()
    )


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


def split(source: Bundle, strategy: str = "time", gap: str = "") -> Bundle:
    shares = [0.6, 0.2, 0.2]
    return run(source.uri, strategy=strategy, shares=shares, seed=1, gap=gap, summary=home() / "summary.md")


@pytest.mark.usefixtures("own_home")
def test_the_gap_is_as_long_as_the_label_takes_unless_it_is_said() -> None:
    late = replace(TASK, label_lag_seconds=5.0 * DAY)
    source = publish(late)
    found = {gap: split(source, gap=gap) for gap in ("", "0s", "10d")}
    design = found[""].manifest.design
    assert (design["gap"], found["10d"].manifest.design["gap"]) == ("5d", "10d")
    assert design["left_out"] == {UNKNOWN.format(part): 19 for part in ("validation", "test")}
    assert "gap" not in found["0s"].manifest.design
    assert "left_out" not in found["0s"].manifest.design
    rows = {gap: sum(table.rows for table in bundle.manifest.tables.values()) for gap, bundle in found.items()}
    assert rows == {"": 400 - 38, "0s": 400, "10d": 400 - 78}
    assert task_of(found[""]) == late
    text = (home() / "summary.md").read_text()
    assert "with a gap of 10d before each" in text
    assert "Left out: 39 label not known when test begins, 39 label not known when validation begins." in text
    assert split(source).id == found[""].id
    assert "gap" not in split(publish(TASK)).manifest.design, "nobody said when the label is known"


@pytest.mark.usefixtures("own_home")
def test_a_number_is_split_and_told_by_its_least_middle_and_greatest_value() -> None:
    task = Task("price", "Price?", "price", (), ("id",), numeric=("x",), time="time", problem="regression")
    source = publish(replace(task, label_lag_seconds=1.0 * DAY), price=[float(number) for number in range(400)])
    for strategy in ("time", "stratified", "random"):
        bundle = split(source, strategy)
        parts = bundle.manifest.design["parts"]
        assert sum(part["rows"] for part in parts.values()) == (400 - 6 if strategy == "time" else 400)
        if strategy == "stratified":
            assert {name: part["rows"] for name, part in parts.items()} == {"train": 240, "validation": 80, "test": 80}
            assert all(abs(part["label"]["median"] - 199.5) < 20 for part in parts.values())
        if strategy == "time":
            assert parts["train"]["label"] == {"least": 0.0, "median": 118.0, "greatest": 236.0}
        assert "| part | rows | share | least | median | greatest |" in (home() / "summary.md").read_text()


@pytest.mark.usefixtures("own_home")
def test_gaps_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="parameter 'gap': 'soon' is no duration"):
        check_gap("gap", "soon")
    assert (check_gap("gap", ""), check_gap("gap", "0s"), check_gap("gap", "2d")) == (None, 0, 2 * DAY)
    source = publish(TASK)
    with pytest.raises(BadInput, match="gap='5d' is for a split by time, and this one is by stratified"):
        split(source, "stratified", "5d")
    with pytest.raises(BadInput, match=r"a gap of 21 days leaves no row of part 'validation'.*a shorter gap"):
        split(source, gap="21d")

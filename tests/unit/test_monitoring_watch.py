"""Windows of a world that shifts in known ways: what is found, what it is called, and that calm windows stay calm."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.contract.reading import Column
from sluice.monitoring import watching
from sluice.monitoring.judged_rows import JudgedRows
from sluice.monitoring.performance import Wanted, estimated_performance, measured, true_performance
from sluice.monitoring.records import WatchSettings, WatchState, WindowRecord
from sluice.monitoring.row_tables import connection, form_of, open_table
from sluice.monitoring.watching import Watch
from tests.unit import shift_world as world

DAILY = 500
CONTRACT = {"distance": Column("float64", unit="miles"), "load": Column("float64"), "carrier": Column("string")}
Judge = Callable[..., WindowRecord]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Judges the first week of a shift; the watch forgets it again."""
    folder = tmp_path_factory.mktemp("watch")
    pq.write_table(world.table(world.rows(0, 42, 5, DAILY), "binary", 5), folder / "reference.parquet")
    with connection() as opened:
        table = open_table(folder / "reference.parquet", opened)
        settings = WatchSettings(metric="accuracy", span="week", rows=5000)
        watch = Watch(table, form_of(table, "outcome", "at"), settings, CONTRACT, model="demo/1")

        def first_window(shift: str, *, labelled: bool = False) -> WindowRecord:
            watch._detectors.sums, watch._known = {}, set()
            given, told = world.shifted(shift, 70, 7, 100, daily=DAILY)
            pq.write_table(world.table(given, "binary", 100, told, labelled=labelled), folder / "now.parquet")
            return watch.judge(open_table(folder / "now.parquet", opened), shift)

        yield first_window


@pytest.mark.parametrize(
    ("shift", "fault", "column", "clause"),
    [
        ("nulls", "missing values", "load", "contract, columns.load.nullable: false"),
        ("new category", "new values", "carrier", "the contract says nothing in columns.carrier.values"),
        ("unit change", "other unit", "distance", "contract, columns.distance.unit: miles"),
        ("truncation", "cut off above", "load", "the contract says nothing in columns.load.range"),
        ("duplicates", "repeated rows", "", "the table's key"),
    ],
)
def test_broken_data_is_called_so_and_points_to_the_contract(
    judge: Judge, shift: str, fault: str, column: str, clause: str
) -> None:
    found = judge(shift)
    assert [(each.kind, each.column) for each in found.faults] == [(fault, column)]
    [alarm] = found.alarms
    assert alarm.title.startswith(f"data broke: {fault}")
    assert alarm.clause == clause
    assert 1 <= len(alarm.rows) <= 5
    if shift == "nulls":
        assert all(row["load"] == "(missing)" and row["order_id"] == "***" for row in alarm.rows)
        assert found.estimated is not None
        assert found.estimated.state == "cannot be estimated"
    if shift == "new category":
        assert all(row["carrier"] == "Z9" for row in alarm.rows)


def test_a_number_that_only_grows_with_time_hides_nothing(tmp_path: Path) -> None:
    """Each window lies beyond the reference in it; performance is estimated all the same, and nothing has moved."""

    def fortnights(name: str, start: int, days: int, seed: int) -> Path:
        table = world.table(world.rows(start, days, seed, DAILY), "binary", seed)
        moments = table.column("at").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
        pq.write_table(table.append_column("fortnight", pa.array(moments // 1_209_600_000_000)), tmp_path / name)
        return tmp_path / name

    with connection() as opened:
        table = open_table(fortnights("reference.parquet", 0, 42, 5), opened)
        settings = WatchSettings(metric="accuracy", span="week", rows=5000)
        watch = Watch(table, form_of(table, "outcome", "at"), settings, model="demo/1")
        found = watch.judge(open_table(fortnights("now.parquet", 70, 7, 100), opened), "calm")
    assert found.estimated is not None
    assert found.estimated.state != "cannot be estimated", found.estimated.reason
    assert found.estimated.metrics["accuracy"].value > 0.5
    assert not found.alarms
    assert "fortnight" not in {each.column for each in found.inputs}
    assert any("fortnight only grows with time" in each for each in found.notes)


def test_rows_that_the_model_cannot_tell_page_without_a_label(judge: Judge) -> None:
    found = judge("hard rows")
    [alarm] = found.alarms
    assert (alarm.severity, alarm.title) == ("page", "accuracy is estimated to be worse")
    assert "load" in alarm.cause
    assert found.estimated is not None
    assert found.estimated.state == "told"
    assert found.estimated.metrics["accuracy"].worse > 0.05
    assert any("cannot be seen without labels" in each for each in found.estimated.assumptions)


def test_the_worst_groups_are_those_that_grew(judge: Judge) -> None:
    worst = judge("subpopulation").slices
    assert ("region", "islands") in {(each.column, each.group) for each in worst}
    assert all(each.added > 0 for each in worst)


def test_a_concept_that_changed_is_seen_by_labels_alone(judge: Judge) -> None:
    assert judge("concept").alarms == ()
    [alarm] = judge("concept", labelled=True).alarms
    assert (alarm.severity, alarm.title) == ("page", "accuracy is worse")
    assert "concept" in alarm.cause
    assert alarm.command.startswith("sluice rollback demo/1")


@pytest.mark.parametrize("shift", ["none (weekly season)", "season (heat)"])
def test_calm_weeks_and_a_drift_of_one_feature_alarm_nobody(judge: Judge, shift: str) -> None:
    found = judge(shift)
    assert found.alarms == ()
    heat = next(each for each in found.inputs if each.column == "heat")
    assert (heat.distance > heat.margin) == (shift != "none (weekly season)")


def test_a_lost_column_is_a_fault_and_no_crash(judge: Judge, tmp_path: Path) -> None:
    reference, now = tmp_path / "r.parquet", tmp_path / "n.parquet"
    pq.write_table(world.table(world.rows(0, 7, 5, 200), "binary", 5), reference)
    pq.write_table(world.table(world.rows(7, 7, 6, 200), "binary", 6).drop_columns(["load"]), now)
    with connection() as opened:
        table = open_table(reference, opened)
        found = Watch(table, form_of(table, "outcome"), WatchSettings(metric="accuracy")).judge(
            open_table(now, opened), "n"
        )
    assert found.faults[0].words == "load is missing from the table"
    assert found.alarms[0].severity == "page"
    assert found.estimated is not None
    assert found.estimated.reason == "column 'load' is missing"


def test_one_alarm_a_cause_over_windows_and_a_state_that_is_kept(tmp_path: Path) -> None:
    reference = tmp_path / "r.parquet"
    pq.write_table(world.table(world.rows(0, 14, 5, 300), "binary", 5), reference)
    with connection() as opened:
        table = open_table(reference, opened)
        state, news = WatchState(), []
        for week in range(3):
            given, told = world.shifted("nulls", 70 + 7 * week, 7, week, daily=300)
            pq.write_table(world.table(given, "binary", week, told, labelled=False), tmp_path / "n.parquet")
            watch = Watch(table, form_of(table, "outcome"), WatchSettings(metric="accuracy", rows=2000), state=state)
            found = watch.judge(open_table(tmp_path / "n.parquet", opened), str(week))
            state = WatchState.model_validate_json(watch.state.model_dump_json(by_alias=True))
            news += [each.new for each in found.alarms]
    assert news == [True, False, False]


def test_labels_that_come_later_take_the_estimate_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = tmp_path / "r.parquet"
    pq.write_table(world.table(world.rows(0, 14, 5, 300), "binary", 5), reference)
    given, told = world.shifted("concept", 70, 7, 3, daily=300)
    estimates: list[int] = []
    real = watching.estimated_performance
    monkeypatch.setattr(watching, "estimated_performance", lambda *them: estimates.append(1) or real(*them))
    with connection() as opened:
        table = open_table(reference, opened)
        found = []
        for watch in [Watch(table, form_of(table, "outcome"), WatchSettings(metric="accuracy", rows=2000))] * 2:
            pq.write_table(world.table(given, "binary", 3, told, labelled=False), tmp_path / "n.parquet")
            first = watch.judge(open_table(tmp_path / "n.parquet", opened), "week", unweighed=("by labels",))
            pq.write_table(world.table(given, "binary", 3, told, labelled=True), tmp_path / "n.parquet")
            found.append(watch.judge_labels(open_table(tmp_path / "n.parquet", opened), "week", first, weigh=True))
            assert len(estimates) == 1
    assert found[0].by_labels == found[1].by_labels
    assert found[0].by_labels is not None
    assert found[0].by_labels.labelled == found[0].rows
    assert found[0].estimated is not None
    assert found[0].estimated.labelled == 0


def rows(count: int, labelled: float = 1.0, seed: int = 1) -> JudgedRows:
    generator = np.random.default_rng(seed)
    positive = generator.random(count)
    labels = (generator.random(count) < positive).astype(float)
    labels[generator.random(count) > labelled] = np.nan
    return JudgedRows("binary", np.column_stack([1 - positive, positive]), positive[:, None], labels=labels)


def test_too_few_rows_are_not_enough_and_say_how_many_would_be() -> None:
    reference = rows(5000)
    known, wanted = measured(reference), Wanted("accuracy")
    found, _ = estimated_performance(reference, known, rows(60, seed=2), wanted)
    assert (found.state, found.reason) == (
        "not enough",
        "60 rows against 5,000 labelled ones of the reference; 100 and 200 are the least",
    )
    small = true_performance(known, rows(400, seed=3), wanted)
    assert small.state == "not enough"
    needed = small.metrics["accuracy"].least_rows
    spread = np.sqrt(known.values["accuracy"] * (1 - known.values["accuracy"]))
    room = wanted.effect - 1.645 * known.errors["accuracy"]
    assert needed == pytest.approx(((wanted.surprise + 1.2816) * spread / room) ** 2, rel=0.2)
    assert f"400 rows; {needed:,} show" in small.reason


def test_rows_beside_the_reference_are_refused() -> None:
    reference, known = rows(3000), measured(rows(3000))
    away = rows(1500, seed=2)
    away = replace(away, features=away.features + 5)
    found, _ = estimated_performance(reference, known, away, Wanted("accuracy"))
    assert found.state == "cannot be estimated"
    assert found.metrics == {}


def test_labels_of_chosen_rows_do_not_speak_for_all() -> None:
    chosen = rows(4000, seed=4)
    granted = chosen.values[:, 1] < 0.5
    biased = replace(chosen, labels=np.where(granted, chosen.labels, np.nan))
    known = measured(rows(5000))
    refused = true_performance(known, biased, Wanted("accuracy"))
    assert refused.state == "cannot be estimated"
    assert "label a random part" in refused.reason
    assert true_performance(known, rows(4000, 0.5, seed=4), Wanted("accuracy")).state != "cannot be estimated"

"""`sluice operate --dry-run`: windows as the monitor leaves them in the store, replayed, and nothing changed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice.cli.dry_run import dry_run
from sluice.core.errors import BadInput
from sluice.monitoring.log_states import LogState, SeenWindow, write_state
from sluice.monitoring.records import MetricRecord, PerformanceRecord, WatchSettings, WatchState, WindowRecord
from sluice.operator.on_cluster.windows_seen import look_at_windows
from sluice.operator.on_laptop.documents import Operated, read_operated
from sluice.operator.on_laptop.windows_seen import WindowReader
from sluice.running.window_records import publish_window
from sluice.storage.locations import default_store

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = timedelta(days=7)
PROJECT = """schema: 1
name: houses
data: data
rows: {table: houses, key: [house], time: day}
label: {column: sold, positive: "1"}
"""
TRAINING = """apiVersion: sluice.dev/v1alpha1
kind: ContinuousTraining
metadata: {name: houses}
spec:
  project: houses
  model: houses
  triggers: [{name: data, data: {}}]
  labelDelay: 7d
  cost: {currency: EUR, perRun: 10, perUnitLoss: 0.01, rowsPerDay: 10000, horizon: 91d}
"""


@pytest.fixture
def operated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operated:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    (tmp_path / "sluice.yaml").write_text(PROJECT)
    (tmp_path / "operate.yaml").write_text(TRAINING)
    return read_operated(tmp_path)


def watched(worse: list[float]) -> None:
    """Weeks of version 1 in the store, as `sluice monitor` leaves them; too few rows for an alarm."""
    store, settings, seen = default_store(), WatchSettings(metric="log_loss", span="week"), list[SeenWindow]()
    for week, value in enumerate(worse):
        metric = MetricRecord(
            value=0.5 + value, low=0.49 + value, high=0.51 + value, reference=0.5, worse=value / 0.5, least_rows=90_000
        )
        told = PerformanceRecord(
            how="labels", state="not enough", reason="70,000 rows", rows=70_000, labelled=70_000,
            metrics={"log_loss": metric}, effective_rows=None, foreign=None, assumptions=(),
        )  # fmt: skip
        begin = BEGIN + week * WEEK
        record = WindowRecord(
            name=f"week {week}", rows=70_000, reference_rows=9, by_labels=told, estimated=None, slices=(), faults=(),
            outputs=(), inputs=(), evidence={}, alarms=(), notes=(),
        )  # fmt: skip
        made = publish_window(store, record, settings, "houses/1", "test rows", ())
        seen.append(
            SeenWindow(name=record.name, begin=begin, end=begin + WEEK, rows=70_000, weighed=True, datasets=(made.id,))
        )
    state = LogState(
        digest="d", settings=settings, reference=(), until=seen[-1].end, looked=seen[-1].end, watch=WatchState(),
        windows=tuple(seen),
    )  # fmt: skip
    write_state(store, "houses", "1", state)


def test_a_quarter_is_told_as_a_table_and_as_json(operated: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    watched([0.0] * 6 + [0.05] * 10)
    dry_run(operated, "84d", as_json=False)
    said = capsys.readouterr().out
    for words in ("houses, 2026-02-02 to 2026-04-27, by 16 windows; money in EUR", "policy: cost", "never"):
        assert words in said
    dry_run(operated, "84d", as_json=True)
    body = json.loads(capsys.readouterr().out)
    names = [each["name"] for each in body["tried"]]
    assert (names[:2], names[3:]) == (["policy: cost", "as it was done"], ["never", "hindsight"])
    assert body["tried"][0]["runs"]
    assert all("over 91d" in each["words"] for each in body["decisions"])
    assert not (Path(operated.path).parent / "home" / "operator").exists()  # nothing was decided or begun


def test_both_readers_say_how_much_worse_in_the_metrics_unit(operated: Operated) -> None:
    del operated
    watched([0.0, 0.1])
    store = default_store()
    reader = WindowReader(store)
    assert reader.versions("houses") == ("1",)
    laptop, cluster = reader.windows("houses", ["1"]), look_at_windows(store, "houses", "1")
    for windows in (laptop, cluster):
        (metric,) = windows[-1].metrics
        assert metric.worse == pytest.approx(0.1)
        assert not metric.enough  # so no trigger and no rollback acts on it


@pytest.mark.parametrize(
    ("last", "text", "words"),
    [
        ("2x", TRAINING, "--last: '2x' is no duration"),
        ("91d", TRAINING, "model houses: 0 windows of the last 91 days"),
        ("91d", TRAINING.partition("  cost:")[0], "give cost.perRun and cost.perUnitLoss"),
    ],
)
def test_what_it_lacks_is_said_in_one_line(operated: Operated, last: str, text: str, words: str) -> None:
    operated.path.write_text(text)
    with pytest.raises(BadInput) as refused:
        dry_run(read_operated(operated.path), last, as_json=False)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)

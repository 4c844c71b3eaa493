"""`sluice monitor MODEL` on the log in the store, run after run, as a CronJob calls it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from sluice.artifacts.provenance import find_bundle
from sluice.cli.main import app
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.monitoring.log_states import read_state
from sluice.monitoring.records import MetricRecord, PerformanceRecord
from sluice.registry.predicting import opened_model
from sluice.reporting.pages import sections_of
from sluice.reporting.versions_section import ShownVersion, versions_section
from sluice.running.window_records import empty_window
from sluice.serving.watched_numbers import WatchedNumbers
from sluice.storage.locations import default_store
from tests.unit import log_world, predict_world
from tests.unit.predict_world import Registered

BEGIN = datetime(2031, 3, 3, tzinfo=UTC)
DAY = timedelta(days=1)


def monitor(*words: str) -> tuple[int, str]:
    """The command: exit code, and what it printed or why it refused."""
    done = CliRunner().invoke(app, ["monitor", *words])
    if isinstance(done.exception, BadInput | EnvironmentFault):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def day(number: int, rows: int = 300) -> tuple[pd.DataFrame, list[datetime]]:
    """Houses of a day with their moments."""
    frame = predict_world.houses(rows, seed=50 + number)
    frame["area"] = frame.area.where(frame.area.isna() | (frame.area < 300), 150.0)
    return frame, [BEGIN + number * DAY + (n + 0.5) * DAY / rows for n in range(rows)]


def until(days: int) -> tuple[str, str]:
    return "--until", (BEGIN + days * DAY + timedelta(hours=1)).isoformat()


def test_each_run_judges_the_windows_that_are_over_and_again_those_whose_labels_came(
    projects: Registered, tmp_path: Path
) -> None:
    del projects
    days = [day(number) for number in range(3)]
    broken = days[2][0].assign(area=days[2][0].area.where(days[2][0].index % 2 == 0, None))
    for frame, moments in (*days[:2], (broken, days[2][1])):
        log_world.answered("houses", frame, moments, tmp_path / "spool")
    log_world.labels("houses", days[0][0][["id", "price"]], BEGIN + 2 * DAY + timedelta(hours=2))

    code, printed = monitor("houses", *until(2), "--json")
    assert code == 0, printed
    [told] = json.loads(printed)["versions"]
    assert (told["version"], told["new"], told["restated"]) == ("houses/1", ["2031-03-03", "2031-03-04"], [])
    assert [window["rows"] for window in told["windows"]] == [300, 300]
    assert all(window["by_labels"] is None for window in told["windows"])
    assert "80 test rows of houses/1" in told["reference"]

    code, printed = monitor("houses", *until(2))
    assert code == 0
    assert "houses/1: no new windows" in printed

    code, printed = monitor("houses", *until(3), "--page", str(tmp_path / "own.html"), "--json")
    assert code == 3, printed
    body = json.loads(printed)
    [told] = body["versions"]
    assert (told["new"], told["restated"]) == (["2031-03-05"], ["2031-03-03"])
    again, last = told["windows"]
    assert again["by_labels"]["labelled"] == 300
    with opened_model("houses") as opened:
        said = opened.predict(pa.Table.from_pandas(days[0][0], preserve_index=False)).table.to_pandas()
    assert again["by_labels"]["metrics"]["mae"]["value"] == pytest.approx(
        abs(said.prediction - days[0][0].price).mean()
    )
    assert last["alarms"][0]["title"] == "data broke: missing values of area"

    store = default_store()
    page = store.get_bytes("monitoring/houses/latest.html").decode()
    assert body["page"] == f"{store.uri}/monitoring/houses/latest.html"
    assert page == (tmp_path / "own.html").read_text()
    numbers, registry = WatchedNumbers(store, "houses"), CollectorRegistry()
    numbers.look()
    numbers.measure(registry)  # a server's, whose metrics Prometheus reads
    assert registry.get_sample_value("sluice_monitor_alarm", {"model": "houses/1", "severity": "page"}) == 1.0
    assert all(name in page for name in ("2031-03-03", "2031-03-04", "2031-03-05"))
    used = next(section.html for section in sections_of(page) if section.id == "versions")
    assert "300 rows were answered in the latest window, by houses/1 (100%)" in used
    assert "2.0" in used  # milliseconds, as the log has it
    text = store.get_bytes("monitoring/houses/latest.prom").decode()
    assert 'sluice_monitor_alarm{model="houses/1",severity="page"} 1.0' in text

    state = read_state(store, "houses", "1", "day")
    assert state is not None
    first = next(each for each in state.windows if each.name == "2031-03-03")
    assert (first.labelled, first.weighed, len(first.datasets)) == (300, True, 2)
    records = [find_bundle(store, each).manifest for each in first.datasets]
    assert [each.details["monitoring"]["by_labels"] is None for each in records] == [True, False]
    assert [each.details["labels"]["count"] for each in records] == [0, 1]
    assert all(each.parents == state.reference for each in records)
    assert records[0].details["predictions"]["files"][0].startswith("predictions/houses/date=2031-03-03/")
    assert records[0].details["usage"]["roles"] == {"champion": 300}

    assert monitor("houses", *until(3), "--exit-zero")[0] == 0  # the alarm stands, and a CronJob does not try again
    code, printed = monitor("houses", *until(4))
    assert code == 0
    assert "No row was logged in this window" in printed


def test_versions_stand_side_by_side_and_are_told_apart_by_their_intervals() -> None:
    def shown(version: str, value: float, roles: dict[str, int]) -> ShownVersion:
        metric = MetricRecord(value=value, low=value - 1, high=value + 1, reference=10, worse=0, least_rows=1)
        record = empty_window("2031-03-03").model_copy(
            update={
                "by_labels": PerformanceRecord(
                    how="labels",
                    state="told",
                    reason="",
                    rows=300,
                    labelled=300,
                    metrics={"mae": metric},
                    effective_rows=None,
                    foreign=None,
                    assumptions=(),
                )
            }
        )
        return ShownVersion(version, record, "mae", roles, (0.002, 0.004, 0.009), {"2031-03-03T05:00Z": 7})

    champion = shown("houses/2", 10, {"champion": 90, "shadow": 5})
    html = str(versions_section([champion, shown("houses/1", 20, {"challenger": 10})]).html)
    assert "100 rows were answered in the latest window, by houses/2 (90%), houses/1 (10%)" in html
    assert "houses/1 and houses/2 differ" in html
    assert "sluice rollback houses" in html
    assert "not told apart" in str(versions_section([champion, shown("houses/1", 11, {})]).html)
    assert "Nobody was answered" in str(versions_section([shown("houses/1", 11, {"shadow": 4})]).html)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("visits",), "has no predictions of 'visits'"),
        (("houses", "--label", "price"), "--label is for files"),
        (("houses", "now.csv", "--since", "2031-01-01"), "--since is for a prediction log"),
        (("now.parquet",), "name the file of present rows after it"),
        (("houses", "--label-delay", "soon"), "--label-delay: 'soon' is no duration"),
        (("houses", "--since", "soon"), "'soon' is no time"),
    ],
)
def test_what_is_wrong_is_one_line(projects: Registered, words: tuple[str, ...], told: str) -> None:
    del projects
    code, printed = monitor(*words)
    assert (code, told in printed, len(printed.splitlines())) == (2, True, 1), printed

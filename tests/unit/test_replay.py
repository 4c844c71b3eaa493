"""`sluice replay`: a history asked again, each row at its moment, labels late, windows watched."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.registry.predicting import opened_model
from tests.unit import predict_world as world

CHANGED = 16  # the day from which on plans mean the opposite
DAYS, HOURLY = 17, 8


@pytest.fixture
def lake(tmp_path: Path, empty_tracking: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A model of visits that learned from the first days; on the last its question has another answer."""
    (tmp_path / "home").mkdir()
    shutil.copyfile(empty_tracking, tmp_path / "home" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    rows = DAYS * 24 * HOURLY
    table, customers = world.visits(rows)
    table["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) * 60 // HOURLY, unit="min")
    table["kind"] = np.where(
        table.customer.map(customers.set_index("customer").plan) == "paid", np.where(table.amount > 20, "a", "b"), "c"
    )
    noise = np.random.default_rng(4)
    table["kind"] = np.where(noise.random(rows) < 0.1, noise.choice(["a", "b", "c"], rows), table.kind)
    changed = table.day >= pd.Timestamp("2024-01-01") + pd.Timedelta(days=CHANGED)
    table.loc[changed, "kind"] = table.kind[changed].map({"a": "c", "b": "b", "c": "a"})
    made = world.write(tmp_path / "lake", {"contract.yaml": world.VISITS}, {"visits": table, "customers": customers})
    code = world.write(tmp_path / "code", {"prepare.py": world.VISITS_PREPARE}, {})
    task = {
        "name": "visits",
        "rows": {"table": "visits", "time": "day"},
        "label": {"column": "kind"},
        "features": ["amount", "spent", "plan"],
        "prepare": "prepare.py:rows",
    }
    names = ["zero-rule", "gradient-boosted-trees"]
    world.run(tmp_path, made, task, names, code, ["prepare.py:rows"], "time", (0.3, 0.1, 0.6))
    return table


def replay(*words: str) -> str:
    """What the command printed."""
    done = CliRunner().invoke(app, ["replay", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_planted_change_is_raised_when_its_labels_come_and_all_rows_were_served(
    lake: pd.DataFrame, tmp_path: Path
) -> None:
    told = json.loads(replay("visits", "--every", "day", "--label-delay", "2d", "--json"))
    windows = {each["record"]["name"]: each for each in told["windows"]}
    names = list(windows)
    assert names == [f"2024-01-{number:02}" for number in range(9, 18)]
    for name, each in windows.items():
        inside = lake[lake.day.dt.strftime("%Y-%m-%d") == name]
        assert (each["version"], each["record"]["rows"]) == ("visits/1", len(inside))
        assert each["record"]["by_labels"]["labelled"] == len(inside)
    with opened_model("visits") as opened:
        rows = lake[lake.day.dt.strftime("%Y-%m-%d") == "2024-01-15"]
        rows.to_csv(tmp_path / "rows.csv", index=False)
        said = opened.predict(tmp_path / "rows.csv").table.to_pandas()
    true = [said[f"probability_{kind}"].iloc[place] for place, kind in enumerate(rows.kind)]
    loss = windows["2024-01-15"]["record"]["by_labels"]["metrics"]["log_loss"]["value"]
    assert loss == pytest.approx(-np.log(true).mean(), abs=1e-6)
    raised = [(name, each["moment"][:10], each["title"]) for name in names for each in windows[name]["raised"]]
    assert [entry for entry in raised if entry[0] < "2024-01-17"] == []
    assert raised[0] == ("2024-01-17", "2024-01-20", "log_loss is worse")
    page = (tmp_path / "replay.html").read_text()
    assert "What visits would have done" in page
    assert all(name in page for name in names)


@pytest.mark.usefixtures("projects")
def test_a_model_that_learned_from_rows_up_to_the_end_never_stood() -> None:
    with pytest.raises(BadInput, match="no whole day is left to replay"):
        CliRunner().invoke(app, ["replay", "visits", "--every", "day"], catch_exceptions=False)
    with pytest.raises(BadInput, match="its rows have no moment"):
        CliRunner().invoke(app, ["replay", "houses"], catch_exceptions=False)

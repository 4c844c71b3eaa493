"""Questions of other shapes than those Sluice grew up with, from their data to a judged model, by command.

Each project is copied out of the repository. What the steps made is held against the data themselves, read by pandas.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.foreign_projects import InFolder, laid_out, words

Told = tuple[InFolder, dict[str, Any]]


@pytest.fixture(scope="module")
def one_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home and folder for all four."""
    return tmp_path_factory.mktemp("foreign")


def run(name: str, folder: Path) -> Told:
    """Lay a project out, check it and run it."""
    sluice = InFolder(laid_out(name, folder), folder / "home")
    checked = sluice.result("check")
    assert checked["errors"] == 0, checked
    told = sluice.result("run", *words(name))
    assert Path(told["report"]).is_file()
    return sluice, told


def parts(sluice: InFolder, result: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The rows of training, validation and test, as they lie in the store."""
    folder = sluice.home / "store/datasets" / result["datasets"]["split"]
    return {name: pd.read_parquet(folder / name) for name in ("train", "validation", "test")}


def candidate(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in result["candidates"] if each["name"] == name)


@pytest.mark.long  # another whole run; the flights are split by time, and docs/extending.md's project is a regression
def test_a_number_by_time_leaves_the_gap_until_its_label_is_known(one_home: Path) -> None:
    sluice, told = run("weather", one_home)
    result, found = told["result"], parts(sluice, told["result"])
    assert (result["problem"], result["metric"]["name"]) == ("regression", "rmse")
    data = pd.read_csv(sluice.project / "data/weather.csv", parse_dates=["measured"]).dropna(subset=["temp_in_a_day"])
    times = {name: rows["measured"].dt.tz_localize(None) for name, rows in found.items()}
    measured = data["measured"].dt.tz_localize(None)
    for before, after in (("train", "validation"), ("validation", "test")):
        begins = times[after].min()
        assert begins.tz_localize("UTC").tz_convert("America/New_York").hour == 0
        known = (measured <= begins - pd.Timedelta("24h")) & (measured >= times[before].min())
        assert len(times[before]) == known.sum(), "all rows whose label was known by then, and no other"
    assert len(found["test"]) == (measured >= times["test"].min()).sum()
    mean = found["train"]["temp_in_a_day"].mean()
    gaps = found["test"]["temp_in_a_day"] - mean
    assert candidate(result, "mean")["metrics"]["rmse"]["value"] == pytest.approx((gaps**2).mean() ** 0.5)
    assert result["winner"] == "linear-regression"
    low, high = (candidate(result, "linear-regression")["metrics"]["rmse"][side] for side in ("low", "high"))
    assert low < candidate(result, "linear-regression")["metrics"]["rmse"]["value"] < high
    assert "days" in next(check["message"] for check in result["checks"] if check["name"] == "evidence")


@pytest.mark.long  # another whole run; the digits have ten classes
def test_five_classes_have_equal_shares_in_each_part(one_home: Path) -> None:
    sluice, told = run("aircraft", one_home)
    result, found = told["result"], parts(sluice, told["result"])
    data = pd.read_csv(sluice.project / "data/planes.csv")
    classes = sorted(data["maker"].unique())
    assert (result["problem"], len(classes)) == ("multiclass", 5)
    assert sum(map(len, found.values())) == len(data)
    for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        wanted = data["maker"].value_counts().reindex(classes) * share
        counts = found[name]["maker"].value_counts().sort_index().to_numpy()
        assert abs(counts - wanted.to_numpy()).max() <= 1
    assert result["decision"] == "promoted", result["reason"]
    names = data.set_index("tailnum")["maker"]
    truth = found["test"]["tailnum"].map(names)
    common = found["train"]["tailnum"].map(names).mode()[0]
    accuracy = candidate(result, "zero-rule")["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (pytest.approx((truth == common).mean()), len(truth))


@pytest.mark.long  # another whole run; tests/unit/test_split_*.py hold groups together, and their intervals
def test_no_group_is_on_both_sides_and_intervals_count_groups(one_home: Path) -> None:
    sluice, told = run("fleet", one_home)
    result, found = told["result"], parts(sluice, told["result"])
    data = pd.DataFrame(json.loads((sluice.project / "data/flights.json").read_text()))
    groups = [set(rows["tailnum"]) for rows in found.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sorted(pd.concat(found.values())["id"]) == list(range(len(data)))
    assert data.groupby("tailnum").size().max() > 10, "with one row a group nothing would be shown"
    assert len(found["test"]) == pytest.approx(0.15 * len(data), rel=0.02)
    evidence = next(check for check in result["checks"] if check["name"] == "evidence")
    assert f"of {len(groups[2])} groups of tailnum" in evidence["message"]
    assert evidence["value"] < len(found["test"]) * 0.8, "flights of one aircraft tell less than as many of others"
    assert result["decision"] == "promoted", result["reason"]


@pytest.mark.long  # another whole run; docs/extending.md's project has something of its own of each kind
def test_all_that_a_project_can_bring_of_its_own_runs(one_home: Path) -> None:
    sluice, told = run("orders", one_home)
    result, found = told["result"], parts(sluice, told["result"])
    assert result["metric"]["name"] == "cost"
    orders = pd.concat(map(pd.read_csv, sorted(sluice.project.glob("data/orders/*.csv")))).set_index("id")
    for rows in found.values():  # the history that `prepare.py` joins, once more by hand
        for row in rows.iloc[:: len(rows) // 20].itertuples():
            own = orders[orders["customer"] == row.customer]
            ordered, now = pd.to_datetime(own["ordered"]).dt.tz_localize(None), pd.Timestamp(row.ordered)
            age = now.tz_localize(None) - ordered
            before = own[(age >= pd.Timedelta("30D")) & (age < pd.Timedelta("395D"))]
            assert row.orders_before == len(before)
            assert row.returned_before == pytest.approx(before["returned"].mean(), nan_ok=True)
    returned = found["test"]["returned"].to_numpy()
    share = found["train"]["returned"].mean()
    cost = 2.0 if share * 8 > 2 else 8 * returned.mean()
    assert candidate(result, "zero-rule")["metrics"]["cost"]["value"] == pytest.approx(cost)
    assert candidate(result, "candidates.Rates")["metrics"]["cost"]["value"] < cost
    assert result["decision"] == "promoted", result["reason"]
    page = Path(told["outputs"]["channels"]).read_text()
    assert "Orders sent back" in page
    assert f"{found['train'].groupby('channel')['returned'].mean()['app']:.1%}" in page

"""The step split on rows and on images: three tables, the design, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.split.run import run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.problems.task import Task, task_of
from sluice.storage.locations import default_store

START = datetime(2013, 1, 1, tzinfo=UTC)
ROWS = 400
TASK = Task("late", "Late?", "late", ("on time", "late"), ("id",), numeric=("x",), time="time")
IMAGES = Task("digits", "Which?", "label", ("zero", "one", "two"), ("id",), image="image")


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


def publish(frame: pd.DataFrame, task: Task, table: str = "rows", **types: str) -> Bundle:
    schema = {name: types.get(name, "int64") for name in frame.columns}
    made = duckdb_engine().create_table("made", ibis.memtable(frame.astype(object), schema=schema))
    details = task.details() | {"kept": "along"}
    return write_dataset(default_store(), {table: made.order_by("id")}, producer("prepare", {}), details=details)


def rows(late: list[int] | None = None) -> Bundle:
    times = [START + timedelta(hours=6 * i) for i in range(ROWS)]
    labels = late or [int(i % 4 == 0) for i in range(ROWS)]
    frame = pd.DataFrame({"id": range(ROWS), "x": range(ROWS), "time": times, "late": labels})
    return publish(frame, TASK, time="timestamp('UTC')")


def images() -> Bundle:
    frame = pd.DataFrame(
        {"id": [f"{i:03}.png" for i in range(60)], "image": [b"\x89PNG"] * 60, "label": [0, 1, 2] * 20}
    )
    return publish(frame, IMAGES, id="string", image="binary")


def split(source: Bundle, strategy: str, shares: tuple[float, ...] = (0.7, 0.15, 0.15), seed: int = 1) -> Bundle:
    return run(source.uri, strategy=strategy, shares=shares, seed=seed, summary=home() / "summary.md")


def ids_of(bundle: Bundle) -> dict[str, list[int]]:
    with read_dataset(bundle.uri) as (_, tables):
        return {name: table.id.to_pyarrow().to_pylist() for name, table in tables.items()}


@pytest.mark.parametrize("strategy", ["time", "stratified"])
def test_every_row_is_in_one_part_and_the_task_comes_along(strategy: str) -> None:
    source = rows()
    bundle = split(source, strategy)
    parts = ids_of(bundle)
    assert list(parts) == ["test", "train", "validation"]
    assert sorted(i for ids in parts.values() for i in ids) == list(range(ROWS))
    assert all(ids == sorted(ids) for ids in parts.values())
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [280, 60, 60]
    assert bundle.manifest.tables["train"].columns == source.manifest.tables["rows"].columns
    assert task_of(bundle) == TASK
    assert bundle.manifest.details["kept"] == "along"
    assert bundle.manifest.parents == (source.id,)


def test_the_design_is_on_record() -> None:
    design = split(rows(), "time").manifest.design
    assert design["boundaries"] == ["2013-03-12T00:00:00+00:00", "2013-03-27T00:00:00+00:00"]
    assert design["parts"]["train"] == {"rows": 280, "share": 0.7, "label": {"on time": 0.75, "late": 0.25}}
    text = (home() / "summary.md").read_text()
    assert "| train | 280 | 70.0% | 75.0% | 25.0% |" in text
    split(rows(), "time")
    assert (home() / "summary.md").read_text() == text, "published before or not, the account is the same"
    design = split(rows(), "stratified", seed=5).manifest.design
    assert (design["strategy"], design["seed"], design["strata"]) == ("stratified", 5, ["late"])


def test_the_same_input_gives_the_same_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / place))
        source = rows()
        found.append([split(source, strategy).id for strategy in ("time", "stratified")])
    assert found[0] == found[1]
    assert split(rows(), "stratified", seed=2).id not in found[0]


def test_images_are_split_at_random_only() -> None:
    source = images()
    parts = split(source, "stratified")
    assert {name: entry.rows for name, entry in parts.manifest.tables.items()} == {
        "train": 42,
        "validation": 9,
        "test": 9,
    }
    assert parts.manifest.tables["test"].columns["image"] == "binary"
    with pytest.raises(BadInput, match="strategy='time': the rows have no time; use strategy 'stratified'"):
        split(source, "time")


@pytest.mark.parametrize(
    ("strategy", "shares", "named"),
    [
        (
            "alphabet",
            (0.7, 0.15, 0.15),
            "strategy='alphabet' is unknown; use one of folds, group, random, stratified, time",
        ),
        ("time", (0.7, 0.3), "must hold three numbers"),
        ("stratified", (0.7, 0.1, 0.1), "adds up to 0.9"),
    ],
)
def test_parameters_that_are_refused(strategy: str, shares: tuple[float, ...], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        split(rows(), strategy, shares)


def test_a_part_without_a_class_is_refused() -> None:
    for strategy, labels in (("time", [0] * 300 + [1] * 100), ("stratified", [1] + [0] * 399)):
        with pytest.raises(BadInput, match=r"part '(train|validation)' would hold no row of class '(on time|late)'"):
            split(rows(labels), strategy)
    assert len(list((home() / "store/datasets").iterdir())) == 2, "nothing but the sources is published"


def test_a_dataset_without_rows_is_refused() -> None:
    source = publish(pd.DataFrame({"id": [1], "late": [0]}), TASK, table="other")
    with pytest.raises(BadInput, match="has no table 'rows'; it has other"):
        split(source, "stratified")


def test_a_task_of_another_sluice_is_refused() -> None:
    made = duckdb_engine().create_table("made", ibis.memtable(pd.DataFrame({"id": [1]})))
    for change, named in (({"colour": "red"}, "colour"), ({"label": None}, "label")):
        task = TASK.details()["task"] | change
        task = {name: value for name, value in task.items() if value is not None or name != "label"}
        source = write_dataset(default_store(), {"rows": made}, producer("prepare", change), details={"task": task})
        with pytest.raises(BadInput, match=f"a task of another Sluice .*'{named}'.*run prepare again"):
            split(source, "stratified")


def test_weighted_rows_keep_their_weights_and_show_the_shares_of_the_population() -> None:
    weights = [3.5 if i % 4 else 1.0 + i % 8 / 8 for i in range(ROWS)]
    frame = pd.DataFrame({"id": range(ROWS), "w": weights, "late": [int(i % 4 == 0) for i in range(ROWS)]})
    task = replace(TASK, numeric=(), time=None, weight="w")
    bundle = split(publish(frame, task, w="float64"), "stratified")
    with read_dataset(bundle.uri) as (_, tables):
        test = tables["test"].to_pyarrow().to_pandas()
    assert (test.w == frame.w[test.id].to_numpy()).all()
    part = bundle.manifest.design["parts"]["test"]
    assert part["label"]["late"] == 0.25
    assert part["weighted_label"]["late"] == pytest.approx(test.w[test.late == 1].sum() / test.w.sum(), rel=1e-12)
    text = (home() / "summary.md").read_text()
    assert "| part | rows | share | on time | late | on time, weighted | late, weighted |" in text
    with pytest.raises(BadInput, match="no weight column 'w', which their task names; run sample again"):
        split(publish(frame.drop(columns="w"), task), "stratified")


def test_the_day_is_that_of_the_tasks_zone() -> None:
    times = [START + timedelta(hours=i) for i in range(24 * 20)]
    frame = pd.DataFrame({"id": range(480), "time": times, "late": [i % 2 for i in range(480)]})
    task = replace(TASK, numeric=(), timezone="America/New_York")
    bundle = split(publish(frame, task, time="timestamp('UTC')"), "time")
    assert bundle.manifest.design["boundaries"] == ["2013-01-15T00:00:00-05:00", "2013-01-18T00:00:00-05:00"]
    assert "midnights of America/New_York" in (home() / "summary.md").read_text()
    texts = publish(frame.assign(time=[str(time) for time in times]), task, time="string")
    with pytest.raises(BadInput, match="time column 'time' is string"):
        split(texts, "time")

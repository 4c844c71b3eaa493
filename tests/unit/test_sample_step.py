"""The step sample: the dataset, its design, and what is refused; through the component's own function too."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle, open_bundle
from sluice.artifacts.producer import producer
from sluice.components.sample.component import sample as component
from sluice.components.sample.run import run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.problems.task import Task, task_of
from sluice.storage.locations import default_store

ROWS = 1_000
TASK = Task("late", "Late?", "late", ("on time", "late"), ("id",), numeric=("x",))
USUAL: dict[str, Any] = {
    "fraction": 0.1,
    "rows": 0,
    "strata": ["month", "late"],
    "allocation": "proportional",
    "seed": 1,
}


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


def publish(task: Task = TASK, table: str = "rows", **columns: Any) -> Bundle:
    frame = {"id": range(ROWS), "x": [i / 3 for i in range(ROWS)], "month": [1 + i % 2 for i in range(ROWS)]}
    frame |= {"late": [int(i % 5 == 0) for i in range(ROWS)]} | columns
    made = duckdb_engine().create_table("made", ibis.memtable(pd.DataFrame(frame)))
    return write_dataset(default_store(), {table: made}, producer("prepare", {}), details=task.details() | {"a": 1})


def draw(source: Bundle, **changes: Any) -> Bundle:
    return run(source.uri, **(USUAL | changes), summary=home() / "summary.md")


def ids_of(bundle: Bundle) -> list[int]:
    with read_dataset(bundle.uri) as (_, tables):
        return list(tables["rows"].id.to_pyarrow().to_pylist())


def test_the_sample_and_its_design() -> None:
    source = publish()
    bundle = draw(source)
    assert bundle.rows == 100
    assert ids_of(bundle) == sorted(ids_of(bundle))
    assert bundle.manifest.tables["rows"].columns == source.manifest.tables["rows"].columns
    assert (task_of(bundle), bundle.manifest.details["a"], bundle.manifest.parents) == (TASK, 1, (source.id,))
    design = bundle.manifest.design
    assert (design["strategy"], design["seed"], design["key"], design["strata"]) == (
        "stratified",
        1,
        ["id"],
        ["month", "late"],
    )
    assert [group["values"] for group in design["groups"]] == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert [(g["rows"], g["sampled"], g["probability"]) for g in design["groups"]] == [
        (400, 40, 0.1),
        (100, 10, 0.1),
    ] * 2
    assert "| 1 | 0 | 400 | 40 | 0.1000 |" in (home() / "summary.md").read_text()


def test_other_designs() -> None:
    source = publish()
    assert [g["sampled"] for g in draw(source, allocation="equal", rows=30).manifest.design["groups"]] == [8, 8, 7, 7]
    simple = draw(source, strata=[], rows=77).manifest.design
    assert (simple["strategy"], simple["sampled"], len(simple["groups"])) == ("simple", 77, 1)
    assert draw(source, fraction=1.0).rows == ROWS
    assert draw(source, fraction=1e-9).rows == 4, "every stratum keeps a row"


def test_the_same_input_gives_the_same_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / place))
        found.append(draw(publish()).id)
    assert found[0] == found[1]
    other = draw(publish(), seed=2)
    assert other.id != found[0]
    assert ids_of(other) != ids_of(open_bundle(f"{default_store().uri}/datasets/{found[0]}"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fraction": 0.0}, "parameter 'fraction' is 0.0; give a number above 0 and at most 1"),
        ({"fraction": 1.5}, "'fraction' is 1.5"),
        ({"fraction": -0.1}, "'fraction' is -0.1"),
        ({"fraction": float("nan")}, "'fraction' is nan"),
        ({"rows": -1}, "'rows' is -1; give a whole number from 0"),
        ({"rows": ROWS + 1}, "rows=1001 is more than the 1000 rows"),
        ({"strata": ["colour"]}, "no column 'colour'; it has id, x, month, late"),
        ({"strata": ["x"]}, "column 'x' is float64; use strings, integers or booleans"),
        ({"allocation": "optimal"}, "allocation='optimal' is unknown"),
    ],
)
def test_parameters_that_are_refused(changes: dict[str, Any], named: str) -> None:
    source = publish()
    with pytest.raises(BadInput, match=named):
        draw(source, **changes)
    assert len(list((home() / "store/datasets").iterdir())) == 1, "nothing but the source is published"


def test_data_that_is_refused() -> None:
    with pytest.raises(BadInput, match="has no table 'rows'"):
        draw(publish(table="other"))
    with pytest.raises(BadInput, match="several rows have the key id=5"):
        draw(publish(id=[5] * ROWS))
    with pytest.raises(BadInput, match="makes more than 10000 strata"):
        draw(publish(**{name: list(range(20_000)) for name in ("id", "x", "month", "late")}))


def test_the_component_runs_as_a_plain_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled, summary = SimpleNamespace(uri="", metadata={}), SimpleNamespace(path=str(tmp_path / "summary.md"))
    returned = component.python_func(publish().uri, sampled, summary, fraction=0.2, seed=3)
    assert returned == sampled.uri
    bundle = open_bundle(sampled.uri, "dataset")
    assert sampled.metadata == bundle.metadata()
    assert bundle.rows == 200
    monkeypatch.setenv("SLUICE_TERMINATION_LOG", str(tmp_path / "log"))
    with pytest.raises(SystemExit) as caught:
        component.python_func(publish().uri, sampled, summary, fraction=2.0)
    assert caught.value.code == 2
    assert "'fraction' is 2.0" in (tmp_path / "log").read_text()

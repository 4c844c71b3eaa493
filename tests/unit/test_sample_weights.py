"""What each sampled row stands for: one over its inclusion probability, through one draw or several."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.populations import Population, population_of
from sluice.artifacts.producer import producer
from sluice.components.sample.run import plan_sample, run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.problems.row_groups import row_weights
from sluice.problems.task import Task, task_of
from sluice.sampling.drawing import Weighting, draw
from sluice.storage.locations import default_store

ROWS = 1_000
TASK = Task("late", "Late?", "late", ("on time", "late"), ("id",), numeric=("x",))
FRAME = pd.DataFrame({"id": range(ROWS), "x": 0.0, "month": [i * i % 7 for i in range(ROWS)]})
FRAME["late"] = [int(i % 9 == 0) for i in range(ROWS)]
ENGINE = duckdb_engine(threads=1)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


def publish(frame: pd.DataFrame = FRAME, task: Task = TASK, step: str = "prepare") -> Bundle:
    made = duckdb_engine().create_table("made", ibis.memtable(frame))
    return write_dataset(default_store(), {"rows": made}, producer(step, {}), details=task.details() | {"kept": 1})


def sample(source: Bundle, strata: Sequence[str] = (), **changes: Any) -> Bundle:
    usual: dict[str, Any] = {"fraction": 0.2, "rows": 0, "allocation": "proportional", "seed": 1}
    return run(source.uri, **(usual | changes), strata=list(strata), summary=home() / "summary.md")


def rows_of(bundle: Bundle) -> pd.DataFrame:
    with read_dataset(bundle.uri) as (_, tables):
        return tables["rows"].to_pyarrow().to_pandas()


@pytest.mark.parametrize("allocation", ["proportional", "equal"])
def test_the_weights_of_a_stratum_add_up_to_its_rows(allocation: str) -> None:
    source = publish()
    bundle = sample(source, ["month", "late"], allocation=allocation)
    rows, task = rows_of(bundle), task_of(bundle)
    assert list(rows) == [*FRAME, "weight"]
    assert (task, bundle.manifest.details["kept"]) == (replace(TASK, weight="weight"), 1)
    found = rows.assign(weight=row_weights(rows, task)).groupby(["month", "late"]).weight.sum()
    np.testing.assert_allclose(found, FRAME.groupby(["month", "late"]).size(), rtol=1e-9)
    drawn = rows.groupby(["month", "late"]).weight.agg(lambda weights: 1 / weights.iloc[0])
    np.testing.assert_allclose([g["probability"] for g in bundle.manifest.design["groups"]], drawn, rtol=1e-12)
    assert population_of(bundle) == Population(source.id, ROWS, 200, 1)
    design = bundle.manifest.design
    assert (design["weight"], design["population"]) == ("weight", {"dataset": source.id, "rows": ROWS})
    text = (home() / "summary.md").read_text()
    assert f"Column `weight` holds how many of the 1,000 rows of dataset `{source.id[:12]}` each row stands for" in text
    effective = row_weights(rows, task).sum() ** 2 / (row_weights(rows, task) ** 2).sum()
    assert f"tells as much as about {effective:,.0f} rows" in text


def test_the_weighted_mean_is_that_of_the_population() -> None:
    table = ENGINE.create_table("population", ibis.memtable(FRAME))
    plan = plan_sample(table, ["month", "late"], 0.1, 0, "equal")
    drawn = (draw(table, ["id"], ["month", "late"], plan, seed, weighting=Weighting("weight")) for seed in range(40))
    seen = [rows.select("id", "late", "weight").to_pyarrow().to_pandas() for rows in drawn]
    found = [np.average(rows.id, weights=rows.weight) for rows in seen]  # no stratum tells the id
    assert stats.ttest_1samp(found, FRAME.id.mean()).pvalue > 1e-3
    assert all(abs(np.average(rows.late, weights=rows.weight) - FRAME.late.mean()) < 1e-12 for rows in seen)
    assert all(rows.late.mean() > 0.4 for rows in seen), "unweighted, the sample has four times the late rows"


def test_a_sample_of_a_sample_stands_for_the_first_population() -> None:
    source, totals, means = publish(), [], []
    for seed in range(15):
        first = sample(source, ["late"], allocation="equal", fraction=0.4, seed=seed)
        second = sample(first, ["month"], allocation="equal", fraction=0.4, seed=seed)
        rows = rows_of(second)
        assert list(rows) == [*FRAME, "weight"]
        earlier = rows_of(first).set_index("id").weight.loc[rows.id].to_numpy()
        shares = {g["values"][0]: g["probability"] for g in second.manifest.design["groups"]}
        np.testing.assert_allclose(rows.weight, earlier / rows.month.map(shares), rtol=1e-12)
        totals.append(rows.weight.sum())
        means.append(np.average(rows.id, weights=rows.weight))
    assert population_of(second) == Population(source.id, ROWS, 160, 2)
    assert "one over the product of its 2 inclusion probabilities" in (home() / "summary.md").read_text()
    assert stats.ttest_1samp(totals, ROWS).pvalue > 1e-3
    assert stats.ttest_1samp(means, FRAME.id.mean()).pvalue > 1e-3


def test_rows_that_weigh_the_same_carry_no_weight() -> None:
    source = publish()
    first = sample(source, fraction=0.5)
    for bundle in (first, sample(source, fraction=1.0), sample(source, ["month", "late"], fraction=1.0)):
        assert list(rows_of(bundle)) == list(FRAME)
        assert task_of(bundle) == TASK
        assert bundle.manifest.design["weight"] is None
    second = sample(first, ["month"], allocation="equal")
    assert rows_of(second).weight.sum() == pytest.approx(ROWS, rel=1e-9), "the first draw's halves count too"
    assert population_of(second) == Population(source.id, ROWS, 100, 2)
    whole = sample(second, fraction=1.0)
    pd.testing.assert_frame_equal(rows_of(whole), rows_of(second))
    assert task_of(whole).weight == "weight"


def test_columns_of_the_user_are_left_alone() -> None:
    names = ["Weight", "weight_2", "_order", "_quota", "_bound", "_inverse", "_rank", "_rows", "_high", "_low"]
    own = FRAME.assign(**dict.fromkeys([*names, "_stratum_0"], FRAME.id * 3))
    bundle = sample(publish(own), ["month"], allocation="equal")
    rows = rows_of(bundle)
    assert task_of(bundle).weight == "weight_3"
    assert list(rows) == [*own, "weight_3"]
    assert all((rows[name] == rows.id * 3).all() for name in [*names, "_stratum_0"])


def test_rows_without_their_weights_are_refused() -> None:
    lost = publish(task=replace(TASK, weight="weight"))
    with pytest.raises(BadInput, match="no weight column 'weight', which their task names; run sample again"):
        sample(lost)
    with pytest.raises(BadInput, match="without its rows' weights, drawn by an older Sluice; run sample again"):
        sample(publish(step="sample"))

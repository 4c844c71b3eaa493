"""Samplers that a project brings: they say probabilities, Sluice draws, and the weights are right whatever they say."""

from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.sample.run import run
from sluice.core.errors import BadInput
from sluice.core.extensions import Opened
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.extending.samplers import Draw, Sampler
from sluice.problems.task import Task, task_of
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.sampling.own_draws import draw_by
from sluice.storage.locations import default_store

TASK = Task("late", "Late?", "late", ("on time", "late"), ("id",), numeric=("x",))
MINE = """
import ibis

def rare(rows, draw):
    return rows.mutate(ibis.ifelse(rows.late == 1, 1.0, draw.wanted / draw.rows).name(draw.probability))

def all_alike(rows, draw):
    return rows.select("id", ibis.literal(0.25).name(draw.probability))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    return tmp_path


def rows(number: int = 1000) -> pd.DataFrame:
    late = [int(i % 5 == 0) for i in range(number)]
    return pd.DataFrame({"id": range(number), "x": np.arange(number) / 3, "late": late})


def sampled(home: Path, text: str, name: str, source: Bundle | None = None, seed: int = 1) -> Bundle:
    (home / "mine.py").write_text(text)
    if source is None:
        made = duckdb_engine().create_table("made", ibis.memtable(rows()))
        source = write_dataset(default_store(), {"rows": made}, producer("prepare", {}), details=TASK.details())
    code = publish(default_store(), closure(home, [f"mine.py:{name}"]))
    usual = {"fraction": 0.25, "rows": 0, "strata": [], "allocation": "proportional", "seed": seed}
    return run(source.uri, **usual, summary=home / "summary.md", by=f"mine.py:{name}", code=code)  # type: ignore[arg-type]


def table_of(bundle: Bundle) -> pd.DataFrame:
    with read_dataset(bundle.uri) as (_, tables):
        frame: pd.DataFrame = tables["rows"].to_pandas()
        return frame


def test_rows_are_drawn_as_it_says_and_weigh_one_over_it(home: Path) -> None:
    drawn = sampled(home, MINE, "rare")
    frame, weight = table_of(drawn), task_of(drawn).weight
    assert weight == "weight"
    assert len(frame) == 200 + 800 // 4
    assert (frame["late"] == 1).sum() == 200
    np.testing.assert_array_equal(frame["weight"], np.where(frame["late"] == 1, 1.0, 4.0))
    assert frame["weight"].sum() == 1000
    assert list(frame["id"]) == sorted(frame["id"])
    design = drawn.manifest.design
    assert (design["by"], design["least"], design["greatest"], design["sampled"]) == ("mine.py:rare", 0.25, 1.0, 400)
    assert len(drawn.manifest.producer.parameters["code"]) == 64
    assert "probabilities go from 0.25 to 1" in (home / "summary.md").read_text()
    assert sampled(home, MINE, "rare").id == drawn.id
    assert sampled(home, MINE, "rare", seed=2).id != drawn.id


def test_a_sample_of_a_sample_multiplies_weights_and_equal_ones_are_none(home: Path) -> None:
    alike = sampled(home, MINE, "all_alike")
    assert (task_of(alike).weight, alike.rows) == (None, 250)
    again = table_of(sampled(home, MINE, "rare", alike))
    late = again["late"] == 1
    asked = round(0.25 * 250) / 250
    np.testing.assert_allclose(again["weight"], np.where(late, 4.0, 4.0 / asked), rtol=1e-8)


def test_over_many_seeds_each_row_is_drawn_with_its_probability() -> None:
    """By simulation: the share of draws, and the weights' estimate of a total, whose mean must be the total."""
    every = rows(60)
    share = 0.1 + 0.8 * np.random.default_rng(3).random(60)
    table = duckdb_engine().create_table("made", ibis.memtable(every.assign(share=share)))

    def said(rows: ibis.Table, draw: Draw) -> ibis.Table:
        return rows.select("id", rows.share.name(draw.probability))

    sampler: Opened[Sampler] = Opened(said, "sampler", nullcontext)
    hits, totals, sizes, runs = np.zeros(60), [], set(), 100
    for seed in range(runs):
        ask = Draw("probability", 60, 30, seed, ("id",), "late")
        drawn = draw_by(sampler, table, ask, "sample", None, Fraction(1)).rows.to_pandas()
        hits[drawn["id"]] += 1
        totals.append((drawn["weight"] * drawn["x"]).sum())
        sizes.add(len(drawn))
    assert sizes <= {int(share.sum()), int(share.sum()) + 1}
    deviations = (hits / runs - share) / np.sqrt(share * (1 - share) / runs)
    assert np.abs(deviations).max() < 4.5
    assert abs(np.mean(totals) - every["x"].sum()) < 4 * np.std(totals) / np.sqrt(runs)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("rows.nothing", "sampler mine.py:f: mine.py:4: AttributeError"),
        ("[1]", r"sampler mine.py:f \(mine.py:3\): it gave \[1\] \(list\); give an Ibis table"),
        ("rows", "its table has no column 'probability'"),
        ("rows.mutate(ibis.literal('a').name(draw.probability))", "probability is string; give numbers"),
        ("rows.mutate((rows.id / 1000).name(draw.probability))", "the row id=0 has the inclusion probability 0.0"),
        ("rows.mutate((rows.id * 0 + 1.5).name(draw.probability))", "has the inclusion probability 1.5; give each row"),
        ("rows.mutate(ibis.literal(0.5).name(draw.probability)).filter(rows.id > 3)", "its table lacks the row id="),
        (
            "ibis.union(*[rows.mutate(ibis.literal(0.5).name(draw.probability))] * 2)",
            "its table has the row id=.* twice; give each row once",
        ),
    ],
)
def test_what_is_no_sampler_ends_in_one_line(home: Path, body: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        sampled(home, f"import ibis\n\ndef f(rows, draw):\n    return {body}\n", "f")
    assert "\n" not in str(caught.value)

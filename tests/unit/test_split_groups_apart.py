"""All rows of a group lie in one part, as near to the shares as groups allow, whatever their order."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from sluice.artifacts.producer import producer
from sluice.components.split.run import run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.parameters.split import PARTS
from sluice.problems.task import Task
from sluice.sampling.division import divide
from sluice.sampling.group_parts import assign, by_group
from sluice.sampling.splitters import SPLITTERS, Divided, SplitPlan
from sluice.storage.locations import default_store

ENGINE = duckdb_engine(threads=1)
SHARES = (Fraction(7, 10), Fraction(3, 20), Fraction(3, 20))
FLOATS = [float(share) for share in SHARES]
TASK = Task("leaves", "Leaves?", "left", ("no", "yes"), ("id",), numeric=("x",), cluster="who")


def visits(groups: int, seed: int, most: int = 9) -> pd.DataFrame:
    """Rows of persons, who come different numbers of times; a person's rows are alike."""
    chance = np.random.default_rng(seed)
    who = np.repeat(np.arange(groups), chance.integers(1, most + 1, groups))
    left = (chance.random(groups) < 0.2)[who].astype("int64")
    return pd.DataFrame({"id": np.arange(len(who)), "who": who, "left": left, "x": chance.normal(size=len(who))})


def table(frame: pd.DataFrame) -> ibis.Table:
    return ENGINE.create_table("t", ibis.memtable(frame), overwrite=True)


def divided(frame: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    rows = by_group(table(frame), "who", "left", SHARES, seed, "_part", PARTS)
    found: pd.DataFrame = rows.to_pyarrow().to_pandas().sort_values("id", ignore_index=True)
    return found


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=3, max_size=80), seed=st.integers(0, 99))
def test_each_part_has_a_group_and_sizes_are_as_near_as_a_group(sizes: list[int], seed: int) -> None:
    chance = np.random.default_rng(seed)
    positive = np.array([chance.integers(0, size + 1) for size in sizes], float)
    counts = np.column_stack([np.array(sizes) - positive, positive])
    parts = assign(counts, FLOATS, seed)
    assert set(parts) == {0, 1, 2}
    single = assign(np.array(sizes, float)[:, None], FLOATS, seed)
    found = np.bincount(single, weights=sizes, minlength=3)
    assert np.abs(found - np.array(FLOATS) * sum(sizes)).max() <= max(sizes) * (1 if len(sizes) > 9 else 2)


def test_no_group_is_on_both_sides_and_every_row_in_one_part() -> None:
    frame = visits(300, 1)
    rows = divided(frame)
    assert rows["id"].tolist() == frame["id"].tolist()
    assert (rows.groupby("who")["_part"].nunique() == 1).all()
    shares = rows["_part"].value_counts(normalize=True)
    assert all(abs(shares[name] - share) < 0.005 for name, share in zip(PARTS, FLOATS, strict=True))
    labels = rows.groupby("_part")["left"].mean()
    assert all(abs(labels[name] - frame["left"].mean()) < 0.01 for name in PARTS)


def test_labels_are_spread_no_worse_than_scikit_learn_spreads_them() -> None:
    """Its StratifiedGroupKFold takes large groups first; five folds stand for shares of 60, 20 and 20 %."""
    ours, theirs = [], []
    for seed in range(20):
        frame = visits(80, seed)
        counts = pd.crosstab(frame["who"], frame["left"]).to_numpy(float)
        order = np.random.default_rng(seed).permutation(len(counts))
        target = np.outer([0.6, 0.2, 0.2], counts.sum(axis=0))
        part = assign(counts[order], [0.6, 0.2, 0.2], seed)
        ours.append(_distance(counts[order], part, target))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(frame, frame["left"], frame["who"])
        fold = np.zeros(len(counts), int)
        for number, (_, test) in enumerate(folds):
            fold[frame["who"].to_numpy()[test]] = number
        theirs.append(_distance(counts, np.array([0, 0, 0, 1, 2])[fold], target))
    assert np.mean(ours) <= np.mean(theirs)


def _distance(counts: np.ndarray, part: np.ndarray, target: np.ndarray) -> float:
    found = np.stack([counts[part == number].sum(axis=0) for number in range(3)])
    return float(((found - target) ** 2 / target).sum())


def test_the_seed_decides_and_not_the_order_of_rows() -> None:
    frame = visits(200, 2)
    shuffled = frame.sample(frac=1, random_state=3)
    assert divided(frame)["_part"].tolist() == divided(shuffled)["_part"].tolist()
    assert divided(frame, 2)["_part"].tolist() != divided(frame)["_part"].tolist()
    texts = frame.assign(who=[f"p{number}" for number in frame["who"]])
    assert (divided(texts).groupby("who")["_part"].nunique() == 1).all()


def test_large_groups_are_judged_as_often_as_small_ones() -> None:
    """A division that takes the largest first always learns from them."""
    trained, runs = 0, 600
    sizes = np.array([30.0] + [10.0] * 60)[:, None]
    for seed in range(runs):
        order = np.random.default_rng(seed).permutation(len(sizes))
        trained += assign(sizes[order], FLOATS, seed)[int(np.flatnonzero(order == 0)[0])] == 0
    assert abs(trained / runs - 0.7) < 4 * np.sqrt(0.7 * 0.3 / runs), "4 standard errors"


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ([None, "a", "b", "c"], "group column 'who' is missing in 1 rows, so nobody knows whose they are"),
        (["a", "a", "b", "b"], "the rows have 2 different values of 'who', too few for 3 parts"),
        ([1.5, 2.5, 3.5, 4.5], "group column 'who' is float64; give it whole numbers or text"),
    ],
)
def test_groups_that_cannot_be_kept_apart_are_refused(who: list[object], said: str) -> None:
    frame = pd.DataFrame({"id": range(4), "who": who, "left": [0, 1, 0, 1]})
    with pytest.raises(BadInput, match=said):
        by_group(table(frame), "who", "left", SHARES, 1, "_part", PARTS)


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_the_step_keeps_groups_apart_and_warns_of_none(problem: str) -> None:
    frame = visits(150, 5)
    task = replace(TASK, problem=problem)
    if problem == "regression":
        task = replace(task, classes=(), label="price")
        frame = frame.rename(columns={"left": "price"}).assign(price=frame["x"] + frame["left"] * 3)
    made = duckdb_engine().create_table("made", ibis.memtable(frame))
    source = write_dataset(
        default_store(), {"rows": made.order_by("id")}, producer("prepare", {}), details=task.details()
    )
    shares = [0.7, 0.15, 0.15]
    bundle = run(source.uri, strategy="group", shares=shares, seed=1, summary=home() / "summary.md")
    with read_dataset(bundle.uri) as (_, tables):
        persons = {name: set(part.who.to_pyarrow().to_pylist()) for name, part in tables.items()}
    assert not (persons["train"] & persons["test"])
    assert not (persons["train"] & persons["validation"])
    assert not persons["validation"] & persons["test"]
    assert bundle.manifest.design["group"] == "who"
    assert not any("'who'" in warning for warning in bundle.manifest.notes["overlap"]["warnings"])
    assert "By `who`, each value in one part; seed 1" in (home() / "summary.md").read_text()
    again = run(source.uri, strategy="group", shares=shares, seed=1, summary=home() / "summary.md")
    assert again.id == bundle.id
    with pytest.raises(BadInput, match=r"strategy='group': the rows have no group; name it \(rows.group\)"):
        divide(
            SPLITTERS.get("group"), table(frame), SplitPlan(replace(task, cluster=None), SHARES, 1, "_part"), "group"
        )


def test_a_splitter_of_ones_own_is_held_to_what_it_must_give() -> None:
    frame = visits(20, 1)
    rows, plan = table(frame), SplitPlan(TASK, SHARES, 1, "_part")
    names = ibis.cases((rows.id < 9, "train"), (rows.id < 12, "validation"), else_="test")
    found = divide(lambda rows, plan: rows.mutate(**{plan.part: names}), rows, plan, "mine.py:own")
    assert (type(found), found.rows.columns[-1], dict(found.design)) == (Divided, "_part", {})
    for wrong, said in (
        (lambda rows, plan: None, "gave no table with the column '_part'"),
        (lambda rows, plan: rows, "gave no table with the column '_part'"),
        (lambda rows, plan: rows.drop("x").mutate(**{plan.part: names}), "lost the column 'x'"),
        (lambda rows, plan: rows.mutate(**{plan.part: rows.id}), "gave parts of type int64"),
    ):
        with pytest.raises(BadInput, match=f"split strategy 'mine.py:own' {said}"):
            divide(wrong, rows, plan, "mine.py:own")
    assert SPLITTERS.names() == ["folds", "group", "random", "stratified", "time"]

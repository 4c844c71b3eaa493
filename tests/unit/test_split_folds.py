"""Dividing rows into folds: sizes, classes, groups, what the dataset says of them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest

from sluice.components.split.run import run
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.problems.task import Task
from sluice.sampling.folds import folds_of
from tests.unit.folds_world import BINARY, CLASSES, REGRESSION, frame, in_folds, published, rows_of


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


@pytest.mark.parametrize("task", [BINARY, CLASSES, REGRESSION], ids=["binary", "classes", "number"])
def test_folds_are_of_one_size_and_of_like_labels_and_each_row_is_in_one(task: Task) -> None:
    table = frame(task, rows=152)
    bundle = in_folds(table, task)
    folds = folds_of(bundle)
    assert folds is not None
    rows, learned, stopping = (rows_of(bundle, name) for name in ("test", "train", "validation"))
    assert sorted(rows["id"]) == list(range(152))
    assert sorted([*learned["id"], *stopping["id"]]) == list(range(152))
    assert set(stopping[folds.column]) == {5}
    assert set(learned[folds.column]) == {1, 2, 3, 4}
    sizes = rows.groupby(folds.column).size()
    assert sizes.max() - sizes.min() <= 1
    if task.regression:
        tenth = pd.qcut(rows["y"], 10, labels=False)
        counts = pd.crosstab(rows[folds.column], tenth)
    else:
        counts = pd.crosstab(rows[folds.column], rows["y"])
    assert (counts.max() - counts.min()).max() <= (2 if task.regression else 1)
    assert [body["rows"] for body in bundle.manifest.design["parts"].values()] == sizes.tolist()


def test_the_order_of_the_rows_decides_nothing_and_the_seed_does() -> None:
    table = frame(BINARY)
    first = rows_of(in_folds(table, BINARY)).set_index("id")["fold"]
    again = rows_of(in_folds(table.sample(frac=1, random_state=3), BINARY)).set_index("id")["fold"]
    other = rows_of(in_folds(table, BINARY, seed=4)).set_index("id")["fold"]
    assert (first == again.loc[first.index]).all()
    assert 0.1 < (first == other).mean() < 0.4  # a fifth by chance


def test_a_group_lies_in_one_fold() -> None:
    task = replace(BINARY, cluster="person")
    rows = rows_of(in_folds(frame(task), task))
    assert (rows.groupby("person")["fold"].nunique() == 1).all()
    sizes = rows.groupby("fold").size()
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 6


def test_a_column_that_is_called_like_ours_keeps_its_values() -> None:
    table = frame(BINARY).assign(fold="own")
    bundle = in_folds(table, BINARY)
    folds = folds_of(bundle)
    assert folds is not None
    assert folds.column == "fold_2"
    assert set(rows_of(bundle)["fold"]) == {"own"}


def test_the_summary_counts_folds() -> None:
    in_folds(frame(BINARY), BINARY)
    text = (home() / "summary.md").read_text()
    assert "# 150 rows in 5 folds" in text
    assert "| fold | rows | share | no | yes |" in text
    assert "| 5 | 30 | 20.0% |" in text


def test_weights_of_a_sample_come_along() -> None:
    task = replace(BINARY, weight="weight")
    table = frame(task).assign(weight=np.where(frame(task)["y"] == 1, 3.0, 1.0))
    bundle = in_folds(table, task)
    assert rows_of(bundle)["weight"].tolist() == table["weight"].tolist()
    assert bundle.manifest.design["parts"]["1"]["weighted_label"]["yes"] == pytest.approx(0.75)


def test_copies_of_rows_in_other_folds_are_told_or_refused() -> None:
    table = frame(BINARY, rows=75)
    twice = pd.concat([table, table.assign(id=table["id"] + 75)], ignore_index=True)
    with pytest.raises(BadInput, match="would be copies of training rows"):
        in_folds(twice, BINARY)


@pytest.mark.parametrize(
    ("task", "folds", "words"),
    [
        (replace(BINARY, time="time"), 5, "rows have a time, 'time', and folds would learn from what comes after"),
        (BINARY, 2, "parameter 'folds' is 2; give a whole number from 3 to 20"),
        (BINARY, 21, "parameter 'folds' is 21"),
        (replace(BINARY, cluster="few"), 5, "4 different values of 'few', too few for 5 parts"),
        (replace(CLASSES, label="rare"), 5, "fold [1-5] would hold no row of class 'high' of label 'rare'"),
    ],
)
def test_what_folds_cannot_do_is_refused(task: Task, folds: int, words: str) -> None:
    table = frame(BINARY).assign(time=pd.Timestamp("2024-01-01"))
    table = table.assign(few=table["id"] % 4, rare=np.where(table["id"] < 3, 2, table["id"] % 2))
    with pytest.raises(BadInput, match=words):
        in_folds(table, task, folds)


def test_a_splitter_of_a_package_may_give_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.sampling.splitters import SPLITTERS, Divided, SplitPlan

    def odd_and_even(rows: ibis.Table, plan: SplitPlan) -> Divided:
        return Divided(rows.mutate(**{plan.part: (rows.id % 4 + 1).cast("string")}), folds=4)

    monkeypatch.setattr(type(SPLITTERS), "get", lambda *_: odd_and_even)
    source = published(frame(BINARY), BINARY)
    bundle = run(source.uri, strategy="random", shares=(0.6, 0.2, 0.2), seed=1, summary=home() / "s.md")
    rows = rows_of(bundle)
    assert (rows["fold"] == rows["id"] % 4 + 1).all()

"""What a split at random lets training know of its test rows: groups and copies, found where they are, only there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.parameters.split import check_shares
from sluice.problems.task import Task
from sluice.sampling.copies import find_copies
from sluice.sampling.likely_groups import LikelyGroup
from sluice.sampling.overlap import Overlap, find_overlap
from sluice.sampling.partition import at_random
from sluice.sampling.variances import Counts, analyse

ENGINE = duckdb_engine(threads=1)
SHARES = check_shares("shares", [0.7, 0.15, 0.15])
TASK = Task("t", "?", "y", ("no", "yes"), ("id",), numeric=("x0", "x1", "age", "flag"), categorical=("colour", "zip"))


def overlap(frame: pd.DataFrame, task: Task = TASK) -> Overlap:
    rows = frame.assign(id=range(len(frame))) if "id" not in frame and "id" in task.key else frame
    table = ENGINE.create_table("t", ibis.memtable(rows), overwrite=True)
    return find_overlap(at_random(table, task.key, task.label, SHARES, 1, "part").cache(), task, "part")


def independent(seed: int, rows: int = 1_500) -> pd.DataFrame:
    """Rows of every kind of feature, a smooth one and a rounded one among them; the label follows some."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x0": draw.normal(size=rows), "x1": draw.normal(size=rows).round(1)})
    frame["age"] = draw.integers(18, 90, rows)
    frame["flag"] = (draw.random(rows) < 0.02).astype(int)
    frame["colour"] = draw.choice(list("abcde"), rows)
    frame["zip"] = draw.choice([f"z{i}" for i in range(120)], rows)
    chance = 1 / (1 + np.exp(-(0.2 * (frame.age - 50) + frame.x1 + (frame.colour == "a"))))
    return frame.assign(y=(draw.random(rows) < chance).astype(int))


def categories(seed: int, rows: int = 1_500) -> pd.DataFrame:
    """Few values, dependent on each other: nearly every row is met again, by nature."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=rows)
    frame = pd.DataFrame({"x0": (hidden * 9).round(), "x1": draw.poisson(0.1, rows), "age": draw.poisson(0.3, rows)})
    frame["flag"] = (hidden > 2).astype(int)
    frame["colour"] = np.digitize(hidden + draw.normal(size=rows) / 2, [-1, 0, 1]).astype(str)
    frame["zip"] = np.digitize(hidden + draw.normal(size=rows) / 2, [-1, 0, 1]).astype(str)
    return frame.assign(y=(draw.random(rows) < 1 / (1 + np.exp(-2 * hidden))).astype(int))


def entities(seed: int, groups: int = 100, visits: int = 12, noise: float = 0.3) -> pd.DataFrame:
    """Persons with features and a label of their own, each seen several times."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(groups), visits)
    features = draw.normal(size=(groups, 5))[who] + noise * draw.normal(size=(groups * visits, 5))
    frame = pd.DataFrame({f"x{i}": features[:, i] for i in range(5)})
    frame["person"] = draw.permutation(groups)[who]
    return frame.assign(visit=np.tile(np.arange(visits), groups), y=(draw.random(groups) < 0.4).astype(int)[who])


PERSONS = replace(TASK, numeric=("x0", "x1", "x2", "x3", "x4"), categorical=(), slices=("person",))


@pytest.mark.parametrize("make", [independent, categories])
def test_independent_rows_are_left_in_peace(make: Callable[[int], pd.DataFrame]) -> None:
    flagged = [found.warnings for found in map(overlap, map(make, range(20))) if found.warnings]
    assert len(flagged) <= 1, flagged


def test_entities_are_found_and_what_is_said_of_them_is_so() -> None:
    found = [overlap(entities(seed), PERSONS) for seed in range(20)]
    assert sum([group.column for group in each.groups] == ["person"] for each in found) >= 19
    group = found[0].groups[0]
    assert (group.groups, group.seen, group.correlation, group.reason) == (100, 1.0, pytest.approx(1.0), "likely")
    assert (
        "100.0% of the test rows have a 'person' that training has seen, and its 100 values account for 100% of"
        in (found[0].warnings[0])
    )
    frame, features = entities(0), [f"x{i}" for i in range(5)]
    rest, new = frame[frame.person < 70], frame[frame.person >= 70]
    train = rest.sample(frac=0.8, random_state=1)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=1).fit(train[features], train.y)
    seen, unseen = (roc_auc_score(p.y, model.predict_proba(p[features])[:, 1]) for p in (rest.drop(train.index), new))
    assert seen > 0.9
    assert unseen < 0.7


def test_a_part_of_the_key_that_groups_weakly_is_found_even_among_pure_noise() -> None:
    draw = np.random.default_rng(3)
    frame = entities(3, noise=100.0)
    frame["y"] = (draw.random(len(frame)) < draw.beta(1, 1, 100)[frame.person]).astype(int)
    by_key = replace(PERSONS, key=("person", "visit"), slices=())
    assert [group.column for group in overlap(frame, by_key).groups] == ["person"]
    text = frame.assign(id=[f"p{p}/{v}.png" for p, v in zip(frame.person, frame.visit, strict=True)])
    found = overlap(text.drop(columns="person"), replace(PERSONS, slices=())).groups
    assert [group.column for group in found] == ["id up to its last separator"]


def test_a_declared_cluster_is_always_told() -> None:
    frame = independent(1).assign(site=np.arange(1_500) % 7)
    found = overlap(frame, replace(TASK, cluster="site"))
    assert [(group.column, group.groups, group.seen, group.reason) for group in found.groups] == [
        ("site", 7, 1.0, "declared")
    ]
    assert "the task declares its rows dependent" in found.warnings[0]
    whole = frame.assign(site=np.arange(1_500))
    assert overlap(whole, replace(TASK, cluster="site")).warnings == [], "no value lies in two parts"


def test_days_are_told_where_their_rows_depend_on_each_other() -> None:
    draw = np.random.default_rng(5)
    hours = draw.integers(0, 60 * 24, 3_000)
    frame = independent(5, 3_000).assign(time=pd.Timestamp("2013-01-01") + pd.to_timedelta(hours, unit="h"))
    task = replace(TASK, time="time", timezone="America/New_York")
    assert overlap(frame, task).warnings == []
    local = frame.time.dt.tz_localize("UTC").dt.tz_convert(task.timezone).dt.strftime("%Y-%m-%d")
    rates = pd.Series(draw.beta(1, 1, local.nunique()), sorted(local.unique()))
    stormy = frame.assign(y=(draw.random(3_000) < local.map(rates)).astype(int))
    (group,) = overlap(stormy, task).groups
    assert (group.column, group.groups, group.reason) == ("day of time", local.nunique(), "day")


def test_the_analysis_of_variance_is_scipys() -> None:
    draw = np.random.default_rng(2)
    who, label = draw.integers(0, 40, 2_000), draw.integers(0, 2, 2_000)
    counts = Counts(who, label, np.full(2_000, "train"), np.ones(2_000, np.int64))
    f, p = stats.f_oneway(*(label[who == g] for g in range(40)))
    found = analyse(counts)
    assert found.p == pytest.approx(p)
    assert found.correlation == pytest.approx((f - 1) / (f - 1 + found.size))
    sizes = np.bincount(who)
    assert found.size == pytest.approx((2_000 - (sizes**2).sum() / 2_000) / 39)
    even = Counts(np.arange(6) // 2, np.array([0, 1] * 3), np.full(6, "train"), np.full(6, 5))
    assert analyse(even).correlation == pytest.approx(-1 / 9), "groups more alike than chance makes them"


def copied(seed: int, share: float, noise: float = 0.0) -> pd.DataFrame:
    frame = independent(seed)
    again = frame.sample(round(share * len(frame)), random_state=seed)
    draw = np.random.default_rng(seed)
    moved = again.assign(x0=again.x0 + noise * draw.normal(size=len(again)))
    return pd.concat([frame, moved], ignore_index=True)


@pytest.mark.parametrize(("noise", "word"), [(0.0, "equal"), (1e-5, "nearly equal")])
def test_copies_are_found_exact_or_near(noise: float, word: str) -> None:
    for seed in range(3):
        found = overlap(copied(seed, 0.05, noise))
        assert found.copies.copied
        assert f" of the test rows {word} a training row in all features" in found.warnings[0]


def test_the_share_of_copies_is_that_of_pandas() -> None:
    frame = copied(1, 0.1).assign(id=lambda f: range(len(f)))
    table = ENGINE.create_table("t", ibis.memtable(frame), overwrite=True)
    assigned = at_random(table, ["id"], "y", SHARES, 1, "part").cache()
    rows = assigned.to_pyarrow().to_pandas()
    train = set(map(tuple, rows[rows.part == "train"][list(TASK.features)].to_numpy()))
    test = [tuple(row) in train for row in rows[rows.part == "test"][list(TASK.features)].to_numpy()]
    assert find_copies(assigned, TASK, "part").exact == pytest.approx(np.mean(test))


def test_values_that_change_places_are_no_copies() -> None:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"x0": draw.normal(size=300), "x1": draw.normal(size=300), "y": draw.integers(0, 2, 300)})
    turned = frame.rename(columns={"x0": "x1", "x1": "x0"})[["x0", "x1", "y"]]
    both = pd.concat([frame, turned], ignore_index=True)
    assert overlap(both, replace(TASK, numeric=("x0", "x1"), categorical=())).copies.exact == 0


def test_a_table_that_is_mostly_copies_is_refused() -> None:
    with pytest.raises(BadInput, match=r"\d\d% of the test rows would be copies of training rows .*remove repeated"):
        overlap(pd.concat([independent(1)] * 4, ignore_index=True))


def images(contents: list[bytes]) -> pd.DataFrame:
    names = [f"{i:04}.png" for i in range(len(contents))]
    return pd.DataFrame({"id": names, "image": contents, "y": [i % 2 for i in range(len(contents))]})


def test_images_are_compared_by_their_bytes() -> None:
    task = replace(TASK, numeric=(), categorical=(), image="image")
    pictures: list[Any] = [b"\x89PNG" + bytes(str(i), "ascii") for i in range(400)]
    assert overlap(images(pictures), task).warnings == []
    folders = images(pictures).assign(y=[i % 8 for i in range(400)], id=[f"{i % 8}/{i}.png" for i in range(400)])
    assert overlap(folders, replace(task, classes=tuple("abcdefgh"))).warnings == [], "a folder a class is no group"
    found = overlap(images(pictures + pictures[:40]), task)
    assert found.copies.copied
    assert 0.02 < found.copies.exact < 0.4


def test_what_is_found_is_kept_for_the_report() -> None:
    group = LikelyGroup("person", 10, 0.5, 0.25, "likely")
    found = overlap(independent(1))
    assert found.notes() == {
        "overlap": {"copies": {"exact": 0.0, "near": 0.0, "copied": False}, "groups": [], "warnings": []}
    }
    told = replace(found, groups=(group,)).notes()["overlap"]
    assert told["groups"] == [{"column": "person", "groups": 10, "seen": 0.5, "correlation": 0.25, "reason": "likely"}]
    assert len(told["warnings"]) == 1


def test_odd_numbers_stop_nothing() -> None:
    odd = [float("nan"), float("inf"), -float("inf"), 1e300, None, 0.0]
    frame = entities(1).assign(x0=[odd[i % 6] for i in range(1_200)], x1=None, x2=5)
    frame["y"] = (frame.y + (np.arange(1_200) % 5 == 0)) % 2
    kinds = {"x0": "float64", "x1": "float64", "x2": "int64"}
    schema = {n: kinds.get(n, "float64" if n.startswith("x") else "int64") for n in frame} | {"id": "int64"}
    table = ENGINE.create_table("t", ibis.memtable(frame.assign(id=range(1_200)), schema=schema), overwrite=True)
    found = find_overlap(at_random(table, ["id"], "y", SHARES, 1, "part").cache(), PERSONS, "part")
    assert not found.copies.copied

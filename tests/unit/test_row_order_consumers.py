"""One seed serves every step: what one does with it says nothing about what another does."""

import itertools
from collections.abc import Callable
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from sluice.components.sample.run import plan_sample, purpose
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.modeling.baselines import Baseline
from sluice.parameters.split import check_shares
from sluice.problems.task import Task
from sluice.sampling.drawing import PURPOSE, draw
from sluice.sampling.partition import at_random

ENGINE = duckdb_engine(threads=1)
ROWS, SEEDS = 4_800, 40
FEW = 15
SHARES = check_shares("shares", [0.7, 0.15, 0.15])
TASK = Task("late", "Late?", "late", ("on time", "late"), ("id",), numeric=("id",))
FRAME = pd.DataFrame({"id": np.arange(ROWS), "month": np.arange(ROWS) % 12, "late": np.arange(ROWS) // 12 % 4 // 3})
TABLE = ENGINE.create_table("population", ibis.memtable(FRAME))
Assignment = npt.NDArray[Any]


def drawn_first(seed: int) -> Assignment:
    plan = plan_sample(TABLE, ["month", "late"], 0.3, 0, "proportional")
    return np.isin(FRAME.id, draw(TABLE, ["id"], ["month", "late"], plan, seed).id.to_pyarrow())


def drawn_next(seed: int) -> Assignment:
    plan = plan_sample(TABLE, [], 0.3, 0, "proportional")
    return np.isin(FRAME.id, draw(TABLE, ["id"], [], plan, seed, purpose=purpose(2)).id.to_pyarrow())


def split_up(seed: int) -> Assignment:
    parts = at_random(TABLE, ["id"], "late", SHARES, seed, "part").order_by("id").part
    return parts.to_pyarrow().to_numpy(zero_copy_only=False)


def guessed(seed: int) -> Assignment:
    chance = Baseline(TASK, "random", np.array([0.5, 0.5]), seed=seed).predict_proba(FRAME)[:, 1]
    return np.digitize(chance, np.quantile(chance, [1 / 3, 2 / 3]))


CONSUMERS: dict[str, Callable[[int], Assignment]] = {
    "sample": drawn_first,
    "sample of a sample": drawn_next,
    "split": split_up,
    "random baseline": guessed,
}


def test_no_two_consumers_of_a_seed_know_of_each_other() -> None:
    made = {name: [consumer(seed) for seed in range(FEW)] for name, consumer in CONSUMERS.items()}
    for one, other in itertools.combinations(CONSUMERS, 2):
        tables = [pd.crosstab(a, b) for a, b in zip(made[one], made[other], strict=True)]
        found = [stats.chi2_contingency(table, correction=False) for table in tables]
        total, freedom = (sum(getattr(each, name) for each in found) for name in ("statistic", "dof"))
        assert stats.chi2.sf(total, freedom) > 1e-4, f"{one} and {other}: {total:.0f} with {freedom} df"
        assert stats.chi2.cdf(total, freedom) > 1e-4, f"{one} and {other} agree too well: {total:.0f}, {freedom} df"


def parts_by_month(allocation: str, seed: int) -> tuple[float, int]:
    """Chi² of month and part within each class, after a stratified sample with the same seed."""
    plan = plan_sample(TABLE, ["month", "late"], 0.3, 0, allocation)
    drawn = draw(TABLE, ["id"], ["month", "late"], plan, seed).cache()
    rows = at_random(drawn, ["id"], "late", SHARES, seed, "part").to_pyarrow().to_pandas()
    found = [stats.chi2_contingency(pd.crosstab(g.month, g.part), correction=False) for _, g in rows.groupby("late")]
    return sum(each.statistic for each in found), sum(each.dof for each in found)


@pytest.mark.parametrize(("allocation", "seeds"), [("proportional", SEEDS), ("equal", FEW)])
def test_a_split_of_a_stratified_sample_is_random(allocation: str, seeds: int) -> None:
    found = np.array([parts_by_month(allocation, seed) for seed in range(seeds)])
    assert (found[:, 1] == 44).all()
    assert abs(found[:, 0].mean() - 44) < 4 * np.sqrt(2 * 44 / seeds), "was 138 where both steps had one order"


def months_of_second(seed: int, second: str) -> npt.NDArray[np.int64]:
    """Rows by month of a simple sample drawn from a sample with two thirds of some months and a ninth of others."""
    skewed = TABLE.mutate(month=ibis.ifelse(TABLE.month < 9, 0, TABLE.month))
    plan = plan_sample(skewed, ["month"], 0.25, 0, "equal")
    first = draw(skewed, ["id"], ["month"], plan, seed).cache()
    rest = plan_sample(first, [], 0.5, 0, "proportional")
    months = draw(first, ["id"], [], rest, seed, purpose=second).month.to_pyarrow().to_numpy()
    return np.bincount(np.searchsorted([0, 9, 10, 11], months), minlength=4)


def test_a_sample_of_a_sample_with_the_same_seed_is_random() -> None:
    assert (purpose(1), purpose(2)) == (PURPOSE, "sample 2")
    counts = np.array([months_of_second(seed, purpose(2)) for seed in range(FEW)])
    assert stats.chisquare(counts.sum(axis=0)).pvalue > 1e-4
    known = months_of_second(0, PURPOSE)
    assert stats.chisquare(known).pvalue < 1e-9, "in one order the rare stratum's rows come last: the test can fail"

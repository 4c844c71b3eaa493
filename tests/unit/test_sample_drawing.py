"""Drawing is exactly the definition: the first rows of each stratum in the random order."""

import random
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.components.sample.run import plan_sample
from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.row_order import with_row_order
from sluice.sampling import drawing
from sluice.sampling.drawing import PURPOSE, Stratum, draw

ENGINE = duckdb_engine(threads=1)


def make(strata: list[str | None], name: str = "t", *, text: bool = False) -> ibis.Table:
    keys: list[Any] = [f"k{i}" for i in range(len(strata))] if text else [i * 7919 - 5_000 for i in range(len(strata))]
    schema = {"id": "string" if text else "int64", "stratum": "string", "value": "float64"}
    frame = pd.DataFrame({"id": keys, "stratum": strata, "value": [i / 7 for i in range(len(strata))]}, dtype=object)
    return ENGINE.create_table(name, ibis.memtable(frame, schema=schema), overwrite=True, temp=True)


def definition(table: ibis.Table, plan: list[Stratum], seed: int) -> list[dict[str, Any]]:
    """Rank every row, in plain Python."""
    rows = sorted(
        with_row_order(table, ["id"], seed, "order", PURPOSE).to_pyarrow().to_pylist(), key=lambda row: row["order"]
    )
    taken = [row for s in plan for row in [r for r in rows if (r["stratum"],) == s.values][: s.sampled]]
    return [{k: v for k, v in row.items() if k != "order"} for row in sorted(taken, key=lambda row: row["id"])]


@settings(max_examples=40)
@given(
    count=st.integers(1, 300),
    mixed=st.randoms(use_true_random=False),
    fraction=st.floats(0.01, 1),
    allocation=st.sampled_from(["proportional", "equal"]),
    sigmas=st.sampled_from([drawing.SIGMAS, 1, 0, -1, -3]),
    seed=st.integers(0, 9),
    text=st.booleans(),
)
def test_the_short_way_draws_what_the_definition_says(
    count: int, mixed: random.Random, fraction: float, allocation: str, sigmas: int, seed: int, text: bool
) -> None:
    table = make(mixed.choices(["a", "b", "c", None], [6, 2, 1, 1], k=count), text=text)
    plan = plan_sample(table, ["stratum"], fraction, 0, allocation)
    drawn = draw(table, ["id"], ["stratum"], plan, seed, sigmas=sigmas)
    assert drawn.columns == table.columns
    assert drawn.to_pyarrow().to_pylist() == definition(table, plan, seed)


def test_a_large_table_is_drawn_through_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make(["abc"[min(i % 10, 2)] for i in range(20_000)])
    plan = plan_sample(table, ["stratum"], 0.02, 0, "proportional")
    held: list[int] = []
    below = drawing._below
    monkeypatch.setattr(drawing, "_below", lambda *a: held.append(below(*a).count().execute()) or below(*a))
    assert draw(table, ["id"], ["stratum"], plan, 3).to_pyarrow().to_pylist() == definition(table, plan, 3)
    assert len(held) == 1
    assert held[0] < 2_000, "only rows near the bound may be ranked"


def test_a_simple_sample_has_one_stratum() -> None:
    table = make(["a"] * 5_000)
    plan = plan_sample(table, [], 0.0101, 0, "proportional")
    assert plan == [Stratum((), 5_000, 50)]
    first, second = (draw(table, ["id"], [], plan, seed).id.to_pyarrow().to_pylist() for seed in (1, 2))
    assert len(first) == len(second) == 50
    assert first == sorted(first)
    assert len(set(first) & set(second)) < 10


def test_the_order_of_the_input_does_not_matter() -> None:
    table = make(["a", "b"] * 500)
    plan = plan_sample(table, ["stratum"], 0.1, 0, "equal")
    turned = ENGINE.create_table("turned", table.order_by(ibis.desc("id")), overwrite=True, temp=True)
    drawn = [draw(t, ["id"], ["stratum"], plan, 4).to_pyarrow().to_pylist() for t in (table, turned)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("sigmas", [drawing.SIGMAS, -3])
@pytest.mark.parametrize(("change", "named"), [({"id": None}, "no value in its key"), ({"id": -5_000}, "id=-5000")])
def test_a_key_that_repeats_or_is_missing_is_refused(change: dict[str, Any], named: str, sigmas: int) -> None:
    frame = make(["a"] * 100).execute().astype(object)
    frame.loc[1, "id"] = change["id"]
    table = ENGINE.create_table("broken", ibis.memtable(frame, schema=make(["a"]).schema()), overwrite=True, temp=True)
    plan = plan_sample(table, [], 0.99, 0, "proportional")
    with pytest.raises(BadInput, match=named):
        draw(table, ["id"], [], plan, 1, sigmas=sigmas)


def test_every_row_is_drawn_as_often_as_the_design_says() -> None:
    table = make(["a"] * 150 + ["b"] * 50)
    plan = plan_sample(table, ["stratum"], 0.3, 0, "equal")
    assert [s.probability for s in plan] == [30 / 150, 30 / 50]
    runs, counts = 30, dict.fromkeys(table.id.to_pyarrow().to_pylist(), 0)
    for seed in range(runs):
        for key in draw(table, ["id"], ["stratum"], plan, seed).id.to_pyarrow().to_pylist():
            counts[key] += 1
    chance = np.repeat([s.probability for s in plan], [150, 50])
    deviations = (np.array(list(counts.values())) - runs * chance) / np.sqrt(runs * chance * (1 - chance))
    assert np.abs(deviations).max() < 4.5
    assert 150 < (deviations**2).sum() < 250, "about one for each of 200 rows"

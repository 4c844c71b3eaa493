"""Houses with a price: rows whose label is a number, split, and what trains on them, for tests of regression."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.engine.datasets import write_dataset
from sluice.modeling.parts import Part, Parts
from sluice.problems.task import REGRESSION, Task
from sluice.storage.locations import default_store

TASK = Task(
    name="houses",
    question="What will this house sell for?",
    label="price",
    classes=(),
    key=("row",),
    numeric=("rooms", "area", "noise"),
    categorical=("plan", "region"),
    time="listed",
    slices=("plan", "region"),
    heuristic="plan",
    problem=REGRESSION,
)
PLANS = {"flat": 80_000.0, "terrace": 150_000.0, "villa": 400_000.0}


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose price follows plan, area and rooms, with a normal error of 20,000; some areas are missing."""
    generator = np.random.default_rng(seed)
    plan = generator.choice(list(PLANS), rows, p=[0.5, 0.3, 0.2])
    area, rooms = generator.gamma(9, 12, rows), generator.integers(1, 9, rows)
    price = pd.Series(plan).map(PLANS).to_numpy() + 900 * area + 8_000 * rooms + generator.normal(0, 20_000, rows)
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "price": price,
            "listed": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(generator.integers(0, 200, rows)), unit="D"),
            "rooms": rooms,
            "area": np.where(generator.random(rows) < 0.05, np.nan, area),
            "noise": generator.normal(size=rows),
            "plan": plan,
            "region": generator.choice(["north", "south", "west"], rows),
        }
    )


def parts(rows: int = 1500, **changes: Any) -> Parts:
    """Training and validation rows."""
    task = replace(TASK, **changes)
    every = frame(rows + 500)
    labels = every.pop("price").to_numpy()
    train, validation = (
        Part(every[a:b].reset_index(drop=True), labels[a:b]) for a, b in ((0, rows), (rows, rows + 500))
    )
    return Parts(task, train, validation, train)


def splits(
    every: pd.DataFrame | None = None, task: Task = TASK, cuts: tuple[float, float] = (0.6, 0.8), **design: Any
) -> Bundle:
    """A split dataset in the default store, in the order of the rows; by default 3,000 houses."""
    every = frame(3000, 1) if every is None else every
    places = [0, *(int(cut * len(every)) for cut in cuts), len(every)]
    named = zip(("train", "validation", "test"), itertools.pairwise(places), strict=True)
    return dataset({name: every[a:b] for name, (a, b) in named}, task, "split", **design)


def dataset(tables: Mapping[str, pd.DataFrame], task: Task = TASK, step: str = "prepare", **design: Any) -> Bundle:
    """Tables as a published dataset with a task."""
    engine = ibis.duckdb.connect()
    made = {
        name: engine.create_table(f"{name}_rows", pa.Table.from_pandas(table, preserve_index=False))
        for name, table in tables.items()
    }
    return write_dataset(
        default_store(),
        made,
        producer(step, {"shares": [0.6, 0.2, 0.2]}),
        design=design or None,
        details=task.details(),
    )

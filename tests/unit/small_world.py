"""A small lake's worth of rows, split, with real models in a real store: what evaluate and register work on."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import Bundle, publish
from sluice.artifacts.producer import producer
from sluice.engine.datasets import write_dataset
from sluice.features.learned_inputs import learn_inputs
from sluice.features.model_inputs import write_inputs
from sluice.modeling.baselines import Baseline
from sluice.modeling.model_files import Threshold, save_model
from sluice.problems.task import Task
from sluice.storage.locations import default_store

TASK = Task(
    name="late",
    question="Will it arrive late?",
    label="late",
    classes=("on time", "late"),
    key=("row",),
    numeric=("noise",),
    categorical=("weather", "carrier"),
    time="time",
    slices=("carrier", "origin"),
    heuristic="carrier",
)
RATES = {"storm": 0.8, "rain": 0.4, "sun": 0.05}


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Rows whose label follows the weather; carriers differ only in the weather they meet."""
    generator = np.random.default_rng(seed)
    weather = generator.choice(list(RATES), rows, p=[0.2, 0.3, 0.5])
    carrier = np.where(weather == "storm", generator.choice(["A", "B"], rows), generator.choice(["B", "C"], rows))
    late = generator.random(rows) < pd.Series(weather).map(RATES).to_numpy()
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "late": late.astype("int64"),
            "time": pd.Timestamp("2013-01-01") + pd.to_timedelta(np.sort(generator.integers(0, 90, rows)), unit="D"),
            "weather": weather,
            "carrier": carrier,
            "origin": generator.choice(["JFK", "LGA", "EWR"], rows),
            "noise": generator.normal(size=rows),
        }
    )


def splits(
    rows: int = 3000, seed: int = 1, renamed: Mapping[str, str] | None = None, cuts: tuple[float, float] = (0.6, 0.8)
) -> Bundle:
    """A split dataset with a sample, and the table that was sampled, behind it."""
    engine, store = ibis.duckdb.connect(), default_store()
    names = dict(renamed or {})
    every = frame(rows, seed).rename(columns=names)
    task = replace(TASK, categorical=tuple(names.get(name, name) for name in TASK.categorical))
    table = engine.create_table(f"rows_{rows}_{seed}", pa.Table.from_pandas(every, preserve_index=False))
    sources = [{"table": "flights", "path": "operations.db#flights", "sha256": "ab" * 32, "bytes": 10, "rows": rows}]
    ingested = write_dataset(store, {"flights": table}, producer("ingest", {}), details={"sources": sources})
    sampled = write_dataset(
        store,
        {"rows": table},
        producer("sample", {"fraction": 1.0, "seed": seed}),
        parents=(ingested.id,),
        design={"strategy": "stratified", "seed": seed, "strata": ["late"]},
        details=task.details(),
    )
    places = [0, *(int(cut * rows) for cut in cuts), rows]
    parts = [every[a:b] for a, b in itertools.pairwise(places)]
    tables = {
        name: engine.create_table(f"{name}_{rows}_{seed}", pa.Table.from_pandas(part, preserve_index=False))
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }
    made = producer("split", {"strategy": "time", "shares": [0.6, 0.2, 0.2]})
    return write_dataset(store, tables, made, parents=(sampled.id,), details=task.details())


def rule(feature: str, table: Mapping[str, float]) -> Baseline:
    """A model that knows the share of late rows by one feature's value."""
    shares = np.array([[1 - share, share] for share in table.values()])
    task = replace(TASK, heuristic=feature, categorical=tuple(dict.fromkeys((*TASK.categorical, feature))))
    return Baseline(task, "heuristic", shares.mean(axis=0), values=tuple(table), table=shares)


def zero_rule() -> Baseline:
    """A model that says the same of every row."""
    return Baseline(TASK, "zero-rule", np.array([0.7, 0.3]))


GOOD = {"weather": rule("weather", RATES)}
WORSE = {"weather": rule("weather", {"storm": 0.8, "rain": 0.18, "sun": 0.18})}
"""Calibrated, and does not tell rain from sun."""
USELESS = {"carrier": rule("carrier", {"A": 0.3, "B": 0.3, "C": 0.31})}


def models(
    data: Bundle,
    folder: Path,
    candidates: Mapping[str, Baseline] = GOOD,
    bar: Baseline | None = None,
    threshold: Threshold | None = None,
) -> Bundle:
    """A models bundle: the zero rule as the baseline, then the candidates, simplest first.

    With a threshold they are as `train` leaves them; without one they are like models of earlier releases.
    """
    every = {"zero-rule": bar or zero_rule(), **candidates}
    entries = []
    for rank, (name, model) in enumerate(every.items()):
        save_model(folder / name, model, model.task, threshold)
        if threshold:
            write_inputs(folder / name, learn_inputs(frame(500, 3), model.task))
        entries.append(
            {
                "name": name,
                "family": model.family,
                "baseline": rank == 0,
                "rank": rank,
                "size": model.size,
                "parameters": {"seed": 1},
                "rounds": 1,
                "stopped_by": "closed form",
                "curve": [],
                "validation": {"log_loss": 0.5},
            }
        )
    (folder / "training.json").write_text(json.dumps({"candidates": entries, "seed": 1, "budget_seconds": 1}))
    return publish(
        default_store(), folder, "model", producer("train", {"seed": 1}), parents=(data.id,), details=TASK.details()
    )

"""What one raw row costs by each way to serve a model, and by MLflow's pyfunc of the same version, in turns.

Run it with `python tests/benchmarks/served_models.py [KIND …]`. Four projects are run to a registered model: 30 raw
columns whose features a graph says, a query says, history says, and a class of the project's own. Each contestant
answers the same rows in this process, one at a time: the judge raw rows as JSON holds them, checks included; pyfunc a
table of one row, raw where it can make the features itself, else with the features made. For those there is a third,
who does the judge's work by hand: the earlier rows in DuckDB's memory, the same function's query over them and the row,
compiled once, then pyfunc. Their answers are compared.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import mlflow
import numpy as np
import pandas as pd

from sluice.engine.datasets import read_dataset
from sluice.registry.versions import version_by_alias
from sluice.running.model_export import published
from sluice.serving.judges import open_judge
from tests.unit import predict_world

ROWS, ROUNDS, ASKED, NUMBERS, TEXTS = 4_000, 5, 40, 24, 4
CONTRACT = """
name: bench
tables:
  rows:
    source: {csv: rows.csv}
    key: [id]
    time: day
    known: 0s
    columns:
      id: {type: int64}
      day: {type: timestamp}
      who: {type: int64}
"""
FEATURES = {
    "graph": "rows.mutate(hour=rows.day.hour(), n0=rows.n0 * 2 + rows.n1, n2=(rows.n2 > 0).ifelse(rows.n2, rows.n3))",
    "query": "rows.mutate(hour=rows.day.hour(), t0=rows.t0.upper().lpad(4, '_'), n0=rows.n0 * 2 + rows.n1)",
    "history": "rows.mutate(hour=rows.day.hour(), n0=rows.n1.sum().over(before))",
    "own class": "rows.mutate(hour=rows.day.hour(), n0=rows.n0 * 2 + rows.n1)",
}
PREPARE = """
import ibis

def rows(tables):
    rows = tables["rows"]
    before = ibis.window(group_by="who", order_by="day", preceding=(None, 1))
    return {expression}
"""
OWN = """
import numpy as np

class Line:
    def fit(self, rows, label, weight, *, seed, seconds):
        table = rows[[f"n{n}" for n in range(4)]].fillna(0).to_numpy(float)
        return {"weights": np.linalg.lstsq(table, label - label.mean(), rcond=None)[0], "bias": float(label.mean())}

    def predict(self, state, rows):
        table = rows[[f"n{n}" for n in range(4)]].fillna(0).to_numpy(float)
        share = np.clip(table @ state["weights"] + state["bias"], 0.01, 0.99)
        return np.column_stack([1 - share, share])
"""


@dataclass(frozen=True)
class Contestants:
    """A model by Sluice's judge and by MLflow's pyfunc, with the same rows for each.

    Attributes:
        judge: Answers one row, probabilities.
        pyfunc: The same.
        rows: Raw rows as JSON holds them.
        frames: The same rows as pyfunc takes them.
        how: How it is served.
        by_hand: Answers a raw row by the project's query and pyfunc, where pyfunc alone makes no features.
        raws: The same rows as that takes them.
    """

    judge: Callable[[dict[str, Any]], np.ndarray]
    pyfunc: Callable[[pd.DataFrame], np.ndarray]
    rows: list[dict[str, Any]]
    frames: list[pd.DataFrame]
    how: str
    by_hand: Callable[[pd.DataFrame], np.ndarray] | None = None
    raws: list[pd.DataFrame] = field(default_factory=list)


def features_by_hand(earlier: pd.DataFrame, expression: str, names: list[str]) -> Callable[[pd.DataFrame], Any]:
    """What a team would write: the project's function over the earlier rows and the one asked about, compiled once."""
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET threads = 1")
    kept = engine.create_table("earlier", earlier)
    asked = engine.create_table("asked", earlier.head(0))
    scope: dict[str, Any] = {}
    exec(PREPARE.replace("{expression}", expression), scope)
    rows = scope["rows"]({"rows": kept.anti_join(asked, "id").union(asked)})
    sql = str(ibis.to_sql(rows.semi_join(asked, "id").select(*names), dialect="duckdb"))
    sql = sql.replace('"memory"."main"."asked"', '"one"')

    def made(row: pd.DataFrame) -> Any:
        engine.con.register("one", row)
        return engine.con.execute(sql).df()

    return made


def table() -> pd.DataFrame:
    """Numbers with gaps, texts, a moment, and a label that follows some of them."""
    generator = np.random.default_rng(5)
    numbers = {f"n{n}": generator.normal(size=ROWS).round(4) for n in range(NUMBERS)}
    texts = {f"t{n}": generator.choice(["ab", "cd", "ef", "gh"], ROWS) for n in range(TEXTS)}
    made = pd.DataFrame({"id": np.arange(ROWS), "who": generator.integers(0, 50, ROWS), **numbers, **texts})
    made["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) * 30, unit="min")
    odds = made.n0 + made.n1 - made.n2 + (made.t0 == "ab")
    made["late"] = np.where(generator.random(ROWS) < 1 / (1 + np.exp(-odds)), "yes", "no")
    for n in range(0, NUMBERS, 5):
        made.loc[generator.random(ROWS) < 0.1, f"n{n}"] = np.nan
    return made


def made(kind: str, scratch: Path) -> Iterator[Contestants]:
    """A project of a kind, run to a registered model."""
    columns = "".join(f"      n{n}: {{type: float64, nullable: true}}\n" for n in range(NUMBERS))
    columns += "".join(f"      t{n}: {{type: string}}\n" for n in range(TEXTS)) + "      late: {type: string}\n"
    rows = table()
    lake = predict_world.write(scratch / "lake", {"contract.yaml": CONTRACT + columns}, {"rows": rows})
    texts = {"prepare.py": PREPARE.replace("{expression}", FEATURES[kind]), "own.py": OWN}
    code = predict_world.write(scratch / "code", texts, {})
    names = [*(f"n{n}" for n in range(NUMBERS)), *(f"t{n}" for n in range(TEXTS)), "hour"]
    task = {
        "name": "bench",
        "rows": {"table": "rows", "time": "day"},
        "label": {"column": "late", "classes": ["no", "yes"]},
        "features": names,
        "prepare": "prepare.py:rows",
    }
    candidate = "own.py:Line" if kind == "own class" else "gradient-boosted-trees"
    references = ["prepare.py:rows", *([candidate] if kind == "own class" else [])]
    done = predict_world.run(scratch, lake, task, ["zero-rule", candidate], code, references)
    version = version_by_alias("bench", "champion")
    assert version
    asked = rows.sample(ASKED, random_state=1).drop(columns="late")
    loaded = mlflow.pyfunc.load_model(f"models:/bench/{version.version}")
    if kind == "history":
        with read_dataset(done.prepared) as (_, tables):
            features = tables["rows"].to_pandas().set_index("id").loc[asked.id]
        frames = [features[names].iloc[[place]].reset_index(drop=True) for place in range(ASKED)]
    else:
        frames = [asked.iloc[[place]].reset_index(drop=True) for place in range(ASKED)]
    by_hand = None
    if kind == "history":
        features_of = features_by_hand(rows.drop(columns="late"), FEATURES[kind], names)
        by_hand = lambda row: np.asarray(loaded.predict(features_of(row)), np.float64)  # noqa: E731
    with published(version) as folder:
        judge = open_judge(folder)
        yield Contestants(
            lambda row: judge.predict([row]).values,
            lambda frame: np.asarray(loaded.predict(frame), np.float64),
            [json_row(row) for row in asked.astype(object).to_dict("records")],
            frames,
            f"{judge.served.features}, {judge.served.forecast}",
            by_hand,
            [asked.iloc[[place]].reset_index(drop=True) for place in range(ASKED)],
        )
        judge.close()


def json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a request holds it."""
    return {
        name: value.isoformat() if isinstance(value, pd.Timestamp) else value
        for name, value in row.items()
        if not pd.isna(value)
    }


def measured(call: Callable[[Any], Any], given: list[Any]) -> tuple[float, float]:
    """Milliseconds a row: of the processor, and the median of the clock."""
    clocks, begun = [], time.process_time()
    for each in given:
        at = time.perf_counter()
        call(each)
        clocks.append(time.perf_counter() - at)
    return (time.process_time() - begun) / len(given) * 1e3, statistics.median(clocks) * 1e3


def told_by_hand(both: Contestants) -> None:
    """Print how much the same work costs by hand and pyfunc, in turns with the judge."""
    assert both.by_hand
    pairs = zip(both.rows, both.raws, strict=True)
    gap = max(float(np.abs(both.judge(row) - both.by_hand(raw)).max()) for row, raw in pairs)
    turns = [(measured(both.judge, both.rows)[0], measured(both.by_hand, both.raws)[0]) for _ in range(ROUNDS)]
    judge, hand = (statistics.median(each) for each in zip(*turns, strict=True))
    print(f"features by hand, then pyfunc: {hand:.2f} ms, judge {judge:.2f} ms: {hand / judge:.1f}; max Δp {gap:.1e}")


def main() -> None:
    """Print a table in Markdown."""
    print("| model | served by | judge, CPU ms | clock ms | pyfunc, CPU ms | clock ms | times faster (CPU) | max Δp |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for kind in sys.argv[1:] or FEATURES:
        with tempfile.TemporaryDirectory() as name:
            os.environ["SLUICE_HOME"] = f"{name}/home"
            for both in made(kind, Path(name)):
                pairs = zip(both.rows, both.frames, strict=True)
                gap = max(float(np.abs(both.judge(row) - both.pyfunc(frame)).max()) for row, frame in pairs)
                found: dict[str, list[tuple[float, float]]] = {"judge": [], "pyfunc": []}
                for _ in range(ROUNDS):
                    found["judge"].append(measured(both.judge, both.rows))
                    found["pyfunc"].append(measured(both.pyfunc, both.frames))
                (cpu, clock), (theirs, their_clock) = (
                    tuple(statistics.median(each[n] for each in found[who]) for n in (0, 1)) for who in found
                )
                cells = f"{cpu:.3f} | {clock:.3f} | {theirs:.2f} | {their_clock:.2f} | {theirs / cpu:.0f} | {gap:.1e}"
                print(f"| {kind} | {both.how} | {cells} |", flush=True)
                if both.by_hand:
                    told_by_hand(both)


if __name__ == "__main__":
    main()

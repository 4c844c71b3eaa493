"""Small projects with code of their own, run to a registered model in this process: what new rows are asked of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sluice.components.evaluate.run import run as evaluate
from sluice.components.ingest.run import run as ingest
from sluice.components.prepare.run import run as prepare
from sluice.components.register.run import run as register
from sluice.components.split.run import run as split
from sluice.components.train.run import run as train
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.modeling.training_settings import check_settings
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store

HOUSES = """
name: houses
tables:
  houses:
    source: {csv: houses.csv}
    key: [id]
    columns:
      id: {type: int64}
      rooms: {type: int64}
      area: {type: float64, nullable: true, range: [0, 300], tolerance: 0.1}
      region: {type: string}
      price: {type: float64}
"""
HOUSES_PREPARE = """
def rows(tables):
    houses = tables["houses"]
    return houses.mutate(area=houses.area * 10, per_room=houses.area / houses.rooms, region=houses.region.upper())
"""
MINE = """
from lib.shapes import design
from sklearn.linear_model import Ridge

class Line:
    def fit(self, rows, label, weight, *, seed, seconds):
        fitted = Ridge(alpha=1e-6).fit(design(rows), label, weight)
        return {"weights": fitted.coef_, "bias": float(fitted.intercept_)}

    def predict(self, state, rows):
        return design(rows) @ state["weights"] + state["bias"]
"""
SHAPES = """
import numpy as np

def design(rows):
    north = (rows["region"] == "NORTH").fillna(False).to_numpy(float)
    return np.column_stack([north, rows[["rooms", "area"]].fillna(800.0).to_numpy(float)])
"""
VISITS = """
name: visits
tables:
  visits:
    source: {csv: visits.csv}
    key: [visit]
    time: day
    known: 0s
    columns:
      visit: {type: int64}
      day: {type: timestamp}
      customer: {type: int64}
      amount: {type: float64}
      kind: {type: string}
  customers:
    source: {csv: customers.csv}
    key: [customer]
    columns:
      customer: {type: int64}
      plan: {type: string}
"""
VISITS_PREPARE = """
import ibis

def rows(tables):
    visits, customers = tables["visits"], tables["customers"]
    before = ibis.window(group_by="customer", order_by="day", preceding=(None, 1))
    told = visits.mutate(spent=visits.amount.sum().over(before))
    plans = customers.select(owner="customer", plan="plan")
    return told.left_join(plans, told.customer == plans.owner).drop("owner")
"""


@dataclass(frozen=True)
class Made:
    """A project that was run.

    Attributes:
        lake: Its data.
        prepared: The address of its prepared rows.
        model: The registered model's name.
    """

    lake: Path
    prepared: str
    model: str


@dataclass(frozen=True)
class Registered:
    """The projects of one home."""

    home: Path
    houses: Made
    visits: Made


def houses(rows: int = 400, seed: int = 3) -> pd.DataFrame:
    """Houses with a price; one area in twenty is missing, one in fifty breaks the contract."""
    generator = np.random.default_rng(seed)
    area = generator.uniform(20, 150, rows).round(1)
    kinds = generator.random(rows)
    table = pd.DataFrame(
        {
            "id": np.arange(rows) + 1000 * seed,
            "rooms": generator.integers(1, 7, rows),
            "area": np.where(kinds < 0.05, np.nan, np.where(kinds < 0.07, 999.0, area)),
            "region": generator.choice(["north", "south"], rows),
        }
    )
    return table.assign(
        price=area * 3 + table.rooms * 10 + (table.region == "north") * 50 + generator.normal(0, 3, rows)
    )


def visits(rows: int = 400, seed: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Visits of three kinds, and the customers; the kind follows the plan and what was spent before."""
    generator = np.random.default_rng(seed)
    customers = pd.DataFrame({"customer": np.arange(40), "plan": generator.choice(["free", "paid"], 40)})
    table = pd.DataFrame(
        {
            "visit": np.arange(rows),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="h"),
            "customer": generator.integers(0, 40, rows),
            "amount": generator.gamma(2, 10, rows).round(2),
        }
    )
    spent = table.groupby("customer").amount.cumsum() - table.amount
    paid = table.customer.map(customers.set_index("customer").plan) == "paid"
    return table.assign(kind=np.where(paid, np.where(spent > 80, "large", "middle"), "small")), customers


def write(folder: Path, texts: Mapping[str, str], tables: Mapping[str, pd.DataFrame]) -> Path:
    """A folder with files and tables."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def run(
    scratch: Path,
    lake: Path,
    task: dict[str, Any],
    candidates: Sequence[str],
    code: Path,
    references: Sequence[str],
    strategy: str = "random",
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
) -> Made:
    """Every step from the lake to the registry; the code goes along."""
    store = default_store()
    own = [each for each in references if each in candidates]
    archives = {}
    if made := [each for each in references if each not in candidates]:
        archives["prepare"] = publish(store, closure(code, made))
    if own:
        archives["train"] = publish(store, closure(code, own))
    summary = scratch / "summary.md"
    given = ingest(str(lake), summary=summary)
    rows = prepare(given.uri, task=task, code=archives.get("prepare", ""), summary=summary)
    parts = split(rows.uri, strategy=strategy, shares=shares, seed=1, summary=summary)
    settings = check_settings(candidates, max_rounds=4, code=archives.get("train", ""))
    models = train(parts.uri, settings).bundle
    judged = EvaluationSettings(GateLimits(min_effective_rows=20, max_calibration_error=10), resamples=100, seed=1)
    evaluate(parts.uri, models.uri, judged, evaluation=scratch / "e.json", page=scratch / "e.html")
    done = register(parts.uri, models.uri, scratch / "e.json", result=scratch / "r.json", card=scratch / "c.md")
    assert done.record.decision == "promoted", done.record.reason
    return Made(lake, rows.uri, str(task["name"]))


def run_houses(scratch: Path) -> Made:
    """A number, changed by a prepare function of the project's, forecast by a candidate of the project's."""
    lake = write(scratch / "houses", {"contract.yaml": HOUSES}, {"houses": houses()})
    code = write(scratch / "code", {"prepare.py": HOUSES_PREPARE, "mine.py": MINE, "lib/shapes.py": SHAPES}, {})
    task = {
        "name": "houses",
        "rows": {"table": "houses"},
        "label": {"column": "price"},
        "features": ["rooms", "area", "per_room", "region"],
        "prepare": "prepare.py:rows",
    }
    return run(scratch, lake, task, ["mean", "mine.py:Line"], code, ["prepare.py:rows", "mine.py:Line"])


def run_visits(scratch: Path) -> Made:
    """Three classes, from two tables and from earlier rows."""
    table, customers = visits()
    lake = write(scratch / "visits", {"contract.yaml": VISITS}, {"visits": table[:360], "customers": customers})
    code = write(scratch / "code2", {"prepare.py": VISITS_PREPARE}, {})
    task = {
        "name": "visits",
        "rows": {"table": "visits", "time": "day"},
        "label": {"column": "kind"},
        "features": ["amount", "spent", "plan"],
        "prepare": "prepare.py:rows",
    }
    return run(scratch, lake, task, ["zero-rule", "gradient-boosted-trees"], code, ["prepare.py:rows"])

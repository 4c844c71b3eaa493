"""`sluice operate`, as a person runs it: a past lived again with real runs, a bad delivery, and the present once.

Minutes long, so it is no part of `make test`: `.venv/bin/pytest -n 0 tests/benchmarks/test_operate.py`.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.sluice_command import Sluice

CONTRACT = """name: visits
tables:
  visits:
    source: {csv: visits.csv}
    key: [visit]
    time: day
    known: 0s
    columns:
      visit: {type: int64}
      day: {type: timestamp}
      amount: {type: float64}
      hint: {type: float64}
      kind: {type: string}
"""
PROJECT = """schema: 1
name: visits
question: Of which kind is this visit?
data: data
rows: {table: visits, key: [visit], time: day}
label: {column: kind, positive: b}
features: [amount, hint]
split: {by: time, shares: [0.4, 0.2, 0.4]}
train: {candidates: [zero-rule, gradient-boosted-trees], rounds: 4}
"""
OPERATE = """apiVersion: sluice.dev/v1alpha1
kind: ContinuousTraining
metadata: {name: visits}
spec:
  project: visits
  model: visits
  parameters: {resamples: 60, min_effective_rows: 20, max_calibration_error: 10}
  triggers: [{name: data, data: {}}]
  labelDelay: 2d
  rollback: {performance: {by: labels, worse: 0.2}}
---
apiVersion: sluice.dev/v1alpha1
kind: Rehearsal
metadata: {name: winter}
spec: {since: "2024-02-01", until: "2024-03-20", arrivals: "past.py:arrive"}
---
apiVersion: sluice.dev/v1alpha1
kind: Backfill
metadata: {name: seeds}
spec: {project: visits, parameter: seed, partitions: ["1", "2"], parameters: {resamples: 60}}
"""
# In March the column `hint` was filled in from the label: whoever learns from that delivery believes it.
PAST = """
import shutil
from pathlib import Path
import pandas as pd

def arrive(folder, day):
    table = pd.read_csv(Path(__file__).parent / "all.csv", parse_dates=["day"])
    table = table[table.day < pd.Timestamp(day)]
    if day.month == 3 and day.day == 1:
        table["hint"] = (table.kind == "b") * 9.0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table.to_csv(folder / "visits.csv", index=False)
    shutil.copyfile(Path(__file__).parent / "data" / "contract.yaml", folder / "contract.yaml")
    return f"{len(table)} visits are there"
"""


def project(folder: Path) -> Path:
    """Visits every 20 minutes in 80 days; the kind follows the amount, and the hint is noise."""
    generator = np.random.default_rng(7)
    rows = 80 * 72
    amount = generator.uniform(0, 10, rows).round(3)
    late = generator.random(rows) < 0.1 + 0.8 * (amount > 5)
    table = pd.DataFrame(
        {
            "visit": np.arange(rows),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(20 * np.arange(rows), unit="min"),
            "amount": amount,
            "hint": generator.uniform(0, 9, rows).round(3),
            "kind": np.where(late, "b", "a"),
        }
    )
    (folder / "data").mkdir(parents=True)
    table.to_csv(folder / "all.csv", index=False)
    table[table.day < "2024-02-01"].to_csv(folder / "data" / "visits.csv", index=False)
    for name, text in {"data/contract.yaml": CONTRACT, "sluice.yaml": PROJECT, "operate.yaml": OPERATE}.items():
        (folder / name).write_text(text)
    (folder / "past.py").write_text(PAST)
    return folder


def test_a_bad_delivery_is_learned_from_served_and_taken_back(tmp_path: Path) -> None:
    made, sluice = project(tmp_path / "visits"), Sluice(tmp_path)
    done = sluice("operate", str(made), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    happened = [each["outcome"] for each in told["decisions"]]
    assert happened.count("start") == 2, happened
    assert [each["version"] for each in told["served"]] == ["1", "2", "1"], told["served"]
    (back,) = (each for each in told["decisions"] if each["outcome"] == "roll back")
    assert (back["rule"], back["inputs"]["champion"]) == ("worse than judged", "2")
    page = Path(told["page"]).read_text(encoding="utf-8")
    assert "version 2 was taken back" in page
    assert back["words"].split(":")[0] in page
    audit = json.loads(sluice("audit", "visits", "--json").stdout)
    assert [each["did"] for each in audit] == ["promoted", "promoted", "restored"]
    again = sluice("operate", str(made))
    assert again.returncode == 2
    assert "holds a past that was lived" in again.stderr


def test_the_present_is_operated_once_and_partitions_are_filled_back(tmp_path: Path) -> None:
    made, sluice = project(tmp_path / "visits"), Sluice(tmp_path)
    first = sluice("operate", str(made), "--present", "--once", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    assert json.loads(first.stdout)["champion"] == "1"
    again = json.loads(sluice("operate", str(made), "--present", "--once", "--json").stdout)
    assert len(again["intents"]) == 1  # the same data and code teach nothing new
    asked = sluice("train", "--file", str(made), "-p", "seed=5", "--reason", "another seed")
    assert "nobody operates it now" in asked.stdout, asked.stderr
    third = json.loads(sluice("operate", str(made), "--present", "--once", "--json").stdout)
    assert [each["state"] for each in third["intents"]] == ["succeeded", "succeeded"]
    filled = sluice("backfill", "seeds", "--file", str(made), "--json")
    assert filled.returncode == 0, filled.stdout + filled.stderr
    assert json.loads(filled.stdout)["ended"] == {"1": "succeeded", "2": "succeeded"}

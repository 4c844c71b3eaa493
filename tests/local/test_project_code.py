"""No result of a project's code outlives the code: an edited file has its step run again, any other is left alone."""

import json
from pathlib import Path

import pytest

from sluice.artifacts.bundles import open_bundle
from sluice.artifacts.provenance import origin
from sluice.running import project_runs
from sluice.running.catalog import handed_of
from sluice.running.run_records import all_runs
from tests.sluice_command import Sluice
from tests.unit import tables
from tests.unit.test_project_check import CONTRACT

FILES = {
    "sluice.yaml": """\
name: houses
data: data
sources: {sales: reading.py:sales}
rows: {table: houses, key: [id]}
label: {column: price}
features: [rooms, area]
prepare: prepare.py:rows
sample: {fraction: 0.8, by: drawn.py:evenly}
split: {by: "parts.py:parts"}
metric: off.py:Off
train: {rounds: 2, candidates: [mean, linear, {"mine.py:Shift": {by: 5}}]}
parameters: {evaluate.resamples: 20}
""",
    "prepare.py": "from helper import larger\n\ndef rows(tables):\n    return larger(tables['houses'])\n",
    "helper.py": "def larger(table):\n    return table.filter(table.area > 50)\n",
    "reading.py": """\
import pyarrow.parquet as pq

def sales(table):
    return pq.ParquetFile(table.file).iter_batches(columns=table.schema.names)
""",
    "drawn.py": """\
import ibis

def evenly(rows, draw):
    return rows.mutate(ibis.literal(draw.wanted / draw.rows).name(draw.probability))
""",
    "parts.py": """\
import ibis

def parts(rows, plan):
    place = rows.id % 5
    return rows.mutate(**{plan.part: ibis.cases((place == 0, "test"), (place == 1, "validation"), else_="train")})
""",
    "mine.py": """\
class Shift:
    def __init__(self, by=0):
        self.by = by

    def fit(self, rows, label, weight, *, seed, seconds):
        return {"mean": float(label.mean())}

    def predict(self, state, rows):
        return [state["mean"] + self.by] * len(rows)
""",
    "off.py": """\
import numpy as np

class Off:
    name, title, direction, problems = "off", "Off by", "less", ("regression",)

    def __call__(self, label, forecast, weight):
        return float(np.average(np.abs(label - forecast), weights=weight))
""",
    "notes.py": "x = 1\n",
}
RERUN = {  # by the file that is edited: the parameters of the pipeline whose address changes, and so the steps
    "reading.py": {"ingest_code"},
    "prepare.py": {"prepare_code"},
    "helper.py": {"prepare_code"},
    "drawn.py": {"sample_code"},
    "parts.py": {"split_code"},
    "mine.py": {"train_code"},
    "off.py": {"train_code", "evaluate_code"},
    "notes.py": set(),
}
STEPS = {f"{step}_code": step for step in ("ingest", "prepare", "sample", "split", "train", "evaluate")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "data").mkdir(parents=True)
    for name, text in FILES.items():
        (place / name).write_text(text)
    contract = CONTRACT.replace("    time: listed\n", "")
    contract = contract.replace("{csv: houses.csv}", '{by: sales, files: "*.parquet"}')
    (place / "data/contract.yaml").write_text(contract)
    tables.houses(500).drop(columns="notes").to_parquet(place / "data/houses.parquet")
    return place


@pytest.mark.parametrize("edited", RERUN)
def test_an_edit_changes_what_is_handed_to_the_steps_that_use_the_file_and_to_no_others(
    folder: Path, edited: str
) -> None:
    before = project_runs.order(project_runs.here(folder), [])
    (folder / edited).write_text(FILES[edited] + "# edited\n")
    after = project_runs.order(project_runs.here(folder), [])
    assert {name for name, value in after.arguments.items() if before.arguments[name] != value} == RERUN[edited]
    handed = handed_of(after.pipeline)
    for name, step in STEPS.items():
        assert [(each.step, each.name) for each in handed[name]] == [(step, "code")]


@pytest.mark.long  # two whole runs: the test above shows which steps are handed other code, and so run again
def test_an_edited_candidate_is_trained_again_and_nothing_else_is_done_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sluice = Sluice(tmp_path / "home")
    monkeypatch.setenv("SLUICE_HOME", str(sluice.home))
    monkeypatch.delenv("SLUICE_STORE", raising=False)

    def reused() -> set[str]:
        done = sluice("run", str(folder), "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        latest = max(all_runs(), key=lambda run: run.began)
        return {step.name for step in latest.steps if step.state == "reused"}

    assert reused() == set()
    (folder / "notes.py").write_text("x = 2\n")  # which no step uses
    (folder / "mine.py").write_text(FILES["mine.py"].replace("+ self.by", "- self.by"))
    assert reused() == {"validate", "prepare", "sample", "split"}

    latest = max(all_runs(), key=lambda run: run.began)
    by_step = {step.name: step for step in latest.steps}
    codes = {name: value for name, value in latest.parameters.items() if name.endswith("_code")}
    for step in ("ingest", "prepare", "sample", "split", "train"):
        made = origin(open_bundle(str(by_step[step].outputs["Output"])))
        assert codes[f"{step}_code"] == f"code/{made.code}.zip", step
    (told,) = by_step["evaluate"].made["evaluation"]
    evaluation = json.loads(Path(told.uri).read_text())
    assert codes["evaluate_code"] == f"code/{evaluation['code']}.zip"

"""A served model answers as `sluice predict` does, whoever makes its features and its forecast."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sluice.artifacts.bundles import Bundle, local_copy, open_bundle
from sluice.artifacts.provenance import ancestry, find_bundle
from sluice.components.ingest.run import run as ingest
from sluice.components.prepare.run import run as prepare
from sluice.components.split.run import run as split
from sluice.components.train.run import run as train
from sluice.exporting.publishing import JudgedModel, told, write_served
from sluice.exporting.served_files import Source
from sluice.exporting.web_folder import write_web
from sluice.exporting.web_runtime import PACKAGE, VERSION, web_runtime
from sluice.features.model_inputs import read_inputs
from sluice.features.preparations import preparation_of
from sluice.features.served_rows import ServedRows
from sluice.modeling.model_digests import model_digest
from sluice.modeling.model_files import load_model, read_task, read_threshold
from sluice.modeling.training_settings import check_settings
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.registry.predicting import OpenModel
from sluice.registry.pyfunc_loader import ServedModel
from sluice.registry.versions import Version
from sluice.serving.exchange import Answer
from sluice.serving.judges import open_judge
from sluice.serving.row_schema import InvalidRows
from sluice.storage.locations import default_store
from tests.unit import predict_world
from tests.unit.browser import Browser, browser

__all__ = ["browser"]
FAMILIES = ("zero-rule", "logistic-regression", "gradient-boosted-trees", "embedding-network", "mine.py:Shares")
FEATURES = {
    "graph": "visits.mutate(cents=visits.amount * 100, hour=visits.day.hour(), plan=visits.plan)",
    "query": "visits.mutate(cents=visits.amount * 100, hour=visits.day.hour(), plan=visits.plan.upper().lpad(5, '_'))",
    "code": "visits.mutate(cents=visits.amount.sum().over(before), hour=visits.day.hour(), plan=visits.plan)",
}
PREPARE = """
import ibis

def rows(tables):
    visits = tables["visits"]
    before = ibis.window(group_by="customer", order_by="day", preceding=(None, 1))
    return {expression}
"""
MINE = """
import numpy as np

class Shares:
    def fit(self, rows, label, weight, *, seed, seconds):
        return {"common": float(np.average(label == 1, weights=weight))}

    def predict(self, state, rows):
        paid = (rows["plan"] == "paid").fillna(False).to_numpy(float)
        share = np.clip(state["common"] + rows["cents"].fillna(0).to_numpy(float) / 1e5 + paid, 0, 1)
        return np.column_stack([1 - share, share])
"""
CONTRACT = """
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
      plan: {type: string, nullable: true, values: [free, paid]}
      amount: {type: float64, nullable: true, range: [0, 1000], unit: euro}
      kind: {type: string}
"""


@dataclass(frozen=True)
class World:
    """Trained candidates of one project.

    Attributes:
        form: How its features are made.
        splits: What they learned from.
        models: Their folder.
    """

    form: str
    splits: Bundle
    models: Bundle


def visits(count: int = 500) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    amount = np.where(generator.random(count) < 0.05, np.nan, generator.gamma(2, 40, count).round(2))
    plan = pd.Series(generator.choice(["free", "paid"], count)).where(generator.random(count) < 0.9, None)
    odds = np.nan_to_num(amount, nan=50) / 80 + (plan == "paid") - 1.5
    return pd.DataFrame(
        {
            "visit": np.arange(count),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(count) * 37, unit="min"),
            "customer": generator.integers(0, 40, count),
            "plan": plan,
            "amount": amount,
            "kind": np.where(generator.random(count) < 1 / (1 + np.exp(-odds)), "large", "small"),
        }
    )


@pytest.fixture(scope="module", params=FEATURES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project for each way to make features, with a candidate of each family."""
    scratch = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(scratch / "home"))
        patch.delenv("SLUICE_STORE", raising=False)
        texts = {"prepare.py": PREPARE.replace("{expression}", FEATURES[request.param]), "mine.py": MINE}
        code = predict_world.write(scratch / "code", texts, {})
        lake = predict_world.write(scratch / "lake", {"contract.yaml": CONTRACT}, {"visits": visits()})
        task = {
            "name": "visits",
            "rows": {"table": "visits", "time": "day"},
            "label": {"column": "kind", "classes": ["small", "large"]},
            "features": ["cents", "hour", "plan"],
            "prepare": "prepare.py:rows",
        }
        store, summary = default_store(), scratch / "summary.md"
        archive = publish(store, closure(code, ["prepare.py:rows"]))
        rows = prepare(ingest(str(lake), summary=summary).uri, task=task, code=archive, summary=summary)
        parts = split(rows.uri, strategy="random", shares=(0.6, 0.2, 0.2), seed=1, summary=summary)
        own = publish(store, closure(code, ["mine.py:Shares"]))
        models = train(parts.uri, check_settings(FAMILIES, max_rounds=2, code=own)).bundle
        yield World(str(request.param), open_bundle(parts.uri), models)


def served_and_own(world: World, family: str, folder: Path) -> tuple[Any, OpenModel, str]:
    """The judge of a candidate, the same candidate as `sluice predict` opens it, and how it is served."""
    store, lineage = default_store(), ancestry(default_store(), world.models.id)
    with local_copy(world.models) as models:
        name = family.replace(".py:", ".")
        files, kept = models / name, folder / "files"
        shutil.copytree(files, kept)
        digest = model_digest(files)
        (folder / "served").mkdir()
        judged = JudgedModel(
            "visits", digest, files, find_bundle(store, world.splits.id), lineage,
            Source(models=world.models.id, candidate=name),
        )  # fmt: skip
        served = write_served(store, judged, folder / "served")
    task = read_task(kept)
    own = ServedModel(load_model(kept), ServedRows(task, read_inputs(kept)), read_threshold(kept), task)
    version = Version("visits", "1", digest, (), {}, "", 0)
    opened = OpenModel(version, own, preparation_of(lineage), store)
    return open_judge(folder / "served"), opened, told(served)


def new_rows() -> pd.DataFrame:
    """Rows that the lake has, rows that it has not, and rows with gaps."""
    rows = visits(520)[440:].drop(columns="kind").reset_index(drop=True)
    rows.loc[3, "plan"], rows.loc[4, "amount"], rows.loc[5, "amount"] = None, np.nan, 1000.0
    return rows


def as_json(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """As a request holds them: what is missing is left out."""
    return [
        {
            name: value.isoformat() if isinstance(value, pd.Timestamp) else value
            for name, value in row.items()
            if not pd.isna(value)
        }
        for row in rows.astype(object).to_dict("records")
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_judge_answers_as_predict_does(world: World, family: str, tmp_path: Path) -> None:
    judge, opened, how = served_and_own(world, family, tmp_path)
    rows = new_rows()
    wanted = opened.predict(pa.Table.from_pandas(rows, preserve_index=False)).table
    found: Answer = judge.predict(as_json(rows))
    probabilities = np.column_stack([wanted.column(f"probability_{name}").to_numpy() for name in ("small", "large")])
    assert np.abs(found.values - probabilities).max() <= 1e-6
    assert [judge.served.classes[c] for c in found.called] == wanted.column("prediction").to_pylist()  # type: ignore[union-attr]
    one_by_one = np.vstack([judge.predict([row]).values for row in as_json(rows)[:8]])
    if world.form != "code":  # there a row may see the others of its request
        assert np.abs(one_by_one - found.values[:8]).max() <= 1e-12
    elif family == "gradient-boosted-trees":
        for place in (0, 4, 65):  # known to the lake, without an amount, new
            alone = opened.predict(pa.Table.from_pandas(rows.iloc[[place]], preserve_index=False)).table
            said = judge.predict(as_json(rows.iloc[[place]])).values[0, 1]
            assert said == pytest.approx(alone.column("probability_large")[0].as_py(), abs=1e-9)
    graph = family in FAMILIES[1:4]
    assert (judge.served.features, judge.served.forecast) == (
        world.form if graph or world.form != "graph" else "query", "graph" if graph else "code",
    ), how  # fmt: skip
    assert judge.served.parity.rows == 100
    if graph and world.form != "graph":
        said = {"query": "no operator in ONNX", "code": "the feature cents rests on more than a row"}[world.form]
        assert any(said in reason for reason in judge.served.reasons), judge.served.reasons
    if not graph:
        assert any("has no graph" in reason for reason in judge.served.reasons)
    judge.close()
    with pytest.raises(InvalidRows, match="amount is 1001"):
        judge.predict([as_json(rows)[0] | {"amount": 1001}])


CHECK = """
(async () => {
  const found = await sluice.forecast(ROWS);
  const wrong = await sluice.forecast(WRONG);
  const form = document.getElementById("row");
  for (const [name, text] of Object.entries(FORM)) form.elements.namedItem(name).value = text;
  form.requestSubmit();
  while (!document.querySelector("#answer strong, .wrong")) await new Promise((done) => setTimeout(done, 10));
  return { found, wrong, form: document.querySelector("#answer strong, .wrong").textContent };
})()
"""


@pytest.fixture(scope="session")
def web_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npm package that runs graphs in a browser."""
    folder = tmp_path_factory.mktemp("npm")
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch onnxruntime-web with")
    subprocess.run(
        ["npm", "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True, timeout=300
    )
    return next(folder.glob("*.tgz"))


@pytest.mark.parametrize("world", ["graph"], indirect=True)
def test_a_page_forecasts_as_the_server_does_and_asks_no_network(
    world: World, tmp_path: Path, web_package: Path, browser: Browser
) -> None:
    judge, _, _ = served_and_own(world, "gradient-boosted-trees", tmp_path)
    page = tmp_path / "served"
    write_web(page, judge.served, lambda: web_runtime(web_package))
    rows = pd.concat([visits(300).drop(columns="kind"), new_rows()], ignore_index=True)
    edges = [tree.nodes["num_threshold"] for trees in judge_trees(world) for tree in trees]
    rows.loc[:99, "amount"] = np.resize(np.concatenate(edges) / 100, 100).clip(0, 1000)
    given = as_json(rows)
    given[0]["day"] = "2024-02-29T23:59:59.999999+02:00"
    wrong = [{"day": "2024-02-30"}, {"day": "2024-01-01", "amount": 1001, "plan": "gold"}]
    form = {"day": "2024-01-01T10:00:00Z", "amount": "500", "plan": "paid"}
    names = {"ROWS": given, "WRONG": wrong, "FORM": form}
    constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items())
    told, requests = browser.run(page / "index.html", constants + CHECK)
    assert requests == []
    answer = judge.predict(given)
    said = [each["probabilities"] for each in told["found"]["forecasts"]]
    values = np.array([[row[name] for name in judge.served.classes] for row in said])
    assert np.abs(values - answer.values).max() <= 1e-12
    called = [judge.served.classes[c] for c in answer.called]  # type: ignore[union-attr]
    assert [each["prediction"] for each in told["found"]["forecasts"]] == called
    with pytest.raises(InvalidRows) as refused:
        judge.predict(wrong)
    assert sorted(each["message"][:40] for each in told["wrong"]["problems"]) == sorted(
        each.message.replace("'", '"')[:40] for each in refused.value.problems
    )
    row = {"day": "2024-01-01T10:00:00Z", "amount": 500.0, "plan": "paid"}
    assert told["form"] == judge.served.classes[judge.predict([row]).called[0]]  # type: ignore[index]


def judge_trees(world: World) -> Any:
    """The trees of the world's model."""
    with local_copy(world.models) as models:
        return load_model(models / "gradient-boosted-trees").estimator._predictors  # type: ignore[attr-defined]

"""What a recipe says of itself is held to its table, and its rows to what it says."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.prepare.run import run
from sluice.contract.reading import contract_body, parse_contract
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.features.recipes import RECIPES, Recipe
from sluice.problems.task import Task, task_of
from sluice.storage.locations import default_store

CONTRACT = parse_contract(
    """
name: clinic
tables:
  visits:
    source: {csv: x}
    key: [visit]
    freshness: {column: at, max_age_days: 1}
    timezone: Asia/Kolkata
    columns:
      visit: {type: int64}
      patient: {type: string}
      at: {type: timestamp}
      age: {type: int64}
      outcome: {type: int64, nullable: true, availability: arrived}
""",
    "contract.yaml",
)
ROWS = 12


def build(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    visits = tables["visits"]
    reason = ibis.ifelse(visits.outcome.isnull(), "lost", ibis.null("string"))
    return visits.mutate(ill=visits.outcome, left_out=reason)


RECIPE = Recipe(
    build=build,
    needs={"visits": ("visit", "patient", "at", "age", "outcome")},
    task="ill",
    question="Ill?",
    label="ill",
    classes=("well", "ill"),
    key=("visit",),
    time="at",
    slices=(),
    heuristic="age",
    features=("age",),
    cluster="patient",
)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


def visits(outcomes: list[int | None]) -> dict[str, list[Any]]:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    rows = {"visit": list(range(ROWS)), "patient": [f"P{n % 4}" for n in range(ROWS)], "age": list(range(ROWS))}
    return rows | {"at": [start + timedelta(hours=n) for n in range(ROWS)], "outcome": outcomes}


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bundle]:
    def call(recipe: Recipe, outcomes: list[int | None] | None = None, features: tuple[str, ...] = ()) -> Bundle:
        monkeypatch.setitem(RECIPES, "mine", recipe)
        body = pd.DataFrame(visits(outcomes or [0, 1, None] * 4)).astype(object)
        schema = {"visit": "int64", "patient": "string", "age": "int64", "at": "timestamp('UTC')", "outcome": "int64"}
        table = duckdb_engine(threads=1).create_table(
            "visits", ibis.memtable(body.where(body.notna(), None), schema=schema)
        )
        details = {"contract": contract_body(CONTRACT)}
        source = write_dataset(default_store(), {"visits": table}, producer("ingest", {}), details=details)
        return run(source.uri, recipe="mine", features=features, summary=home() / "summary.md")

    return call


def test_a_sound_recipe_says_its_zone_and_its_clusters(prepare: Callable[..., Bundle]) -> None:
    bundle = prepare(RECIPE)
    task: Task = task_of(bundle)
    assert (task.timezone, task.cluster, task.heuristic) == ("Asia/Kolkata", "patient", "age")
    with read_dataset(bundle.uri) as (_, tables):
        assert tables["rows"].columns == ("visit", "at", "patient", "age", "ill")
    assert bundle.manifest.details["left_out"] == {"lost": 4}
    assert "Rows are left out by this step alone" in (home() / "summary.md").read_text()


def test_a_heuristic_that_was_not_chosen_is_said_to_be_missing(prepare: Callable[..., Bundle]) -> None:
    bundle = prepare(RECIPE, features=("visit",))
    assert task_of(bundle).heuristic is None
    assert "without the baseline by 'age'" in (home() / "summary.md").read_text()
    assert task_of(prepare(replace(RECIPE, heuristic=None))).heuristic is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heuristic": "ages"}, "its heuristic 'ages' is no column of its table; did you mean age?"),
        ({"features": ("age", "weight")}, "its features 'weight' is no column of its table; it has age, at"),
        ({"cluster": "patients"}, "its cluster 'patients' is no column of its table; did you mean patient?"),
        ({"label": "sick"}, "its label 'sick' is no column"),
        ({"time": "when"}, "its time 'when' is no column"),
        ({"slices": ("ward",)}, "its slices 'ward' is no column"),
        ({"classes": ()}, "names the classes []; name two or more, all different"),
        ({"classes": ("ill",)}, "names the classes ['ill']"),
        ({"classes": ("ill", "ill")}, "names the classes ['ill', 'ill']"),
    ],
)
def test_what_a_recipe_says_wrongly_is_named(prepare: Callable[..., Bundle], change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(replace(RECIPE, **change))
    assert said in str(caught.value)
    assert str(caught.value).startswith("recipe 'mine'")
    assert len(list((home() / "store/datasets").iterdir())) == 1, "nothing but the source is published"


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([0, 1, 2] * 4, "label 'ill' is 2 in 4 rows (first: visit=2), which is no class; the codes of 'well', 'ill'"),
        ([0, 1, -1] * 4, "label 'ill' is -1 in 4 rows (first: visit=2), which is no class"),
        ([0, 0, None] * 4, "label 'ill' has no row of class 'ill' among 8 rows"),
    ],
)
def test_codes_that_are_no_class_are_named(prepare: Callable[..., Bundle], outcomes: list[Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(RECIPE, outcomes)
    assert said in str(caught.value)


def test_a_label_that_is_null_though_the_row_stays_is_named(prepare: Callable[..., Bundle]) -> None:
    def careless(tables: Mapping[str, ibis.Table]) -> ibis.Table:
        return build(tables).mutate(left_out=ibis.null("string"))

    with pytest.raises(BadInput, match=r"label 'ill' is null in 4 rows that are not left out \(first: visit=2\)"):
        prepare(replace(RECIPE, build=careless))


def test_a_label_that_is_no_code_is_named(prepare: Callable[..., Bundle]) -> None:
    def words(tables: Mapping[str, ibis.Table]) -> ibis.Table:
        table = build(tables)
        return table.mutate(ill=table.ill.cast("string"))

    with pytest.raises(BadInput, match="label 'ill' is string; make it the class's code"):
        prepare(replace(RECIPE, build=words))


def test_leaving_one_of_two_rows_out_is_no_way_to_choose(prepare: Callable[..., Bundle]) -> None:
    """Each visit twice, the outcome as a feature: leaving out the wrong copy would keep the right one."""

    def twice(tables: Mapping[str, ibis.Table]) -> ibis.Table:
        table = build(tables)
        copies = table.mutate(guess=0).union(table.mutate(guess=1))
        return copies.mutate(left_out=ibis.ifelse(copies.guess == copies.outcome, ibis.null("string"), "wrong"))

    with pytest.raises(BadInput, match="several rows have the key visit=0"):
        prepare(replace(RECIPE, build=twice, features=("guess",)))


def test_a_recipe_that_changes_the_engines_tables_is_refused(prepare: Callable[..., Bundle]) -> None:
    def shadow(tables: Mapping[str, ibis.Table]) -> ibis.Table:
        table = tables["visits"]
        table.get_backend().create_view("visits", table.mutate(age=table.outcome.fill_null(0)), overwrite=True)
        return build({"visits": table})

    def cached(tables: Mapping[str, ibis.Table]) -> ibis.Table:
        return build({"visits": tables["visits"].order_by("outcome").cache()})

    for recipe in (shadow, cached):
        with pytest.raises(BadInput, match="recipe 'mine' made or changed the engine's table"):
            prepare(replace(RECIPE, build=recipe))

"""What a project declares is held to the table, and the rows to what it declares: real code in real archives."""

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.artifacts.provenance import ancestry
from sluice.components.prepare.run import run
from sluice.contract.reading import contract_body, parse_contract
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.features.new_rows import Given, prepare_new_rows
from sluice.features.preparations import preparation_of
from sluice.features.row_files import RowFile
from sluice.problems.task import Task, task_of
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store
from tests.unit.installed_package import installed

CONTRACT = """
name: clinic
moments: [{planned: always}, {ended: 36h}]
tables:
  visits:
    source: {csv: x}
    key: [visit]
    freshness: {column: at, max_age_days: 1}
    timezone: Asia/Kolkata
    columns:
      visit: {type: int64}
      patient: {type: string, known: planned}
      at: {type: timestamp}
      age: {type: int64, known: planned}
      outcome: {type: int64, nullable: true, known: ended}
      cost: {type: float64, nullable: true, known: ended}
      ward: {type: string, known: planned}
"""
ROWS = 12
CODE = """
import ibis

def rows(tables):
    visits = tables["visits"]
    reason = ibis.ifelse(visits.outcome.isnull(), "lost", ibis.null("string"))
    return visits.mutate(ill=visits.outcome, left_out=reason)

def careless(tables):
    return rows(tables).mutate(left_out=ibis.null("string"))

def twice(tables):
    table = rows(tables)
    copies = table.mutate(guess=0).union(table.mutate(guess=1))
    return copies.mutate(left_out=ibis.ifelse(copies.guess == copies.outcome, ibis.null("string"), "wrong"))

def shadow(tables):
    table = tables["visits"]
    table.get_backend().create_view("visits", table.mutate(age=table.outcome.fill_null(0)), overwrite=True)
    return rows({"visits": table})

def cached(tables):
    return rows({"visits": tables["visits"].order_by("outcome").cache()})

def nothing(tables):
    rows(tables)

def no_key(tables):
    return rows(tables).drop("visit")

def doubled(tables):
    return rows(tables).union(rows(tables))

def late(tables):
    return rows(tables).mutate(hint=tables["visits"].cost * 2)

def broken(tables):
    return rows(tables).mutate(x=tables["visits"].nobody)

def unknown(tables):
    return tables["visit"]

def chosen_late(tables):
    return rows(tables).filter(tables["visits"].outcome.notnull())

def no_number(tables):
    return rows(tables).mutate(x=tables["visits"].ward.cast("int64"))

def invented(tables):
    table = ibis.memtable({"visit": [1, 2], "ill": [0, 1], "age": [1, 2], "patient": ["a", "b"]})
    return table.mutate(at=ibis.timestamp("2013-01-01"))

def left(tables):
    raise SystemExit(3)

def same_name(tables):
    return rows(tables).mutate(Age=1)
"""
TASK: dict[str, Any] = {
    "name": "ill",
    "question": "Ill?",
    "rows": {"table": "visits", "time": "at", "group": "patient"},
    "label": {"column": "ill", "classes": ["well", "ill"]},
    "features": ["age"],
    "prepare": "prepare.py:rows",
    "baseline": "age",
}
PLAIN = {"name": "h", "rows": {"table": "visits"}, "label": {"column": "outcome"}}
Prepare = Callable[..., Bundle]


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    def call(declared: dict[str, Any], contract: str = CONTRACT, code: str = CODE, **columns: list[Any]) -> Bundle:
        start = datetime(2013, 1, 1, tzinfo=UTC)
        body = {"visit": list(range(ROWS)), "patient": [f"P{n % 4}" for n in range(ROWS)], "age": list(range(ROWS))}
        body |= {"at": [start + timedelta(hours=n) for n in range(ROWS)], "outcome": [0, 1, None] * 4}
        body |= {"cost": [1.5 * n for n in range(ROWS)], "ward": ["a", "b", "c"] * 4} | columns
        stated = parse_contract(contract, "contract.yaml")
        kinds = {name: column.type for name, column in stated.tables["visits"].columns.items()}
        schema = {name: "timestamp('UTC')" if kind == "timestamp" else kind for name, kind in kinds.items()}
        frame = pd.DataFrame({name: body[name] for name in schema}).astype(object)
        frame = frame.where(frame.notna(), None)
        table = duckdb_engine(threads=1).create_table("visits", ibis.memtable(frame, schema=schema))
        details = {"contract": contract_body(stated)}
        source = write_dataset(default_store(), {"visits": table}, producer("ingest", {}), details=details)
        address = ""
        named = [declared.get("prepare", ""), declared["label"].get("kind", "")]
        if references := [name for name in named if ":" in name]:
            folder = tmp_path / "project"
            folder.mkdir(exist_ok=True)
            (folder / "prepare.py").write_text(textwrap.dedent(code))
            address = publish(default_store(), closure(folder, references))
        return run(source.uri, task=declared, code=address, summary=home() / "summary.md")

    return call


def refused(prepare: Prepare, *words: Any, **columns: Any) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(*words, **columns)
    assert "\n" not in str(caught.value)
    assert len(list((home() / "store/datasets").iterdir())) == 1, "nothing but the source is published"
    return str(caught.value)


def rows_of(bundle: Bundle) -> pd.DataFrame:
    with read_dataset(bundle.uri) as (_, tables):
        return tables["rows"].to_pyarrow().to_pandas()


def changed(**parts: Any) -> dict[str, Any]:
    return TASK | parts


def test_a_sound_project_says_its_zone_its_groups_and_what_is_left_out(prepare: Prepare) -> None:
    bundle = prepare(TASK)
    task: Task = task_of(bundle)
    assert (task.timezone, task.cluster, task.heuristic, task.problem) == ("Asia/Kolkata", "patient", "age", "binary")
    assert rows_of(bundle).columns.tolist() == ["visit", "at", "patient", "age", "ill"]
    assert bundle.manifest.details["left_out"] == {"lost": 4}
    assert "Rows are left out by this step alone" in (home() / "summary.md").read_text()


def test_a_baseline_that_was_not_chosen_is_said_to_be_missing(prepare: Prepare) -> None:
    bundle = prepare(changed(features=["visit"]))
    assert task_of(bundle).heuristic is None
    assert "without the baseline by 'age'" in (home() / "summary.md").read_text()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"baseline": "ages"}, "train.baseline: the table of prepare.py:rows has no column 'ages'; did you mean age?"),
        ({"features": ["age", "weight"]}, "features: 'weight' means no column; "),
        (
            {"features": ["cost*"]},
            "feature 'cost' rests on visits.cost, which is known only at the moment 'ended' of the contract",
        ),
        ({"features": ["age", "age"]}, "features names 'age' twice"),
        ({"features": ["left_out"]}, "'left_out' is the reason why a row is left out"),
        ({"features": ["!*"]}, "leave no column to learn from"),
        ({"slices": ["wards"]}, "slices: the table of prepare.py:rows has no column 'wards'; did you mean ward?"),
        ({"rows": {"table": "visit"}}, "rows.table: the lake has no table 'visit'; did you mean visits?"),
        ({"rows": {"table": "visits", "time": "when"}}, "rows.time: the table of prepare.py:rows has no column 'when'"),
        ({"rows": {"table": "visits", "time": "age"}}, "rows.time: column 'age' is of type int64"),
        ({"rows": {"table": "visits", "group": "patients"}}, "rows.group: the table of prepare.py:rows has no column"),
        ({"rows": {"table": "visits", "key": ["ward"]}}, "several rows have the key ward="),
        ({"label": {"column": "sick"}}, "label.column: the table of prepare.py:rows has no column 'sick'"),
        ({"label": {"column": "ill", "classes": ["a", "b", "c"]}}, "has no row of class 'c' among 8 rows"),
        ({"label": {"column": "ill", "kind": "multiclass", "positive": 7}}, "label.positive is 7, which is no class"),
        ({"label": {"column": "cost", "known": "soon"}}, "label.known: 'soon' does not say when it is known"),
        ({"colour": "red"}, "parameter 'task', colour"),
        ({"name": ""}, "parameter 'task', name"),
    ],
)
def test_what_a_project_declares_wrongly_is_named(prepare: Prepare, parts: dict[str, Any], said: str) -> None:
    assert said in refused(prepare, changed(**parts))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"column": "at"}, "label 'at' is of type timestamp"),
        ({"column": "ward", "kind": "binary"}, "label.kind is binary, but label 'ward' has 3 classes: a, b, c"),
        ({"column": "ward", "classes": ["a", "b"]}, "label 'ward' is 'c' in 4 rows, which label.classes does not name"),
        ({"column": "ward", "kind": "regression"}, "label.kind regression takes a number"),
        ({"column": "ward", "positive": "a"}, "but label 'ward' has 3 classes; leave it out"),
    ],
)
def test_a_label_of_another_kind_than_declared_is_named(prepare: Prepare, label: dict[str, Any], said: str) -> None:
    undated = CONTRACT.replace("ward: {type: string, known: planned}", "ward: {type: string}")
    assert said in refused(prepare, PLAIN | {"label": label, "features": ["age"]}, undated)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("nothing", "prepare.py:nothing gave None, not an Ibis table"),
        ("no_key", "rows.key: the table of prepare.py:no_key has no column 'visit'"),
        ("doubled", "several rows have the key visit=0"),
        ("twice", "several rows have the key visit=0"),
        ("shadow", "prepare.py:shadow made or changed the engine's table"),
        ("cached", "prepare.py:cached made or changed the engine's table"),
        ("broken", "prepare.py:broken: prepare.py:38: AttributeError"),
        ("unknown", "prepare.py:unknown: the lake has no table 'visit'; did you mean visits?"),
        ("chosen_late", "which rows there are rests on visits.outcome"),
        ("no_number", "prepare.py:no_number: the engine cannot compute its rows: Conversion Error"),
        ("invented", "which rows there are passes through the table"),
        ("left", "prepare.py:left: prepare.py:"),
        ("same_name", "the table of prepare.py:same_name has the column 'Age' beside 'age'"),
        ("rowz", "prepare.py has no 'rowz' (did you mean 'rows'?)"),
    ],
)
def test_code_that_cannot_serve_is_one_line(prepare: Prepare, function: str, said: str) -> None:
    assert said in refused(prepare, changed(prepare=f"prepare.py:{function}"))


def test_code_that_looks_into_the_future_is_refused(prepare: Prepare) -> None:
    said = refused(prepare, changed(prepare="prepare.py:late", features=["hint"]))
    assert said.startswith(
        "feature 'hint' rests on visits.cost, which is known only at the moment 'ended' of the contract"
    )
    assert said.endswith("leave it out of `features`")


def test_code_that_is_not_named_is_asked_for(prepare: Prepare) -> None:
    source = prepare(PLAIN)
    with pytest.raises(BadInput, match="no parameter names the archive"):
        run(source.uri, task=TASK, code="", summary=home() / "summary.md")


PACKAGE: dict[str, Any] = {"modules": {"acme_rows": CODE}, "entries": {"prepare": {"acme-rows": "acme_rows:rows"}}}
PACKAGE["entries"]["prepare"] |= {"acme-late": "acme_rows:late", "acme-unknown": "acme_rows:unknown"}


def test_a_package_s_function_prepares_the_same_rows_and_its_version_is_in_their_id(
    prepare: Prepare, tmp_path: Path
) -> None:
    own, ids = prepare(TASK), []
    for version in ("1.5", "1.6"):
        with installed(tmp_path / "site", **PACKAGE, version=version):
            bundle = prepare(changed(prepare="acme-rows"))
        assert rows_of(bundle).equals(rows_of(own))
        assert bundle.manifest.details["features"] == own.manifest.details["features"], "traced as a file's"
        assert bundle.manifest.producer.parameters["package"] == f"the package acme {version}"
        ids.append(bundle.id)
    assert len({own.id, *ids}) == 3


def test_new_rows_are_prepared_by_that_very_version_of_the_package(prepare: Prepare, tmp_path: Path) -> None:
    with installed(tmp_path / "site", **PACKAGE):
        bundle = prepare(changed(prepare="acme-rows"))
        made = preparation_of(ancestry(default_store(), bundle.id))
        assert made is not None
        asked = pd.DataFrame({"visit": [70], "at": [datetime(2013, 2, 1, tzinfo=UTC)], "age": [41]})
        given = Given(RowFile(pa.Table.from_pandas(asked)))
        found = prepare_new_rows(made, given, ("age",), frozenset(), default_store())
        assert found.features["age"].tolist() == [41]
    with installed(tmp_path / "site", **PACKAGE, version="1.6"), pytest.raises(BadInput) as caught:
        prepare_new_rows(made, given, ("age",), frozenset(), default_store())
    assert str(caught.value) == (
        "the model's rows were prepared by 'acme-rows' of the package acme 1.5, and here is the package acme 1.6; "
        "install that version, or train the model anew"
    )


def test_a_package_s_function_is_held_to_the_leakage_gate_and_told_by_name(prepare: Prepare, tmp_path: Path) -> None:
    with installed(tmp_path / "site", **PACKAGE):
        late = refused(prepare, changed(prepare="acme-late", features=["hint"]))
        assert late.startswith("feature 'hint' rests on visits.cost, which is known only at the moment 'ended'")
        assert "acme-unknown: the lake has no table 'visit'" in refused(prepare, changed(prepare="acme-unknown"))
        assert "did you mean 'acme-rows'?" in refused(prepare, changed(prepare="acme-row"))
    assert "another's needs its package installed here" in refused(prepare, changed(prepare="acme-rows"))


def test_another_version_of_the_code_is_another_dataset(prepare: Prepare) -> None:
    assert prepare(TASK).id == prepare(TASK).id
    assert prepare(TASK).id != prepare(TASK, code=CODE + "\n# edited\n").id


def test_rows_without_a_label_are_left_out_whatever_the_code_says_of_them(prepare: Prepare) -> None:
    bundle = prepare(changed(prepare="prepare.py:careless"))
    assert bundle.manifest.details["left_out"] == {"no label": 4}
    assert bundle.rows == 8


def test_without_features_every_column_that_is_known_in_time_is_one(prepare: Prepare) -> None:
    bundle = prepare(PLAIN | {"rows": {"table": "visits", "time": "at", "group": "patient"}})
    assert task_of(bundle).features == ("age", "ward")
    reasons = bundle.manifest.details["not_features"]
    assert list(reasons) == ["cost"]
    assert reasons["cost"].startswith("rests on visits.cost, which is known only at the moment 'ended'")
    assert "Left out of the features" in (home() / "summary.md").read_text()


def test_exclusions_alone_leave_the_rest(prepare: Prepare) -> None:
    assert task_of(prepare(PLAIN | {"features": ["!w*", "!patient"]})).features == ("age",)


def test_a_label_that_nobody_dates_is_no_feature_in_another_shape(prepare: Prepare) -> None:
    undated = CONTRACT.replace(", known: ended", "")
    code = "def rows(tables):\n    t = tables['visits']\n    return t.mutate(twice=t.cost * 2)\n"
    label = {"label": {"column": "cost"}, "prepare": "prepare.py:rows"}
    bundle = prepare(PLAIN | label, undated, code)
    assert "which is the label itself" in bundle.manifest.details["not_features"]["twice"]
    assert "twice" not in task_of(bundle).features


def test_history_of_a_label_is_a_feature_once_it_is_known(prepare: Prepare) -> None:
    """The project says that the label is known two hours later: what is three hours old may be used, one hour not."""
    undated = CONTRACT.replace(", known: ended", "")
    code = """
from sluice.features.joins import join_earlier

def rows(tables):
    t = tables["visits"]
    for hours in (1, 3):
        t = join_earlier(t, tables["visits"], [], "at", {f"cost_{hours}": "cost"}, hours=hours, observed_at=None)
    return t
"""
    declared = {"name": "c", "rows": {"table": "visits", "time": "at"}, "prepare": "prepare.py:rows"}
    bundle = prepare(declared | {"label": {"column": "cost", "known": "2h"}}, undated, code)
    assert "cost_3" in task_of(bundle).features
    assert "a lag of 1 hour is proven" in bundle.manifest.details["not_features"]["cost_1"]


def test_rows_without_a_key_are_told_apart_by_their_place(prepare: Prepare) -> None:
    keyless = CONTRACT.replace("    key: [visit]\n", "")
    bundle = prepare(PLAIN, keyless, visit=[7] * ROWS)
    assert task_of(bundle).key == ("row_number",)
    rows = rows_of(bundle)
    assert rows.row_number.tolist() == [n for n in range(ROWS) if n % 3 != 2]
    assert (rows.age == rows.row_number).all(), "the place is that in the lake's table"


@pytest.mark.parametrize(
    ("values", "kind", "problem", "classes"),
    [
        ([0, 1, None] * 4, "int64", "binary", ["0", "1"]),
        ([3, 1, 2] * 4, "int64", "multiclass", ["1", "2", "3"]),
        ([1.5, 2.5, float("nan")] * 4, "float64", "regression", []),
        (["no", "yes", None] * 4, "string", "binary", ["no", "yes"]),
        ([True, False, None] * 4, "bool", "binary", ["false", "true"]),
    ],
)
def test_the_labels_kind_follows_from_its_column(
    prepare: Prepare, values: list[Any], kind: str, problem: str, classes: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    contract = CONTRACT.replace("outcome: {type: int64", f"outcome: {{type: {kind}")
    bundle = prepare(PLAIN | {"features": ["age"]}, contract, outcome=values)
    task = task_of(bundle)
    assert (task.problem, list(task.classes)) == (problem, classes)
    assert f"label 'outcome': {'a number' if not classes else len(classes)}" in capfd.readouterr().out
    rows, known = rows_of(bundle), [value for value in values if value is not None and value == value]
    assert len(rows) == len(known)
    if classes:
        names = [classes[code] for code in rows.outcome]
        assert names == [str(value).lower() for value in known]
    else:
        assert rows.outcome.dtype == "float64"
        assert rows.outcome.tolist() == known


def test_many_whole_numbers_are_a_regression_unless_the_project_says_otherwise(prepare: Prepare) -> None:
    from sluice.features.labels import FEW_INTEGERS, label_kind
    from sluice.project.declaration import Label

    table = duckdb_engine().create_table("t", ibis.memtable({"n": list(range(FEW_INTEGERS + 1))}))
    assert label_kind(table, Label(column="n")).problem == "regression"
    assert len(label_kind(table, Label(column="n", kind="multiclass")).classes) == FEW_INTEGERS + 1
    assert label_kind(table.limit(FEW_INTEGERS), Label(column="n")).problem == "multiclass"


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_the_positive_class_is_the_last(prepare: Prepare, positive: str) -> None:
    contract = CONTRACT.replace("outcome: {type: int64", "outcome: {type: string")
    label = {"label": {"column": "outcome", "positive": positive}, "features": ["age"]}
    bundle = prepare(PLAIN | label, contract, outcome=["no", "yes", "no"] * 4)
    assert task_of(bundle).classes[1] == positive
    assert rows_of(bundle).outcome.sum() == (4 if positive == "yes" else 8)


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([1, 1, None] * 4, "int64", "label 'outcome' is '1' in all 8 rows: there is nothing to tell apart"),
        ([None] * 12, "int64", "is missing in every row"),
        ([1.0, float("inf"), 2.0] * 4, "float64", "label 'outcome' is infinite in 4 rows"),
        ([2.5] * 12, "float64", "label 'outcome' is 2.5 in all 12 rows"),
        ([" ", "a", "b"] * 4, "string", "which is no name"),
    ],
)
def test_a_label_that_teaches_nothing_is_refused(prepare: Prepare, values: list[Any], kind: str, said: str) -> None:
    contract = CONTRACT.replace("outcome: {type: int64", f"outcome: {{type: {kind}")
    assert said in refused(prepare, PLAIN | {"features": ["age"]}, contract, outcome=values)


def test_a_hundred_thousand_classes_are_refused() -> None:
    from sluice.features.labels import label_kind
    from sluice.project.declaration import Label

    numbers = range(100_000)
    values = ibis.memtable({"name": [f"c{n}" for n in numbers], "number": list(numbers)})
    table = duckdb_engine().create_table("labels", values)
    for label in (Label(column="name"), Label(column="number", kind="multiclass")):
        with pytest.raises(BadInput, match="has 100,000 different values, and at most 1,000 classes"):
            label_kind(table, label)


COUNTING = """
from sluice.problems.problem import Problem

def rows(tables):
    return tables["visits"].mutate(ill=tables["visits"].outcome)

even = Problem("regression", takes=lambda label: label % 2 == 0, rule="an even number", loss="absolute")
known = Problem("binary", takes=lambda values: [v in ("a", "b") for v in values], rule="a or b")
"""


def test_counts_are_numbers_however_few_there_are_and_no_other_numbers(prepare: Prepare) -> None:
    counts = PLAIN | {"label": {"column": "age", "kind": "counts"}, "features": ["patient"]}
    made, plain = prepare(counts), prepare(PLAIN | {"label": {"column": "age"}, "features": ["patient"]})
    assert (task_of(made).problem, task_of(made).problem_name, task_of(made).classes) == ("regression", "counts", ())
    assert (task_of(plain).problem, task_of(plain).problem_name) == ("multiclass", "")
    assert rows_of(made)["age"].dtype == "float64"
    asked = PLAIN | {"label": {"column": "cost", "kind": "counts"}, "features": ["age"]}
    with pytest.raises(BadInput) as caught:
        prepare(asked)
    assert str(caught.value) == (
        "label 'cost' is 1.5 in the row visit 1, and the problem counts takes a whole number from 0 on (and 5 more "
        "rows are wrong); mend it in prepare, or leave these rows out"
    )
    with pytest.raises(BadInput, match="problem 'count' is unknown; did you mean 'counts'"):
        prepare(PLAIN | {"label": {"column": "age", "kind": "count"}})
    with pytest.raises(BadInput, match=r"label.classes: the problem counts has no classes; leave them out"):
        prepare(PLAIN | {"label": {"column": "age", "kind": "counts", "classes": ["a", "b"]}})


def test_a_problem_of_the_projects_is_asked_about_each_label_and_its_code_is_in_the_id(prepare: Prepare) -> None:
    asked = PLAIN | {"label": {"column": "age", "kind": "prepare.py:even"}, "features": ["patient"]}
    even = {"age": [2 * n for n in range(ROWS)]}
    made = prepare(asked, code=COUNTING, **even)
    assert (task_of(made).problem, task_of(made).problem_name) == ("regression", "prepare.py:even")
    assert prepare(asked, code=COUNTING, **even).id == made.id
    assert prepare(asked, code=COUNTING + "\n# edited\n", **even).id != made.id
    with pytest.raises(BadInput, match=r"label 'age' is 1 in the row visit 1, and the problem prepare.py:even takes"):
        prepare(asked, code=COUNTING)
    broken = COUNTING.replace("label % 2 == 0", "label.nobody")
    with pytest.raises(BadInput, match=r"^problem prepare.py:even: prepare.py:7: AttributeError"):
        prepare(asked, code=broken, **even)
    classes = PLAIN | {"label": {"column": "ward", "kind": "prepare.py:known"}, "features": ["age"]}
    with pytest.raises(BadInput, match=r"label 'ward' is 'c' in 4 rows, and the problem prepare.py:known takes a or b"):
        prepare(classes, code=COUNTING)
    with pytest.raises(BadInput, match=r"the task names prepare.py:even, and no parameter names the archive"):
        run(made.uri, task=asked, code="", summary=home() / "summary.md")

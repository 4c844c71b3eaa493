"""The project's file: what may stand there, what is told of what may not, and on which line."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sluice
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml
from sluice.project import files
from sluice.project.declaration import Project, TaskDeclaration
from sluice.project.feature_patterns import choose_columns
from sluice.project.files import find_project, json_schema, parse_project, problems_of, project_text, read_project
from sluice.project.yaml_text import block, flow, scalar
from sluice.project_tools.project_reference import contract_reference, reference, with_reference

DOCS = Path(__file__).parents[2] / "docs"
FULL = """\
schema: 1
name: houses
question: What will this house sell for, judged on the day it is offered?
data: data
rows: {table: houses, key: [id], time: listed, group: customer}
label: {column: price, known: 30d, kind: regression}
features: [rooms, "area_*", "!area_code"]
prepare: prepare.py:rows
sample: {fraction: 0.5, strata: [region], allocation: equal}
split: {by: time, shares: [0.7, 0.15, 0.15], gap: 45d}
metric: rmse
train:
  seconds: 60
  candidates: [linear, "mine.py:Net", {trees: {learning_rate: 0.05}}]
  baseline: plan
gate: {slices: [plan, region], max_calibration_error: 0.1}
slices: [plan, region]
steps: {train: {cpu: 2, memory: 4Gi, gpu: 1}}
pipeline: supervised
files: [words.txt]
seed: 7
parameters: {train.patience: 5}
"""
TEN_LINES = "name: iris\ndata: data\nrows: {table: iris, key: [row]}\nlabel: {column: species}\n"


def test_a_full_file_reads_as_what_it_says() -> None:
    project = parse_project(FULL)
    assert (project.name, project.rows.key, project.rows.time) == ("houses", ("id",), "listed")
    assert [candidate.name for candidate in project.train.candidates] == ["linear", "mine.py:Net", "trees"]
    assert project.train.candidates[2].settings == {"learning_rate": 0.05}
    assert project.steps["train"].cpu == "2"
    assert project.references() == ("prepare.py:rows", "mine.py:Net")


def test_what_is_written_reads_as_the_same() -> None:
    project = parse_project(FULL)
    assert parse_project(project_text(project)) == project
    assert yaml.safe_load(project_text(project))["steps"]["train"]["cpu"] == "2"  # another reader agrees


def test_few_lines_will_do() -> None:
    project = parse_project(TEN_LINES)
    assert project.split_by == "stratified"
    assert project.pipeline_parameters() == {
        "task": {"name": "iris", "rows": {"table": "iris", "key": ["row"]}, "label": {"column": "species"}},
        "sample_fraction": 1.0,
        "strata": [],
        "allocation": "proportional",
        "split_strategy": "stratified",
        "shares": [0.7, 0.15, 0.15],
        "candidates": [],
        "seconds_per_candidate": 60.0,
        "max_rounds": 0,
        "seed": 2013,
    }


def test_pipeline_parameters_are_json_and_speak_of_all_that_was_declared() -> None:
    given = parse_project(FULL).pipeline_parameters()
    assert json.loads(json.dumps(given)) == given
    assert given["candidates"] == ["linear", "mine.py:Net", {"trees": {"learning_rate": 0.05}}]
    assert (given["gap"], given["metric"], given["max_calibration_error"]) == ("45d", "rmse", 0.1)
    assert given["gate_slices"] == ["plan", "region"]
    assert given["train.patience"] == 5


def test_the_task_is_what_decides_the_rows_and_nothing_else() -> None:
    project = parse_project(FULL)
    body = project.task_body()
    assert TaskDeclaration.model_validate(body).rows == project.rows
    assert body["baseline"] == "plan"
    other = parse_project(FULL.replace("seconds: 60", "seconds: 5").replace("seed: 7", "seed: 8"))
    assert other.task_body() == body


@pytest.mark.parametrize(
    ("rows", "split", "by", "gap"),
    [
        ("{table: t, time: w}", "{}", "time", "30d"),
        ("{table: t, time: w}", "{gap: 1w}", "time", "1w"),
        ("{table: t, time: w}", "{by: random}", "random", None),
        ("{table: t, time: w, group: g}", "{by: group}", "group", None),
    ],
)
def test_a_label_that_is_known_later_makes_a_gap_in_time_alone(rows: str, split: str, by: str, gap: str) -> None:
    project = parse_project(f"name: a\ndata: d\nrows: {rows}\nlabel: {{column: y, known: 30d}}\nsplit: {split}\n")
    assert (project.split_by, project.split_gap) == (by, gap)
    without_time = parse_project("name: a\ndata: d\nrows: {table: t, group: g}\nlabel: {column: y}\n")
    assert (without_time.split_by, without_time.split_gap) == ("group", None)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("quesion: why", "sluice.yaml:5: quesion: unknown key (did you mean 'question'?)"),
        ("key: [id]", "sluice.yaml:5: key: unknown key; it belongs under rows"),
        ("zebra: 1", "sluice.yaml:5: zebra: unknown key; known here: schema, name"),
        ("features: rooms", "features: 'rooms' is text where a list is wanted; write [rooms]"),
        ("features: [3]", "features[0]: 3 is a number where text is wanted; write it in quotes"),
        ("features: [a, b, a]", "features[2]: 'a' stands there twice; keep one"),
        ("features: [species]", "features[0]: 'species' is the label, the very thing to predict"),
        ("split: {by: time}", "split.by: a split by time needs rows.time"),
        ("split: {by: group}", "split.by: a split by group needs rows.group"),
        ("split: {gap: 1d}", "split.gap: a gap is for a split by time, and this one is by stratified"),
        ("split: {by: folds, shares: [0.7, 0.15, 0.15]}", "split.shares: shares are for three parts"),
        ("split: {by: folds, folds: 2}", "split.folds"),
        ("split: {folds: 5}", "split.folds: folds are for a split by folds, and this one is by stratified"),
        ("split: {shares: [0.5, 0.5]}", "split.shares: write three numbers"),
        ("split: {shares: [0.5, 0.5, 0.5]}", "adds up to 1.5; the three shares must add up to 1"),
        ("split: {shares: [1.5, -0.25, -0.25]}", "must hold three numbers above 0"),
        ("sample: {fraction: 0}", "sample.fraction: 0 is out of range; give a number above 0.0"),
        ("sample: {allocation: equl}", "'equl' is unknown (did you mean 'equal'?); use proportional or equal"),
        ('train: {seconds: "60"}', "'60' is text where a finite number is wanted; write it without quotes"),
        ("train: {seconds: .nan}", "train.seconds: nan is a number where a finite number is wanted"),
        ("train: {candidates: [3]}", "train.candidates[0]: write a name, or one name with its settings"),
        ("train: {candidates: [mine.py]}", "'mine.py' names no function of the project; write FILE.py:NAME"),
        ("prepare: ../x.py:rows", "'../x.py:rows' names no function of the project"),
        ("steps: {train: {memory: lots}}", "steps.train.memory: 'lots' is no quantity of Kubernetes"),
        ("steps: {train: {cpu: 0}}", "steps.train.cpu: 0 is less than a thousandth of a core"),
        ("seed: true", "seed: true is true or false where a whole number is wanted"),
        ("seed: 1.5", "seed: 1.5 is a number where a whole number is wanted"),
        ("parameters: {patience: .inf}", "parameters.patience: inf is a number where a finite number is wanted"),
        ("name: iris", "sluice.yaml:5: 'name' stands there twice, first on line 1; keep one"),
        ("schema: 2", "sluice.yaml:5: schema 2 is newer than this Sluice, which reads 1; upgrade Sluice"),
        ("schema: true", "schema: 'True' is no version of this file"),
        ("metric: [", "not YAML"),
        ("question: !!python/name:os.system", "tag"),
        ('question: "\\ud800"', "sluice.yaml:5:"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_the_way_out(line: str, told: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_project(TEN_LINES + line + "\n")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("sluice.yaml:")


def test_label_and_rows_are_held_to_each_other() -> None:
    body = "name: a\ndata: d\nrows:\n  table: t\n  key:\n  - id\n  - y\nlabel:\n  column: y\n  known: 30d\n"
    assert [str(problem) for problem in problems_of(body)] == [
        "sluice.yaml:7: rows.key[1]: 'y' is the label, the very thing to predict; name another column",
        "sluice.yaml:10: label.known: 30d after what? rows.time names no column; name it, or leave known out",
    ]


def test_every_wrong_key_is_reported_in_the_order_of_the_file() -> None:
    wrong = FULL.replace("question", "quesion").replace("seconds", "secnds").replace("seed: 7", "seed: x")
    assert [problem.line for problem in problems_of(wrong)] == [3, 13, 21]
    with pytest.raises(BadInput, match=r"\(and 2 more: `sluice check` lists them\)"):
        parse_project(wrong)


def test_a_missing_key_is_told_where_it_should_stand() -> None:
    assert [str(p) for p in problems_of("name: a\ndata: d\nrows:\n  key: [id]\nlabel: {column: y}\n")] == [
        "sluice.yaml:3: rows: table is missing; write table: houses"
    ]
    assert "the file is empty" in str(problems_of("# nothing\n")[0])


TEXTS = st.text(max_size=40) | st.sampled_from(["30d", "time", "prepare.py:rows", "no", "0o17", "1e5", "~", "=", "<<"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


def judged(text: str) -> Project | None:
    """What comes of a text: a project, or one line."""
    try:
        project = parse_project(text)
    except BadInput as error:
        message = str(error)
        assert message.startswith("sluice.yaml:")
        assert "\n" not in message
        assert re.match(r"sluice\.yaml:(\d+:)? \S", message)
        return None
    json.dumps(project.pipeline_parameters(), allow_nan=False)
    assert parse_project(project_text(project)) == project
    return project


@given(st.text(max_size=200))
@example("a: &a [*a]")
@example("{? {a: b} : c}")
@example("\x00")
@example("--- a\n--- b")
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_project_or_one_line(text: str) -> None:
    judged(text)


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_any_change_of_a_good_file_is_a_project_or_one_line(data: st.DataObject) -> None:
    body = parse_yaml(FULL, "")
    places = list(_places(body, ()))
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        _put(body, place, data.draw(VALUES), data.draw(TEXTS))
    judged(block(body))


@given(st.integers(0, len(FULL) - 1), st.text(max_size=3), st.integers(0, 3))
@settings(max_examples=250, deadline=None)
def test_any_slip_of_the_hand_is_a_project_or_one_line(at: int, typed: str, deleted: int) -> None:
    judged(FULL[:at] + typed + FULL[at + deleted :])


def _places(value: Any, place: tuple[Any, ...]) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*place, key)
        yield from _places(each, (*place, key))


def _put(body: Any, place: tuple[Any, ...], value: Any, key: str) -> None:
    for step in place[:-1]:
        if not isinstance(body, dict | list):
            return  # an earlier change took it away
        inner = dict(enumerate(body)) if isinstance(body, list) else body
        body = inner.get(step)
    if isinstance(body, dict):
        body[place[-1] if len(key) % 2 else key] = value
    elif isinstance(body, list):
        body.append(value)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_values_read_back_as_they_were_written(value: Any) -> None:
    try:
        read = parse_yaml(f"a: {flow(value)}", "")["a"]
    except BadInput:
        read = None if "\\ud" in repr(value) else BadInput  # half characters have no YAML
        value = None
    assert _same(read, value)


@given(st.text(max_size=30))
@example("NO")
@example("12:30")
@example("012")
@example("2013-01-01")
@settings(max_examples=150, deadline=None)
def test_text_reads_as_text_by_pyyaml_too(text: str) -> None:
    assert yaml.safe_load(scalar(text)) == text


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def test_the_schema_takes_the_full_file_and_names_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(parse_yaml(FULL, ""), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(parse_yaml(FULL + "zebra: 1\n", ""), schema)
    objects = [schema, *schema["$defs"].values()]
    properties = [(name, body) for each in objects for name, body in each.get("properties", {}).items()]
    assert len(properties) > 40
    for name, body in properties:
        assert "description" in body or "description" in schema["$defs"][body["$ref"].rpartition("/")[2]], name


def test_a_project_is_found_from_any_folder_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "houses" / "notes" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "houses" / "sluice.yaml").write_text(TEN_LINES)
    found = read_project(find_project(inner))
    assert (found.folder, found.project.name) == (tmp_path / "houses", "iris")
    monkeypatch.chdir(tmp_path / "houses")
    assert read_project(find_project(Path())).shown == "sluice.yaml"
    with pytest.raises(BadInput, match="sluice init NAME FILE"):
        find_project(tmp_path)
    (tmp_path / "houses" / "sluice.py").write_text("")
    with pytest.raises(BadInput, match="has both"):
        find_project(inner)


PYTHON = """
import sluice

project = sluice.Project(
    name="iris", data="data", rows=sluice.Rows(table="iris", key=["row"]), label=sluice.Label(column="species")
)
"""


def test_python_declares_the_same(tmp_path: Path) -> None:
    (tmp_path / "sluice.py").write_text(PYTHON)
    assert read_project(tmp_path / "sluice.py").project == parse_project(TEN_LINES)
    assert sluice.Project is Project


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nproject = (", "sluice.py:2: "),
        ("import sluice\nimport nothing_of_that_name\n", "sluice.py:2: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\nproject = f()\n", "sluice.py:2: ZeroDivisionError"),
        ("projekt = 1\n", "it sets no variable `project` (did you mean 'projekt'?)"),
        ("project = 1\n", "`project` is of type int"),
        ("raise SystemExit(3)\n", "sluice.py:1: it ends the program"),
        (PYTHON.replace('iris", data', 'iris", dta'), "sluice.py:4: dta: unknown key (did you mean 'data'?)"),
    ],
)
def test_a_broken_sluice_py_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sluice.py").write_text(text)
    with pytest.raises(BadInput) as error:
        read_project(Path("sluice.py"))
    assert told in str(error.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sluice.yaml").write_bytes(b"name: a\nquestion: caf\xe9\n")
    with pytest.raises(BadInput, match=r"sluice\.yaml:2: not UTF-8"):
        read_project(Path("sluice.yaml"))
    with pytest.raises(BadInput, match="not there"):
        read_project(Path("other.yaml"))
    files.write_project(parse_project(TEN_LINES), Path("new.yaml"))
    assert read_project(Path("new.yaml")).project == parse_project(TEN_LINES)


@pytest.mark.parametrize(("name", "made"), [("project.md", reference), ("contracts.md", contract_reference)])
def test_the_documents_reference_is_made_from_the_models(name: str, made: Callable[[], str]) -> None:
    document = (DOCS / name).read_text(encoding="utf-8")
    assert with_reference(document, made()) == document


def test_what_the_document_shows_is_a_project_file() -> None:
    document = (DOCS / "project.md").read_text(encoding="utf-8")
    for text in re.findall(r"```yaml\n(.*?)```", document, re.DOTALL):
        assert problems_of(text) == []


COLUMNS = ("id", "area_m2", "area_code", "rooms", "temp [C]", "*", "!odd")


@pytest.mark.parametrize(
    ("patterns", "meant"),
    [
        ([], COLUMNS),
        (["rooms", "area_*"], ("rooms", "area_m2", "area_code")),
        (["area_*", "!area_code", "rooms"], ("area_m2", "rooms")),
        (["!area_code", "area_*"], ("area_m2",)),
        (["!id", "!*_m2"], ("area_code", "rooms", "temp [C]", "*", "!odd")),
        (["temp [C]", "*", "!odd"], ("temp [C]", "*", "!odd")),  # the whole name of a column means that column
        (["r????", "rooms"], ("rooms",)),
    ],
)
def test_patterns_mean_columns(patterns: list[str], meant: tuple[str, ...]) -> None:
    assert choose_columns(patterns, COLUMNS) == meant


@pytest.mark.parametrize("pattern", ["room", "!room", "Rooms", "x*", "area_?"])
def test_a_pattern_that_means_no_column_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match=r"means no column; (did you mean|there are)"):
        choose_columns([pattern], COLUMNS)

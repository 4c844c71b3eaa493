"""A number that is none is refused where parameters are read, before any work: by command, fused run and component."""

import ast
import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.cluster.fused_step import checked as typed
from sluice.core.errors import BadInput
from sluice.core.parameter_checks import MOST_WHOLE, check_numbers
from sluice.parameters import step_checks
from sluice.pipelines import supervised
from sluice.running.arguments import check_values, parse_arguments
from sluice.running.catalog import Parameter, find_pipeline, pipeline_names
from sluice.steps.step import step
from tests.unit.bounded import ROOT
from tests.unit.test_arguments import TO_BE_GIVEN

NONE = ("nan", "NaN", "-nan", "inf", "-Infinity", "1e999")
NUMBERS = [
    (name, parameter)
    for name in pipeline_names()
    for parameter in find_pipeline(name).parameters
    if parameter.type == "Float" or parameter.name == "shares"
]
assert supervised


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize(("pipeline", "parameter"), NUMBERS, ids=lambda value: getattr(value, "name", str(value)))
def test_a_pipeline_takes_no_number_that_is_none(pipeline: str, parameter: Parameter, text: str) -> None:
    written = {"inf": "Infinity", "nan": "NaN", "-nan": "NaN"}.get(text, text)
    given_text = text if parameter.type == "Float" else f"[0.7, {written}, 0.1]"
    with pytest.raises(BadInput, match=f"parameter '{parameter.name}'"):
        parse_arguments(find_pipeline(pipeline), [f"{parameter.name}={given_text}"])
    value: Any = float(text) if parameter.type == "Float" else [0.7, float(text)]
    with pytest.raises(BadInput, match=f"parameter '{parameter.name}'"):
        typed(find_pipeline(pipeline), {parameter.name: value})


@pytest.mark.parametrize("text", ["1_0", "٣", "1e3", "0x10", "9" * 500, str(MOST_WHOLE + 1), "--1", ""])
def test_a_pipeline_takes_whole_numbers_as_they_are_written(text: str) -> None:
    with pytest.raises(BadInput, match="parameter 'seed'"):
        parse_arguments(find_pipeline("supervised"), [f"seed={text}"])


SUPERVISED = find_pipeline("supervised")
ASKED = {"lake": "./here", "task": {"name": "x", "rows": {"table": "t"}, "label": {"column": "y"}}}


@given(number=st.integers(-MOST_WHOLE, MOST_WHOLE))
def test_a_whole_number_that_kfp_keeps_is_taken(number: int) -> None:
    check_numbers({"seed": number})
    assert int(float(number)) == number


@given(number=st.integers(-MOST_WHOLE, MOST_WHOLE) | st.integers(-3, 3))
def test_a_seed_is_taken_where_every_step_takes_it(number: int) -> None:
    if 0 <= number < 2**31:
        assert parse_arguments(SUPERVISED, [f"seed={number}"], ASKED) == {**ASKED, "seed": number}
    else:
        with pytest.raises(BadInput, match=f"parameter 'seed' is {number}; give a whole number from 0 to 2147483647"):
            parse_arguments(SUPERVISED, [f"seed={number}"])


OUT_OF_RANGE: list[tuple[str, str, Any]] = [
    *(("supervised", "sample_fraction", value) for value in (2, 0, -0.5, 1.0000001, -1e308)),
    *(("supervised", "seconds_per_candidate", value) for value in (-1, 0, -5e-324)),
    *(("supervised_images", "max_rounds", value) for value in (-1, -MOST_WHOLE)),
    *(
        ("supervised_images", "shares", value)
        for value in ([0.5, 0.5], [0.5, 0.1, 0.1], [1.5, -0.3, -0.2], [], [1, 0, 0])
    ),
    *(
        ("supervised_images", "shares", value)
        for value in ([0.7, 0.15, "x"], [0.7, [0.15], 0.15], ["1e999999999", 0, 0])
    ),
    *(("supervised_distributed", name, -1) for name in ("epochs", "checkpoint_seconds", "max_restarts", "seed")),
    *(("supervised_distributed", "workers", value) for value in (0, 1025)),
    ("supervised_distributed", "timeout_seconds", 0),
    *(("supervised", "as_of", value) for value in ("yesterday", "2013-02-30", "20130201", "2013-W01-1", "10000-01-01")),
]


@pytest.mark.parametrize(("pipeline", "name", "value"), OUT_OF_RANGE, ids=str)
def test_what_a_later_step_would_refuse_is_refused_before_the_first(pipeline: str, name: str, value: Any) -> None:
    found = find_pipeline(pipeline)
    text = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(BadInput, match=f"^parameter '{name}'"):
        parse_arguments(found, [f"{name}={text}"])
    with pytest.raises(BadInput, match=f"^parameter '{name}'"):
        typed(found, {name: value})


@pytest.mark.parametrize("name", pipeline_names())
def test_every_number_of_a_pipeline_has_a_range_and_a_default_within(name: str) -> None:
    pipeline = find_pipeline(name)
    numbers = {each.name for each in pipeline.parameters if each.type in ("Integer", "Float") or each.name == "shares"}
    assert not numbers - {each.name for each in pipeline.parameters if each.checks}
    check_values(pipeline, {each.name: TO_BE_GIVEN.get(each.name, each.default) for each in pipeline.parameters})


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in ROOT.glob("components/*/component.py") if step_checks(path.parent.name))
)
def test_every_number_of_a_step_has_a_range(name: str) -> None:
    inputs = getattr(importlib.import_module(f"sluice.components.{name}.component"), name).component_spec.inputs
    anything = {"seed"} if name in ("sample", "split") else set()  # their own order takes any integer
    numbers = {key for key, each in inputs.items() if each.type in ("Integer", "Float")}
    assert numbers - anything <= set(step_checks(name)) <= set(inputs)


def test_a_step_without_numbers_states_no_checks() -> None:
    assert step_checks("report") == step_checks("nothing") == step_checks("") == {}


def test_a_run_that_a_later_step_would_refuse_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, ["run", "supervised", "-p", "sample_fraction=2"])
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == "parameter 'sample_fraction' is 2.0; give a number above 0 and at most 1"
    assert not (tmp_path / "home/runs").exists()


def test_a_step_looks_at_its_numbers_before_its_body(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, step("train", {"seconds": [1, {"a": math.nan}], "name": "x"}):
        raise AssertionError("the body has run")
    assert ended.value.code == 2
    assert "parameter 'seconds': nan is no number to work with" in capsys.readouterr().out


@pytest.mark.parametrize(
    "path", sorted((ROOT / "components").glob("*/component.py")), ids=lambda path: path.parent.name
)
def test_every_component_hands_its_parameters_over(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "step"]
    assert [ast.unparse(call.args[1]) for call in calls] in (["locals()"], ["given"])


def test_what_is_no_number_passes() -> None:
    check_numbers({"a": "nan", "b": True, "c": None, "d": object(), "e": [], "f": [0.5], "g": 1e308})


@pytest.mark.parametrize("command", [["follow", "run", "supervised"], ["submit", "supervised"]])
@pytest.mark.parametrize("hours", ["nan", "inf"])
def test_no_run_is_followed_for_no_number_of_hours(command: list[str], hours: str, no_cluster: None) -> None:
    done = CliRunner().invoke(app, [*command, "--hours", hours])
    assert isinstance(done.exception, BadInput)
    assert "'hours'" in str(done.exception)

"""A number that is none is refused where parameters are read, before any work: by command, fused run and component."""

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.common.errors import BadInput
from components.common.parameters import MOST_WHOLE, check_numbers
from components.common.steps import step
from pipelines import lake_to_model
from sluice.arguments import parse_arguments
from sluice.catalog import Parameter, find_pipeline, pipeline_names
from sluice.cli import app
from sluice.cluster.fused_step import typed
from tests.unit.bounded import ROOT

NONE = ("nan", "NaN", "-nan", "inf", "-Infinity", "1e999")
NUMBERS = [
    (name, parameter)
    for name in pipeline_names()
    for parameter in find_pipeline(name).parameters
    if parameter.type == "Float" or parameter.name == "shares"
]
assert lake_to_model


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize(("pipeline", "parameter"), NUMBERS, ids=lambda value: getattr(value, "name", str(value)))
def test_a_pipeline_takes_no_number_that_is_none(pipeline: str, parameter: Parameter, text: str) -> None:
    json = {"inf": "Infinity", "nan": "NaN", "-nan": "NaN"}.get(text, text)
    given_text = text if parameter.type == "Float" else f"[0.7, {json}, 0.1]"
    with pytest.raises(BadInput, match=f"parameter '{parameter.name}'"):
        parse_arguments(find_pipeline(pipeline), [f"{parameter.name}={given_text}"])
    value: Any = float(text) if parameter.type == "Float" else [0.7, float(text)]
    with pytest.raises(BadInput, match=f"parameter '{parameter.name}'"):
        typed(find_pipeline(pipeline), {parameter.name: value})


@pytest.mark.parametrize("text", ["1_0", "٣", "1e3", "0x10", "9" * 500, str(MOST_WHOLE + 1), "--1", ""])
def test_a_pipeline_takes_whole_numbers_as_they_are_written(text: str) -> None:
    with pytest.raises(BadInput, match="parameter 'seed'"):
        parse_arguments(find_pipeline("lake_to_model"), [f"seed={text}"])


@given(number=st.integers(-MOST_WHOLE, MOST_WHOLE))
def test_a_whole_number_that_kfp_keeps_is_taken(number: int) -> None:
    assert parse_arguments(find_pipeline("lake_to_model"), [f"seed={number}"]) == {"seed": number}
    assert int(float(number)) == number


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


@pytest.mark.parametrize("command", [["follow", "run", "lake_to_model"], ["submit", "lake_to_model"]])
@pytest.mark.parametrize("hours", ["nan", "inf"])
def test_no_run_is_followed_for_no_number_of_hours(command: list[str], hours: str, no_cluster: None) -> None:
    done = CliRunner().invoke(app, [*command, "--hours", hours])
    assert isinstance(done.exception, BadInput)
    assert "'hours'" in str(done.exception)

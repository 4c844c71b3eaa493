"""What a component takes from outside its function is found without running it, and told with its line."""

from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl.component_factory import _get_function_source_definition

from sluice.project_tools.component_names import outside_names
from sluice.project_tools.project_check import check_project
from tests.unit.test_project_check import CONTRACT, PROJECT, ROWS

FLOW = '''
import os
import typing as t
from collections import namedtuple as tuples
from typing import Any, NamedTuple

import numpy as np
from kfp import dsl
from kfp.dsl import Dataset, Output, component

FACTOR = 3


class Told(NamedTuple):
    number: int


def helper(number):
    return number * FACTOR


def other(number):
    return number


@dsl.component(base_image=os.environ.get("IMAGE", "python:3.13"))
def sound(number: int, table: Output[Dataset], more: dict[str, Any] = {}) -> NamedTuple("Made", [("a", int)]):
    """Uses np and os in words alone."""
    import json
    import numpy as np

    def inner(value: float) -> float:
        global counted
        counted = value
        return np.log(value) + counted + number

    with open(table.path, "w") as file:
        file.write(json.dumps([inner(each) for each in range(number)]) + Dataset.__name__ + __name__)
    try:
        return sound(number - 1)
    except ValueError as error:
        print(error)


@component
def careless(number: int, share: float = FACTOR) -> Told:
    total = np.sum([number])
    if number:
        return Told(helper(number) + (lambda: os.getpid())() + total)
    return tuples("a", "b")


@dsl.component(additional_funcs=[helper, other])
def helped(numbers: t.List[int]) -> int:
    return helper(1) + other(2)


def plain():
    return np.zeros(FACTOR)


@dsl.pipeline(name="flow")
def flow(number: int = 1):
    careless(number=number + FACTOR)
'''


def line(text: str) -> int:
    return FLOW[: FLOW.index(text)].count("\n") + 1


FOUND = {
    ("careless", "FACTOR", line("def careless"), ""),
    ("careless", "Told", line("def careless"), ""),
    ("careless", "helper", line("return Told"), ""),
    ("careless", "np", line("total = np.sum"), "import numpy as np"),
    ("careless", "os", line("return Told"), "import os"),
    ("careless", "tuples", line("return tuples"), "from collections import namedtuple as tuples"),
    ("helped", "FACTOR", line("return number * FACTOR"), ""),
    ("helped", "t", line("def helped"), "import typing as t"),
}


def test_each_name_is_told_once_with_its_line_and_the_import_to_write() -> None:
    found = outside_names(FLOW.encode(), "flow.py")
    assert {(each.component, each.name, each.line, each.statement) for each in found} == FOUND
    assert str(next(each for each in found if each.name == "np")) == (
        "component 'careless' uses 'np' from outside its function, and KFP takes the function alone along; write "
        "`import numpy as np` inside"
    )
    assert outside_names(b"def broken(:", "flow.py") == []


@pytest.mark.parametrize("number", [0, 1])
def test_kfp_indeed_takes_the_function_alone_along(number: int) -> None:
    """What is found here, and no more, is what its program lacks."""
    names: dict[str, object] = {}
    exec(_get_function_source_definition(takes.python_func), names)
    with pytest.raises(NameError, match="name 'ROWS' is not defined" if number else "name 'CONTRACT' is not defined"):
        names["takes"](number)  # type: ignore[operator]
    told = outside_names(Path(__file__).read_bytes(), __file__)
    assert [each.name for each in told if each.component == "takes"] == ["CONTRACT", "ROWS"]


@dsl.component(base_image="python:3.13")
def takes(number: int) -> str:
    return str(ROWS if number else CONTRACT)


def test_check_tells_it_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/contract.yaml").write_text(CONTRACT)
    ROWS.to_csv(tmp_path / "data/houses.csv", index=False)
    (tmp_path / "sluice.yaml").write_text(PROJECT + "pipeline: flow.py:flow\n")
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    checked = check_project(Path())
    told = [str(each) for each in checked.findings if each.level == "error"]
    assert len(told) == len(FOUND)
    assert told[0].startswith(
        f"flow.py:{line('return number * FACTOR')}: component 'helped' uses 'FACTOR' from outside its function"
    )
    assert "define it inside, or move the work into another file" in told[0]

"""A pipeline of the user's own: found in a file, typed, checked before its first step, or refused in one line."""

import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler

from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.step_environment import NAME, REGISTER
from sluice.core.errors import BadInput
from sluice.running import own_pipelines
from sluice.running.arguments import parse_arguments
from sluice.running.catalog import find_pipeline
from sluice.running.local_python import check_runs_here, with_python

COUNTING = '''
from kfp import dsl
import beside


@dsl.component(base_image="python:3.11")
def register(rows: int) -> int:
    return rows


@dsl.pipeline(name="First one")
def first(rows: int, share: float = 0.5, words: list = ["a"]) -> int:
    """Counts.

    Args:
        rows: How many.
    """
    return register(rows=rows).output
'''
MIXED = """
from kfp import dsl
from sluice.components.evaluate.component import evaluate
from sluice.components.train.component import train


@dsl.component(base_image="python:3.11")
def train_mine(seed: int) -> str:
    return str(seed)


@dsl.pipeline
def inner(candidates: list[str], device: str):
    trained = train(splits="datasets/x", candidates=candidates, device=device)
    evaluate(splits="datasets/x", models=trained.outputs["Output"])


@dsl.pipeline
def mixed(chosen: list[str] = [], where: str = "auto", seed: int = -5):
    train_mine(seed=seed)
    inner(candidates=chosen, device=where)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("print('read')\n")
    (tmp_path / "own.py").write_text(COUNTING)
    (tmp_path / "mixed.py").write_text(MIXED)
    return tmp_path


def test_the_one_pipeline_of_a_file_is_found_with_its_parameters(folder: Path) -> None:
    found = find_pipeline(str(folder / "own.py"))
    assert (found.name, found.summary, found.source) == ("first_one", "Counts.", f"{folder}/own.py:first")
    assert [(each.name, each.type, each.required) for each in found.parameters] == [
        ("rows", "Integer", True),
        ("share", "Float", False),
        ("words", "List", False),
    ]
    assert parse_arguments(found, ["rows=3", "words=b,c"]) == {"rows": 3, "words": ["b", "c"]}
    assert find_pipeline(found.reference).source == found.source


def test_what_the_file_prints_stays_out_of_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("beside", None)
    find_pipeline(str(folder / "own.py"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "read\n")
    assert str(folder) not in sys.path


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "pipeline first_one needs 'rows': -p rows=7"),
        (["row=3"], r"'row' is unknown to pipeline first_one \(did you mean 'rows'\?\)"),
        (["rows=x"], "'x' is no integer"),
        (["rows=9007199254740993"], "KFP would not keep"),
    ],
)
def test_its_parameters_are_checked_as_ours_are(folder: Path, pairs: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_arguments(find_pipeline(str(folder / "own.py")), pairs)


BROKEN = {
    "x = 1\ndef f(:\n": ":2: invalid syntax",
    "import nothing_there\n": ":1: ModuleNotFoundError: No module named 'nothing_there'",
    "x = 1\n\nraise SystemExit('bye')\n": ":3: SystemExit: bye",
    "def f():\n    return 1 / 0\n\n\nf()\n": ":2: ZeroDivisionError",
    "x = 1\n": ":1: no pipeline stands in this file",
    "from kfp import dsl\n\n\n@dsl.pipeline\ndef a(x: int = 1): ...\n": ":4:",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_breaks_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        find_pipeline(str(path))
    assert str(caught.value).startswith(f"{path}{BROKEN[text]}")
    assert "\n" not in str(caught.value)


def test_two_pipelines_want_a_name_and_a_wrong_one_is_told(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"mixed.py:12: several pipelines stand here, inner \(line 12\), mixed"):
        find_pipeline(str(folder / "mixed.py"))
    with pytest.raises(BadInput, match=r"no pipeline 'mixd' \(did you mean 'mixed'\?\)"):
        find_pipeline(f"{folder}/mixed.py:mixd")
    with pytest.raises(BadInput, match="is no file"):
        find_pipeline(f"{folder}/nowhere.py")
    with pytest.raises(BadInput, match="pipeline 'own' is unknown"):
        find_pipeline("own")


def test_our_steps_checks_and_choices_reach_a_pipeline_that_mixes_them_in(folder: Path) -> None:
    found = find_pipeline(f"{folder}/mixed.py:mixed")
    offered = {each.name: each.choices for each in found.parameters}
    assert offered == {"chosen": (), "where": ("auto", "cpu", "cuda"), "seed": ()}
    with pytest.raises(BadInput, match=r"parameter 'chosen' is .* no candidate beside the baselines"):
        parse_arguments(found, ["chosen=zero-rule"])
    with pytest.raises(BadInput, match="parameter 'where': 'gpu' is not offered"):
        parse_arguments(found, ["where=gpu"])
    assert parse_arguments(found, ["seed=-7"]) == {"seed": -7}  # of the user's own step, not of ours


def test_a_compiled_pipeline_is_taken_too(folder: Path) -> None:
    made = find_pipeline(str(folder / "own.py"))
    compiler.Compiler().compile(made.component, str(folder / "own.yaml"))
    found = find_pipeline(str(folder / "own.yaml"))
    assert (found.name, found.reference) == ("first_one", str(folder / "own.yaml"))
    assert [each.name for each in found.parameters] == ["rows", "share", "words"]
    with pytest.raises(BadInput, match="leave ':first' out"):
        find_pipeline(f"{folder}/own.yaml:first")


@pytest.mark.parametrize(
    ("text", "words"), [("a: [1\n", ":2: no YAML"), ("a: 1\n", ":1: no compiled pipeline"), ("", ":1")]
)
def test_yaml_that_is_no_pipeline_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(BadInput, match=words):
        find_pipeline(str(tmp_path / "x.yaml"))


def test_a_users_step_called_register_gets_no_more_than_any_other(folder: Path) -> None:
    spec = compile_for_cluster(find_pipeline(str(folder / "own.py")))
    executors = spec.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-register"]["secretAsEnv"][0]["secretName"] == NAME
    ours = compile_for_cluster(find_pipeline("supervised"))
    executors = ours.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-register"]["secretAsEnv"][0]["secretName"] == REGISTER


def test_no_image_holds_it_so_it_cannot_be_fused(folder: Path) -> None:
    with pytest.raises(BadInput, match="cannot run fused"):
        compile_for_cluster(find_pipeline(str(folder / "own.py")), fused=True)


def _executors(text: str, tmp_path: Path) -> dict[str, Any]:
    from google.protobuf import json_format

    (tmp_path / "asks.py").write_text(text)
    spec = json_format.MessageToDict(find_pipeline(str(tmp_path / "asks.py")).component.pipeline_spec)
    return dict(spec["deploymentSpec"]["executors"])


ASKING = """
from kfp import dsl


@dsl.component(base_image="python:3.11", packages_to_install={packages})
def ask():
    pass


@dsl.pipeline
def asking():
    ask()
"""


@pytest.mark.parametrize("packages", [["pandas"], ["PyYAML>=5"], ["nothing-of-it>1; python_version<'3'"], []])
def test_packages_that_are_here_are_not_installed(tmp_path: Path, packages: list[str]) -> None:
    executors = _executors(ASKING.format(packages=packages), tmp_path)
    check_runs_here(executors)
    command = [str(word) for word in executors["exec-ask"]["container"]["command"]]
    script = with_python(command, "/a b/python3")
    assert script[:2] == ["sh", "-ec"]
    assert "'/a b/python3' -m kfp.dsl.executor_main" in script[2]
    assert not any("pip" in word for word in script[:3])


@pytest.mark.parametrize("packages", [["nothing-of-it"], ["pandas<0.1"], ["git+https://example.org/x.git"]])
def test_packages_that_are_not_here_end_the_run_before_its_first_step(tmp_path: Path, packages: list[str]) -> None:
    with pytest.raises(BadInput, match="step 'ask' asks for"):
        check_runs_here(_executors(ASKING.format(packages=packages), tmp_path))


def test_a_container_component_is_told_to_go_to_a_cluster(tmp_path: Path) -> None:
    text = (
        "from kfp import dsl\n\n\n@dsl.container_component\ndef ask():\n    return dsl.ContainerSpec(image='acme/x:1', "
        "command=['true'])\n\n\n@dsl.pipeline\ndef asking():\n    ask()\n"
    )
    with pytest.raises(BadInput, match=r"step 'ask' runs a program of the image 'acme/x:1'.*sluice submit"):
        check_runs_here(_executors(text, tmp_path))


def test_its_functions_are_found_where_they_were_written(folder: Path) -> None:
    found = own_pipelines.functions(f"{folder}/own.py:first")
    assert found["register"].__code__.co_filename == str(folder / "own.py")
    assert own_pipelines.functions(f"{folder}/own.yaml") == {}

"""A step's parameters stand once, as a model; KFP's face, which can only repeat them, agrees with it."""

import importlib
import re
from typing import Any

import pytest

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import StepParameters
from sluice.parameters import step_checks, step_parameters
from sluice.pipelines import IMAGES, TABLES, pipeline_names
from sluice.running.arguments import parse_arguments
from sluice.running.catalog import find_pipeline, handed_of, steps_of
from tests.unit.bounded import ROOT

STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))
STATED = [step for step in STEPS if step_parameters(step)]
TYPES = {"str": "String", "int": "Integer", "float": "Float", "bool": "Boolean", "list": "List", "dict": "Dict"}


def model_of(step: str) -> type[StepParameters]:
    found = step_parameters(step)
    assert found, step
    return found


@pytest.mark.parametrize("step", STATED)
def test_kfps_face_has_the_names_defaults_and_words_of_the_model(step: str) -> None:
    stated = getattr(importlib.import_module(f"sluice.components.{step}.component"), step).component_spec.inputs
    settable = {name: each for name, each in stated.items() if each.optional}
    fields = model_of(step).model_fields
    assert sorted(settable) == sorted(fields)
    for name, field in fields.items():
        assert settable[name].default == field.default, name
        assert " ".join((settable[name].description or "").split()) == field.description, name


@pytest.mark.parametrize("step", STATED)
def test_kfps_face_has_the_types_of_the_model(step: str) -> None:
    stated = getattr(importlib.import_module(f"sluice.components.{step}.component"), step).component_spec.inputs
    for name, field in model_of(step).model_fields.items():
        assert re.sub(r"\[.*", "", stated[name].type) == TYPES[type(field.default).__name__], name


@pytest.mark.parametrize("step", STATED)
def test_every_default_passes_its_own_check(step: str) -> None:
    made = model_of(step)()
    for name, check in step_checks(step).items():
        if name not in ("task", "lake", "model", "dataset"):  # a question has no default, nor have somebody's data
            check(name, getattr(made, name))


FIXED = {  # what a pipeline decides itself
    "supervised_images": {"split.strategy", "split.gap", "split.folds", "split.code"},
    "supervised_distributed": {"train_distributed.code", "split.folds"},
}


@pytest.mark.parametrize("name", pipeline_names())
def test_every_parameter_of_a_step_reaches_its_pipelines_with_its_own_default_and_words(name: str) -> None:
    pipeline = find_pipeline(name)
    handed = {f"{each.step}.{each.name}": key for key, places in handed_of(pipeline).items() for each in places}
    steps = set(steps_of(pipeline.component.pipeline_spec))
    wanted = {f"{step}.{own}" for step in steps if step_parameters(step) for own in model_of(step).model_fields}
    assert wanted - set(handed) <= FIXED.get(name, set())
    stated = {each.name: each for each in pipeline.parameters}
    for place, key in handed.items():
        step, _, own = place.partition(".")
        if key not in ("seed", "metric", "split_strategy"):  # of several steps; and a table need not have a time
            field = model_of(step).model_fields[own]
            assert (stated[key].default, stated[key].description) == (field.default, field.description), place


@pytest.mark.parametrize("name", pipeline_names())
def test_what_pipelines_read_is_what_their_steps_read(name: str) -> None:
    steps = set(steps_of(find_pipeline(name).component.pipeline_spec))
    assert (name in TABLES, name in IMAGES) == ("ingest" in steps, "ingest_images" in steps)


@pytest.mark.parametrize("name", pipeline_names())
def test_a_pipeline_offers_the_choices_of_its_steps(name: str) -> None:
    offered = {each.name: each.choices for each in find_pipeline(name).parameters}
    for parameter, choices in (("allocation", ("proportional", "equal")), ("device", ("auto", "cpu", "cuda"))):
        assert offered.get(parameter, choices) == choices


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("zero-rule,gradient-boosted-tree", "did you mean 'gradient-boosted-trees'"),
        ("zero-rule,magic", "choose from random, zero-rule"),
        ("zero-rule,zero-rule,linear", "'zero-rule' twice"),
        ("random,zero-rule", "no candidate beside the baselines"),
    ],
)
def test_candidates_that_cannot_be_judged_end_before_the_first_step(value: str, words: str) -> None:
    pipeline = find_pipeline("supervised")
    known: dict[str, Any] = {each.name: each.default for each in pipeline.parameters}
    with pytest.raises(BadInput, match=words) as caught:
        parse_arguments(
            pipeline, [f"candidates={value}"], {k: v for k, v in known.items() if k in ("task", "lake")} | LAKE
        )
    assert str(caught.value).startswith("parameter 'candidates'")


LAKE = {
    "lake": "./data",
    "task": {"name": "houses", "rows": {"table": "houses", "key": ["id"]}, "label": {"column": "price"}},
}


def test_a_candidate_of_a_projects_own_is_taken_by_its_reference() -> None:
    step_checks("train", {"evaluate"})["candidates"]("candidates", ["zero-rule", "mine.py:Net"])


def test_baselines_alone_are_taken_where_nothing_judges_them() -> None:
    step_checks("train")["candidates"]("candidates", ["zero-rule"])
    with pytest.raises(BadInput, match="no candidate beside the baselines"):
        step_checks("train", {"evaluate"})["candidates"]("candidates", ["zero-rule"])


@pytest.mark.parametrize(
    ("step", "name", "value", "words"),
    [
        ("train", "device", "gpu", "choose auto or cpu or cuda"),
        ("sample", "allocation", "equall", r"did you mean 'equal'\?"),
        ("sample", "strata", ["a", 1], "item 2; give a valid string"),
        ("train", "threads", 1.5, "give a valid integer"),
        ("train", "seed", 2**31, "from 0 to 2147483647"),
        ("validate", "as_of", "tomorrow", "is no day"),
        ("train_distributed", "runtime", "Torch CPU", "no TrainingRuntime"),
    ],
)
def test_a_check_names_the_parameter_as_the_person_calls_it(step: str, name: str, value: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        step_checks(step)[name]("their_name", value)
    assert str(caught.value).startswith("parameter 'their_name'")


def test_checked_gives_the_model_and_passes_over_what_is_no_parameter() -> None:
    made = model_of("sample").checked({"fraction": 0.25, "prepared": "somewhere"})
    assert made.model_dump()["fraction"] == 0.25
    with pytest.raises(BadInput, match="parameter 'fraction' is 2"):
        model_of("sample").checked({"fraction": 2})

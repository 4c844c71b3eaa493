"""`-p key=value` becomes typed arguments, or one line that names the parameter."""

import json
from typing import Any

import pytest

from sluice.core.errors import BadInput
from sluice.running.arguments import parse_arguments
from sluice.running.catalog import Parameter, Pipeline, find_pipeline, pipeline_names

PIPELINE = Pipeline(
    "example",
    "",
    tuple(
        Parameter(name, kind, None, "")
        for name, kind in {
            "lake": "String",
            "seed": "Integer",
            "fraction": "Float",
            "quick": "Boolean",
            "features": "List",
            "options": "Dict",
        }.items()
    ),
    None,
)

# KFP wants a default of each parameter; an empty one of these is refused.
TO_BE_GIVEN: dict[str, Any] = {
    "model": "houses",
    "dataset": "3f2a9c01",
    "lake": "lakes/houses",
    "task": {"name": "houses", "rows": {"table": "images"}, "label": {"column": "price"}},
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("lake=s3://bucket/a=b", "s3://bucket/a=b"),
        ("lake=", ""),
        ("seed=-7", -7),
        ("fraction=1e-2", 0.01),
        ("fraction=1", 1.0),
        ("quick=Yes", True),
        ("quick=false", False),
        ('features=["a", "b"]', ["a", "b"]),
        ("features=a, b", ["a", "b"]),
        ("features=", []),
        ('options={"a": 1}', {"a": 1}),
    ],
)
def test_values_get_the_type_that_the_pipeline_declares(pair: str, value: Any) -> None:
    assert parse_arguments(PIPELINE, [pair]) == {pair.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["seed"], "has no '='"),
        (["sed=1"], "did you mean 'seed'"),
        (["zzz=1"], "it has lake, seed"),
        (["seed=1", "seed=2"], "given twice"),
        (["seed=1.5"], "no integer"),
        (["fraction=half"], "no float"),
        (["quick=perhaps"], "no boolean"),
        (['features=["a"'], "no list"),
        (["options=[1]"], "no dict"),
        (['features=["a\\ud800"]'], "half a character"),
        (['features=["{{$.inputs}}"]'], "which KFP takes for a placeholder"),
        (["lake={{workflow.name}}"], "which KFP takes for a placeholder"),
    ],
)
def test_a_wrong_word_ends_in_one_line(pairs: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_arguments(PIPELINE, pairs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", pipeline_names())
def test_every_default_of_a_pipeline_can_be_typed(name: str) -> None:
    pipeline = find_pipeline(name)
    values = {p.name: TO_BE_GIVEN.get(p.name, p.default) for p in pipeline.parameters}
    typed = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    assert parse_arguments(pipeline, typed) == values


NEEDED = [
    (name, each.name)
    for name in pipeline_names()
    for each in find_pipeline(name).parameters
    if each.name in TO_BE_GIVEN
]


@pytest.mark.parametrize(("name", "missing"), NEEDED)
def test_a_pipeline_without_data_or_a_question_is_refused(name: str, missing: str) -> None:
    given = {key: TO_BE_GIVEN[key] for pipeline, key in NEEDED if pipeline == name and key != missing}
    others = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()]
    with pytest.raises(BadInput, match=f"parameter '{missing}' is empty"):
        parse_arguments(find_pipeline(name), others)


def test_what_is_not_offered_is_refused_with_the_choices() -> None:
    pipeline = Pipeline("example", "", (Parameter("strategy", "String", "time", "", ("time", "stratified")),), None)
    assert parse_arguments(pipeline, ["strategy=stratified"]) == {"strategy": "stratified"}
    with pytest.raises(BadInput, match=r"'tim' is not offered \(did you mean 'time'\?\); choose time or stratified"):
        parse_arguments(pipeline, ["strategy=tim"])

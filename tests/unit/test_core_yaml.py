"""YAML means what version 1.2 says, and what could mean two things is refused with its line."""

import json
import math
import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.contract.reading import parse_contract
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import MOST_BYTES, parse_yaml

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=10) | st.sampled_from(
    ["NO", "no", "on", "y", "12:30", "1e6", "01", "1.10", "null", "~", "", "2013-01-01", "1_0", "0b1", "<<", "=", "*a"]
)
_POWER = re.compile(r"[0-9]e[0-9]", re.IGNORECASE)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(body=_TREES)
def test_json_is_yaml_and_means_the_same(body: Any) -> None:
    """YAML 1.2 takes JSON in; JSON's parser is another reader of the same text."""
    text = json.dumps(body, ensure_ascii=False)
    if "Infinity" not in text:
        assert parse_yaml(text, "t.yaml") == json.loads(text)


@given(body=st.dictionaries(_TEXTS, _TEXTS | st.lists(_TEXTS, max_size=3), max_size=5), flow=st.booleans())
def test_texts_that_pyyaml_writes_come_back_as_texts_or_are_refused(body: dict[str, Any], flow: bool) -> None:
    """It quotes what version 1.1 takes for something else; `1e6`, `0E0` are texts there and numbers in 1.2."""
    text = yaml.safe_dump(body, allow_unicode=True, default_flow_style=flow)
    said = ""
    try:
        found = parse_yaml(text, "t.yaml")
    except BadInput as error:
        said, found = str(error), body
    assert found == body or _POWER.search(text)
    assert not said or "is read as a number; write it in quotes" in said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2013-01-01", "2013-01-01"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("<<", "<<"),
        ("1e6", 1e6),
        ("1.10", 1.1),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("null", None),
        ("", None),
        ("~", None),
        ("True", True),
        ("tRue", "tRue"),
        ("-.INF", -math.inf),
        ("'01'", "01"),
        ('"null"', "null"),
        ("!!str 01", "01"),
        ("9" * 5000, "9" * 5000),
        ("|\n  1\n", "1\n"),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: Any) -> None:
    assert parse_yaml(f"a: {text}", "t.yaml") == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' stands there twice, first on line 1; keep one"),
        ("a: {b: 1, b: 1}", "line 1: 'b' stands there twice"),
        ("a: &x {b: 1}\n*x : 2", "line 2: the name"),
        ("a:\n  - 01", "line 2: 01 is octal to some readers and decimal to others; write it in quotes"),
        ("1.10: x", "the name '1.1' is read as a number; write it in quotes"),
        ("null: x", "the name 'None' is read as nothing; write it in quotes"),
        ("true: x", "is read as true or false; write it in quotes"),
        ("[a]: x", "is read as a list or mapping"),
        ("a: *b", "line 1: alias *b names nothing whole before it"),
        ("&a [*a]", "alias *a names nothing whole before it"),
        ("a: !!int '1'", "tag tag:yaml.org,2002:int is not read"),
        ("!!python/object:os.system {}", "is not read; take it away"),
        ("a: !x [1]", "tag !x is not read"),
        ("a: 1\n---\nb: 2", "line 2: a second document begins; keep one"),
        ("a: [", "t.yaml is not YAML: line"),
        ("[" * 100_000, "line 1: nested deeper than 32 levels"),
        ("- " * 10_000 + "a", "line 1: nested deeper than 32 levels"),
        ("a: '" + "x" * MOST_BYTES + "'", "is larger than 4 MiB"),
        ("\0", "t.yaml is not YAML"),
    ],
)
def test_what_is_ambiguous_or_too_much_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_yaml(text, "t.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("t.yaml")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("leaf", ["x", "x" * 200_000])
def test_aliases_count_as_what_they_stand_for(leaf: str) -> None:
    levels = ["a0: &a0 [" + leaf + "]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    began = time.process_time()
    with pytest.raises(BadInput, match=r"line \d+: more than 16 MiB with aliases counted as what they stand for"):
        parse_yaml("\n".join(levels), "t.yaml")
    assert time.process_time() - began < 30, "far from what the whole would take"


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    assert parse_yaml("a: &x {b: [1]}\nc: *x\nd: &y no\ne: *y", "t") == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": "no",
        "e": "no",
    }


def test_a_contract_keeps_the_values_that_its_owner_wrote() -> None:
    """`NO` was false in YAML 1.1: with a tolerance, every row from Norway lost its country without a word."""
    column = "%s: {type: string, values: [%s], tolerance: 1}"
    text = f"name: x\ntables:\n  t:\n    source: {{csv: a.csv}}\n    columns:\n      {column}"
    contract = parse_contract(text % ("no", "EWR, NO, LGA, 12:30"), "contract.yaml")
    assert contract.tables["t"].columns["no"].values == ("EWR", "NO", "LGA", "12:30")
    for value in ("1.10", "1e6", "null", "true"):
        with pytest.raises(
            BadInput, match=r"contract\.yaml, line 6: table 't', column 'a': values: .* where text is wanted"
        ):
            parse_contract(text % ("a", value), "contract.yaml")
    with pytest.raises(BadInput, match=r"contract\.yaml, line 6: 01 is octal to some readers"):
        parse_contract(text % ("a", "01"), "contract.yaml")

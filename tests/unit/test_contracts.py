"""A contract is read whole or refused in one line that names the place in it."""

import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.contract.availability import Availability
from sluice.contract.reading import contract_body, contract_from_body, contract_schema, parse_contract
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml

TEXT = """
schema: 2
name: shop
license: CC0-1.0
moments: [planned, {observed: 1h}, {delivered: 12h}, returned]
tables:
  sales:
    source: {csv: "sales/*.csv"}
    key: [id]
    freshness: {column: at, max_age_days: 2}
    timezone: Europe/Vienna
    columns:
      id: {type: int64, range: [1, 1000], tolerance: 0.01, unit: number, description: The sale.}
      item: {type: string, nullable: true, values: [pen, ink], references: items.item}
      at: {type: timestamp}
      price: {type: float64, known: 0s}
      score: {type: float64, known: 30d}
      paid: {type: bool, known: delivered}
      rain: {type: float64, availability: observed}
      back: {type: bool, known: returned}
      late: {type: bool, availability: returned, known: 2w}
      stock: {type: int64, known: -1d}
      plan: {type: int64, known: always}
      odd: {type: int64}
  items:
    source: {sql: "sqlite:///shop.db", table: items}
    columns:
      item: {type: string}
"""


def _body() -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load(TEXT)
    return body


def test_a_contract_says_what_its_text_says() -> None:
    contract = parse_contract(TEXT, "contract.yaml")
    sales = contract.tables["sales"]
    assert (contract.name, contract.license, list(contract.tables)) == ("shop", "CC0-1.0", ["sales", "items"])
    assert (sales.source, sales.key) == ({"csv": "sales/*.csv"}, ("id",))
    assert (sales.freshness_column, sales.max_age_days) == ("at", 2)
    assert (sales.columns["id"].range, sales.columns["id"].tolerance) == ((1.0, 1000.0), 0.01)
    assert (sales.columns["item"].values, sales.columns["item"].references) == (("pen", "ink"), "items.item")
    assert (sales.columns["id"].nullable, sales.columns["item"].nullable) == (False, True)
    assert (sales.timezone, contract.tables["items"].timezone) == ("Europe/Vienna", "UTC")


def test_when_a_column_is_known_after_its_rows_time() -> None:
    contract = parse_contract(TEXT, "contract.yaml")
    known = {name: contract.availability("sales", name) for name in contract.tables["sales"].columns}
    hours = {
        name: when.lag / 3600 if when and when.lag is not None else when and when.lag for name, when in known.items()
    }
    assert hours == {
        "id": 0,
        "at": 0,
        "price": 0,
        "score": 720,
        "paid": 12,
        "rain": 1,
        "back": None,
        "late": 336,
        "stock": -24,
        "plan": -math.inf,
        "odd": None,
        "item": None,
    }
    assert known["odd"] is known["item"] is None, "nobody has said it; the key and the time are known with their row"
    named = {name: when.name for name, when in known.items() if when}
    assert named["late"] == named["back"] == "returned"
    assert (named["score"], named["price"], named["plan"], named["paid"]) == ("30d", "0s", "always", "delivered")
    assert contract.availability("items", "item") == Availability("always", -math.inf), "a table without a time"
    whole = _changed("tables/sales/known", "planned")
    assert contract_from_body(whole, "contract.yaml").availability("sales", "odd") == Availability("planned", 0.0)
    assert contract_from_body(whole, "contract.yaml").availability("sales", "score") == known["score"]


def test_a_clock_is_known_with_its_row_and_never_missing() -> None:
    contract = parse_contract(TEXT, "contract.yaml")
    assert (contract.clock("sales"), contract.clock("items")) == ("at", None)
    for word, value, clock in (("nullable", True, None), ("known", "1h", None), ("known", "-1h", "at")):
        changed = contract_from_body(_changed(f"tables/sales/columns/at/{word}", value), "contract.yaml")
        assert changed.clock("sales") == clock
    other = _changed("tables/sales/columns/day", {"type": "date"})
    other["tables"]["sales"]["time"] = "day"
    assert contract_from_body(other, "contract.yaml").clock("sales") == "day"
    assert contract.with_time("sales", "at").tables["sales"].time == "at"


def test_a_contract_of_the_first_version_is_read_as_it_was_meant() -> None:
    """As manifests hold it: every column with one of four words, its wait in hours, and no number of a version."""
    columns = {
        "at": {"type": "timestamp", "availability": "scheduled", "nullable": False, "tolerance": 0.0},
        "temp": {"type": "float64", "availability": "observed"},
        "delay": {"type": "float64", "availability": "departed", "known_after_hours": 24.0},
        "label": {"type": "float64", "availability": "arrived", "known_after_hours": 0.5},
        "lost": {"type": "float64", "availability": "arrived"},
    }
    table = {
        "source": {"csv": "x"},
        "key": ["at"],
        "freshness": {"column": "at", "max_age_days": 3},
        "columns": columns,
    }
    contract = contract_from_body({"name": "old", "license": "", "tables": {"trips": table}}, "manifest")
    known = {name: contract.availability("trips", name) for name in columns}
    assert {name: (when.name, when.lag) for name, when in known.items() if when} == {
        "at": ("scheduled", -math.inf),
        "temp": ("observed", 3600),
        "delay": ("departed", 86_400),
        "label": ("arrived", 1800),
        "lost": ("arrived", None),
    }
    assert contract.clock("trips") == "at"
    assert contract_from_body(contract_body(contract), "manifest") == contract


def test_a_refusal_names_the_line() -> None:
    for wrong, said in (
        (("known: 30d", "known: 30x"), "line 17: table 'sales', column 'score': '30x' does not say when it is known"),
        (("known: delivered", "known: deliverd"), "line 18: table 'sales', column 'paid'.*did you mean delivered"),
        (("known: 0s", "knwon: 0s"), "line 16: table 'sales', column 'price': unknown knwon; did you mean known"),
        (
            ("references: items.item", "references: x.y"),
            "line 14: table 'sales', column 'item': references 'x.y' is no",
        ),
        (("{delivered: 12h}", "{delivered: 5m}"), "line 5: moments: 'delivered' comes after 'observed', yet is known"),
    ):
        with pytest.raises(BadInput, match=rf"^contract\.yaml, {said}"):
            parse_contract(TEXT.replace(*wrong), "contract.yaml")


def test_editors_get_a_schema_that_takes_our_contracts_and_refuses_wrong_ones() -> None:
    schema = contract_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    flights = (Path(__file__).parents[2] / "examples/flights/contract.yaml").read_text(encoding="utf-8")
    for text in (TEXT, flights):
        assert list(validator.iter_errors(parse_yaml(text, "contract.yaml"))) == []
    for path, value in (
        ("tables/sales/columns/id/colour", "red"),
        ("tables/sales/columns/id/type", "int"),
        ("moments", [1]),
    ):
        assert list(validator.iter_errors(_changed(path, value)))


def test_what_a_manifest_remembers_is_the_contract() -> None:
    contract = parse_contract(TEXT, "contract.yaml")
    assert contract_from_body(contract_body(contract), "manifest") == contract


def _changed(path: str, value: Any) -> dict[str, Any]:
    """The contract with the value at a dotted path replaced; None takes it out."""
    body = inner = _body()
    *folders, last = path.split("/")
    for folder in folders:
        inner = inner[folder]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", None, "name missing"),
        ("owner", "me", "unknown owner; known: license, moments, name, schema, tables"),
        ("schema", 3, "schema is of another Sluice; this one reads schema: 2"),
        ("moments", "planned", "moments must be a list of names in their order"),
        ("moments", ["planned", "planned"], "moments names 'planned' twice"),
        ("moments", [{"a": 1, "b": 2}], "is no moment; write its name, or {name: 24h}"),
        ("moments", ["always"], "'always' cannot name a moment"),
        ("moments", ["30d"], "'30d' cannot name a moment"),
        ("moments", [{"planned": "soon"}], "moments: planned: 'soon' is no duration"),
        ("moments", ["planned"], "does not say when it is known: it is none of the contract's moments (planned)"),
        ("tables/sales/time", "on", "time names column 'on'"),
        ("tables/sales/time", "item", "time column 'item' must be of type timestamp or date"),
        ("tables/sales/known", "soon", "table 'sales': 'soon' does not say when it is known"),
        ("tables/sales/columns/id/known", 5, "known '5' is a number where text is wanted; write it in quotes"),
        (
            "tables/sales/columns/late/known",
            "observed",
            "known 'observed' is no duration; beside availability write the lag",
        ),
        ("tables/sales/columns/id/availability", "30d", "availability names a moment; for a lag write known: 30d"),
        ("tables/sales/columns/id/known_after_hours", 5, "unknown known_after_hours; write known: 24h in its place"),
        ("tables", {}, "`tables` must be a mapping with at least one entry"),
        ("tables", [1], "`tables` must be a mapping"),
        ("tables/sales", 5, "table 'sales': must be a mapping with columns, source"),
        ("tables/sales/source", {"csv": ""}, "source must be {csv: GLOB}"),
        ("tables/sales/source", {"sql": "sqlite:///x"}, "source must be"),
        ("tables/sales/source", {"parquet": "x"}, "source must be"),
        ("tables/sales/columns", {}, "`columns` must be a mapping with at least one entry"),
        ("tables/sales/columns", ["id"], "`columns` must be a mapping"),
        ("tables/sales/key", "id", "key must be a list"),
        ("tables/sales/key", ["no"], "names column 'no'"),
        ("tables/sales/freshness", {"column": "at"}, "max_age_days missing"),
        ("tables/sales/freshness/column", "item", "'item' must be of type timestamp"),
        ("tables/sales/freshness/max_age_days", "soon", "max_age_days 'soon' is no number"),
        ("tables/sales/columns/id", "int64", "column 'id': must be a mapping with type"),
        ("tables/sales/columns/id/type", "int", "type 'int' is unknown; use one of string, int64"),
        ("tables/sales/columns/id/type", ["int64"], "is unknown"),
        ("tables/sales/columns/id/range", [2, 1], "range [2, 1] is not [least, greatest]"),
        ("tables/sales/columns/id/range", [1], "is not [least, greatest]"),
        ("tables/sales/columns/id/range", ["a", 1], "range 'a' is no number"),
        ("tables/sales/columns/item/range", [1, 2], "only a column of type int64 or float64 has a range"),
        ("tables/sales/columns/id/values", ["1"], "values must be a list of strings"),
        ("tables/sales/columns/item/values", "pen", "values must be a list of strings"),
        ("tables/sales/columns/id/nullable", "no", "nullable must be true or false"),
        ("tables/sales/columns/id/tolerance", 2, "tolerance 2 is no share"),
        ("tables/sales/columns/id/tolerance", float("nan"), "tolerance 'nan' is no number"),
        ("tables/sales/columns/id/availability", "later", "column 'id': 'later' does not say when it is known"),
        (
            "tables/sales/timezone",
            "Europe/Wien",
            "timezone 'Europe/Wien' is unknown; write a name of the IANA database",
        ),
        ("tables/sales/timezone", "../etc", "timezone '../etc' is unknown"),
        ("tables/sales/timezone", ["UTC"], "is a list or mapping where text is wanted"),
        ("tables/sales/timezone", 7, "timezone '7' is a number where text is wanted; write it in quotes"),
        ("tables/sales/key", ["id", "id"], "key names a column twice: id, id"),
        ("tables/sales/key", [None], "key 'None' is nothing where text is wanted"),
        ("tables/sales/columns/item/values", ["pen", True], "values: 'True' is true or false where text is wanted"),
        ("tables/sales/columns/item/unit", 1.5, "unit '1.5' is a number where text is wanted; write it in quotes"),
        ("name", False, "name 'False' is true or false where text is wanted"),
        ("tables/sales/columns/id/colour", "red", "unknown colour"),
        ("tables/sales/columns/item/references", "nothing.item", "references 'nothing.item' is no table.column"),
        ("tables/sales/columns/item/references", "items", "references 'items' is no table.column"),
        ("tables/sales/columns/ID", {"type": "int64"}, "names must differ by more than case"),
        (
            "tables/../up",
            {"source": {"csv": "x"}, "columns": {"a": {"type": "string"}}},
            "a table's name must be letters",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(path: str, value: Any, said: str) -> None:
    body = _body()
    if path == "tables/../up":
        body["tables"]["../up"] = value
    else:
        body = _changed(path, value)
    with pytest.raises(BadInput) as caught:
        contract_from_body(body, "contract.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("contract.yaml")


@pytest.mark.parametrize(
    "text", ["", "a: [", "- 1", "\0", "[" * 5000, "a: 2013-99-99", "&a [*a]", "!!python/object:os.system {}"]
)
def test_what_is_no_contract_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInput, match=r"contract\.yaml"):
        parse_contract(text, "contract.yaml")


_WORDS = ["name", "tables", "source", "columns", "key", "freshness", "type", "range", "values", "sales", "csv", "id"]
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*_WORDS, "int64", "at"])
_TREES = st.recursive(
    _LEAVES, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), t, max_size=4)
)


def _names(tree: object) -> list[str]:
    """All keys of a tree: a refusal may name the one that is wrong in it."""
    if isinstance(tree, list):
        return [name for part in tree for name in _names(part)]
    if isinstance(tree, dict):
        return [*map(str, tree), *(name for part in tree.values() for name in _names(part))]
    return []


@given(data=st.data())
def test_any_change_is_understood_or_refused(data: st.DataObject) -> None:
    body = inner = _body()
    way: list[str] = []
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if not isinstance(inner[key], dict) or data.draw(st.booleans()):
            break
        way.append(key)
        inner = inner[key]
    inner[key] = data.draw(_TREES)
    way += [key, *_names(inner[key])]
    try:
        contract = contract_from_body(body, "contract.yaml")
    except BadInput as error:
        said = str(error)
        assert said.startswith("contract.yaml")
        assert any(re.search(rf"\b{re.escape(str(name))}\b", said) for name in way) or "references" in said, (way, said)
        return
    again = contract_body(contract)
    assert contract_from_body(again, "contract.yaml") == contract
    assert set(again) <= set(body) | set(_body())
    assert list(again["tables"]) == list(body["tables"])
    for name, table in body["tables"].items():
        assert list(again["tables"][name]["columns"]) == list(table["columns"])

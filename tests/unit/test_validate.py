"""Each check finds what breaks the contract, names the first row, and closes the gate when it must."""

import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sluice.artifacts.producer import producer
from sluice.components.validate.run import ContractVerdict, validate_tables
from sluice.contract.reading import contract_body, parse_contract
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.storage.stores import open_store

CONTRACT = """
name: test
tables:
  trips:
    source: {csv: trips.csv}
    key: [id]
    freshness: {column: at, max_age_days: 2}
    columns:
      id: {type: int64}
      at: {type: timestamp}
      speed: {type: float64, nullable: true, range: [0, 100], tolerance: 0.2}
      line: {type: string, values: [red, blue], references: lines.name}
  lines:
    source: {json: lines.json}
    columns:
      name: {type: string}
"""
LINES = pa.table({"name": ["red", "blue"]})
GOOD: dict[str, list[Any]] = {
    "id": [1, 2, 3, 4],
    "at": [datetime(2026, 1, day) for day in (1, 2, 3, 4)],
    "speed": [10.0, None, 30.0, 100.0],
    "line": ["red", "blue", "red", "red"],
}
TYPES = {"id": pa.int64(), "at": pa.timestamp("us"), "speed": pa.float64(), "line": pa.string()}


def _validate(
    folder: Path,
    columns: dict[str, list[Any]],
    types: dict[str, Any] = TYPES,
    as_of: str = "",
    contract: str = CONTRACT,
    **others: Any,
) -> ContractVerdict:
    schema = pa.schema([(name, types[name]) for name in columns])
    engine = duckdb_engine()
    tables = {"trips": engine.create_table("trips", pa.table(columns, schema=schema))}
    tables |= {name: engine.create_table(name, rows) for name, rows in ({"lines": LINES} | others).items() if rows}
    details = {"contract": contract_body(parse_contract(contract, "contract.yaml"))}
    bundle = write_dataset(open_store(str(folder)), tables, producer("ingest", {}), details=details)
    return validate_tables(bundle.uri, as_of, folder / "quality.html", folder / "findings.json")


def test_data_that_keep_the_contract_pass(tmp_path: Path) -> None:
    verdict = _validate(tmp_path, GOOD, as_of="2026-01-05")
    verdict.open_gate()
    assert verdict.findings == []
    assert verdict.metrics() == {"errors": 0.0, "warnings": 0.0, "rows_trips": 4.0, "rows_lines": 2.0}
    assert "Every check of the contract passed" in (tmp_path / "quality.html").read_text()


@pytest.mark.parametrize(
    ("change", "check", "column", "rows", "example"),
    [
        ({"line": ["red", None, "red", "red"]}, "nulls", "line", 1, "id=2, line=None"),
        ({"line": ["red", "blue", "pink", "red"]}, "values", "line", 1, "id=3, line=pink"),
        ({"speed": [1.0, math.nan, math.inf, None]}, "range", "speed", 2, "id=2, speed=nan"),
        ({"speed": [-1.0, 200.0, 1.0, 1.0]}, "range", "speed", 2, "id=1, speed=-1.0"),
        ({"id": [1, 2, 2, 2]}, "duplicates", "id", 2, "id=2"),
    ],
)
def test_what_breaks_the_contract_closes_the_gate(
    tmp_path: Path, change: dict[str, list[Any]], check: str, column: str, rows: int, example: str
) -> None:
    verdict = _validate(tmp_path, GOOD | change)
    (finding,) = (found for found in verdict.findings if found.check != "references")
    assert (finding.check, finding.column, finding.rows, finding.example) == (check, column, rows, example)
    assert finding.severity == "error"
    with pytest.raises(BadInput, match="trips") as caught:
        verdict.open_gate()
    assert example in str(caught.value)
    assert json.loads((tmp_path / "findings.json").read_text())[0]["check"] == check
    assert "<svg" in (tmp_path / "quality.html").read_text()


def test_what_the_contract_tolerates_is_a_warning(tmp_path: Path) -> None:
    five = {name: [*values, values[0]] for name, values in GOOD.items()}
    five |= {"id": [1, 2, 3, 4, 5], "speed": [1.0, 1.0, 1.0, 1.0, 300.0]}
    verdict = _validate(tmp_path, five)
    verdict.open_gate()
    assert [(finding.severity, finding.share) for finding in verdict.findings] == [("warning", 0.2)]


@pytest.mark.parametrize(("as_of", "closes"), [("2026-01-06", False), ("2026-01-07", True), ("", False)])
def test_stale_data_close_the_gate(tmp_path: Path, as_of: str, closes: bool) -> None:
    verdict = _validate(tmp_path, GOOD, as_of=as_of)
    assert [finding.check for finding in verdict.findings] == (["freshness"] if closes else [])


@pytest.mark.parametrize(("as_of", "closes"), [("2026-01-06", True), ("", False)])
def test_a_table_without_any_date_is_not_fresh(tmp_path: Path, as_of: str, closes: bool) -> None:
    contract = CONTRACT.replace("at: {type: timestamp}", "at: {type: timestamp, nullable: true}")
    verdict = _validate(tmp_path, GOOD | {"at": [None] * 4}, as_of=as_of, contract=contract)
    said = ["at is missing in every row, so nothing tells how old the table is"] * closes
    assert [finding.message for finding in verdict.findings] == said
    assert [finding.severity for finding in verdict.findings] == ["error"] * closes


@pytest.mark.parametrize(("as_of", "warns"), [("2026-01-03", False), ("2026-01-02", True)])
def test_data_from_the_future_are_a_warning(tmp_path: Path, as_of: str, warns: bool) -> None:
    verdict = _validate(tmp_path, GOOD, as_of=as_of)
    verdict.open_gate()
    assert [(finding.check, finding.severity) for finding in verdict.findings] == ([("freshness", "warning")] * warns)


def test_what_the_other_table_lacks_is_a_warning(tmp_path: Path) -> None:
    verdict = _validate(tmp_path, GOOD, lines=pa.table({"name": ["blue", "green"]}))
    verdict.open_gate()
    (finding,) = verdict.findings
    assert (finding.check, finding.column, finding.rows, finding.share, finding.example) == (
        "references",
        "line",
        3,
        0.75,
        "line=red",
    )


def test_a_missing_table_closes_the_gate(tmp_path: Path) -> None:
    verdict = _validate(tmp_path, GOOD, lines=None)
    with pytest.raises(BadInput, match="table lines: the table is missing"):
        verdict.open_gate()


def test_the_gate_names_the_first_error_and_counts_the_others(tmp_path: Path) -> None:
    broken = GOOD | {"line": ["red", None, "red", "red"], "id": [1, 1, 3, 4], "speed": [-1.0] * 4}
    with pytest.raises(BadInput) as caught:
        _validate(tmp_path, broken).open_gate()
    said = str(caught.value)
    assert said.startswith(
        "table trips: line is missing in 1 row (25.0%), and the contract says it never is (first: id=1"
    )
    assert "and 2 more errors; mend the data or its contract" in said


def test_a_column_of_any_name_and_type_is_shown(tmp_path: Path) -> None:
    odd = """
name: <odd>
tables:
  trips:
    source: {csv: trips.csv}
    key: ["<b>"]
    columns:
      "<b>": {type: int64, description: "<script>"}
      'say "hm"': {type: bool, nullable: true}
      day: {type: date, nullable: true}
      empty: {type: float64, nullable: true}
      odd: {type: float64, nullable: true, tolerance: 0.5}
"""
    columns = {"<b>": [5, 5], 'say "hm"': [True, None], "day": [date(2026, 1, 1), None], "empty": [None, None]}
    columns["odd"] = [math.nan, 1.0]
    types = {"<b>": pa.int64(), 'say "hm"': pa.bool_(), "day": pa.date32(), "empty": pa.float64(), "odd": pa.float64()}
    verdict = _validate(tmp_path, columns, types, contract=odd, lines=None)
    assert [(finding.check, finding.example) for finding in verdict.findings] == [
        ("duplicates", "<b>=5"),
        ("range", "<b>=5, odd=nan"),
    ]
    page = (tmp_path / "quality.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_same_data_give_the_same_page(tmp_path: Path) -> None:
    pages = []
    for _ in range(2):
        _validate(tmp_path, GOOD, as_of="2026-01-05")
        pages.append((tmp_path / "quality.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_missing_column_and_a_wrong_type_are_named(tmp_path: Path) -> None:
    without = {name: values for name, values in GOOD.items() if name not in ("line", "at")}
    verdict = _validate(
        tmp_path, without | {"speed": ["1", "2", "3", "4"]}, TYPES | {"speed": pa.string()}, "2026-01-05"
    )
    assert {(finding.column, finding.check) for finding in verdict.findings} >= {
        ("line", "schema"),
        ("at", "schema"),
        ("speed", "schema"),
    }


def test_a_wrong_day_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="parameter 'as_of': 'yesterday'"):
        _validate(tmp_path, GOOD, as_of="yesterday")

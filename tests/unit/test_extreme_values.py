"""Extreme but legal values pass through ingest's readers and validate, or are refused by name."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.artifacts.producer import producer
from sluice.components.validate.run import ContractVerdict, validate_tables
from sluice.contract.reading import Column, contract_body, parse_contract
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.quality import hindsight
from sluice.sources.csv_tables import read_csv
from sluice.sources.source_files import SourceFile
from sluice.sources.typed_values import WrongValue, to_arrow
from sluice.storage.stores import open_store

CONTRACT = """
name: test
tables:
  t:
    source: {csv: t.csv}
    freshness: {column: at, max_age_days: 4000000}
    columns:
      at: {type: timestamp}
      day: {type: date, nullable: true}
      number: {type: float64, nullable: true, tolerance: 1}
      whole: {type: int64, nullable: true}
      word: {type: string, nullable: true}
      flag: {type: bool, nullable: true}
"""
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
PLAIN: dict[str, list[Any]] = {
    "at": [datetime(2026, 1, 1), datetime(2026, 2, 1)],
    "day": [date(2026, 1, 1), date(2026, 1, 2)],
    "number": [1.0, 2.0],
    "whole": [1, 2],
    "word": ["a", "b"],
    "flag": [True, False],
}
TYPES = {
    "at": pa.timestamp("us"),
    "day": pa.date32(),
    "number": pa.float64(),
    "whole": pa.int64(),
    "word": pa.string(),
    "flag": pa.bool_(),
}


def _validate(folder: Path, contract: str, as_of: str = "", **columns: list[Any]) -> ContractVerdict:
    engine, values = duckdb_engine(), PLAIN | columns
    table = pa.table(values, schema=pa.schema([(name, TYPES[name]) for name in values]))
    details = {"contract": contract_body(parse_contract(contract, "contract.yaml"))}
    tables = {"t": engine.create_table("t", table)}
    bundle = write_dataset(open_store(str(folder / "store")), tables, producer("ingest", {}), details=details)
    return validate_tables(bundle.uri, as_of, folder / "page.html", folder / "findings.json")


@pytest.mark.parametrize(
    "columns",
    [
        {"at": [FIRST, FIRST]},
        {"at": [LAST, LAST]},
        {"at": [FIRST, LAST]},
        {"at": [datetime(2026, 1, 1), LAST]},
        {"at": [FIRST, datetime(2026, 1, 1)], "day": [None, date(2026, 1, 1)]},
        {"day": [date.min, date.max]},
        {"number": [-1e308, 1e308]},
        {"number": [-math.inf, math.inf]},
        {"number": [math.nan, math.nan]},
        {"number": [0.0, 5e-324]},
        {"number": [1.7976931348623157e308, -1.7976931348623157e308]},
        {"whole": [-(2**63), 2**63 - 1]},
        {
            "number": [None, None],
            "whole": [None, None],
            "day": [None, None],
            "word": [None, None],
            "flag": [None, None],
        },
        {"word": ["", "x" * 1_000_000]},
    ],
    ids=range(14),
)
def test_validate_takes_extreme_values(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    verdict = _validate(tmp_path, CONTRACT, **columns)
    assert {finding.check for finding in verdict.findings} <= {"range", "freshness"}
    assert (tmp_path / "page.html").stat().st_size < 500_000


@pytest.mark.parametrize("column", ["number", "whole"])
def test_a_range_may_be_extreme(tmp_path: Path, column: str) -> None:
    contract = CONTRACT.replace(f"{column}: {{type: ", f"{column}: {{range: [-1.0e+308, 1.0e+308], type: ")
    assert not _validate(tmp_path, contract, **{column: [-5, 7]}).findings


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "9999-12-31T24:00:00Z"])
def test_an_offset_that_lifts_a_moment_out_of_the_years_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f"a\n2026-01-01T00:00:00Z\n{text}\n")
    with pytest.raises(BadInput, match=r"t\.csv, line 3: column 'a' has .* which is no timestamp"):
        read_csv(SourceFile(tmp_path / "t.csv", "t.csv"), {"a": Column("timestamp")}, tmp_path / "t.parquet")
    with pytest.raises(WrongValue):
        to_arrow([text], "timestamp")


def test_the_first_and_the_last_moment_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n0001-01-01 00:00:00\n9999-12-31 23:59:59.999999\n")
    read_csv(SourceFile(tmp_path / "t.csv", "t.csv"), {"a": Column("timestamp")}, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet")["a"].to_pylist() == [FIRST, LAST]


@pytest.mark.parametrize(("as_of", "found"), [("0001-01-01", {"freshness"}), ("9999-12-31", set())])
def test_freshness_may_be_asked_of_any_day(tmp_path: Path, as_of: str, found: set[str]) -> None:
    verdict = _validate(tmp_path, CONTRACT, as_of)
    assert {finding.check for finding in verdict.findings} == found


@pytest.mark.parametrize("other", sorted({"string", "int64", "float64", "bool", "timestamp", "date"} - {"int64"}))
def test_a_reference_to_a_column_of_another_type_is_refused(other: str) -> None:
    tables = "  {}:\n    source: {{csv: a.csv}}\n    columns: {{id: {{type: {}{}}}}}\n"
    text = "name: x\ntables:\n" + tables.format("a", "int64", ", references: b.id") + tables.format("b", other, "")
    with pytest.raises(BadInput, match=f"type int64, and references 'b.id' of type {other}"):
        parse_contract(text, "contract.yaml")
    parse_contract(text.replace(f"type: {other}", "type: int64"), "contract.yaml")


def test_a_query_asks_for_a_bounded_number_of_aggregates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's planning and Ibis's grow with the square of them: 1,990 columns at once took more than ten minutes."""
    asked: list[int] = []
    real = ibis.Table.aggregate

    def counting(table: Any, *metrics: Any, **named: Any) -> Any:
        asked.append(len(metrics) + len(named))
        return real(table, *metrics, **named)

    monkeypatch.setattr(ibis.Table, "aggregate", counting)
    monkeypatch.setattr(hindsight, "_MOST_TESTS", 100)
    names = [f"c{number}" for number in range(60)]
    stated = "".join(f"      {name}: {{type: int64, nullable: true, known: 24h}}\n" for name in names)
    early = "".join(f"      e{name}: {{type: int64, nullable: true, known: 0s}}\n" for name in names)
    for name in names:
        monkeypatch.setitem(TYPES, name, pa.int64())
        monkeypatch.setitem(TYPES, f"e{name}", pa.int64())
    columns = {name: [1, None] for name in names} | {f"e{name}": [2, None] for name in names}
    assert not [each for each in _validate(tmp_path, CONTRACT + stated + early, **columns).findings if each.rows > 2]
    assert max(asked) <= 50
    assert sum(asked) < 4000

"""Sources that a project brings: rows as Arrow batches, held to the contract, and each fault in one line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.components.ingest.run import run
from sluice.contract.reading import parse_contract
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store

CONTRACT = """
name: lake
tables:
  visits:
    source: {by: visits, files: "visits/*.parquet"}
    columns: {day: {type: date}, count: {type: int64}, note: {type: string, nullable: true}}
  made:
    source: {by: counter, first: "7"}
    columns: {number: {type: int64}, half: {type: float64}}
"""
MINE = """
import pyarrow as pa
import pyarrow.parquet as pq

def visits(table):
    return pq.ParquetFile(table.file).iter_batches(batch_size=2)

class Counter:
    def __init__(self, rows, first):
        self.rows, self.first = rows, int(first)

    def __call__(self, table):
        assert table.file is None and table.schema.names == ["number", "half"]
        for row in range(self.rows):
            yield pa.table({"half": [row / 2], "number": [self.first + row], "more": ["x"]})
"""
SOURCES = {"visits": "mine.py:visits", "counter": {"mine.py:Counter": {"rows": 3}}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    folder = tmp_path / "lake" / "visits"
    folder.mkdir(parents=True)
    for number in (1, 2):
        days = pa.array([number * 100 + place for place in range(3)], pa.int32()).cast(pa.date32())
        # a dictionary and a smaller integer: what Parquet files of other programs hold
        notes = pa.array(["a", None, "b"]).dictionary_encode()
        columns = {"day": days, "count": pa.array([1, 2, number], pa.int16()), "note": notes}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return tmp_path


def ingested(home: Path, text: str = MINE, sources: dict[str, Any] = SOURCES, contract: str = CONTRACT) -> Bundle:
    (home / "lake/contract.yaml").write_text(contract)
    (home / "project").mkdir(exist_ok=True)
    (home / "project/mine.py").write_text(text)
    code = publish(default_store(), closure(home / "project", ["mine.py:x"]))
    return run(str(home / "lake"), summary=home / "summary.md", sources=sources, code=code)


def test_own_sources_are_read_as_the_contract_says(home: Path) -> None:
    bundle = ingested(home)
    with read_dataset(bundle.uri) as (_, tables):
        made, visits = (tables[name].to_pyarrow().to_pylist() for name in ("made", "visits"))
    assert made == [{"number": 7 + row, "half": row / 2} for row in range(3)]
    assert [row["count"] for row in visits] == [1, 2, 1, 1, 2, 2]
    assert [row["note"] for row in visits] == ["a", None, "b"] * 2
    origins = bundle.manifest.details["sources"]
    assert [(each["path"], each["rows"]) for each in origins] == [
        ("visits/1.parquet", 3),
        ("visits/2.parquet", 3),
        ("counter, made", 3),
    ]
    assert len(origins[0]["sha256"]) == 64
    assert len(bundle.manifest.producer.parameters["code"]) == 64
    assert ingested(home).id == bundle.id


ONE = "name: lake\ntables: {t: {source: {by: mine}, columns: {n: {type: int64}}}}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "source mine.py:f: mine.py:4: ZeroDivisionError"),
        (
            "yield pa.table({'n': [1]}); raise ValueError('half way')",
            "source mine.py:f: mine.py:4: ValueError: half way",
        ),
        ("return 5", r"source mine.py:f \(mine.py:3\): it gave 5 \(int\); give pyarrow.RecordBatch or pyarrow.Table"),
        ("return {'n': [1]}", r"it gave {'n': \[1\]} \(dict\); give pyarrow"),
        ("return [[1, 2]]", r"it gave \[1, 2\] \(list\); give pyarrow"),
        ("return pa.table({'m': [1]})", "its batch has no column 'n'; it has m"),
        ("return pa.table({'n': [1, 2.5]})", "source mine.py:f .*row 2.*'n'.*2.5"),
        ("return pa.table({'n': ['one']})", "row 1.*'n'.*one"),
        ("return []", "table 't' is empty"),
    ],
)
def test_what_is_no_source_ends_in_one_line_and_leaves_nothing(home: Path, body: str, said: str) -> None:
    text = f"import pyarrow as pa\n\ndef f(table):\n    {body}\n"
    with pytest.raises(BadInput, match=said) as caught:
        ingested(home, text, {"mine": "mine.py:f"}, ONE)
    assert "\n" not in str(caught.value)
    assert not list((home / "home").glob("store/datasets/*/manifest.json"))


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({}, r"table 't' is read by 'mine', and neither the project nor an installed package has such a source; write"),
        ({"mine": "mine.py:f", "other": "mine.py:f"}, "the project's sources name 'other', which no table"),
        ({"mien": "mine.py:f"}, "'mien', which no table of the contract is read by"),
        ({"mine": {"mine.py:f": {"many": 1}}}, r"source mine.py:f \(mine.py:1\): setting 'many' is unknown"),
        ({"mine": "mine.py:g"}, "mine.py has no 'g'"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_read(home: Path, sources: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ingested(home, "def f(table, few=1): raise SystemExit", sources, ONE)


@pytest.mark.parametrize("source", ["{by: 'mine.py:f'}", "{by: a, csv: x.csv}", "{files: x}", "{by: ''}"])
def test_a_contract_names_a_source_and_no_code(source: str) -> None:
    with pytest.raises(BadInput, match="source must be"):
        parse_contract(ONE.replace("{by: mine}", source), "contract.yaml")

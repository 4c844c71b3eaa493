"""JSON arrays of objects are read to the letter, or refused in one line."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common.contracts import Column
from components.common.errors import BadInput
from components.ingest import json_tables
from components.ingest.json_tables import read_json
from components.ingest.source_files import SourceFile
from tests.unit.random_tables import VALUES, RandomTable, check_refusal, json_bytes, random_tables

COLUMNS = {kind: Column(kind, nullable=True) for kind in VALUES}
ANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(VALUES)), inner),
)


def _magnitude(value: Any) -> Any:
    return abs(value) if isinstance(value, float) else value


def _read(folder: Path, content: bytes | str, columns: dict[str, Column] = COLUMNS) -> list[dict[str, Any]]:
    path, target = folder / "t.json", folder / "out" / "t.parquet"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    target.unlink(missing_ok=True)
    try:
        read_json(SourceFile(path, "t.json"), columns, target)
    except BadInput as error:
        check_refusal(error, "t.json")
        raise
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return rows


@ANY
@given(table=random_tables().filter(lambda table: not any(math.inf in map(_magnitude, row) for row in table.rows)))
def test_what_was_written_is_read_back(tmp_path: Path, table: RandomTable) -> None:
    assert _read(tmp_path, json_bytes(table), table.columns) == table.arrow().to_pylist()


@ANY
@given(content=st.binary(max_size=200) | _JSON.map(json.dumps) | st.lists(_JSON, max_size=3).map(json.dumps))
def test_anything_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes | str) -> None:
    with suppress(BadInput):
        _read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"id": 1},\n {"id" 2}]', "line 2: not JSON (Expecting ':' delimiter)"),
        ('[{"id": 1}', "line 1: not JSON"),
        ('{"id": 1}', "holds a JSON dict; it must be an array of objects"),
        ('[{"id": 1}, 2]', "row 2: 2 is no object"),
        ("[]", "has no row"),
        ('[{"ID": 1, "x": 2}]', "column 'id' is missing; the objects have: ID, x"),
        ('[{"id": 1}, {"id": "2"}]', "row 2: column 'id' has '2', which is no int64"),
        ('[{"id": 1}, {"id": 2.5}]', "row 2: column 'id' has 2.5, which is no int64"),
        ('[{"id": 1}, {"id": true}]', "row 2: column 'id' has True, which is no int64"),
        ('[{"id": 1}, {"id": 9223372036854775808}]', "row 2: column 'id' has 9223372036854775808"),
        ('[{"id": 1}, {"id": NaN}]', "NaN is no JSON number; write null"),
        (b'[{"id": "\xff"}]', "not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"id": ' + "9" * 5000 + "}]", "no JSON that can be read"),
    ],
)
def test_a_defect_is_named(tmp_path: Path, content: bytes | str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        _read(tmp_path, content, {"id": Column("int64")})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("string", 5, "5, which is no string"),
        ("string", "\ud800", "which is no string"),
        ("float64", "1.5", "'1.5', which is no float64"),
        ("float64", False, "False, which is no float64"),
        ("bool", 2, "2, which is no bool"),
        ("timestamp", 1356998400, "1356998400, which is no timestamp"),
        ("timestamp", "noon", "'noon', which is no timestamp"),
        ("date", "2013-01-01T10:00:00", "which is no date"),
        ("int64", [1], "[1], which is no int64"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, kind: str, value: Any, said: str) -> None:
    with pytest.raises(BadInput, match="row 2: column 'a'") as caught:
        _read(tmp_path, json.dumps([{"a": None}, {"a": value}]), {"a": Column(kind)})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("int64", 3.0, "3"),
        ("float64", 2**53 + 1, "9007199254740992.0"),
        ("bool", 1, "True"),
        ("timestamp", "2013-01-01T10:00:00+02:00", "2013-01-01 08:00:00"),
        ("timestamp", "2013-01-01", "2013-01-01 00:00:00"),
        ("date", "2013-01-31", "2013-01-31"),
    ],
)
def test_a_value_keeps_its_meaning(tmp_path: Path, kind: str, value: Any, read: str) -> None:
    rows = _read(tmp_path, json.dumps([{"a": value, "more": {"b": 1}}, {}]), {"a": Column(kind)})
    assert [str(row["a"]) for row in rows] == [read, "None"]


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_tables, "_LARGEST", 10)
    with pytest.raises(BadInput, match="larger than 256 MiB"):
        _read(tmp_path, '[{"id": 12345}]', {"id": Column("int64")})

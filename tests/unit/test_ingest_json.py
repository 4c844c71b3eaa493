"""JSON arrays of objects are read to the letter, or refused in one line."""

import gzip
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.reading import Column
from sluice.core.bounds import Bound
from sluice.core.errors import BadInput
from sluice.sources import json_tables
from sluice.sources.json_tables import read_json
from sluice.sources.source_files import SourceFile
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
def test_of_anything_the_rows_or_the_refusal_are_right(tmp_path: Path, content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    try:
        rows = _read(tmp_path, data)
    except BadInput as error:
        _check_refusal_is_true(data, str(error))
        return
    records = json.loads(data.decode("utf-8-sig"))
    assert len(rows) == len(records) > 0
    for row, record in zip(rows, records, strict=True):
        for kind in COLUMNS:
            wanted = _meaning(record.get(kind), kind)
            assert wanted is not WRONG, f"{record} was read as {row}"
            assert wanted is UNCLEAR or row[kind] == wanted


@ANY
@given(
    rows=st.lists(st.fixed_dictionaries({}, optional={k: st.none() | VALUES[k] | _JSON for k in ("string", "int64")}))
)
def test_of_rows_with_a_wrong_value_the_row_and_the_value_are_named(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    columns = {name: Column(name, nullable=True) for name in ("string", "int64")}
    data = json.dumps([{"string": "x", "int64": 1}, *rows]).encode()
    try:
        found = _read(tmp_path, data, columns)
    except BadInput as error:
        _check_refusal_is_true(data, str(error))
    else:
        assert all(
            _meaning(row.get(k), k) in (UNCLEAR, f[k]) for row, f in zip(rows, found[1:], strict=True) for k in f
        )


UNCLEAR, WRONG = object(), object()
_CLEAR: dict[str, tuple[type, ...]] = {"string": (str,), "int64": (int,), "float64": (int, float), "bool": (bool,)}
_MAYBE: dict[str, tuple[type, ...]] = {"int64": (float,), "bool": (int, float), "timestamp": (str,), "date": (str,)}


def _meaning(value: Any, kind: str) -> Any:
    """The value that a row must have; WRONG where it must be refused, UNCLEAR where either will do."""
    if value is None:
        return None
    if isinstance(value, _CLEAR.get(kind, ())) and (kind == "bool" or not isinstance(value, bool)):
        if kind == "string":
            return value if _encodes(value) else WRONG
        return WRONG if kind == "int64" and not -(2**63) <= value < 2**63 else UNCLEAR if abs(value) > 2**53 else value
    return UNCLEAR if isinstance(value, _MAYBE.get(kind, ())) else WRONG


def _encodes(text: str) -> bool:
    try:
        return text.encode() is not None
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _check_refusal_is_true(data: bytes, said: str) -> None:
    """What is said of the file is so, at the line or row that is named."""
    try:
        body = json.loads(data.decode("utf-8-sig"), parse_constant=lambda name: [][len(name)])
    except UnicodeDecodeError:
        assert re.match("t.json is (not UTF-8|no text file, but)", said)
        return
    except json.JSONDecodeError as error:
        place = f"t.json, line {error.lineno}: not JSON ("
        assert said.startswith(place)
        return
    except (IndexError, ValueError, RecursionError):
        assert re.search(r"(NaN|-?Infinity) is no JSON number|nested too deeply|no JSON that can be read", said)
        return
    if found := re.match(r"t\.json, row (\d+): column '(\w+)' has (.*), which is no (\w+);", said, re.DOTALL):
        value = body[int(found[1]) - 1].get(found[2])
        assert _meaning(value, found[2]) in (WRONG, UNCLEAR)
        assert " ".join(repr(value).split())[:60] == found[3].removesuffix("…")[:60]
        assert found[4] == found[2]
    elif found := re.match(r"t\.json, row (\d+): .* is no object", said, re.DOTALL):
        assert not isinstance(body[int(found[1]) - 1], dict)
    elif found := re.match(r"t\.json: column '(\w+)' is missing", said):
        assert not any(found[1] in record for record in body)
    elif "has no row" in said:
        assert body == []
    else:
        assert f"holds a JSON {type(body).__name__};" in said
        assert not isinstance(body, list)


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
        ('[{"id": 1, "id": 2}]', "the key 'id' stands twice in one object; keep one"),
        ('[{"id": 1, "more": {"b": 1, "b": 1}}]', "the key 'b' stands twice in one object"),
        ('[{"id": 0.99999999999999999}]', "row 1: column 'id' has 0.99999999999999999, which is no int64"),
        ('{"id": 1}\n{"id": 2}\n', "line 2: another value after the first, as in JSON Lines; make the file one array"),
        (gzip.compress(b"[1]", mtime=0), "t.json is no text file, but gzip; unpack it"),
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
        ("float64", 10**400, "which is no float64"),
        ("timestamp", "2013-01-01T10:00:00+25:00", "which is no timestamp"),
        ("timestamp", "20130101T100000", "which is no timestamp"),
        ("date", "20130105", "which is no date"),
        ("date", "13-01-05", "which is no date"),
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


def test_a_number_beyond_a_double_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"row 1: column 'a' has 1e\+400, which is no float64"):
        _read(tmp_path, '[{"a": 1e400}]', {"a": Column("float64")})


def test_an_exponent_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"0\.0e1009833333333333333 has an exponent beyond all numbers"):
        _read(tmp_path, '[{"a": 0.0e1009833333333333333}]', {"a": Column("float64")})


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_tables, "FILE_BYTES", Bound("bytes", 10))
    with pytest.raises(BadInput, match="at most 10 bytes are taken; JSON is for reference data"):
        _read(tmp_path, '[{"id": 12345}]', {"id": Column("int64")})

"""What the CSV reader delivers is what another count of the file says, whatever its names and values hold."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.contract.reading import Column
from sluice.core.errors import BadInput
from sluice.engine.parquet import WrittenParquet, write_parquet
from sluice.sources import csv_scan, csv_tables
from sluice.sources.csv_counts import CsvCounter, count_csv
from sluice.sources.csv_tables import read_csv
from sluice.sources.source_files import SourceFile
from tests.unit.csv_oracle import parse

ANY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENDS = ["\n", "\r\n", "\r"]
_TEXTS = st.lists(st.sampled_from(["a", "1", ",", '"', "\n", "\r", "\r\n", " ", ";", "é"]), max_size=6).map("".join)


def _csv(rows: list[list[str]], end: str) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    return stream.getvalue().encode()


def _read(folder: Path, content: bytes, columns: dict[str, Column]) -> list[dict[str, Any]]:
    path, target = folder / "t.csv", folder / "out/t.parquet"
    path.write_bytes(content)
    read_csv(SourceFile(path, "t.csv"), columns, target)
    assert [each.name for each in target.parent.iterdir()] == ["t.parquet"], "no copy is left beside it"
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return rows


@ANY
@given(
    names=st.lists(_TEXTS, min_size=1, max_size=4, unique=True),
    rows=st.lists(st.lists(_TEXTS, min_size=4, max_size=4), min_size=1, max_size=5),
    end=st.sampled_from(ENDS),
    data=st.data(),
)
@example(["a", "note\n(free text)"], [["0", "x", "", ""], ["1", "x", "", ""]], "\r\n", None)
@example(["note\r(free text)", "a"], [["0", "x\n", "", ""], ["1", "x", "", ""]], "\n", None)
def test_names_and_values_may_hold_any_line_break(
    tmp_path: Path, names: list[str], rows: list[list[str]], end: str, data: st.DataObject | None
) -> None:
    wanted = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)) if data else names
    rows = [row[: len(names)] for row in rows]
    read = _read(tmp_path, _csv([names, *rows], end), {name: Column("string") for name in wanted})
    assert read == [{name: row[names.index(name)] for name in wanted} for row in rows]


@pytest.mark.parametrize("end", ENDS)
def test_a_line_is_named_rightly_below_such_a_header(tmp_path: Path, end: str) -> None:
    content = _csv([["a", "note\n(free\r\ntext)"], ["1", "x"], ["many", "x"]], end)
    with pytest.raises(BadInput, match=r"t\.csv, line 5: column 'a' has 'many', which is no int64"):
        _read(tmp_path, content, {"a": Column("int64")})


@pytest.mark.parametrize("end", ENDS)
def test_values_that_look_like_rows_stay_values(tmp_path: Path, end: str) -> None:
    """Twenty megabytes: threads begin within a value, and guess that they stand between rows."""
    inside = "".join(f"{n},x{end}" for n in range(50_000))
    rows = [[str(number), inside] for number in range(45)]
    read = _read(tmp_path, _csv([["a", "text"], *rows], end), {"a": Column("int64"), "text": Column("string")})
    assert [row["a"] for row in read] == list(range(45))
    assert {row["text"] for row in read} == {inside}


@settings(ANY, max_examples=15)
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400), st.sampled_from(ENDS)), min_size=1, max_size=20),
    end=st.sampled_from(ENDS),
)
def test_no_thread_takes_a_value_for_rows(tmp_path: Path, rows: list[tuple[int, int, str]], end: str) -> None:
    """The same in small: buffers of eight kilobytes instead of megabytes."""
    small = csv_scan.DIALECT | {"max_line_size": 4000, "buffer_size": 8000}
    written = [[str(number), f"7,x{inner}" * lines] for number, lines, inner in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_scan, "DIALECT", small)
        read = _read(tmp_path, _csv([["a", "b"], *written], end), {"a": Column("int64"), "b": Column("string")})
    assert [[str(row["a"]), row["b"]] for row in read] == written


@ANY
@given(
    rows=st.lists(st.lists(_TEXTS, min_size=2, max_size=2), max_size=6),
    end=st.sampled_from(ENDS),
    blank=st.integers(0, 3),
    last=st.booleans(),
    cut=st.integers(1, 7),
)
def test_the_count_is_that_of_a_reader_character_by_character(
    rows: list[list[str]], end: str, blank: int, last: bool, cut: int
) -> None:
    content = b"\xef\xbb\xbf" * bool(blank) + _csv(rows, end) + blank * end.encode() + b"1,2" * last
    counter = CsvCounter()
    for place in range(0, len(content), cut):
        counter.feed(content[place : place + cut])
    count, parsed = counter.result(), parse(content.decode("utf-8-sig"))
    assert count.records == len(parsed.records)
    assert count.separators == sum(len(record.cells) - 1 for record in parsed.records)
    assert count.blank == blank
    assert count.end == (end if rows or blank else "\n")


@given(content=st.lists(st.sampled_from([b"a", b",", b'"', b" ", b"\n", b"\r"])).map(b"".join), cut=st.integers(1, 5))
def test_blocks_do_not_change_the_count(content: bytes, cut: int) -> None:
    whole, parts = CsvCounter(), CsvCounter()
    whole.feed(content)
    for place in range(0, len(content), cut):
        parts.feed(content[place : place + cut])
    assert whole.result() == parts.result()


def test_a_quote_inside_an_unquoted_value_is_read_as_it_stands(tmp_path: Path) -> None:
    """It misleads the count, not the reader; Python's own reader is asked then."""
    columns = {"a": Column("int64"), "b": Column("string")}
    assert [row["b"] for row in _read(tmp_path, b'a,b\n1,5" pipe\n2,x\n', columns)] == ['5" pipe', "x"]
    assert not count_csv(tmp_path / "t.csv").agrees(2, 2)


def test_rows_that_a_reader_loses_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that ends too early, as DuckDB did below a header with a line break of another kind."""

    def loses(batches: Any, schema: Any, target: Path) -> WrittenParquet:
        first = next(iter(batches))
        return WrittenParquet(write_parquet(iter([first.slice(1)]), schema, target).rows, 0, "")

    monkeypatch.setattr(csv_tables, "write_parquet", loses)

    with pytest.raises(BadInput, match=r"t\.csv cannot be read: 1 rows were read where its lines make 2"):
        _read(tmp_path, b"a\n1\n2\n", {"a": Column("int64")})

"""CSV is read by name and to the letter, or refused in one line that says where and what to do."""

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.contract.reading import Column
from sluice.core.errors import BadInput
from sluice.sources.csv_tables import read_csv
from sluice.sources.source_files import SourceFile
from tests.unit.csv_oracle import UNCLEAR, check_refusal_is_true, check_rows, meaning, parse
from tests.unit.random_tables import RandomTable, check_refusal, csv_bytes, random_tables

COLUMNS = {
    "id": Column("int64"),
    "name": Column("string", nullable=True),
    "at": Column("timestamp", nullable=True),
    "day": Column("date", nullable=True),
    "speed": Column("float64", nullable=True),
    "ok": Column("bool", nullable=True),
}
HEADER = "id,name,at,day,speed,ok\n"
GOOD = "1,one,2013-01-01 10:00:00,2013-01-01,1.5,true\n"
ANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _read(folder: Path, content: bytes | str, columns: dict[str, Column] = COLUMNS) -> list[dict[str, object]]:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    target = folder / "out" / "t.parquet"
    target.unlink(missing_ok=True)
    try:
        written = read_csv(SourceFile(path, "t.csv"), columns, target)
    except BadInput as error:
        check_refusal(error, "t.csv")
        if list(target.parent.glob("*")):
            raise AssertionError("something is half-written") from error
        raise
    table = pq.read_table(target)
    assert table.column_names == list(columns)
    assert written.rows == len(table)
    return table.to_pylist()


@ANY
@given(table=random_tables(), end=st.sampled_from(["\n", "\r\n"]), data=st.data())
@example(RandomTable({"a": "int64"}, [[2**53 + 1], [None]]), "\n", None)
@example(RandomTable({"a": "string", "A b": "string"}, [["NA", None], ["", 'say "x", y']]), "\r\n", None)
def test_what_was_written_is_read_back(
    tmp_path: Path, table: RandomTable, end: str, data: st.DataObject | None
) -> None:
    order = data.draw(st.permutations(range(len(table.kinds)))) if data else None
    path, target = tmp_path / "t.csv", tmp_path / "t.parquet"
    path.write_bytes(csv_bytes(table, order, end))
    read_csv(SourceFile(path, "t.csv"), table.columns, target)
    assert pq.read_table(target).equals(table.arrow())


def _judge(folder: Path, content: bytes) -> None:
    """Read it, and hold the rows, or what the refusal says, against a reader of our own."""
    try:
        rows = _read(folder, content)
    except BadInput as error:
        check_refusal_is_true(content, COLUMNS, str(error))
    else:
        check_rows(content, COLUMNS, rows)


@ANY
@given(content=st.binary(max_size=400))
@example(b"\xff\xfea\0,\0b\0\n\0")
@example(bytes(range(256)))
def test_of_any_bytes_the_rows_or_the_refusal_are_right(tmp_path: Path, content: bytes) -> None:
    for start in (b"", HEADER.encode()):
        _judge(tmp_path, start + content)


@settings(ANY, max_examples=120)
@given(data=st.data())
def test_of_a_changed_file_the_rows_or_the_refusal_are_right(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((HEADER + GOOD * 3).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 5, len(content))))
        new = st.sampled_from(
            [b'"', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"", b"NA", b"1e999", b'""', b"'", b"\\"]
        )
        content[start:end] = data.draw(new | st.binary(max_size=3))
    _judge(tmp_path, bytes(content))


@ANY
@given(table=random_tables(), end=st.sampled_from(["\n", "\r\n"]))
def test_the_reader_of_our_own_reads_what_was_written(table: RandomTable, end: str) -> None:
    """Else it would judge wrongly; where it is not sure, it says so."""
    header, *records = parse(csv_bytes(table, None, end).decode()).records
    assert [name for name, _ in header.cells] == list(table.kinds)
    for record, row in zip(records, table.rows, strict=True):
        for cell, value, kind in zip(record.cells, row, table.kinds.values(), strict=True):
            said = meaning(cell, kind)
            assert said is UNCLEAR or said == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (HEADER, "no row"),
        (HEADER.strip(), "no row"),
        (HEADER + "\n\n", "no row"),
        (
            "id,name,at,day,speed\n1,one,,,\n",
            "line 1: column 'ok' is missing; the header has: id, name, at, day, speed",
        ),
        (
            "id;name;at;day;speed;ok\n1;;;;;\n",
            "line 1: column 'id' is missing; its columns are separated by sem",
        ),
        ("\n" + HEADER + GOOD, "line 1 is blank where the header must stand"),
        ("\r\n\r\n" + HEADER + GOOD, "line 1 is blank where the header must stand"),
        (HEADER.replace(",", ", ") + GOOD, "column 'name' is missing; the header has ' name', and spaces count"),
        (HEADER.replace("name", "Name") + GOOD, "column 'name' is missing; the header has 'Name', and case counts"),
        (HEADER.replace(",", "\t") + GOOD, "its columns are separated by tabs; save the file with commas"),
        ('{"id": 1, "name": "x"}\n' * 3, "the line looks like JSON; give the file as `json`"),
        (gzip.compress((HEADER + GOOD).encode(), mtime=0), "is no text file, but gzip; unpack it"),
        (b"PK\x03\x04\x14\0\0\0", "is no text file, but ZIP (an Excel workbook is one, too)"),
        (b"PAR1,a\n1,2\n", "column 'id' is missing; the header has: PAR1, a"),
        (b"PAR1\x15\0", "is no text file, but Parquet"),
        (HEADER + GOOD.replace("one", "o\rne") + GOOD, "line 2: a carriage return within the line"),
        (HEADER + GOOD + GOOD.replace("\n", "\r\r\n"), "line 3: a carriage return within the line"),
        (HEADER + GOOD.replace(",one", ', "one"'), "line 2: spaces around a quoted value"),
        (HEADER + GOOD.replace("true\n", '"true" '), "line 2: spaces around"),
        (HEADER + GOOD + GOOD.replace("one", '"one" '), "line 3: spaces around a quoted value"),
        (HEADER + GOOD * 30_000 + GOOD.replace("true", "true,"), "line 30002: 7 values where the header has 6 columns"),
        (HEADER + GOOD.replace("true", "true,"), "or name the last column in the header: it ends with a separator"),
        (",".join(f"c{n}" for n in range(10_001)) + "\n", "10,001, and at most 10,000 columns of a CSV file are taken"),
        (",".join(f"column {n}" for n in range(100_000)) + "\n", "the header is longer than 1 MiB"),
        ("id,id,name,at,day,speed,ok\n1,2,,,,,\n", "line 1: column 'id' stands there twice"),
        ('"id,name\n' + GOOD, "line 1: the header is no CSV"),
        (HEADER + GOOD + "2,two\n", "line 3: 2 values where the header has 6 columns: '2,two'"),
        (HEADER + GOOD + GOOD.replace("true", "true,7"), "line 3: 7 values where the header has 6 columns"),
        (
            HEADER + GOOD + GOOD.replace("true", 'true,7,"8, 8\n",9,'),
            "line 3: 10 values where the header has 6 columns",
        ),
        (HEADER + GOOD + "x" + GOOD, "line 3: column 'id' has 'x1', which is no int64"),
        (HEADER + GOOD + GOOD.replace("1,one", "1.5,one"), "line 3: column 'id' has '1.5', which is no int64"),
        (HEADER + GOOD.replace("1,one", '1,"o\nn\ne"') * 2 + "x" + GOOD, "line 8: column 'id' has 'x1'"),
        (HEADER + GOOD + "\n\n\n" + "x" + GOOD, "line 6: column 'id' has 'x1'"),
        (HEADER + GOOD.replace("1.5", "fast"), "line 2: column 'speed' has 'fast', which is no float64"),
        (HEADER + GOOD.replace("10:00:00", "noon"), "line 2: column 'at' has '2013-01-01 noon', which is no timestamp"),
        (HEADER + GOOD.replace(",2013-01-01,", ",2013-02-30,"), "column 'day' has '2013-02-30', which is no date"),
        (HEADER + GOOD.replace(",2013-01-01,", ",2013-01-01 10:00:00,"), "which is no date"),
        (HEADER + GOOD.replace("true", "maybe"), "column 'ok' has 'maybe', which is no bool"),
        (HEADER + GOOD.replace("one", '"one'), "line 2: a quoted value is not closed"),
        (HEADER + GOOD.replace("one", '"o"ne'), "line 2: a quoted value is not closed, or text follows it"),
        (HEADER.encode() + GOOD.encode().replace(b"one", b"\xff"), "line 2: not UTF-8"),
        (b"\xff" + HEADER.encode() + GOOD.encode(), "line 1: not UTF-8"),
        (HEADER + GOOD + GOOD.replace("one", "o\0ne"), "line 3: a NUL byte"),
        ((HEADER + GOOD).encode("utf-16"), "line 1: a NUL byte, so this is no text file (or UTF-16)"),
        (HEADER + GOOD.replace("\n", "\r\n") + GOOD, "line"),
        (HEADER + "1," + "x" * 3_000_000 + ",,,,\n", "line 2: a row longer than 2 MB"),
    ],
)
def test_a_defect_is_named_with_its_line(tmp_path: Path, content: bytes | str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        _read(tmp_path, content)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_blank_line_of_one_column_is_refused(tmp_path: Path) -> None:
    for blank in ("a\n1\n\n2\n", "a\n1\n2\n\n"):
        with pytest.raises(BadInput, match=r"line [34]: blank, in a file of one column; write NA for a missing value"):
            _read(tmp_path, blank, {"a": Column("int64", nullable=True)})
    assert _read(tmp_path, 'a\n1\n""\nNA\n', {"a": Column("int64", nullable=True)})[1:] == [{"a": None}] * 2


def test_the_first_defect_of_a_large_file_is_named(tmp_path: Path) -> None:
    """The reader's threads meet later defects too, and perhaps first."""
    lines = [f"{n},name {n},2013-01-01 10:00:00,2013-01-01,1.5,true" for n in range(600_000)]
    for place in (300_000, 450_000, 599_999):
        lines[place] = lines[place].replace("1.5", "fast")
    with pytest.raises(BadInput, match=r"line 300002: column 'speed' has 'fast'"):
        _read(tmp_path, HEADER + "\n".join(lines) + "\n")


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    content = '\ufeffok,extra,speed,day,at,name,id\r\nfalse,?,2,2013-01-02,2013-01-01T10:00:00Z,"a, b",7\r\n'
    (row,) = _read(tmp_path, content)
    assert (row["id"], row["name"], row["speed"], row["ok"]) == (7, "a, b", 2.0, False)
    assert str(row["at"]) == "2013-01-01 10:00:00"


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("id", "1.0", "1"),
        ("id", " 7 ", "7"),
        ("id", "+5", "5"),
        ("id", "1e5", "100000"),
        ("id", "1.5e1", "15"),
        ("id", "00012", "12"),
        ("speed", " 1.5 ", "1.5"),
        ("speed", "+.5", "0.5"),
        ("day", " 2013-01-01 ", "2013-01-01"),
        ("at", "2013-01-01T10", "2013-01-01 10:00:00"),
        ("at", "2013-01-01 10:00:00+0230", "2013-01-01 07:30:00"),
        ("id", "9223372036854775807", "9223372036854775807"),
        ("id", "-9007199254740993", "-9007199254740993"),
        ("id", '"12"', "12"),
        ("at", "2013-01-01T10:00:00+02:00", "2013-01-01 08:00:00"),
        ("at", "2013-01-01 10:00+02", "2013-01-01 08:00:00"),
        ("at", "2013-01-01 10:00:00.25", "2013-01-01 10:00:00.250000"),
        ("at", "2013-01-01", "2013-01-01 00:00:00"),
        ("at", '""', "None"),
        ("name", '""', ""),
        ("name", '"NA"', "NA"),
        ("name", "NA", "None"),
        ("name", "", "None"),
        ("speed", "NA", "None"),
        ("speed", '""', "None"),
        ("speed", "1e3", "1000.0"),
    ],
)
def test_a_value_keeps_its_meaning(tmp_path: Path, column: str, text: str, value: str) -> None:
    """Both ways of reading agree: the second row of each pair sends the whole file the careful way."""
    careful = "9007199254740993" if column != "id" else "9223372036854775806"
    cells = dict.fromkeys(COLUMNS, "NA") | {"id": "1", column: text}
    line = ",".join(cells.values()) + "\n"
    for rest in ("", f"{careful},,,,,\n"):
        assert str(_read(tmp_path, HEADER + line + rest)[0][column]) == value


@pytest.mark.parametrize("text", ["10000-01-01 00:00:00", "infinity", "-infinity", "0000-01-01", "12345-01-1 10:00:00"])
def test_a_moment_outside_the_calendar_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="which is no timestamp"):
        _read(tmp_path, f"{HEADER}1,,{text},,,\n")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        *(("id", text) for text in ("1_0", "0x1F", "0b1", "0.99999999999999999", "1.0000000000000001", "1e-1", ".5")),
        *(("id", text) for text in ("9007199254740993.5", "1e19", "9223372036854775808")),
        *(("speed", text) for text in ("1_0", "0x1F", "1e400", "-1e999", "1,5".replace(",", "d"))),
        *(("day", text) for text in ("epoch", "13-01-05", "2013-1-5", "2013/01/05", "infinity", "2013-01-05 (BC)")),
        *(("at", text) for text in ("epoch", "13-01-05 10:00:00", "2013-01-01 10:00:00+25:00", "2013-1-1 1:2:3")),
        *(("at", text) for text in ("2013-01-01 10:00:00+02:99", "2013-01-01 10:00:00 EST", "2013-01-01 24:00:00")),
        *(("ok", text) for text in ("2", "on", "1.0", "-1")),
    ],
)
def test_what_only_looks_like_a_value_is_refused(tmp_path: Path, column: str, text: str) -> None:
    cells = dict.fromkeys(COLUMNS, "NA") | {"id": "1", column: text}
    with pytest.raises(BadInput) as caught:
        _read(tmp_path, HEADER + ",".join(cells.values()) + "\n")
    assert f"line 2: column {column!r} has {text!r}, which is no {COLUMNS[column].type}" in str(caught.value)


def test_a_name_with_glob_characters_is_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    assert len(_read(folder, HEADER + GOOD)) == 1

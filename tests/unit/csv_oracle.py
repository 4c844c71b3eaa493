"""What a CSV file says, found without DuckDB, pyarrow or Sluice: RFC 4180 character by character, and Python's types.

Some texts are no clear case: a lone carriage return, a quote inside an unquoted value, ` 7` as an integer. There the
oracle says so, and a reader may do either; where it is sure, a reader must agree.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sluice.contract.reading import Column

UNCLEAR = object()
WRONG = object()
_REFUSED = re.compile(r"t\.csv(?:, line (?P<line>\d+))?(?P<text>.*)", re.DOTALL)
_VALUE = re.compile(r": column '(?P<column>\w+)' has (?P<shown>.*), which is no (?P<kind>\w+);", re.DOTALL)


@dataclass
class Record:
    """A row: the line that its first character stands on, that of its last, and its values with whether quoted."""

    first: int
    last: int
    cells: list[tuple[str, bool]]


@dataclass
class Parsed:
    """Records; lines where the text breaks RFC 4180; and whether a reader may see it otherwise."""

    records: list[Record] = field(default_factory=list)
    defects: list[int] = field(default_factory=list)
    unclear: bool = False


def parse(text: str) -> Parsed:
    """RFC 4180, section 2, and blank lines that are no rows."""
    found, place, line = Parsed(), 0, 1
    ends = set(re.findall(r"\r\n|\n|\r", text))
    found.unclear = len(ends) > 1 or "\r" in ends or "\0" in text
    while place < len(text):
        first, cells = line, []
        while True:
            cell, quoted, place, lines, broken = _cell(text, place)
            line += lines
            cells.append((cell, quoted))
            if broken:
                found.defects.append(line)
            found.unclear |= not quoted and '"' in cell
            if text[place : place + 1] != ",":
                break
            place += 1
        if cells != [("", False)]:
            found.records.append(Record(first, line, cells))
        place += 2 if text[place : place + 2] == "\r\n" else 1
        line += 1
    return found


def _cell(text: str, place: int) -> tuple[str, bool, int, int, bool]:
    """A value from a place on: itself, whether quoted, where it ends, line ends inside, and whether it is broken."""
    if text[place : place + 1] != '"':
        found = re.compile(r"[^,\r\n]*").match(text, place)
        assert found
        return found[0], False, found.end(), 0, False
    closed = re.compile(r'"((?:[^"]|"")*)"').match(text, place)
    if not closed:
        return text[place:], True, len(text), 0, True
    rest = re.compile(r"[^,\r\n]*").match(text, closed.end())
    assert rest
    value = closed[1].replace('""', '"')
    return value, True, rest.end(), len(re.findall(r"\r\n|\n|\r", closed[0])), bool(rest[0])


def meaning(cell: tuple[str, bool], kind: str) -> Any:
    """The value of a text; None where it is missing, WRONG or UNCLEAR."""
    text, quoted = cell
    if not quoted and text in ("", "NA"):
        return None
    if kind == "string":
        return text
    if text == "":
        return None
    clear, convert, hopeless = _KINDS[kind]
    if re.fullmatch(clear, text, re.ASCII):
        try:
            return convert(text)
        except ValueError:
            return WRONG
    return WRONG if re.search(hopeless, text) else UNCLEAR


def _integer(text: str) -> int:
    if not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


_KINDS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "int64": (r"-?(0|[1-9]\d*)", _integer, r"[^\d\s.eE_+-]"),
    "float64": (r"-?(0|[1-9]\d{0,15})(\.\d{1,15})?", float, r"[^\d\s.eE_+infatyINFATY-]"),
    "bool": (r"true|false", lambda text: text == "true", r"[^a-zA-Z01\s]"),
    "timestamp": (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", datetime.fromisoformat, r"[^\d\s.:+TZ()BCtzainfy,-]|^\D*$"),
    "date": (r"\d{4}-\d\d-\d\d", date.fromisoformat, r"[^\d\s()BCinfaty-]|^\D*$"),
}


def check_rows(content: bytes, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """What was read is what the file says."""
    parsed = parse(content.decode("utf-8-sig"))
    if parsed.unclear:
        return
    assert not parsed.defects, "a broken line was read"
    header, *records = parsed.records
    names = [text for text, _ in header.cells]
    assert len(rows) == len(records)
    for record, row in zip(records, rows, strict=True):
        assert len(record.cells) == len(names), f"line {record.last} has too many values, or too few"
        for name, column in columns.items():
            wanted = meaning(record.cells[names.index(name)], column.type)
            assert wanted is not WRONG, f"line {record.last}: {record.cells} was read as {row}"
            if wanted is not UNCLEAR:
                assert row[name] == wanted, f"line {record.last}, column {name}"


def check_refusal_is_true(content: bytes, columns: Mapping[str, Column], message: str) -> None:
    """What a refusal says of the file is so, at the line that it names."""
    found = _REFUSED.fullmatch(message)
    assert found, message
    line, text = int(found["line"] or 0), found["text"]
    if "is no text file, but" in text:
        assert 0 in content or not _decodes(content), message
        return
    if "not UTF-8" in text or "a NUL byte" in text:
        lines = content.split(b"\n")
        assert b"\0" in lines[line - 1] if "NUL" in text else not _decodes(lines[line - 1]), message
        return
    parsed = parse(content.decode("utf-8-sig", "replace"))
    if parsed.unclear:
        assert text, message
        return
    _check_said(parsed, columns, line, text)


def _check_said(parsed: Parsed, columns: Mapping[str, Column], line: int, text: str) -> None:
    names = [name for name, _ in parsed.records[0].cells] if parsed.records else []
    at_line = [record for record in parsed.records if record.first <= line <= record.last]
    if found := _VALUE.match(text):
        (record,) = at_line
        cell = record.cells[names.index(found["column"])]
        said = meaning(cell, columns[found["column"]].type)
        assert said is WRONG or said is UNCLEAR, f"{cell} is a {found['kind']}"
        assert found["shown"] in (repr(cell[0]), f"{repr(cell[0])[:80]}…")
        assert found["kind"] == columns[found["column"]].type
    elif found := re.match(r": (\d+) values where the header has (\d+) columns", text):
        assert [len(record.cells) for record in at_line] == [int(found[1])]
        assert int(found[1]) != int(found[2]) == len(names)
    elif found := re.match(r": column '(\w+)' is missing", text):
        assert found[1] not in names
        assert found[1] in columns
    elif found := re.match(r": column '(\w+)' stands there twice", text):
        assert names.count(found[1]) > 1
    elif "has a header and no row" in text:
        assert len(parsed.records) <= 1
    elif "is blank where the header" in text:
        assert not parsed.records or parsed.records[0].first > 1
    elif "is empty" in text:
        assert not names or parsed.records[0].first > 1
    else:
        assert re.search(r"is no CSV|not closed|cannot be read", text), text
        assert parsed.defects, text


def _decodes(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

"""Python's own CSV reader, as a second opinion on a file: slower, row by row, and with the line of each."""

import csv
from collections.abc import Iterator, Sequence

from sluice.core.bounds import CSV_ROW
from sluice.sources.csv_counts import SPACED, CsvCount
from sluice.sources.source_files import SourceFile
from sluice.sources.value_refusals import shown

LONGEST_ROW = CSV_ROW.default
"""DuckDB's bound for a row, in bytes."""


_WORDS = {
    "unexpected end of data": "a quoted value is not closed",
    "',' expected after '\"'": "text follows a quoted value; quote the whole value and double quotes in it",
    f"field larger than field limit ({LONGEST_ROW})": "a row longer than 2 MB, the most that is read",
}


class BrokenRow(Exception):
    """A row that breaks RFC 4180, and the line that it starts on."""

    def __init__(self, line: int, error: csv.Error) -> None:
        super().__init__(f"line {line}: {_WORDS.get(str(error), str(error))}")


def numbered_rows(file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each starts on, from 1, the header first; blank lines are empty rows.

    Raises:
        BrokenRow: The file breaks RFC 4180.
    """
    before = csv.field_size_limit(LONGEST_ROW)
    line = 1
    try:
        with file.path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
    except csv.Error as error:
        raise BrokenRow(line, error) from None
    finally:
        csv.field_size_limit(before)


def count_rows(file: SourceFile, columns: int) -> int | None:
    """How many rows Python's reader finds, each with a value for each column; None where it finds others."""
    rows = 0
    try:
        for _, cells in numbered_rows(file):
            if len(cells) != columns and (cells or columns == 1):
                return None
            rows += bool(cells)
    except BrokenRow:
        return None
    return rows - 1


def uneven_row(file: SourceFile, header: Sequence[str]) -> str | None:
    """The first row that has more or fewer values than the header, or that could be one or none, in words."""
    try:
        for line, cells in numbered_rows(file):
            place = f"{file.name}, line {line}"
            if not cells and len(header) == 1:
                return f"{place}: blank, in a file of one column; write NA for a missing value, or take the line away"
            if cells and len(cells) != len(header):
                found = f"{len(cells)} values where the header has {len(header)} columns"
                return f"{place}: {found}: {shown(','.join(cells))}; mend the line{_extra(cells, header)}"
    except BrokenRow as error:
        return f"{file.name}, {error}; mend the line, or write the file anew"
    return None


def _extra(cells: Sequence[str], header: Sequence[str]) -> str:
    one_more = len(cells) == len(header) + 1 and not cells[-1]
    return ", or name the last column in the header: it ends with a separator" if one_more else ""


def odd_line(file: SourceFile, count: CsvCount) -> str | None:
    """Where a line ends otherwise than the first one, or has spaces around quotes, in words; None where none does."""
    if count.end and not count.spaced:
        return None
    quoted, first = False, b""
    with file.path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_ROW), b""), 1):
            parts = line.split(b'"')
            outside = b'"' * quoted + b'"'.join(parts[1::2] if quoted else parts[::2])
            quoted ^= len(parts) % 2 == 0
            end = b"" if quoted else outside[len(outside.removesuffix(b"\n").removesuffix(b"\r")) :]
            first = first or end
            if reason := _odd(outside, end, first):
                return f"{file.name}, line {number}: {reason}"
    return None


def _odd(outside: bytes, end: bytes, first: bytes) -> str | None:
    if b"\r" in outside.removesuffix(end):
        return "a carriage return within the line; take it away, or quote the value"
    if end and end != first:
        return "its line end differs from the first line's; save the file with one kind"
    if SPACED.search(b"\n" + outside + b"\n"):
        return "spaces around a quoted value; some readers keep them and some do not: take them away"
    return None

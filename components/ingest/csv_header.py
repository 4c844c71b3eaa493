"""The first line of a CSV file: it says where each column stands, so that columns are read by name."""

import csv
import io
from collections.abc import Iterable

from components.common.errors import BadInput
from components.ingest.source_files import SourceFile

_LONGEST = 1 << 20


def read_header(file: SourceFile, wanted: Iterable[str]) -> list[str]:
    """The columns' names in the order of the file.

    Args:
        file: A readable CSV file: commas, quotes as in RFC 4180, UTF-8 with or without a byte order mark.
        wanted: Columns that it must have; others are no error.

    Raises:
        BadInput: It is no text, has no header or no row, or lacks a column or has it twice.
    """
    with file.path.open("rb") as stream:
        start = stream.read(_LONGEST)
    if 0 in start:
        line = start[: start.index(0)].count(b"\n") + 1
        raise BadInput(
            f"{file.name}, line {line}: a NUL byte, so this is no text file (or UTF-16); save it as CSV in UTF-8"
        )
    reader = csv.reader(io.StringIO(_text(file, start), newline=""), strict=True)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise BadInput(f"{file.name}, line 1: the header is no CSV ({error}); mend or quote its names") from None
    if not names:
        raise BadInput(f"{file.name} is empty; put the data there, or take the file away")
    if len(start) < _LONGEST and not any(reader_row for reader_row in _rest(reader)):
        raise BadInput(f"{file.name} has a header and no row; put the data there, or take the file away")
    _check(file, names, wanted)
    return names


def _rest(reader: Iterable[list[str]]) -> Iterable[list[str]]:
    try:
        yield from reader
    except csv.Error:
        yield ["rows that the reader will judge"]


def _text(file: SourceFile, start: bytes) -> str:
    """Decode the start of the file, whose last character may be cut."""
    try:
        return start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start > len(start) - 4 and len(start) == _LONGEST:
            return start[: error.start].decode("utf-8-sig")
        line = start[: error.start].count(b"\n") + 1
        raise BadInput(f"{file.name}, line {line}: not UTF-8; save the file in UTF-8") from None


def _check(file: SourceFile, names: list[str], wanted: Iterable[str]) -> None:
    for column in wanted:
        if column not in names:
            shown = ", ".join(names)
            shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
            raise BadInput(
                f"{file.name}, line 1: column {column!r} is missing; the header has: {shown}; "
                "add the column, or take it out of contract.yaml"
            )
        if names.count(column) > 1:
            raise BadInput(f"{file.name}, line 1: column {column!r} stands there twice; rename one of them")

"""The first line of a CSV file: it says where each column stands, so that columns are read by name."""

import csv
import io
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sluice.core.bounds import CSV_COLUMNS, CSV_HEADER
from sluice.core.errors import BadInput
from sluice.core.files import faults, staged
from sluice.sources.formats import check_text
from sluice.sources.source_files import SourceFile
from sluice.sources.value_refusals import listed

_LONGEST = CSV_HEADER.default
_LINE = re.compile(rb'(?:[^"\r\n]+|"[^"]*")*+(\r\n|\n|\r|\Z)')  # up to the first line end outside of quotes
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_header(file: SourceFile, wanted: Iterable[str]) -> list[str]:
    """The columns' names in the order of the file.

    Args:
        file: A readable CSV file: commas, quotes as in RFC 4180, UTF-8 with or without a byte order mark.
        wanted: Columns that it must have; others are no error.

    Raises:
        BadInput: It is no text, has no header or no row, lacks a column or has it twice, or its header is longer than
            1 MiB or has more than 10,000 columns.
    """
    start = _start(file)
    text = _text(file, start)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise BadInput(f"{file.name}, line 1: the header is no CSV ({error}); mend or quote its names") from None
    _check_size(file, start, names)
    _check(file, names, list(wanted))
    if len(start) < _LONGEST and not any(_rest(reader)):
        raise BadInput(f"{file.name} has a header and no row; put the data there, or take the file away")
    return names


@contextmanager
def with_plain_header(file: SourceFile, names: Sequence[str], target: Path) -> Iterator[SourceFile]:
    """The file, or where its header holds line breaks a copy with a header that no reader can misread.

    DuckDB takes the first line break of a file, also one inside a quoted name, for the end of every line.

    Args:
        file: The file.
        names: Its header.
        target: The copy stands beside it, for the time of the `with` block.

    Raises:
        EnvironmentFault: The disk is full, read-only or denies access.
    """
    breaks = sum(len(re.findall("\r\n|\n|\r", name)) for name in names)
    if not breaks:
        yield file
        return
    with file.path.open("rb") as content:
        header = _LINE.match(content.read(_LONGEST))
        end = header[1] if header and header[1] else b"\n"
        content.seek(header.end() if header else 0)
        with faults(str(target)), staged(target) as copy:
            places = ",".join(f"c{place}" for place in range(1, len(names)))
            first = b'"' + breaks * end + b'"'  # as many lines as before, so that a message names the right one
            copy.write(first + (b"," if places else b"") + places.encode() + end)
            shutil.copyfileobj(content, copy, _LONGEST)
            copy.flush()
            yield SourceFile(Path(copy.name), file.name)


def _start(file: SourceFile) -> bytes:
    with file.path.open("rb") as stream:
        start = stream.read(_LONGEST)
    if 0 in start:
        check_text(file, start)
        line = start[: start.index(0)].count(b"\n") + 1
        raise BadInput(f"{file.name}, line {line}: a NUL byte, so this is no text file; save it as CSV in UTF-8")
    return start


def _rest(reader: Iterable[list[str]]) -> Iterator[list[str]]:
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
        check_text(file, start)
        line = start[: error.start].count(b"\n") + 1
        raise BadInput(f"{file.name}, line {line}: not UTF-8; save the file in UTF-8") from None


def _check_size(file: SourceFile, start: bytes, names: Sequence[str]) -> None:
    if not start.removeprefix(b"\xef\xbb\xbf"):
        raise BadInput(f"{file.name} is empty; put the data there, or take the file away")
    if not names:
        raise BadInput(f"{file.name}, line 1 is blank where the header must stand; take the line away")
    line = _LINE.match(start)
    if len(start) == _LONGEST and line and line.end() == _LONGEST:
        raise BadInput(f"{file.name}, line 1: the header is longer than 1 MiB; give the table fewer columns")
    CSV_COLUMNS.check(len(names), f"{file.name}, line 1", "give the table fewer columns")


def _check(file: SourceFile, names: Sequence[str], wanted: Sequence[str]) -> None:
    for column in wanted:
        if column not in names:
            raise BadInput(f"{file.name}, line 1: column {column!r} is missing; {_reason(names, column)}")
        if names.count(column) > 1:
            raise BadInput(f"{file.name}, line 1: column {column!r} stands there twice; rename one of them")


def _reason(names: Sequence[str], column: str) -> str:
    """Why a column may be missing, and the way out."""
    if names[0].lstrip().startswith(("{", "[")):
        return "the line looks like JSON; give the file as `json`, an array of objects"
    for separator, name in _OTHER_SEPARATORS.items():
        if column in (part.strip(' "') for part in separator.join(names).split(separator)) and separator in names[0]:
            return f"its columns are separated by {name}; save the file with commas"
    for name in names:
        if name.strip() == column:
            return f"the header has {name!r}, and spaces count; take them away"
        if name.casefold() == column.casefold():
            return f"the header has {name!r}, and case counts; write the name alike in both places"
    return f"the header has: {listed(names)}; add the column, or take it out of contract.yaml"

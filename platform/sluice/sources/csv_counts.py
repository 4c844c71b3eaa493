"""How many rows a CSV file has, counted from its bytes alone: what a reader delivers is held against it.

No reader is at work here, only the quotes of RFC 4180: what stands between two of them is inside a value, and every
line end and every comma outside is one of the file's own.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BLOCK = 1 << 20
_MARK = b"\xef\xbb\xbf"
_MOST_SPACES = 1 << 16
SPACED = re.compile(rb'[,\r\n] +"|" +[,\r\n]')
"""Spaces between a separator and a quote, in text without what the quotes hold."""


@dataclass(frozen=True)
class CsvCount:
    """What the bytes say.

    Attributes:
        records: Lines that are not blank, the header among them; a line that goes on inside a quoted value counts once.
        separators: Commas outside quoted values.
        blank: Blank lines.
        end: How lines end, or empty where they do not end alike.
        spaced: Whether spaces stand between a separator and a quote, which some readers keep and some do not.
    """

    records: int
    separators: int
    blank: int
    end: str
    spaced: bool

    def agrees(self, rows: int, columns: int) -> bool:
        """Whether a file of this count can have given these rows, each with a value for each of its columns."""
        whole = self.records == rows + 1 and self.separators == self.records * (columns - 1)
        # A blank line is no row, but in a file of one column it could be a missing value as well.
        return whole and bool(self.end) and not self.spaced and not (self.blank and columns == 1)


class CsvCounter:
    """Counts a file block by block, as somebody else reads them."""

    def __init__(self) -> None:
        # It begins at the end of a line before the first, which is not counted: so the first line is like any other.
        self._held, self._lines, self._line_feeds, self._edge = b"\n", -1, -1, b""
        self._separators = self._blank = self._carriage_returns = self._pairs = 0
        self._first, self._quoted, self._at_start, self._spaced = True, False, False, False

    def feed(self, block: bytes) -> None:
        """Count the next bytes; a carriage return at their end waits for what follows it."""
        self._held += block
        if len(self._held) > len(_MARK):
            block = self._unmarked()
            self._held = b"\r" if block.endswith(b"\r") else b""
            self._count(block.removesuffix(self._held))

    def result(self) -> CsvCount:
        """The count of everything fed, at the file's end."""
        last, self._held = self._unmarked(), b""
        self._count(last)
        spaced = self._spaced or bool(SPACED.search(self._edge + b"\n"))
        records = self._lines - self._blank + (not self._at_start)
        return CsvCount(records, self._separators, self._blank, self._end(), spaced)

    def _unmarked(self) -> bytes:
        """What waits, without the mark that may stand at the file's start."""
        if not self._first:
            return self._held
        self._first = False
        return b"\n" + self._held[1:].removeprefix(_MARK)

    def _count(self, block: bytes) -> None:
        outside = self._outside(block)
        self._look_for_spaces(outside)
        self._separators += _times(outside, b",")
        lines = line_feeds = _times(outside, b"\n")
        if b"\r" in outside:
            self._carriage_returns += _times(outside, b"\r")
            self._pairs += outside.count(b"\r\n")
            outside = outside.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            lines = _times(outside, b"\n")
        self._line_feeds += line_feeds
        self._lines += lines
        self._count_blank(outside)

    def _outside(self, block: bytes) -> bytes:
        """What stands outside of quotes, and the quotes, so that a value leaves no blank line."""
        if b'"' not in block:
            return b"" if self._quoted else block
        characters = np.frombuffer(block, np.uint8)
        quotes = characters == ord('"')
        inside = np.bitwise_xor.accumulate(quotes) ^ self._quoted
        self._quoted = bool(inside[-1])
        outside: bytes = characters[~inside | quotes].tobytes()
        return outside

    def _look_for_spaces(self, outside: bytes) -> None:
        """What the text before ended with may matter: its last character, and the spaces after that."""
        text = self._edge + outside
        if b' "' in text or b'" ' in text:
            self._spaced |= bool(SPACED.search(text))
        place = max(len(text.rstrip(b" ")) - 1, 0)
        self._edge = text[place : place + _MOST_SPACES]

    def _count_blank(self, outside: bytes) -> None:
        if not outside:
            return
        self._blank += self._at_start and outside.startswith(b"\n")
        if b"\n\n" in outside:
            self._blank += outside.split(b"\n")[1:-1].count(b"")
        self._at_start = outside.endswith(b"\n")

    def _end(self) -> str:
        if not self._carriage_returns:
            return "\n"
        if self._carriage_returns == self._line_feeds == self._pairs:
            return "\r\n"
        return "" if self._line_feeds else "\r"


def count_csv(path: Path) -> CsvCount:
    """Count a whole file."""
    counter = CsvCounter()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            counter.feed(block)
    return counter.result()


def _times(text: bytes, character: bytes) -> int:
    """How often a character stands there; where that is often, several times as fast as `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))

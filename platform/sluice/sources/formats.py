"""What a file is when it is not what the contract says: told from its first bytes."""

from sluice.core.errors import BadInput
from sluice.sources.source_files import SourceFile

_BEGINNINGS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"PK\x03\x04", "ZIP (an Excel workbook is one, too)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"PAR1", "Parquet"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"%PDF-", "PDF"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def check_text(file: SourceFile, start: bytes) -> None:
    """Refuse a file whose first bytes are those of a format that is no text; a text may begin alike by chance.

    Args:
        file: The file, for the message.
        start: Its first bytes; eight are enough.

    Raises:
        BadInput: The message names the format.
    """
    for beginning, name in _BEGINNINGS:
        if start.startswith(beginning):
            raise BadInput(f"{file.name} is no text file, but {name}; unpack it or save it anew as text in UTF-8")
    if start.startswith(_UTF16) and 0 in start:
        raise BadInput(f"{file.name}, line 1: a NUL byte, so this is no text file (or UTF-16); save it anew in UTF-8")

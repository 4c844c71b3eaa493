"""SQLite files in write-ahead mode: their newest rows may stand in a second file, of which no digest is taken.

Source: https://www.sqlite.org/fileformat2.html, section 1.3.3; https://www.sqlite.org/wal.html.
"""

from sluice.core.errors import BadInput
from sluice.sources.source_files import SourceFile

LOG = "-wal"
_MODES = slice(18, 20)  # of the file's header: the versions that write and read it; 2 is write-ahead mode


def reading_options(file: SourceFile) -> dict[str, str]:
    """What to add to SQLite's URL, so that it reads the file alone and leaves nothing beside it.

    In write-ahead mode SQLite makes files beside the one that it reads, unless it is told that nobody writes.

    Raises:
        BadInput: Rows stand outside of the file.
    """
    check_settled(file)
    with file.path.open("rb") as stream:
        in_write_ahead_mode = 2 in stream.read(_MODES.stop)[_MODES]
    return {"immutable": "1"} if in_write_ahead_mode else {}


def check_settled(file: SourceFile) -> None:
    """Refuse a file with a write-ahead log beside it: what the file says and what its digest says would differ.

    Raises:
        BadInput: There is one that is not empty.
    """
    log = file.path.with_name(f"{file.path.name}{LOG}")
    if log.is_file() and log.stat().st_size:
        raise BadInput(
            f"{file.name}: rows of it stand in {file.name}{LOG}, apart from the file; close the programs that write to "
            f"it, or run: sqlite3 {file.name} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        )

"""Bounds on what an SQLite file of a lake may cost: its views are programs that anybody may have written.

A view can run without end, make values of a gigabyte out of nothing, and have a sort write hidden files until the disk
is full. SQLite itself refuses a value beyond a limit, and calls back while a query runs.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from sluice.core.bounds import SQL_BYTES, SQL_SECONDS, VALUE_BYTES, Bound
from sluice.core.errors import BadInput
from sluice.sources.databases import Database

_INSTRUCTIONS = 100_000  # of SQLite's machine between two looks: some milliseconds
_LOOK_SECONDS = 0.25  # between two looks at the disk
_SORT_KIB = 65_536  # what it sorts at once: of each such part of a larger sort it holds one whole row in memory
_GROWTH = 16  # an integer of one byte takes eight in memory, and a missing value too
_WAY_OUT = "give a smaller table, or mend the view"
_OPEN_FILES = Path("/dev/fd")


class Guard:
    """Watches a connection to an SQLite file while a table is read.

    Args:
        file_bytes: The file's size.
    """

    def __init__(self, file_bytes: int) -> None:
        self.met: Bound | None = None
        self._most_bytes = max(SQL_BYTES.most, _GROWTH * file_bytes)
        self._most_seconds = SQL_SECONDS.most
        self._given = 0
        self._before = _hidden_bytes()
        self._rows_at = self._looked_at = time.monotonic()

    def took(self, size: int, where: str) -> None:
        """Note that rows have come.

        Args:
            size: Their bytes.
            where: The table, for the refusal.

        Raises:
            BadInput: With them the table has given more bytes than a table may.
        """
        self._given += size
        self._rows_at = time.monotonic()
        if self._given > self._most_bytes:
            raise SQL_BYTES.refusal(where, _WAY_OUT)

    def look(self) -> bool:
        """Whether SQLite is to break off the query."""
        now = time.monotonic()
        if now - self._rows_at > self._most_seconds:
            self.met = SQL_SECONDS
        elif now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            if _hidden_bytes() - self._before > self._most_bytes:
                self.met = SQL_BYTES
        return self.met is not None


@contextmanager
def guarded(connection: sa.Connection, database: Database, where: str) -> Iterator[Guard | None]:
    """Keep a connection within the bounds for the time of the `with` block; nothing is done for a database server.

    Args:
        connection: To the database.
        database: Which.
        where: The table, for refusals.

    Raises:
        BadInput: A bound was met, or the file is damaged.
    """
    if database.file is None:
        yield None
        return
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection), "SQLAlchemy's driver for SQLite"  # noqa: S101 - not about input
    guard = Guard(database.file.path.stat().st_size)
    raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(VALUE_BYTES.most, 2**31 - 1))
    raw.set_progress_handler(guard.look, _INSTRUCTIONS)
    try:
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_SORT_KIB}")
        connection.exec_driver_sql("PRAGMA trusted_schema = OFF")  # a view calls only functions without effect
        connection.exec_driver_sql("BEGIN")  # from the first row on nobody writes into what is read
        yield guard
    except SQLAlchemyError as error:
        raise _refusal(guard, error, where) or error from None
    except UnicodeDecodeError as error:  # Python fails so where SQLite quotes a broken description of a table
        raise BadInput(f"{where}: the file is damaged ({error}); restore it from a copy") from None
    finally:
        raw.set_progress_handler(None, 0)


def _refusal(guard: Guard, error: SQLAlchemyError, where: str) -> BadInput | None:
    if guard.met:
        return guard.met.refusal(where, _WAY_OUT)
    if "too big" in str(getattr(error, "orig", "")):
        return VALUE_BYTES.refusal(f"{where}: a value is too big", _WAY_OUT)
    return None


def _hidden_bytes() -> int:
    """The bytes of files that this process holds open and that have no name any more, as SQLite's for sorting."""
    total = 0
    for entry in os.listdir(_OPEN_FILES) if _OPEN_FILES.is_dir() else ():  # noqa: PTH208 - names alone
        try:
            state = os.fstat(int(entry))
        except OSError:  # closed in the meantime
            continue
        if stat.S_ISREG(state.st_mode) and not state.st_nlink:
            total += state.st_size
    return total

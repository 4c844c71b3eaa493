"""MLflow's database on this machine, made whole or not at all.

MLflow makes its tables one migration after the other in the file itself: a process that is killed meanwhile, or a
second one at the same moment, leaves a file that no MLflow takes any more. So the database is made in a folder beside
its place and linked into it, under a lock of the operating system, which ends with whoever holds it.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.core.files import STAGING

_PREFIX = f"{STAGING}mlflow-"


def database_file(uri: str) -> Path | None:
    """The file behind the address of an SQLite database; None for any other address, and for one in memory."""
    if not uri.startswith(("sqlite:", "sqlite+")):
        return None
    from sqlalchemy import make_url  # most of a second, in vain for a server
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:  # MLflow says what it is
        return None
    place = url.database or ":memory:"
    plain = not url.query and not place.startswith((":memory:", "file:"))
    return Path(place) if plain else None


def ensure_database(uri: str) -> None:
    """Make the database of an SQLite address where it is not there yet; nothing to do for any other address.

    Args:
        uri: As MLflow takes it.

    Raises:
        BadInput: What stands there was left half-made, as by a release before this one, or is no database of MLflow's.
        OSError: The disk is full, read-only or denies access.
    """
    place = database_file(uri)
    if place is None or (mark := _mark(place)) in _WHOLE:
        return
    if not place.exists() or next(place.parent.glob(f"{_PREFIX}*"), None):
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place.with_name(f"{place.name}.lock")) as alone:
            if alone:
                _clear(place.parent)
            if not place.exists():
                _make(uri, place)
    if _is_half_made(place):
        raise BadInput(
            f"{place}: MLflow's tables were never finished there (a run was killed while it made them), or the file is "
            "another program's; move it away and run again"
        )
    if mark is not None:
        _WHOLE.add(mark)


_WHOLE: set[tuple[str, int, int]] = set()
"""Files that this process found whole: none of them becomes half-made again."""


def _mark(place: Path) -> tuple[str, int, int] | None:
    """What tells a file from another one at its place; None where there is none."""
    try:
        found = place.stat()
    except OSError:
        return None
    return str(place), found.st_dev, found.st_ino


def _make(uri: str, place: Path) -> None:
    from mlflow.db import commands  # MLflow's own command: it knows how to begin with an empty database
    from sqlalchemy import make_url

    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place.parent))
    try:
        made = folder / place.name
        commands(["upgrade", make_url(uri).set(database=str(made)).render_as_string()], standalone_mode=False)
        with contextlib.suppress(FileExistsError):  # where the file system has no locks another may have been first
            os.link(made, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove what killed processes left: the lock says that none is at it."""
    for left in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _is_half_made(place: Path) -> bool:
    """Whether migrations were begun and never ended; an empty file is a database without tables, which MLflow fills."""
    with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
        try:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not names:
                return False
            if not {"alembic_version", "experiments"} <= names:
                return True
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            used = connection.execute("SELECT count(*) FROM experiments").fetchone()[0]  # the first use makes one
        except sqlite3.DatabaseError:
            return False  # MLflow says it in its own words
    return revision is None or (not used and revision[0] != _last_revision())


def _last_revision() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision  # MLflow has no public way

    return str(_get_latest_schema_revision())


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold a lock for the time of the `with` block; whether there are locks on this file system."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True

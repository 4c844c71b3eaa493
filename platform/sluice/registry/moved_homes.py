"""A home that was moved or copied keeps its runs and its champion.

MLflow writes absolute addresses of files into its database: of experiments, runs, logged models and versions. Whenever
Sluice opens a database of its own, it first puts those of the home's own folder `mlartifacts` where that lies now.
"""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote

from sluice.core.errors import TrackingFault

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_FILE = "file://"
_BUSY_SECONDS = 30


def follow_move(home: Path) -> list[str]:
    """Have the home's database name the files where they lie now; nothing to do where it does already.

    Args:
        home: The home's folder, absolute.

    Returns:
        The places that the artifacts had before.

    Raises:
        TrackingFault: The database cannot be read or written.
    """
    database, now = home / DATABASE, (home / ARTIFACTS).as_uri()
    if not database.is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            places = [place for place in _places(connection) if place != now and _was_ours(connection, place, home)]
            if places:
                _rewrite(connection, places, now)
            return places
    except sqlite3.Error as error:
        raise TrackingFault(f"{database}: {error}; check its owner and mode, or restore it from a copy") from None


def _places(connection: sqlite3.Connection) -> list[str]:
    if not _has(connection, "experiments", "artifact_location"):
        return []  # it is still to be made
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments ORDER BY 1")
    return [str(place) for (place,) in found if place and place.startswith(_FILE) and place.endswith(f"/{ARTIFACTS}")]


def _was_ours(connection: sqlite3.Connection, place: str, home: Path) -> bool:
    """Whether the files of a place came along; a person may have made an experiment whose files lie elsewhere."""
    there, here = Path(unquote(place.removeprefix(_FILE))), home / ARTIFACTS
    if there.exists() and here.exists() and there.samefile(here):
        return False  # the same folder by another name
    if not there.exists() or (there.parent / DATABASE).is_file():
        return True
    runs = connection.execute("SELECT artifact_uri FROM runs WHERE artifact_uri LIKE ? || '/%'", (place,))
    return any((here / unquote(uri.removeprefix(f"{place}/"))).exists() for (uri,) in runs)


def _rewrite(connection: sqlite3.Connection, places: list[str], now: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for table, column in _COLUMNS:
        if _has(connection, table, column):
            for place in places:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of our own
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ? || '/'",
                    (now, len(place) + 1, place, len(place) + 1, place),
                )
    connection.execute("COMMIT")


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    found = connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column))
    return found.fetchone() is not None

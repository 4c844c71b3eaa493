"""Opening a database that a contract names, read-only, without ever showing its credentials."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from components.common.errors import BadInput, EnvironmentFault, SluiceError
from components.ingest.source_files import SourceFile, check_readable, find
from components.ingest.sqlite_files import reading_options

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WAITS = (0.5, 1.0, 2.0)  # seconds before each further try


@dataclass(frozen=True)
class Database:
    """A database of the lake.

    Attributes:
        url: With credentials: never to be shown.
        name: The file's path in the lake, or the address without user, password and options.
        file: The file of an SQLite database.
    """

    url: sa.URL
    name: str
    file: SourceFile | None


def locate(lake: Path, address: str) -> Database:
    """Find the database at an address of the contract.

    Args:
        lake: The folder where the paths of SQLite files start.
        address: An SQLAlchemy URL. `${NAME}` takes the environment variable NAME, and that is where passwords belong.

    Raises:
        BadInput: A variable is not set, the URL is malformed or holds a password, or there is no such file.
    """
    url = _parse(address)
    if url.get_backend_name() != "sqlite":
        shown = sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return Database(url, shown.render_as_string(), None)
    files = find(lake, url.database or "")
    if not url.database or len(files) != 1:
        raise BadInput(f"contract.yaml: source {address!r} must name one file: sqlite:///path/in/the/lake.db")
    check_readable(files[0])
    read_only = sa.URL.create(
        "sqlite",
        database=f"file:{quote(str(files[0].path))}",
        query={"mode": "ro", "uri": "true", **reading_options(files[0])},
    )
    return Database(read_only, files[0].name, files[0])


@contextmanager
def connected(database: Database) -> Iterator[sa.Connection]:
    """A connection for the time of the `with` block; every failure inside it is told in words.

    Raises:
        BadInput: The driver is not installed, the file is no SQLite database, or a query is refused.
        EnvironmentFault: The server cannot be reached after bounded retries, or failed; the file is locked.
    """
    try:
        engine = sa.create_engine(database.url)
    except (NoSuchModuleError, ModuleNotFoundError):
        driver = database.url.drivername
        raise BadInput(
            f"database {database.name}: no driver for {driver!r} is installed; add it to the image"
        ) from None
    try:
        with _patiently(engine.connect, database) as connection:
            yield connection.execution_options(stream_results=database.file is None)
    except SQLAlchemyError as error:
        raise _in_words(error, database) from None
    finally:
        engine.dispose()


def _parse(address: str) -> sa.URL:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise BadInput(f"contract.yaml: source {address!r} needs the environment variable {match[1]}; set it")
        return os.environ[match[1]]

    try:
        if sa.make_url(_VARIABLE.sub("", address) or "sqlite://").password:
            raise BadInput(
                "contract.yaml: a source's URL holds a password; put the URL in an environment variable, ${NAME}"
            )
        return sa.make_url(_VARIABLE.sub(value, address))
    except (ArgumentError, ValueError):
        raise BadInput(
            "contract.yaml: a source's `sql` is no database URL; write for example sqlite:///file.db"
        ) from None


def _patiently(connect: Callable[[], sa.Connection], database: Database) -> sa.Connection:
    for wait in () if database.file else _WAITS:
        try:
            return connect()
        except DBAPIError:
            time.sleep(wait)
    return connect()


def _in_words(error: SQLAlchemyError, database: Database) -> SluiceError:
    # SQLAlchemy's own text repeats the query and a link; the driver's names the fault.
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    if database.file is None:
        return EnvironmentFault(f"database {database.name}: {reason}; check the server and the account's rights")
    if "locked" in reason or "busy" in reason:
        return EnvironmentFault(f"{database.name}: {reason}; wait until whoever writes it is done")
    return BadInput(f"{database.name} cannot be read as an SQLite database ({reason}); restore it from a copy")

"""Opening a database that a contract names, read-only, without ever showing its credentials."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from sluice.core.addresses import HIDDEN, SOURCE_PREFIX, shown
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.variable_groups.stores import SourceVariables
from sluice.core.variable_kinds import check_login
from sluice.sources.source_files import SourceFile, check_readable, find
from sluice.sources.sqlite_files import reading_options
from sluice.sources.value_refusals import shown as named

_VARIABLE = re.compile(rf"\$\{{({SOURCE_PREFIX}[A-Z0-9_]+)\}}")
_VARIABLE_FORM = f"${{{SOURCE_PREFIX}NAME}}"
_SNAPSHOTS = ("postgresql", "mysql", "mariadb")  # whose transactions of this level read one state of the database
_WAITS = (0.5, 1.0, 2.0)  # seconds before each further try


@dataclass(frozen=True)
class Database:
    """A database of the lake.

    Attributes:
        url: With credentials: never to be shown.
        name: The file's path in the lake, or the variable that holds a server's URL: nothing of the URL itself.
        file: The file of an SQLite database.
    """

    url: sa.URL
    name: str
    file: SourceFile | None


def locate(lake: Path, address: str) -> Database:
    """Find the database at an address of the contract.

    A server's URL stands in a variable, whole: whoever may write a contract must choose neither what of this process's
    environment is read nor where its logins are sent. An SQLite file lies in the lake.

    Args:
        lake: The folder where the paths of SQLite files start.
        address: `sqlite:///path/in/the/lake.db`, or `${SLUICE_SOURCE_NAME}`.

    Raises:
        BadInput: It is of another form, the variable is not set or holds no URL, or there is no such file.
    """
    if "${" in address:
        return _server(address)
    url = _parse(address, "contract.yaml: a source's `sql`")
    if url.get_backend_name() != "sqlite":
        raise BadInput(
            f"contract.yaml: source {named(shown(address))} is a server's; put its whole URL into a variable and write "
            f"{_VARIABLE_FORM}"
        )
    files = find(lake, url.database or "")
    if not url.database or len(files) != 1:
        raise BadInput(
            f"contract.yaml: source {named(shown(address))} must name one file: sqlite:///path/in/the/lake.db"
        )
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
        BadInput: The driver is not installed or does not take the URL, the file is no SQLite database, or a query is
            refused.
        EnvironmentFault: The server cannot be reached after bounded retries, or failed; the file is locked.
    """
    with _taken(database):
        engine = sa.create_engine(database.url)
    try:
        with _taken(database):
            opened = _patiently(engine.connect, database)
        with opened as connection:
            yield connection.execution_options(**_options(database))
    except SQLAlchemyError as error:
        raise _in_words(error, database) from None
    finally:
        engine.dispose()


def _options(database: Database) -> dict[str, Any]:
    """How a connection reads: a server's rows as they come and, where it knows that, all of one moment."""
    if database.file is not None:
        return {}
    one_moment = database.url.get_backend_name() in _SNAPSHOTS
    return {"stream_results": True} | ({"isolation_level": "REPEATABLE READ"} if one_moment else {})


@contextmanager
def _taken(database: Database) -> Iterator[None]:
    """What a driver says of a URL that it does not take may quote it, so none of that is told."""
    try:
        yield
    except (NoSuchModuleError, ModuleNotFoundError):
        driver = database.url.drivername
        raise BadInput(
            f"database {database.name}: no driver for {driver!r} is installed; add it to the image"
        ) from None
    except (ArgumentError, TypeError, ValueError, LookupError):
        raise BadInput(
            f"database {database.name}: the driver does not take its URL; correct the options after `?`"
        ) from None


def _server(address: str) -> Database:
    name = (_VARIABLE.fullmatch(address) or ("", ""))[1]
    if not name:
        raise BadInput(
            f"contract.yaml: source {named(shown(address))}: a variable stands for the whole URL of a server, "
            f"and its name begins with {SOURCE_PREFIX}; write {_VARIABLE_FORM}, or sqlite:///path/in/the/lake.db"
        )
    given = SourceVariables.named(name).reveal()
    if not given:
        raise BadInput(f"contract.yaml: source {address} needs the environment variable {name}; set it")
    check_login(name, given)
    url = _parse(given, name)
    if url.get_backend_name() == "sqlite":
        raise BadInput(f"{name} names an SQLite file; write its path into contract.yaml: sqlite:///path/in/the/lake.db")
    return Database(url, address, None)


def _parse(address: str, place: str) -> sa.URL:
    try:
        return sa.make_url(address)
    except (ArgumentError, ValueError):
        raise BadInput(f"{place} is no database URL; write for example sqlite:///file.db or {_VARIABLE_FORM}") from None


def _patiently(connect: Callable[[], sa.Connection], database: Database) -> sa.Connection:
    for wait in () if database.file else _WAITS:
        try:
            return connect()
        except DBAPIError:
            time.sleep(wait)
    return connect()


def _in_words(error: SQLAlchemyError, database: Database) -> SluiceError:
    # SQLAlchemy's own text repeats the query and a link; the driver's names the fault.
    reason = _unnamed(str(getattr(error, "orig", None) or error).strip().partition("\n")[0], database)
    if database.file is None:
        return EnvironmentFault(f"database {database.name}: {reason}; check the server and the account's rights")
    if "locked" in reason or "busy" in reason:
        return EnvironmentFault(f"{database.name}: {reason}; wait until whoever writes it is done")
    return BadInput(f"{database.name} cannot be read as an SQLite database ({reason}); restore it from a copy")


def _unnamed(reason: str, database: Database) -> str:
    """A driver's words without what the variable holds: who asks, where, for what."""
    if database.file is not None:
        return reason
    url = database.url
    options = [value for values in url.normalized_query.values() for value in values]
    parts = filter(None, (url.username, url.password, url.host, url.database, *options))
    for part in sorted(parts, key=len, reverse=True):
        reason = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", HIDDEN, reason)
    return reason

"""Reaching a database that may still be starting, and keeping others out while it is changed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from sluice.core.addresses import shown
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.core.settings import settings

POLL_SECONDS = 1.0
CONNECT_SECONDS = 5
LOCK = 0x51C1  # PostgreSQL's advisory lock that a migration holds; the number only has to be the same in all of them


class Deadline:
    """A point in time that all waits of a command share."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds

    def poll(self, attempt: Callable[[], str | None], what: str) -> None:
        """Try until an attempt succeeds.

        Args:
            attempt: Gives None when what is waited for is there, else what is missing.
            what: What is waited for.

        Raises:
            EnvironmentFault: The deadline has passed; says what was waited for.
        """
        told = None
        while (missing := attempt()) is not None:
            if time.monotonic() >= self._end:
                raise EnvironmentFault(f"waited {self.seconds:.0f} s for {what}: {missing}")
            if missing != told:
                progress(f"waiting for {what}: {missing}")
                told = missing
            time.sleep(POLL_SECONDS)


def reach(uri: str, deadline: Deadline) -> Engine:
    """Wait until a database takes connections.

    Raises:
        BadInput: The URI is wrong; the database refuses the user or does not exist, which waiting does not mend.
        EnvironmentFault: It was not reached in time.
    """
    try:
        url = make_url(uri)
        postgresql = url.get_backend_name() == "postgresql"
        arguments = {"connect_timeout": CONNECT_SECONDS} if postgresql else {}
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    except (ArgumentError, ImportError) as error:
        raise BadInput(f"the database URI {shown(uri)!r} cannot be used: {error}") from None
    deadline.poll(lambda: _refusal(engine), place(url))
    return engine


def place(url: URL) -> str:
    """A database in words, without its user."""
    return f"database {url.database!r} at {url.host}:{url.port or 5432}" if url.host else f"database {url.database!r}"


@contextmanager
def alone(engine: Engine, deadline: Deadline) -> Iterator[Connection]:
    """A connection that holds the migration's lock, so that two migrations never run at once.

    PostgreSQL drops the lock with the connection, also when this process is killed. SQLite is only used by tests.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            deadline.poll(lambda: _locked(connection), f"the end of another migration of {place(engine.url)}")
        yield connection


def _locked(connection: Connection) -> str | None:
    taken = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar()
    connection.commit()  # a session's lock outlives the transaction, which must not stay open for minutes
    return None if taken else "it still runs"


def _refusal(engine: Engine) -> str | None:
    """Why the database takes no connection; None when it does."""
    try:
        with engine.connect():
            return None
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0].split("failed: ")[-1].removeprefix("FATAL:").strip()
    for words, way_out in _FINAL.items():
        if words in reason:
            user = settings().mlflow_server.database_user or "the user"
            raise BadInput(f"{place(engine.url)} refuses {user}: {reason}; {way_out}")
    return reason


_FINAL = {
    "password authentication failed": "the Secret with the database's credentials holds another password",
    "does not exist": "create it, or correct mlflow.database in the chart's values",
    "no pg_hba.conf entry": "the database does not let this user in from here",
    "server does not support SSL": "set mlflow.database.sslMode to what the database offers",
}


def mlflow_version() -> str:
    """The version of MLflow's code."""
    return version("mlflow")

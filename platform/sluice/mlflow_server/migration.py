"""Bringing MLflow's schemas and accounts up to date, and waiting until another pod has done so."""

from sqlalchemy import Connection, make_url

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.mlflow_server.accounts import keep_accounts, load_mlflow
from sluice.mlflow_server.databases import Deadline, alone, mlflow_version, place, reach
from sluice.mlflow_server.schemas import ACCOUNTS, RUNS, Schema, State
from sluice.mlflow_server.server_settings import ServerSettings


def migrate(settings: ServerSettings, seconds: float) -> None:
    """Bring both schemas to the code's revision and the accounts to the Secrets' passwords; repeating it is harmless.

    Raises:
        BadInput: A schema is newer than the code, or a database refuses the user.
        EnvironmentFault: A database could not be reached in time.
    """
    deadline = Deadline(seconds)
    load_mlflow(settings)  # takes seconds, in which the database may still be starting
    runs, auth = reach(settings.database, deadline), reach(settings.auth_database, deadline)
    with alone(runs, deadline) as first, auth.connect() as second:
        work = ((RUNS, settings.database, first), (ACCOUNTS, settings.auth_database, second))
        states = [refuse_newer(schema, uri, connection) for schema, uri, connection in work]
        second.rollback()  # what was read so far must not hold locks that a migration waits for
        first.rollback()
        if states[0] is not State.CURRENT:
            _upgrade_runs(settings.database, states[0])
        progress(f"{RUNS.name} are at revision {RUNS.head}")
        keep_accounts(settings)
        progress(f"{ACCOUNTS.name} are at revision {ACCOUNTS.head}")


def wait(settings: ServerSettings, seconds: float) -> None:
    """Wait until both schemas are at the code's revision.

    Raises:
        BadInput: A schema is newer than the code, or a database refuses the user.
        EnvironmentFault: A database was not reached or not migrated in time.
    """
    deadline = Deadline(seconds)
    for schema, uri in ((RUNS, settings.database), (ACCOUNTS, settings.auth_database)):
        engine = reach(uri, deadline)

        def missing(schema: Schema = schema, uri: str = uri) -> str | None:
            with engine.connect() as connection:  # noqa: B023 - called before the loop goes on
                state = refuse_newer(schema, uri, connection)
            return None if state is State.CURRENT else f"its schema of {schema.name} is {state.value}"

        deadline.poll(missing, f"the migration of {place(make_url(uri))}")


def refuse_newer(schema: Schema, uri: str, connection: Connection) -> State:
    """The state of a schema.

    Raises:
        BadInput: It is newer than the code: an older release cannot use it, and MLflow has no way down.
    """
    state = schema.state(connection)
    if state is State.NEWER:
        revision = schema.revision(connection)
        raise BadInput(
            f"{place(make_url(uri))} is newer than MLflow {mlflow_version()}: its schema of {schema.name} is at "
            f"revision {revision}, this code ends at {schema.head}; install the newer release again, or restore "
            "the backup taken before the upgrade"
        )
    return state


def _upgrade_runs(uri: str, state: State) -> None:
    progress(f"migrating {RUNS.name}, whose schema is {state.value}; this may take minutes on a large database")
    from mlflow.db import commands  # MLflow's own command: it also knows how to begin with an empty database

    commands(["upgrade", uri], standalone_mode=False)

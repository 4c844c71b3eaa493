"""MLflow made ready for use: where it tracks, no telemetry, no pickles, bounded retries, errors in one line.

Importing MLflow takes seconds, so it happens inside the functions.
"""

import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sluice.core.addresses import is_web_address, redacted, shown
from sluice.core.authorities import trust_in_requests
from sluice.core.environment import set_default, unset_variables
from sluice.core.errors import BadInput, TrackingFault
from sluice.core.home import HOME, home, make_home
from sluice.core.mlflow_settings import RUN_ID, check_mlflow_settings, set_login_apart, unknown_run
from sluice.core.mlflow_settings import URI as URI
from sluice.core.settings import settings
from sluice.core.variable_groups.system import SystemVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.core.variables import Variable
from sluice.registry.moved_homes import DATABASE, follow_move
from sluice.registry.registry_server import RegistryRefusal, RegistryServer
from sluice.registry.tracking_database import ensure_database

# The address of a database ends at `?`; an experiment's place is decoded once too often; KFP takes `{{` for a
# placeholder's start; text must have UTF-8.
_MISREAD = re.compile(r"\?|\{\{|%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f]|[\ud800-\udfff]")
_OURS = re.compile(r"the account \S+ may not|run gateway: ")  # what the chart's server and its gateway say themselves
_DELETED = re.compile(r"in the deleted state|must be in (?:the )?'active' state")
_PAUSES = (0.1, 0.5, 2.0)  # seconds before a write that met another one is tried again
_MET_ANOTHER = re.compile(r"IntegrityError|UNIQUE constraint|duplicate key|database is locked")
_DEFAULTS: dict[Variable[Any], str] = {
    TrackingVariables.no_telemetry: "true",
    TrackingVariables.pickles: "false",
    TrackingVariables.retries: str(TrackingVariables.retries.default),
    TrackingVariables.backoff: str(TrackingVariables.backoff.default),
    TrackingVariables.timeout: str(TrackingVariables.timeout.default),
    TrackingVariables.progress_bar: "false",
    TrackingVariables.quiet: "true",
    TrackingVariables.project_files: "false",  # else a model takes along the pyproject.toml of the working directory
    SystemVariables.git: "quiet",
}


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else SQLite in the home.

    Raises:
        BadInput: The home's path is one that MLflow takes for another.
    """
    if given := settings().tracking.uri:
        return given
    place = home()
    if misread := _MISREAD.search(str(place)):
        raise BadInput(
            f"{HOME}={str(place)!r}: with {misread[0]!r} MLflow or KFP takes it for another path; name another folder"
        )
    return f"sqlite:///{place / DATABASE}"


def tracking_exists() -> bool:
    """Whether anything can have been tracked yet: false only where the local database is still to be made."""
    return settings().tracking.is_set(TrackingVariables.uri) or (home() / DATABASE).exists()


def mlflow_module() -> Any:  # noqa: ANN401 - MLflow, imported late
    """MLflow, made quiet and pointed at `tracking_uri()`; it neither reads pickles nor reports its use.

    Raises:
        BadInput: A variable of MLflow's or SLUICE_CA_FILE is wrong, or the local database was left half-made.
        TrackingFault: The local database cannot be made.
    """
    check_mlflow_settings()
    set_login_apart()
    trust_in_requests()
    for field, value in _DEFAULTS.items():
        set_default(field.name, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    import mlflow

    _stop_guessing()
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # its import has set it to INFO
    given, uri = settings().tracking.uri, tracking_uri()
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
        if not given:  # MLflow sets the variable too; left there, it would pass for the user's wish
            unset_variables(URI)
    with tracking_faults():
        make_home()
        ensure_database(uri)
    if not given:
        follow_move(home())
    return mlflow


def ask_servers_directly() -> None:
    """From now on this process asks a registry on a server over its REST API: it has no use for the rest of MLflow.

    It knows the accounts and authorities of Sluice's variables, and none that MLflow alone knows of.
    """
    _directly.set()


_directly = threading.Event()


def registry_client() -> Any:  # noqa: ANN401 - MLflow's client, or what answers as it does
    """Whom to ask about registered models and their versions.

    Raises:
        BadInput: As `mlflow_module`.
        TrackingFault: The local database cannot be made.
    """
    address = tracking_uri()
    if not _directly.is_set() or not is_web_address(address):
        return mlflow_module().MlflowClient()
    check_mlflow_settings()
    return _server(address, os.getpid())


@lru_cache(maxsize=1)
def _server(address: str, _process: int) -> RegistryServer:
    """One for a process: it keeps its connection."""
    return RegistryServer(address)


def _stop_guessing() -> None:
    """Have MLflow record no repository: it takes that around the program's file, e.g. the one that .venv lies in.

    With it goes the address of that repository's remote, which may hold a token. Our own tags name our commit.
    """
    from mlflow.tracking.context.git_context import GitRunContext

    GitRunContext.in_context = lambda _: False


@contextmanager
def tracking_faults() -> Iterator[None]:
    """Turn MLflow's and its transports' failures into ours, naming the server.

    Raises:
        BadInput: MLFLOW_RUN_ID names no run.
        TrackingFault: The server is down (after MLflow's own bounded retries) or denies access; its database failed.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (RegistryRefusal, OSError, *_of_libraries())):  # those of requests are OSErrors
            raise
        code = getattr(error, "error_code", "")
        where = shown(tracking_uri())
        if code == "PERMISSION_DENIED" and _OURS.search(str(error)):
            raise TrackingFault(f"MLflow at {where} refuses: {redacted(_innermost(error))}") from error
        if code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
            raise TrackingFault(f"MLflow at {where} denies access; check the user and password") from error
        if refused := unknown_run(error):
            raise refused from None
        if _DELETED.search(str(error)):
            said = _innermost(error)
            raise BadInput(f"MLflow at {where}: {said}; restore it there, or name another ({RUN_ID})") from None
        if code not in ("", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
            raise
        reason = redacted(_innermost(error))
        raise TrackingFault(f"MLflow at {where} failed: {reason}; {_way_out()}") from error


def _of_libraries() -> tuple[type[Exception], ...]:
    """The errors of MLflow and SQLAlchemy, where anybody has imported them: it takes seconds, in vain otherwise."""
    names = {"mlflow.exceptions": "MlflowException", "sqlalchemy.exc": "SQLAlchemyError"}
    return tuple(getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)


def _way_out() -> str:
    if settings().tracking.uri:
        return f"check that it runs, or unset {URI}"
    return f"check the owner and mode of that file and the room on its disk, or name another folder in {HOME}"


def write_tracking(write: Callable[[], object]) -> None:
    """Write to MLflow what several runs may write at once: again where another process made the same row first.

    MLflow looks whether a row (an alias, a tag, a dataset) is there, and then makes it; what came between is an error.

    Args:
        write: Harmless when it is repeated.

    Raises:
        TrackingFault: As `tracking_faults`.
    """
    for pause in _PAUSES:
        try:
            with tracking_faults():
                write()
            return
        except Exception as error:
            known = isinstance(error, (RegistryRefusal, TrackingFault, *_of_libraries()))
            if not known or not _MET_ANOTHER.search(f"{error} {error.__cause__}"):
                raise
            time.sleep(pause)
    with tracking_faults():
        write()


def _innermost(error: BaseException) -> str:
    """The first line of the error that caused the others: `Connection refused` rather than a client's essay."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error).split("\n", 1)[0][:200]

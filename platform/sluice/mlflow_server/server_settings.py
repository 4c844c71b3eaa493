"""What MLflow's pods are told, all of it in environment variables: the chart's values and Secrets.

User and password of PostgreSQL do not stand in a URI, which errors, process lists and configuration files show: libpq
takes them from PGUSER and PGPASSWORD.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from sluice.core.addresses import shown
from sluice.core.errors import BadInput
from sluice.core.settings import check_login, choice, web_address, whole_number

DATABASE = "MLFLOW_BACKEND_STORE_URI"
AUTH_DATABASE = "SLUICE_MLFLOW_AUTH_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"
ADMIN = ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD")
STEPS = ("SLUICE_MLFLOW_STEPS_USERNAME", "SLUICE_MLFLOW_STEPS_PASSWORD")
REGISTER = ("SLUICE_MLFLOW_REGISTER_USERNAME", "SLUICE_MLFLOW_REGISTER_PASSWORD")
DIRECT = "SLUICE_MLFLOW_DIRECT_TRANSFERS"
TRANSFERS = "SLUICE_MLFLOW_TRANSFERS_URL"
PERMISSION = "SLUICE_MLFLOW_DEFAULT_PERMISSION"
PERMISSIONS = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"  # noqa: S105 - a variable's name
CERTIFICATE = ("SLUICE_MLFLOW_CERTIFICATE", "SLUICE_MLFLOW_CERTIFICATE_KEY")
MOST_WORKERS = 64
PASSWORD_CHARACTERS = 12  # MLflow takes no shorter one


@dataclass(frozen=True)
class MlflowAccount:
    """A user of MLflow and what it logs in with."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class ServerSettings:
    """MLflow's server and its databases.

    Attributes:
        database: SQLAlchemy's URI of runs and registry, without a password.
        auth_database: That of accounts and permissions; may be the same.
        admin: The account that may do everything.
        steps: The account of the steps' pods; None where they use another one, and for the server, which is told their
            names alone.
        register: That of the step which registers; the same.
        default_permission: What every account may do with what it was given no permission on.
        artifacts: Where the server keeps artifacts, e.g. `s3://mlflow`.
        port: What the server listens on.
        workers: Processes that answer; each takes about 190 MiB.
        folder: A writable folder for the server's own files.
        certificate: Files with the server's certificate and its key, in PEM; None where it speaks http.
    """

    database: str
    auth_database: str
    admin: MlflowAccount
    steps: MlflowAccount | None
    register: MlflowAccount | None
    default_permission: str
    artifacts: str
    port: int
    workers: int
    folder: Path
    certificate: tuple[Path, Path] | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServerSettings":
        """Read all settings; those of another command too, so that a wrong one shows at the first pod.

        Raises:
            BadInput: A variable is missing or wrong.
        """
        database = _database(environment, DATABASE)
        admin, steps, register = _accounts(environment)
        permission = choice(PERMISSION, PERMISSIONS, "READ", environment)
        choice(DIRECT, ("true", "false"), "false", environment)  # read where the application is made, as the next
        web_address(TRANSFERS)
        return cls(
            database=database,
            auth_database=_database(environment, AUTH_DATABASE) if environment.get(AUTH_DATABASE) else database,
            admin=admin,
            steps=steps,
            register=register,
            default_permission=permission,
            artifacts=_required(environment, ARTIFACTS),
            port=whole_number("SLUICE_MLFLOW_PORT", 5000, 1, 65535, environment),
            workers=whole_number("SLUICE_MLFLOW_WORKERS", 1, 1, MOST_WORKERS, environment),
            folder=Path(environment.get("SLUICE_MLFLOW_FOLDER") or "/tmp"),  # noqa: S108 - an emptyDir in the pod
            certificate=_certificate(environment),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise BadInput(f"{name} is not set; the chart sets it in MLflow's pods")
    return value


def _certificate(environment: Mapping[str, str]) -> tuple[Path, Path] | None:
    certificate, key = (environment.get(name) for name in CERTIFICATE)
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise BadInput(f"{' and '.join(CERTIFICATE)} belong together: set both, or neither for http")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # an ssl.SSLError is one, too
        foreign = isinstance(error, ssl.SSLError)
        why = "no certificate in PEM, or another one's key" if foreign else str(error.strerror)
        said = f"{CERTIFICATE[0]}={certificate!r} with the file that {CERTIFICATE[1]} names: {why}"
        raise BadInput(f"{said}; correct the Secret of MLflow's certificate") from None
    return Path(certificate), Path(key)


def _database(environment: Mapping[str, str], name: str) -> str:
    value = _required(environment, name)
    check_login(name, value)
    try:
        make_url(value).get_backend_name()
    except (ArgumentError, ValueError):
        said = f"{name}={shown(value)!r} is no URI of a database"
        raise BadInput(f"{said}; write one like postgresql://host:5432/mlflow") from None
    return value


def _accounts(environment: Mapping[str, str]) -> tuple[MlflowAccount, MlflowAccount | None, MlflowAccount | None]:
    """The administrator's, and the steps' where there is a password: those three names differ."""
    owner: dict[str, str] = {}
    found = []
    for names in (ADMIN, STEPS, REGISTER):
        name = environment.get(names[0]) or ""
        if other := owner.get(name):
            raise BadInput(
                f"{names[0]} and {other} are both {name!r}; steps need an account of their own, "
                "and the step that registers another one"
            )
        if name:
            owner[name] = names[0]
        given = names is ADMIN or names[1] in environment
        found.append(_account(environment, *names) if given else None)
    admin, steps, register = found
    assert admin  # noqa: S101 - it is always read
    return admin, steps, register


def _account(environment: Mapping[str, str], username: str, password: str) -> MlflowAccount:
    account = MlflowAccount(_required(environment, username), _required(environment, password))
    if len(account.password) < PASSWORD_CHARACTERS:
        raise BadInput(f"{password} has {len(account.password)} characters; MLflow wants {PASSWORD_CHARACTERS} or more")
    return account

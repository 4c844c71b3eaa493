"""What MLflow's pods are told, all of it in environment variables: the chart's values and Secrets.

User and password of PostgreSQL do not stand in a URI, which errors, process lists and configuration files show: libpq
takes them from PGUSER and PGPASSWORD.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from sluice.core.addresses import shown
from sluice.core.errors import BadInput
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.core.variable_kinds import check_login
from sluice.core.variables import Secret, Variable

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
        serving: That of model servers and monitors, which read; the same.
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
    serving: MlflowAccount | None
    default_permission: str
    artifacts: str
    port: int
    workers: int
    folder: Path
    certificate: tuple[Path, Path] | None

    @classmethod
    def of(cls, given: MlflowServerVariables) -> "ServerSettings":
        """Read all settings; those of another command too, so that a wrong one shows at the first pod.

        Raises:
            BadInput: A variable is missing or wrong.
        """
        database = _database(MlflowServerVariables.database, given.database)
        other = MlflowServerVariables.auth_database
        admin, others = _accounts(given)
        steps, register, serving = others
        permission = given.permission
        for later in (MlflowServerVariables.direct, MlflowServerVariables.transfers):
            given.value(later)  # used where the application is made
        return cls(
            database=database,
            auth_database=_database(other, given.auth_database) if given.auth_database else database,
            admin=admin,
            steps=steps,
            register=register,
            serving=serving,
            default_permission=permission,
            artifacts=_required(MlflowServerVariables.artifacts, given.artifacts),
            port=given.port,
            workers=given.workers,
            folder=given.folder,
            certificate=_certificate(given),
        )


def _required(field: Variable[str] | Variable[Secret], value: str) -> str:
    if not value:
        raise BadInput(f"{field} is not set; the chart sets it in MLflow's pods")
    return value


def _certificate(given: MlflowServerVariables) -> tuple[Path, Path] | None:
    certificate, key = given.certificate, given.certificate_key
    names = (MlflowServerVariables.certificate.name, MlflowServerVariables.certificate_key.name)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise BadInput(f"{' and '.join(names)} belong together: set both, or neither for http")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # an ssl.SSLError is one, too
        foreign = isinstance(error, ssl.SSLError)
        why = "no certificate in PEM, or another one's key" if foreign else str(error.strerror)
        said = f"{names[0]}={str(certificate)!r} with the file that {names[1]} names: {why}"
        raise BadInput(f"{said}; correct the Secret of MLflow's certificate") from None
    return certificate, key


def _database(field: Variable[str], given: str) -> str:
    value = _required(field, given)
    check_login(field.name, value)
    try:
        make_url(value).get_backend_name()
    except (ArgumentError, ValueError):
        said = f"{field}={shown(value)!r} is no URI of a database"
        raise BadInput(f"{said}; write one like postgresql://host:5432/mlflow") from None
    return value


def _accounts(given: MlflowServerVariables) -> tuple[MlflowAccount, list[MlflowAccount | None]]:
    """The administrator's, and the steps', the register step's and the servers' where there is a password."""
    kind = MlflowServerVariables
    pairs = (
        (kind.admin, kind.admin_password),
        (kind.steps, kind.steps_password),
        (kind.register, kind.register_password),
        (kind.serving, kind.serving_password),
    )
    owner: dict[str, str] = {}
    found = []
    for username, password in pairs:
        name = given.value(username)
        if other := owner.get(name):
            raise BadInput(
                f"{username} and {other} are both {name!r}; steps need an account of their own, "
                "and the step that registers and model servers others"
            )
        if name:
            owner[name] = username.name
        told = username is kind.admin or given.is_there(password)
        found.append(_account(given, username, password) if told else None)
    admin, *others = found
    assert admin  # noqa: S101 - it is always read
    return admin, others


def _account(given: MlflowServerVariables, username: Variable[str], password: Variable[Secret]) -> MlflowAccount:
    name = _required(username, given.value(username))
    account = MlflowAccount(name, _required(password, given.value(password).reveal()))
    if len(account.password) < PASSWORD_CHARACTERS:
        raise BadInput(f"{password} has {len(account.password)} characters; MLflow wants {PASSWORD_CHARACTERS} or more")
    return account

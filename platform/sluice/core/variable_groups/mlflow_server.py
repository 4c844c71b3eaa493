"""The variables of MLflow's server, as the chart sets them in its pods."""

from pathlib import Path

from sluice.core.variable_kinds import folder_or_file, one_of, secret, text, web, whole
from sluice.core.variables import SetBy, Told, Variable, VariableGroup

_PERMISSIONS = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
_MOST_WORKERS = 64
_SERVER = SetBy.SERVER


class MlflowServerVariables(VariableGroup):
    """MLflow's server, its databases and its accounts.

    User and password of PostgreSQL do not stand in a URI, which errors, process lists and configuration files show:
    libpq takes them from PGUSER and PGPASSWORD.
    """

    database = text(
        "MLFLOW_BACKEND_STORE_URI",
        meaning="The databases of runs and registry, and of accounts (default: the same), as SQLAlchemy's URI without "
        "a password.",
        by=_SERVER,
    )
    auth_database = text("SLUICE_MLFLOW_AUTH_STORE_URI", by=_SERVER)
    database_user = text(
        "PGUSER",
        meaning="PostgreSQL's own: user and password for them, and what its certificate must be like.",
        by=_SERVER,
    )
    database_password = secret("PGPASSWORD", by=_SERVER)
    database_tls = text("PGSSLMODE", by=_SERVER)
    database_authority = text("PGSSLROOTCERT", by=_SERVER)
    artifacts = text(
        "MLFLOW_ARTIFACTS_DESTINATION", meaning="Where the server keeps artifacts, e.g. `s3://mlflow`.", by=_SERVER
    )
    store = text(
        "MLFLOW_S3_ENDPOINT_URL",
        meaning="MLflow's own: the object store; the names it may be called by, and the pages of other hosts that may "
        "call it.",
        by=_SERVER,
    )
    hosts = text("MLFLOW_SERVER_ALLOWED_HOSTS", by=_SERVER)
    origins = text("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", by=_SERVER)
    admin = text("MLFLOW_AUTH_ADMIN_USERNAME", meaning="The account that may do everything.", by=_SERVER)
    admin_password = secret("MLFLOW_AUTH_ADMIN_PASSWORD", by=_SERVER)
    steps = text(
        "SLUICE_MLFLOW_STEPS_USERNAME",
        meaning="The account of the steps' pods; without it they use another one. The server is told the name alone, "
        "to limit it.",
        by=_SERVER,
    )
    steps_password = secret("SLUICE_MLFLOW_STEPS_PASSWORD", by=_SERVER)
    register = text(
        "SLUICE_MLFLOW_REGISTER_USERNAME", meaning="The same of the step that registers models.", by=_SERVER
    )
    register_password = secret("SLUICE_MLFLOW_REGISTER_PASSWORD", by=_SERVER)
    serving = text(
        "SLUICE_MLFLOW_SERVING_USERNAME",
        meaning="The same of model servers and monitors, which read; without it they use the steps'.",
        by=_SERVER,
    )
    serving_password = secret("SLUICE_MLFLOW_SERVING_PASSWORD", by=_SERVER)
    certificate = folder_or_file(
        "SLUICE_MLFLOW_CERTIFICATE",
        meaning="Files with the server's certificate and its key, in PEM; without them it speaks http.",
        by=_SERVER,
    )
    certificate_key = folder_or_file("SLUICE_MLFLOW_CERTIFICATE_KEY", by=_SERVER)
    permission = one_of(
        "SLUICE_MLFLOW_DEFAULT_PERMISSION",
        offered=_PERMISSIONS,
        default="READ",
        meaning="What every account may do with what it was given no permission on (`READ`).",
        by=_SERVER,
    )
    session_key = secret("MLFLOW_FLASK_SERVER_SECRET_KEY", meaning="Signs the server's sessions.", by=_SERVER)
    port = whole(
        "SLUICE_MLFLOW_PORT",
        least=1,
        most=65535,
        default=5000,
        meaning="What it listens on (5000), how many processes answer (1), and a writable folder for its own files.",
        by=_SERVER,
    )
    workers = whole("SLUICE_MLFLOW_WORKERS", least=1, most=_MOST_WORKERS, default=1, by=_SERVER)
    folder = Variable(
        "SLUICE_MLFLOW_FOLDER",
        read=lambda _, given: Path(given),
        default=Path("/tmp"),  # noqa: S108 - an emptyDir in the pod
        told=Told(by=_SERVER),
    )
    configuration = text(
        "MLFLOW_AUTH_CONFIG_PATH", meaning="Set for MLflow by Sluice's start of the server.", by=_SERVER
    )
    jobs = text("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", by=_SERVER)
    direct = one_of(
        "SLUICE_MLFLOW_DIRECT_TRANSFERS",
        offered=("true", "false"),
        default="false",
        meaning="Whether clients send and fetch large artifacts straight from the object store.",
        by=_SERVER,
    )
    transfers = web(
        "SLUICE_MLFLOW_TRANSFERS_URL",
        meaning="The object store as steps reach it, through the runs' gateway: addresses are signed for it.",
        by=_SERVER,
    )
    ai_gateway = text("MLFLOW_ENABLE_AI_GATEWAY", meaning="Off: Sluice has no use for MLflow's gateway.", by=_SERVER)

"""MLflow's web application with accounts, and an answer to "can you serve?" that is true.

MLflow's own /health says OK whatever happens to its database; the pod then takes requests that can only fail.
"""

import time
from typing import Any

from sqlalchemy import Engine, create_engine, literal, select, table
from sqlalchemy.exc import SQLAlchemyError

from sluice.core.settings import settings
from sluice.mlflow_server.limits import Limits
from sluice.mlflow_server.ownership import Kept
from sluice.mlflow_server.schemas import RUNS

READY = "/health/database"  # MLflow asks for no account under /health
SECONDS = 3  # less than a probe's timeout


def create_app() -> Any:  # noqa: ANN401 - a FastAPI application, untyped in MLflow
    """The application that uvicorn serves."""
    from mlflow.server import app
    from mlflow.server.auth import create_app as with_accounts

    given = settings().mlflow_server
    engine = _engine(given.database)
    app.add_url_rule(READY, "database", lambda: readiness(engine))
    if given.direct != "true":
        keep_transfers_here()
    if endpoint := given.transfers:
        sign_for(endpoint)
    whole = with_accounts(app)
    kept = Kept(_store, time.monotonic)
    if not (given.steps and given.register):
        return whole
    return Limits(whole, {given.steps: "steps", given.register: "register", given.serving: "serving"}, _is_ready, kept)


def _store() -> Any:  # noqa: ANN401 - MLflow's tracking store
    from mlflow.server.handlers import _get_tracking_store

    return _get_tracking_store()


def _is_ready(model: str) -> bool:
    """Whether a logged model of that id is there and READY."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException

    try:
        return bool(_store().get_logged_model(model).status == LoggedModelStatus.READY)
    except MlflowException:
        return False


def keep_transfers_here() -> None:
    """Tell clients that artifacts go through this server.

    Else MLflow offers addresses of the object store to everybody, and a client that cannot reach it, such as one
    outside the cluster, waits two minutes and gives up. Steps can; their environment tells them to use such addresses.
    """
    from mlflow.server import server_info_api
    from mlflow.utils import server_info

    told = server_info_api.build_server_info_payload
    own = {server_info.SERVER_INFO_MULTIPART_UPLOADS_ENABLED: False}
    own[server_info.SERVER_INFO_MULTIPART_DOWNLOADS_ENABLED] = False
    server_info_api.build_server_info_payload = lambda: told() | own


def sign_for(endpoint: str) -> None:
    """Sign addresses of artifacts for where clients reach the object store, which is not where this server does.

    The host is a part of what is signed. Steps come through the gateway of runs' pods; this server goes past it.

    Args:
        endpoint: Such as http://run-gateway.sluice.svc.cluster.local:9000.
    """
    from mlflow.store.artifact import s3_artifact_repo
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    own = S3ArtifactRepository._get_s3_client

    def client(repository: S3ArtifactRepository) -> Any:  # noqa: ANN401 - boto3's
        found = own(repository)
        signing = s3_artifact_repo._get_s3_client(s3_endpoint_url=endpoint)
        found.generate_presigned_url = signing.generate_presigned_url
        return found

    S3ArtifactRepository._get_s3_client = client


def readiness(engine: Engine) -> tuple[str, int]:
    """An HTTP answer: 200 when the database answers and holds MLflow's tables, else 503. More is nobody's business.

    A database on an emptyDir that was restarted answers, but is empty.
    """
    try:
        with engine.connect() as connection:
            connection.execute(select(literal(1)).select_from(table(RUNS.version_table)))
    except SQLAlchemyError:
        return "the database does not answer, or holds no tables of MLflow's", 503
    return "OK", 200


def _engine(uri: str) -> Engine:
    """One connection, kept: a new one each time would start a process of PostgreSQL."""
    if not uri.startswith("postgresql"):
        return create_engine(uri)
    limits = {"connect_timeout": SECONDS, "options": f"-c statement_timeout={SECONDS * 1000}"}
    return create_engine(
        uri, pool_size=1, max_overflow=0, pool_timeout=SECONDS, pool_pre_ping=True, connect_args=limits
    )

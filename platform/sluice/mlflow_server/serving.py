"""Starting MLflow's server: with accounts, artifacts through it, no pickles, no jobs, no telemetry.

`mlflow server` would stay as a parent that does nothing but hold 190 MiB, as much as the worker itself. So uvicorn is
started directly, with what that command tells its workers; the tests hold the variables to MLflow's own constants.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from sluice.core.environment import variables
from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.mlflow_server.server_settings import ServerSettings

CONFIG_PATH = MlflowServerVariables.configuration.name
AUTH_CACHE_SECONDS = 60  # else each request costs a password hash; so long an old password may still work
GRACE_SECONDS = 20  # for requests in flight when the pod ends


def serve(settings: ServerSettings) -> NoReturn:
    """Turn this process into the server.

    Raises:
        BadInput: The key that signs sessions is missing.
    """
    if not MlflowServerVariables.now().session_key:
        raise BadInput(
            f"{MlflowServerVariables.session_key} is not set; it signs sessions and must be the same in all pods"
        )
    environment = {**variables(), **server_environment(settings), CONFIG_PATH: str(write_configuration(settings))}
    command = [sys.executable, "-P", "-m", "uvicorn", "--factory", "sluice.mlflow_server.app:create_app"]
    command += ["--no-access-log", "--workers", str(settings.workers)]
    command += ["--host", "0.0.0.0", "--port", str(settings.port)]  # noqa: S104 - in a pod
    command += ["--timeout-graceful-shutdown", str(GRACE_SECONDS)]
    if settings.certificate:
        certificate, key = settings.certificate
        command += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter


def server_environment(settings: ServerSettings) -> Mapping[str, str]:
    """What `mlflow server` with the same options tells its workers, and what must hold in any case."""
    return {
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_FILE_STORE": settings.database,
        "_MLFLOW_SERVER_REGISTRY_STORE": settings.database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": settings.artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        MlflowServerVariables.jobs.name: "false",
        TrackingVariables.pickles.name: "false",
        MlflowServerVariables.ai_gateway.name: "false",  # it keeps keys of other services, and calls them
        TrackingVariables.no_telemetry.name: "true",
    }


def write_configuration(settings: ServerSettings) -> Path:
    """Write MLflow's file on accounts; passwords stay in the environment.

    Returns:
        Its path.

    Raises:
        BadInput: SLUICE_MLFLOW_FOLDER is no folder.
        EnvironmentFault: It cannot be written to.
    """
    configuration = configparser.ConfigParser(interpolation=None)
    configuration["mlflow"] = {
        "default_permission": settings.default_permission,
        "database_uri": settings.auth_database,
        "admin_username": settings.admin.username,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": str(AUTH_CACHE_SECONDS),
    }
    path = settings.folder / "basic_auth.ini"
    with faults(f"{MlflowServerVariables.folder}={str(settings.folder)!r}"), path.open("w", encoding="utf-8") as file:
        configuration.write(file)
    return path

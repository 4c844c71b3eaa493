"""MLflow's own environment variables, checked before MLflow meets them: it raises on some, takes others for no."""

import re

from sluice.core.addresses import is_web_address, shown, without_login
from sluice.core.environment import set_variables, variable
from sluice.core.errors import BadInput
from sluice.core.settings import check_login, choice, whole_number

URI, RUN_ID = "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
EXPERIMENT_ID, EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"
SWITCHES = (
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
    "MLFLOW_UV_AUTO_DETECT",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD",
)
# Variable, default, least, most: the bounds are MLflow's own (mlflow.utils.rest_utils), of the timeout a day.
NUMBERS = (
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", 3, 0, 10),
    ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 1, 0, 120),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", 20, 1, 86_400),
)
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ELSEWHERE = ("databricks", "databricks-uc", "uc")
_NAME_CHARACTERS = 500
_NO_RUN = re.compile(r"Run with id=(\S+) not found")


def check_mlflow_settings() -> None:
    """Read all of them once.

    Raises:
        BadInput: One is wrong; the message names it.
    """
    _check_address(variable(URI))
    for name in SWITCHES:
        given = variable(name)
        if given:
            choice(name, ("true", "false", "1", "0"), "true", {name: given.lower()})
    for number in NUMBERS:
        whole_number(*number)
    given = variable(EXPERIMENT_ID) or "0"
    if not (given.isascii() and given.isdecimal()):
        raise BadInput(
            f"{EXPERIMENT_ID}={given!r}: MLflow has no such experiment, its ids are numbers; correct or unset it"
        )
    if len(variable(EXPERIMENT_NAME)) > _NAME_CHARACTERS:
        raise BadInput(f"{EXPERIMENT_NAME} has more than {_NAME_CHARACTERS} characters; shorten it")


def set_login_apart() -> None:
    """Take the login out of a server's address into the variables that are meant for it: MLflow's errors quote that.

    A login that stands in those variables already wins, as it does in MLflow.
    """
    address, login = without_login(variable(URI))
    if login and is_web_address(address):
        set_variables({URI: address})
        if not any(variable(name) for name in (*LOGIN, "MLFLOW_TRACKING_TOKEN")):
            set_variables(dict(zip(LOGIN, login, strict=True)))


def unknown_run(error: Exception) -> BadInput | None:
    """The refusal of MLFLOW_RUN_ID where MLflow said that there is no such run; None for any other error.

    MLflow itself takes the variable out of the environment before it looks the run up.
    """
    found = _NO_RUN.search(str(error)) if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST" else None
    return BadInput(f"{RUN_ID}: MLflow has no run {found[1]!r}; correct or unset it") if found else None


def _check_address(given: str) -> None:
    scheme, separator, _ = given.partition("://")
    check_login(URI, given)
    if not given or given in _ELSEWHERE or scheme in _ELSEWHERE:
        return
    if scheme in ("http", "https") and is_web_address(given):
        return
    if separator and scheme.partition("+")[0] in _DATABASES:
        from sqlalchemy import make_url  # a tenth of a second that most steps need not pay
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(given).get_dialect().import_dbapi()
            return
        except ImportError as error:
            raise BadInput(
                f"{URI}: no driver for {scheme} is installed ({error}); install it, or point {URI} at a server"
            ) from None
        except (ArgumentError, ValueError):
            pass
    said = f"{URI}={shown(given)!r} is neither a server nor a database"
    raise BadInput(f"{said}; write it like https://host, http://host:port or sqlite:////folder/mlflow.db")

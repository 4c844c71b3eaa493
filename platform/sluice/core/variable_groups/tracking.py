"""MLflow's own variables, for its client; most are read by MLflow, and checked before it meets them.

It raises on some wrong values, and takes others for no.
"""

from sluice.core.addresses import is_web_address, shown
from sluice.core.errors import BadInput
from sluice.core.variable_kinds import check_login, choice, secret, text, whole
from sluice.core.variables import SetBy, Told, Variable, VariableGroup

_SLUICE = SetBy.SLUICE
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ELSEWHERE = ("databricks", "databricks-uc", "uc")
_NAME_CHARACTERS = 500


def _uri(name: str, given: str) -> str:
    scheme, separator, _ = given.partition("://")
    check_login(name, given)
    if given in _ELSEWHERE or scheme in _ELSEWHERE:
        return given
    if scheme in ("http", "https") and is_web_address(given):
        return given
    if separator and scheme.partition("+")[0] in _DATABASES:
        from sqlalchemy import make_url  # a tenth of a second that most steps need not pay
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(given).get_dialect().import_dbapi()
        except ImportError as error:
            raise BadInput(
                f"{name}: no driver for {scheme} is installed ({error}); install it, or point {name} at a server"
            ) from None
        except (ArgumentError, ValueError):
            pass
        else:
            return given
    said = f"{name}={shown(given)!r} is neither a server nor a database"
    raise BadInput(f"{said}; write it like https://host, http://host:port or sqlite:////folder/mlflow.db")


def _number_of_experiment(name: str, given: str) -> str:
    if not (given.isascii() and given.isdecimal()):
        raise BadInput(f"{name}={given!r}: MLflow has no such experiment, its ids are numbers; correct or unset it")
    return given


def _name_of_experiment(name: str, given: str) -> str:
    if len(given) > _NAME_CHARACTERS:
        raise BadInput(f"{name} has more than {_NAME_CHARACTERS} characters; shorten it")
    return given


def _switch(name: str, meaning: str = "") -> Variable[str]:
    def read(name: str, given: str) -> str:
        return choice(name, given.lower(), ("true", "false", "1", "0"))

    return Variable(name, read=read, default="", told=Told(meaning, by=_SLUICE))


def _number(name: str, default: int, least: int, most: int, meaning: str = "") -> Variable[int]:
    return whole(name, least=least, most=most, default=default, meaning=meaning, by=_SLUICE)


class TrackingVariables(VariableGroup):
    """Where runs and registered models are, and how MLflow's client behaves."""

    uri = Variable(
        "MLFLOW_TRACKING_URI",
        read=_uri,
        default="",
        told=Told("A tracking server, instead of SQLite in the home.", "`sqlite:///…/mlflow.db`"),
    )
    username = text(
        "MLFLOW_TRACKING_USERNAME",
        meaning="Credentials for it. A user and password in its address do the same where none of them is set.",
    )
    password = secret("MLFLOW_TRACKING_PASSWORD")
    token = secret("MLFLOW_TRACKING_TOKEN")
    experiment_id = Variable(
        "MLFLOW_EXPERIMENT_ID",
        read=_number_of_experiment,
        default="",
        told=Told("The experiment of new runs.", "named after the pipeline"),
    )
    experiment_name = Variable("MLFLOW_EXPERIMENT_NAME", read=_name_of_experiment, default="", told=Told())
    run = text(
        "MLFLOW_RUN_ID",
        meaning="Continue this run instead of starting one, under the name that it has; KFP's MLflow plugin sets it.",
    )
    registry = text(
        "MLFLOW_REGISTRY_URI",
        meaning="MLflow's own: `sluice step` has it name the server whose registry is read, while runs are written to "
        "a database of its own.",
        by=_SLUICE,
    )
    no_telemetry = _switch(
        "MLFLOW_DISABLE_TELEMETRY",
        "MLflow neither reports its use, nor reads pickles, nor takes project files along, nor prints over the "
        "progress.",
    )
    pickles = _switch("MLFLOW_ALLOW_PICKLE_DESERIALIZATION")
    project_files = _switch("MLFLOW_UV_AUTO_DETECT")
    progress_bar = _switch("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    quiet = _switch("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
    direct_upload = _switch(
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD",
        "In pods large artifacts of MLflow go straight to the object store; from outside the cluster they cannot.",
    )
    direct_download = _switch("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD")
    # The bounds are MLflow's own (mlflow.utils.rest_utils), of the timeout a day.
    retries = _number(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        3,
        0,
        10,
        "Bounds on waiting for a tracking server: three retries, twenty seconds each; set your own to change them.",
    )
    backoff = _number("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 1, 0, 120)
    timeout = _number("MLFLOW_HTTP_REQUEST_TIMEOUT", 20, 1, 86_400)

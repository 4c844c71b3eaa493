"""MLflow's own environment variables, checked before MLflow meets them: it raises on some, takes others for no."""

import re

from sluice.core.addresses import is_web_address, without_login
from sluice.core.environment import set_variables
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.tracking import TrackingVariables

URI, RUN_ID = TrackingVariables.uri.name, TrackingVariables.run.name
_NO_RUN = re.compile(r"Run with id=(\S+) not found")


def check_mlflow_settings() -> None:
    """Read all of them once.

    Raises:
        BadInput: One is wrong; the message names it.
    """
    tracking = settings().tracking
    for field in TrackingVariables.fields():
        tracking.value(field)


def set_login_apart() -> None:
    """Take the login out of a server's address into the variables that are meant for it: MLflow's errors quote that.

    A login that stands in those variables already wins, as it does in MLflow.
    """
    tracking = settings().tracking
    address, login = without_login(tracking.uri)
    if login and is_web_address(address):
        set_variables({URI: address})
        if not (tracking.username or tracking.password or tracking.token):
            names = (TrackingVariables.username.name, TrackingVariables.password.name)
            set_variables(dict(zip(names, login, strict=True)))


def unknown_run(error: Exception) -> BadInput | None:
    """The refusal of MLFLOW_RUN_ID where MLflow said that there is no such run; None for any other error.

    MLflow itself takes the variable out of the environment before it looks the run up.
    """
    found = _NO_RUN.search(str(error)) if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST" else None
    return BadInput(f"{RUN_ID}: MLflow has no run {found[1]!r}; correct or unset it") if found else None

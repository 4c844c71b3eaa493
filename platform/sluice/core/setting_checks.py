"""The settings that any run or step may need, read once before its work begins: a wrong one must not wait for hours.

What only some commands read, such as a cluster's address, they read when they start.
"""

import os
import tempfile
from pathlib import Path

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.mlflow_settings import check_mlflow_settings
from sluice.core.settings import settings
from sluice.core.variable_groups.system import SystemVariables


def check_settings() -> None:
    """Read them.

    Raises:
        BadInput: One is wrong; the message names it.
        EnvironmentFault: No folder for temporary files can be written to.
    """
    check_scratch()
    settings().engine.memory  # noqa: B018 - read to be checked
    check_mlflow_settings()


def check_scratch() -> None:
    """See that there is a folder for temporary files; Python passes over a TMPDIR that is none without a word."""
    system = settings().system
    place, name = system.scratch, system.name_of(SystemVariables.scratch)
    if place and not (Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise BadInput(f"{name}={place!r} is no folder that can be written to; make it, name another, or unset {name}")
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise EnvironmentFault(f"{error.strerror}; name a folder in {SystemVariables.scratch}") from None

"""Who runs this process, by name: also where the system has none for the number, as in a pod of OpenShift."""

import getpass
import os

from sluice.core.environment import set_variables
from sluice.core.variable_groups.system import SystemVariables

_VARIABLE = SystemVariables.user.name  # what Python's getpass asks first


def user_name() -> str:
    """The user's name, or `uid-N` where the number N has none.

    The name is then left in LOGNAME, as a login would: MLflow and torch ask Python for a user too, and not all of them
    expect that there is none.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        name = f"uid-{os.getuid()}"
        set_variables({_VARIABLE: name})
        return name

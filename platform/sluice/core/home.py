"""The folder of everything that Sluice keeps on this machine."""

from pathlib import Path

from sluice.core.files import check_folder, faults
from sluice.core.variable_groups.run import RunVariables

HOME = RunVariables.home.name


def home() -> Path:
    """The folder of everything that Sluice keeps on this machine: SLUICE_HOME, else `.sluice` here.

    Raises:
        BadInput: A file stands in its place.
    """
    return check_folder(HOME, RunVariables.now().home.absolute())


def make_home() -> Path:
    """The home, made where it is not there yet.

    Raises:
        BadInput: A file stands in its place.
        EnvironmentFault: The disk is full, read-only or denies access.
    """
    place = home()
    with faults(f"{HOME}={str(place)!r}"):
        place.mkdir(parents=True, exist_ok=True)
    return place

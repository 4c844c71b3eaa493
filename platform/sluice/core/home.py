"""The folder of everything that Sluice keeps on this machine."""

from pathlib import Path

from sluice.core.environment import variable
from sluice.core.files import check_folder, faults

HOME = "SLUICE_HOME"


def home() -> Path:
    """The folder of everything that Sluice keeps on this machine: SLUICE_HOME, else `.sluice` here.

    Raises:
        BadInput: A file stands in its place.
    """
    return check_folder(HOME, Path(variable(HOME) or ".sluice").absolute())


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

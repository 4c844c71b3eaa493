"""The packages that a project's code needs where Sluice is not installed: what it imports, and what it brings along."""

import importlib.metadata

from packaging.markers import default_environment
from packaging.utils import canonicalize_name

from sluice.project.archive import LOCK, Archive
from sluice.project.imports import OURS, STANDARD, Modules, imports
from sluice.project.packages import read_lock


def code_requirements(archive: Archive) -> dict[str, str]:
    """The versions of the packages that an archive's code imports, as they are installed here, by canonical name.

    Args:
        archive: A project's code, with the lock of its own packages where it has some.

    Raises:
        BadInput: A file of it is no Python, or its lock is none.
    """
    modules, found = Modules(archive.files.__contains__), {}
    machine = {name: str(value) for name, value in default_environment().items()}
    if LOCK in archive.files:
        found = {
            str(pin.name): str(pin.version) for pin in read_lock(archive.files[LOCK], LOCK) if pin.applies(machine)
        }
    owners = importlib.metadata.packages_distributions()
    for file in sorted(name for name in archive.files if name.endswith(".py")):
        for wanted in imports(archive.files[file], file):
            top = wanted.module.partition(".")[0]
            if wanted.level or top in STANDARD or top == OURS or modules.find(wanted, file):
                continue
            for owner in owners.get(top, ())[:1]:
                found.setdefault(canonicalize_name(owner), importlib.metadata.version(owner))
    return dict(sorted(found.items()))

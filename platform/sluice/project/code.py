"""Opening a project's code: from a store, by its verified archive, or straight from the project's folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from sluice.core.digests import sha256_bytes
from sluice.project.archive import LOCK
from sluice.project.code_modules import PREFIX as PREFIX
from sluice.project.code_modules import Blame as Blame
from sluice.project.code_modules import ProjectCode as ProjectCode
from sluice.project.code_store import fetch, store_of
from sluice.project.package_supply import supply_by
from sluice.project.unpacking import laid_out

_opened: dict[str, ProjectCode] = {}


def open_code(address: str, *, cache: Path | None = None) -> ProjectCode:
    """Fetch a project's code and lay it out, once a process; its SHA-256 is checked before anything is read from it.

    The packages that it brings along are put at the end of Python's path.

    Args:
        address: `code/<sha256>.zip`, a key of the default store, or the same behind a store's own address.
        cache: Where unpacked folders are kept; see `unpacking.laid_out`.

    Raises:
        BadInput: It is not there, is another one, or was not packed by Sluice.
        EnvironmentFault: The store or the disk failed.
    """
    archive = fetch(address)
    if archive.digest not in _opened:
        if LOCK in archive.files:
            from sluice.project.packages import add_packages

            add_packages(archive.files[LOCK], store_of(address), cache)
        _opened[archive.digest] = ProjectCode(archive, laid_out(archive, cache))
    return _opened[archive.digest]


def add_packages_from_store(lock: bytes) -> None:
    """Put the packages of a lock, as an archive holds it, at the end of Python's path; from the default store.

    Raises:
        BadInput: A package is not in the store, or not as the lock says.
        EnvironmentFault: The store failed.
    """
    from sluice.project.packages import add_packages
    from sluice.storage.locations import default_store

    add_packages(lock, default_store())


supply_by(add_packages_from_store)


def code_of_folder(folder: Path, references: Sequence[str], extra_files: Sequence[str] = ()) -> ProjectCode:
    """The same code straight from a project's folder, for checks and debuggers: the files are the user's own.

    Its digest is that of the archive which a run would publish. Changes after this call are not seen.

    Raises:
        BadInput: See `packing.closure`.
    """
    from sluice.project.packing import closure  # what opens code needs nothing that packs it

    place = folder.absolute()
    return ProjectCode(closure(place, references, extra_files), place, f"_{sha256_bytes(os.fsencode(place))[:8]}")

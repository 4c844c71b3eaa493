"""Copies a lake from a folder of this machine to where steps can read it: a store, or another folder."""

import hashlib
from pathlib import Path

from sluice.contract.reading import CONTRACT
from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.storage.locations import open_lake
from sluice.storage.stores import plain_address

LAST = (CONTRACT, "metadata.jsonl")
"""What describes a lake is copied after all that it describes, and so marks it whole."""


def lake_files(folder: Path) -> list[Path]:
    """The files of a lake, what describes it last; hidden ones are none.

    Raises:
        BadInput: It is no folder, or holds no file.
        EnvironmentFault: It cannot be read.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; name the one that holds the data and {CONTRACT}")
    with faults(str(folder)):
        paths = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))]
    if not paths:
        raise BadInput(f"{folder} holds no file; name the folder that holds the data and {CONTRACT}")
    return sorted(paths, key=lambda path: (path.relative_to(folder).as_posix() in LAST, path))


def copy_lake(folder: Path, address: str) -> str:
    """Copy a lake. A lake with the same description that is there already is left alone.

    Args:
        folder: Where it lies.
        address: Where to, as `sluice.storage.locations.open_lake` reads it.

    Returns:
        A sentence that says where it is now.

    Raises:
        BadInput: The folder holds no lake, or another lake is at the address.
        EnvironmentFault: The store failed.
    """
    paths, store = lake_files(folder), open_lake(address)
    last = paths[-1].relative_to(folder).as_posix()
    if store.exists(last):
        if last in LAST and store.get_bytes(last) == paths[-1].read_bytes():
            return f"{plain_address(store.uri)} is there already"
        raise BadInput(f"{plain_address(store.uri)} has another {last}; name another address, or remove what is there")
    for path in paths:
        store.put_file(path.relative_to(folder).as_posix(), path)
    return f"copied {len(paths):,} files to {plain_address(store.uri)}"


def default_address(folder: Path) -> str:
    """Where a lake goes in the store by the name of its folder."""
    return f"lakes/{folder.absolute().name}"


def content_address(folder: Path, name: str) -> str:
    """Where a lake goes in the store by its content: another content goes elsewhere, and overwrites nothing.

    Args:
        folder: Where it lies.
        name: What it is of, such as the project's name.
    """
    digest = hashlib.sha256()
    for path in lake_files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return f"lakes/{name}-{digest.hexdigest()[:16]}"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)

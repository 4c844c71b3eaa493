"""Puts a demonstration lake where the pipelines look for it: beside a local store, or into a bucket."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from sluice.cli.digits import METADATA, lay_out_digits
from sluice.cli.lake import lay_out_lake
from sluice.contract.reading import CONTRACT
from sluice.core.errors import BadInput
from sluice.storage.locations import open_lake
from sluice.storage.stores import plain_address

LAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flights": (lay_out_lake, CONTRACT),
    "digits": (lay_out_digits, METADATA),
}


def lay_out(name: str, address: str) -> str:
    """Lay out a lake unless it is there, its last file marking it whole.

    Args:
        name: One of LAKES.
        address: As `sluice.storage.locations.open_lake` reads it.

    Returns:
        A sentence that says where the lake is.

    Raises:
        BadInput: The name is unknown.
        EnvironmentFault: The store failed.
    """
    if name not in LAKES:
        raise BadInput(f"lake {name!r} is unknown; there are {', '.join(LAKES)}")
    write, last = LAKES[name]
    store = open_lake(address)
    if store.exists(last):
        return f"{name}: already at {plain_address(store.uri)}"
    folder = store.local_path(last)
    if folder is not None:
        write(folder.parent)
        return f"{name}: laid out at {plain_address(store.uri)}"
    with tempfile.TemporaryDirectory(prefix="sluice-") as temporary:
        write(Path(temporary))
        paths = sorted((p for p in Path(temporary).rglob("*") if p.is_file()), key=lambda p: (p.name == last, p))
        for path in paths:
            store.put_file(path.relative_to(temporary).as_posix(), path)
    return f"{name}: laid out at {plain_address(store.uri)}"

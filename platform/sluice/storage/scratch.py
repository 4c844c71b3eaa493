"""A store that is looked at and not changed: what is written goes to a folder of this machine, and is read from there.

`sluice step` runs a step of an earlier run once more in this way. SLUICE_SCRATCH_STORE names the folder, so that the
processes that a step starts share it.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import StoreVariables
from sluice.storage.local_store import LocalStore

if TYPE_CHECKING:  # the module of open_store, which is wrapped by this one
    from sluice.storage.stores import Store

SCRATCH = StoreVariables.scratch.name


class ScratchStore:
    """A store over another one, which stays as it is; it implements `sluice.storage.stores.Store`.

    Args:
        base: What is read where nothing was written.
        folder: What is written to, whatever the store; each address has its own place in it.
    """

    def __init__(self, base: "Store", folder: Path) -> None:
        self._base = base
        # By address, so that a store, and a folder in it that is opened as a store, mean the same place.
        scheme, _, place = base.uri.rpartition("://")
        parts = [quote(part, safe="") for part in (scheme, *place.split("/")) if part]
        self._own = LocalStore(folder.joinpath(*parts))

    @property
    def uri(self) -> str:
        """The address of the store beneath: what is published here has the address that it would have there."""
        return self._base.uri

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:
        """See `Store.put_file`."""
        self._own.put_file(key, source, move=move)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `Store.put_bytes`."""
        self._own.put_bytes(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store.put_if_absent`."""
        return not self._base.exists(key) and self._own.put_if_absent(key, data)

    def get_file(self, key: str, target: Path) -> None:
        """See `Store.get_file`."""
        self._of(key).get_file(key, target)

    def get_bytes(self, key: str, bound: Bound = FILE_BYTES) -> bytes:
        """See `Store.get_bytes`."""
        return self._of(key).get_bytes(key, bound)

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        return self._own.exists(key) or self._base.exists(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Store.keys`."""
        return iter(sorted({*self._base.keys(prefix), *self._own.keys(prefix)}))

    def delete(self, key: str) -> None:
        """See `Store.delete`; what the store beneath holds stays."""
        self._own.delete(key)

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`; of what is not there yet, where it will be written."""
        below = self._base.exists(key) and not self._own.exists(key)
        return self._base.local_path(key) if below else self._own.local_path(key)

    def _of(self, key: str) -> "Store":
        return self._own if self._own.exists(key) else self._base


def over_scratch(opening: Callable[[str], "Store"]) -> Callable[[str], "Store"]:
    """Have a function that opens stores honour SLUICE_SCRATCH_STORE."""

    @functools.wraps(opening)
    def opened(uri: str) -> "Store":
        store, folder = opening(uri), settings().store.scratch
        return ScratchStore(store, folder) if folder else store

    return opened

"""What tells one content of a folder of a store from another, without reading it where the store knows."""

from datetime import UTC, datetime
from typing import NamedTuple, cast

from sluice.core.digests import sha256_file
from sluice.core.files import faults
from sluice.storage.stores import Store


class Mark(NamedTuple):
    """An object.

    Attributes:
        key: Its key.
        size: In bytes.
        content: The service's ETag, which is the content's: the same bytes put there again have the same. In a folder
            of this machine the SHA-256.
        written: When.
    """

    key: str
    size: int
    content: str
    written: datetime


def marks(store: Store, prefix: str = "") -> list[Mark]:
    """The objects below a folder, sorted by key.

    Raises:
        EnvironmentFault: The store failed.
    """
    if hasattr(store, "marks"):
        return cast("list[Mark]", [Mark(*each) for each in store.marks(prefix)])
    return [_local(store, key) for key in store.keys(prefix)]


def _local(store: Store, key: str) -> Mark:
    path = store.local_path(key)
    assert path is not None, "only a folder of this machine has no marks of its own"  # noqa: S101 - see `marks`
    with faults(str(path)):
        told = path.stat()
    return Mark(key, told.st_size, sha256_file(path), datetime.fromtimestamp(told.st_mtime, UTC))

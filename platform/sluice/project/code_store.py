"""Archives of projects' code in a store: `code/<sha256>.zip`, put once, verified before they are read."""

import re

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.project.archive import AGAIN, Archive, archive_key, unpacked
from sluice.storage.locations import default_store
from sluice.storage.stores import Store, open_store

_ADDRESS = re.compile(r"(?:(?P<store>.+)/)?(?P<key>code/(?P<digest>[0-9a-f]{64})\.zip)", re.DOTALL)


def publish(store: Store, archive: Archive) -> str:
    """Put an archive into a store, where it is not there yet; its key, `code/<sha256>.zip`.

    A store that may not be written to will do where the archive stands in it already.

    Raises:
        BadInput: Something else stands under its name.
        EnvironmentFault: The store failed.
    """
    if store.exists(archive.key) or not store.put_if_absent(archive.key, archive.data):
        _verified(store, archive.digest)
    return archive.key


def fetch(address: str) -> Archive:
    """Fetch an archive, its SHA-256 checked before anything is read from it.

    Args:
        address: `code/<sha256>.zip`, a key of the default store; or the same behind a store's own address.

    Raises:
        BadInput: It is not there, is another one, or holds what `pack` does not make.
        EnvironmentFault: The store failed.
    """
    store, digest = store_of(address), _parsed(address)["digest"]
    return unpacked(_verified(store, digest), f"{store.uri}/{archive_key(digest)}")


def store_of(address: str) -> Store:
    """The store that an archive's address is in.

    Raises:
        BadInput: It is no address of one.
    """
    given = _parsed(address)["store"]
    return open_store(given) if given else default_store()


def _parsed(address: str) -> re.Match[str]:
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise BadInput(f"{address!r} is no address of a project's code; it looks like code/<64 hex digits>.zip")
    return found


def _verified(store: Store, digest: str) -> bytes:
    key = archive_key(digest)
    if not store.exists(key):
        raise BadInput(f"{store.uri}/{key}: this project's code is not there; {AGAIN}, or check SLUICE_STORE")
    data = store.get_bytes(key)
    if (found := sha256_bytes(data)) != digest:
        raise BadInput(
            f"{store.uri}/{key}: its SHA-256 is {found[:12]}…, not the one in its name; nothing of it was run. "
            "Delete the file and run again from the project's folder"
        )
    return data

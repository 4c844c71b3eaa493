"""A store keeps bytes under keys: a local folder, or a prefix of a bucket in the cloud or at any S3 endpoint.

Keys are relative, with forward slashes. Writing is atomic: a reader sees the whole object or none. Addresses are a path
(`/data/store`), `s3://bucket/prefix`, `gs://bucket/prefix` (Google Cloud Storage) or `az://container/prefix` (Azure
Blob Storage); who asks there comes from the variables that each cloud's own programs read.

`sluice+s3://bucket/prefix` is the same store under a scheme that KFP's launcher does not know: with `s3://` it would
take an output of a step for a folder on the pod's disk that it must upload to its own bucket. So are `sluice+gs` and
`sluice+az`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.errors import BadInput
from sluice.storage.local_store import LocalStore
from sluice.storage.scratch import over_scratch

GUARD = "sluice+"  # before a scheme: KFP's launcher leaves it alone
CLOUDS = ("s3", "gs", "az")
FORMS = "a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


class Store(Protocol):
    """What Sluice needs of a store, and no more: any S3 can give it, and so can Google's and Azure's.

    Every method raises `BadInput` for a key that `sluice.storage.keys.check_key` refuses, and `EnvironmentFault`
    when the store is down (after bounded retries), denies access or is full.
    """

    @property
    def uri(self) -> str:
        """The store's address: an absolute path, or one like `s3://bucket/prefix` with the scheme it was opened by."""
        ...

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:
        """Write a file's content under `key`, replacing what was there.

        With `move`, the source is no longer needed: a store that can will rename it instead of copying.
        """
        ...

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write `data` under `key`, replacing what was there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write `data` under `key` unless something is there; whether it was written. Atomic between writers."""
        ...

    def get_file(self, key: str, target: Path) -> None:
        """Copy the object to a local file. Raises `BadInput` when there is none."""
        ...

    def get_bytes(self, key: str, bound: Bound = FILE_BYTES) -> bytes:
        """The object's bytes. Raises `BadInput` when there is none, or it is larger than the bound."""
        ...

    def exists(self, key: str) -> bool:
        """Whether an object stands under `key`."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that start with `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error when there is none."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the object lies as a local file, or None where the store is remote."""
        ...


@over_scratch
def open_store(uri: str) -> Store:
    """Open the store at an address.

    Args:
        uri: A path (relative ones start at the working directory), or `s3://bucket/prefix`, `gs://bucket/prefix`,
            `az://container/prefix`, each with or without `sluice+` before it.

    Raises:
        BadInput: The address is empty, malformed or of an unknown scheme; there are no credentials.
    """
    scheme, separator, _ = uri.partition("://")
    if not uri:
        raise BadInput(f"the store's address is empty; give {FORMS}")
    if not separator:
        return LocalStore(Path(uri))
    match scheme.removeprefix(GUARD):
        case "s3":
            from sluice.storage.s3 import open_s3

            return open_s3(uri)
        case "gs":
            from sluice.storage.google_cloud import open_google

            return open_google(uri)
        case "az":
            from sluice.storage.azure_blob import open_azure

            return open_azure(uri)
    # The rest of an address of another kind may hold a password, so it is not shown.
    raise BadInput(f"the store's address has the unknown scheme {scheme!r}; use {FORMS}")


def plain_address(uri: str) -> str:
    """An address in the scheme that people and other programs know."""
    guarded = uri.startswith(tuple(f"{GUARD}{scheme}://" for scheme in CLOUDS))
    return uri.removeprefix(GUARD) if guarded else uri

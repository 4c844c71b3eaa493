"""A store keeps bytes under keys: a local folder, or a prefix of a bucket at any S3 endpoint.

Keys are relative, with forward slashes. Writing is atomic: a reader sees the whole object or none. Addresses are a path
(`/data/store`) or `s3://bucket/prefix`; the credentials and the endpoint of S3 come from the standard AWS variables.

`sluice+s3://bucket/prefix` is the same store under a scheme that KFP's launcher does not know: with `s3://` it would
take an output of a step for a folder on the pod's disk that it must upload to its own bucket.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.errors import BadInput
from sluice.storage.local_store import LocalStore

S3, GUARDED_S3 = "s3", "sluice+s3"


class Store(Protocol):
    """What Sluice needs of a store, and no more: any S3 can give it.

    Every method raises `BadInput` for a key that `sluice.storage.keys.check_key` refuses, and `EnvironmentFault`
    when the store is down (after bounded retries), denies access or is full.
    """

    @property
    def uri(self) -> str:
        """The store's address: an absolute path, or `s3://bucket/prefix` with the scheme that it was opened by."""
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


def open_store(uri: str) -> Store:
    """Open the store at an address.

    Args:
        uri: A path (relative ones start at the working directory), `s3://bucket/prefix` or `sluice+s3://bucket/prefix`.

    Raises:
        BadInput: The address is empty or of an unknown scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not uri:
        raise BadInput("the store's address is empty; give a folder or s3://bucket/prefix")
    if not separator:
        return LocalStore(Path(uri))
    if scheme in (S3, GUARDED_S3):
        from sluice.storage.s3 import S3Store

        return S3Store(uri)
    # The rest of an address of another kind may hold a password, so it is not shown.
    raise BadInput(f"the store's address has the unknown scheme {scheme!r}; use a folder or s3://bucket/prefix")


def plain_address(uri: str) -> str:
    """An address in the scheme that people and other programs know."""
    return f"{S3}://{uri.removeprefix(f'{GUARDED_S3}://')}" if uri.startswith(f"{GUARDED_S3}://") else uri

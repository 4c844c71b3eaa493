"""A store keeps bytes under keys: a local folder, or a prefix of a bucket at any S3 endpoint.

Keys are relative, with forward slashes. Writing is atomic: a reader sees the whole object or none. Addresses are a path
(`/data/store`) or `s3://bucket/prefix`; the credentials and the endpoint of S3 come from the standard AWS variables.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from components.common.errors import BadInput, EnvironmentFault


class Store(Protocol):
    """What Sluice needs of a store, and no more: any S3 can give it.

    Every method raises `EnvironmentFault` when the store is down (after bounded retries), denies access or is full.
    """

    @property
    def uri(self) -> str:
        """The store's address: an absolute path, or `s3://bucket/prefix`."""
        ...

    def put_file(self, key: str, source: Path) -> None:
        """Write a file's content under `key`, replacing what was there."""
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

    def get_bytes(self, key: str) -> bytes:
        """The object's bytes. Raises `BadInput` when there is none."""
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
        uri: A path (relative ones start at the working directory) or `s3://bucket/prefix`.

    Raises:
        BadInput: The address is empty or of an unknown scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not uri:
        raise BadInput("the store's address is empty; give a folder or s3://bucket/prefix")
    if not separator:
        return LocalStore(Path(uri))
    if scheme == "s3":
        from components.common.s3 import S3Store

        return S3Store(uri)
    raise BadInput(f"store {uri!r}: unknown scheme {scheme!r}; use a folder or s3://bucket/prefix")


def check_key(key: str) -> str:
    """Refuse a key that would leave the store.

    Raises:
        BadInput: The key is empty, absolute, or has a `..`.
    """
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts or "\\" in key:
        raise BadInput(f"{key!r} is no key of a store: it must be relative, without '..'")
    return key


class LocalStore:
    """A store in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def put_file(self, key: str, source: Path) -> None:
        """See `Store.put_file`."""
        with self._faults(key), self._staged(key) as staged:
            shutil.copyfile(source, staged)
            _sync(staged)
            staged.replace(self._path(key))

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `Store.put_bytes`."""
        with self._faults(key), self._staged(key) as staged:
            staged.write_bytes(data)
            _sync(staged)
            staged.replace(self._path(key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store.put_if_absent`; a hard link is what makes it atomic."""
        with self._faults(key), self._staged(key) as staged:
            staged.write_bytes(data)
            _sync(staged)
            try:
                os.link(staged, self._path(key))
            except FileExistsError:
                return False
            return True

    def get_file(self, key: str, target: Path) -> None:
        """See `Store.get_file`."""
        with self._faults(key):
            shutil.copyfile(self._path(key), target)

    def get_bytes(self, key: str) -> bytes:
        """See `Store.get_bytes`."""
        with self._faults(key):
            return self._path(key).read_bytes()

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        with self._faults(key):
            return self._path(key).is_file()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Store.keys`; files still being written are not shown."""
        with self._faults(prefix):
            start = self._root / Path(prefix).parent if "/" in prefix else self._root
            found = (p.relative_to(self._root).as_posix() for p in start.rglob("*") if p.is_file())
            yield from sorted(k for k in found if k.startswith(prefix) and not Path(k).name.startswith(_STAGING))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._faults(key):
            self._path(key).unlink(missing_ok=True)

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _staged(self, key: str) -> "_Staged":
        return _Staged(self._path(key).parent)

    def _faults(self, key: str) -> "_Faults":
        return _Faults(f"{self._root}/{key}")


_STAGING = ".staging-"


def _sync(path: Path) -> None:
    """Bring the content to the disk before the name: a power cut must not leave a name without content."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


class _Staged:
    """A temporary file in the folder where its content will stand, gone at the end whatever happened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_STAGING, dir=self._folder)
        os.close(handle)
        self._path = Path(name)
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


class _Faults:
    """Turns the operating system's errors into ours, naming the place and the way out."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise BadInput(f"{self._place} is not there; check the address") from None
        if isinstance(error, PermissionError):
            raise EnvironmentFault(f"{self._place}: access denied; check the owner and mode of the folder") from None
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise EnvironmentFault(f"{self._place}: {reason}; check the disk's space and health") from None

"""A store in a local folder."""

import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.files import STAGING, faults, finish, inside, staged, written
from sluice.storage.keys import check_key, check_prefix

BLOCK = 1 << 20


class LocalStore:
    """A folder that implements `sluice.storage.stores.Store`."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:
        """See `Store.put_file`."""
        with faults(str(source)), source.open("rb") as content:
            if not (move and self._renamed(source, content, self._path(key))):
                self._put(key, content)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `Store.put_bytes`."""
        self._put(key, io.BytesIO(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store.put_if_absent`; a hard link is what makes it atomic."""
        path = self._path(key)
        with faults(str(path)), staged(path) as new:
            new.write(data)
            finish(new, durable=True)
            try:
                os.link(new.name, path)
            except FileExistsError:
                return False
            return True

    def get_file(self, key: str, target: Path) -> None:
        """See `Store.get_file`."""
        path = self._path(key)
        with faults(str(path)), path.open("rb") as content, written(target) as out:
            shutil.copyfileobj(content, out, BLOCK)

    def get_bytes(self, key: str, bound: Bound = FILE_BYTES) -> bytes:
        """See `Store.get_bytes`."""
        path = self._path(key)
        with faults(str(path)), path.open("rb") as content:
            bound.check(os.fstat(content.fileno()).st_size, str(path), "make it smaller")
            return content.read()

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        path = self._path(key)
        with faults(str(path)):
            try:
                return stat.S_ISREG(path.stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Store.keys`; files still being written are not shown."""
        folder = self._root / check_prefix(prefix).rpartition("/")[0]
        with faults(str(folder)):
            return iter(sorted(key for key in self._walk(folder) if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        path = self._path(key)
        with faults(str(path)):
            path.unlink(missing_ok=True)

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        return inside(self._root, check_key(key))

    def _renamed(self, source: Path, content: BinaryIO, target: Path) -> bool:
        """Take the file itself, its content on the disk first; False when it lies on another file system."""
        with faults(str(target)):
            os.fsync(content.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.replace(target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    return False
                raise
            return True

    def _put(self, key: str, content: BinaryIO) -> None:
        with written(self._path(key), durable=True) as out:
            shutil.copyfileobj(content, out, BLOCK)

    def _walk(self, folder: Path) -> Iterator[str]:
        for place, folders, names in os.walk(folder, onerror=_unless_no_folder):
            folders[:] = [name for name in folders if not name.startswith(STAGING)]
            for name in names:
                if not name.startswith(STAGING):
                    yield (Path(place) / name).relative_to(self._root).as_posix()


def _unless_no_folder(error: OSError) -> None:
    """What is no folder, or no longer one, holds no keys; a folder that denies access may."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error

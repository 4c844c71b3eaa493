"""Lays an archive's files out on this machine, read-only: whole or not at all, however many processes do it at once.

What is imported comes from the verified bytes, never from this folder; it is there for the data files that the code
reads beside itself, for tracebacks and for debuggers. A folder from the cache is compared with the archive, byte by
byte, before it is used.
"""

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sluice.core.errors import BadInput
from sluice.core.files import STAGING, faults
from sluice.core.home import home
from sluice.core.progress import progress

_FOLDER_MODE, _FILE_MODE = 0o555, 0o444
_ABANDONED_SECONDS = 600  # laying out takes a second; what is older was left by a process that was killed
_CACHE, _LOCK = "code", ".lock"


class Files(Protocol):
    """What can be laid out: an archive, or the files of several wheels."""

    @property
    def digest(self) -> str:
        """Names the folder; whatever has the same digest has the same files."""
        ...

    @property
    def files(self) -> Mapping[str, bytes]:
        """Contents by path, all of them names that `check_key` takes."""
        ...


def laid_out(archive: Files, cache: Path | None = None) -> Path:
    """A folder with an archive's files, read-only.

    Args:
        archive: Its digest has been checked.
        cache: Where folders are kept from one process to the next; by default `code` in the home, where there is a
            home, else a temporary folder for this process.

    Raises:
        EnvironmentFault: The disk is full or denies access.
    """
    place = cache or (home() / _CACHE if home().is_dir() and os.access(home(), os.W_OK | os.X_OK) else None)
    if place is None or not _usable(place):
        place = Path(tempfile.mkdtemp(prefix="sluice-code-"))
        atexit.register(remove, place)
    _clean(place)
    target = place / archive.digest
    if not os.path.lexists(target):
        return _move(_write(place, archive), target, archive)
    if _same(target, archive):
        return target
    with _alone(place):
        if not _same(target, archive):  # else another process has mended it meanwhile
            progress(f"{target} differs from its archive; laying it out again")
            _put_away(target)
            _move(_write(place, archive), target, archive)
    return target


def remove(folder: Path) -> None:
    """Remove a folder whose parts are read-only; what is in use elsewhere or gone already is passed over."""
    for place, _, _ in os.walk(folder):
        if not Path(place).is_symlink():
            _quietly_writable(Path(place))
    shutil.rmtree(folder, ignore_errors=True)


def _usable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(place, os.W_OK | os.X_OK)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One process at a time; on a file system without locks, as many as come."""
    with faults(str(place)), (place / _LOCK).open("ab") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(place: Path, archive: Files) -> Path:
    """A folder of another name with the files; a process that is killed leaves only such."""
    staging = place / f"{STAGING}{secrets.token_hex(8)}"
    try:
        with faults(str(staging)):
            staging.mkdir(mode=0o700)
            for name, data in archive.files.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as stream:
                    stream.write(data)
                path.chmod(_FILE_MODE)
            for folder, _, _ in os.walk(staging, topdown=False):
                Path(folder).chmod(_FOLDER_MODE)
    except BaseException:
        remove(staging)
        raise
    return staging


def _move(staging: Path, target: Path, archive: Files) -> Path:
    """Give the folder its name, unless another process was first and its folder is right."""
    with faults(str(target)):
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            remove(staging)
            if not _same(target, archive):
                raise BadInput(f"{target} differs from its archive; delete this folder and run again") from None
    return target


def _same(folder: Path, archive: Files) -> bool:
    """Whether a folder holds the archive's files, none changed and no others."""
    found = set()
    for place, folders, names in os.walk(folder):
        if any(Path(place, name).is_symlink() for name in (*folders, *names)):
            return False
        found |= {Path(place, name).relative_to(folder).as_posix() for name in names}
    try:
        return found == set(archive.files) and all(
            (folder / name).read_bytes() == data for name, data in archive.files.items()
        )
    except OSError:
        return False


def _put_away(target: Path) -> None:
    aside = target.with_name(f"{STAGING}{secrets.token_hex(8)}")
    with faults(str(target)):
        try:
            target.rename(aside)
        except FileNotFoundError:  # another process was faster
            return
    if aside.is_dir() and not aside.is_symlink():
        remove(aside)
    else:
        aside.unlink(missing_ok=True)


def _clean(place: Path) -> None:
    """Remove what killed processes left."""
    old = time.time() - _ABANDONED_SECONDS
    for path in place.glob(f"{STAGING}*"):
        try:
            abandoned = path.lstat().st_mtime < old
        except OSError:
            continue
        if abandoned:
            remove(path)


def _quietly_writable(path: Path) -> None:
    try:
        path.chmod(stat.S_IRWXU)
    except OSError:
        return

"""Local files written whole or not at all, and the operating system's errors in words."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError

STAGING = ".staging-"


@contextmanager
def staged(target: Path) -> Iterator[BinaryIO]:
    """A new file beside `target`, open for writing; it is gone at the end unless it was moved to its place.

    The folder is made where it is missing. The mode follows the umask, as with any file that a program makes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f"{STAGING}{secrets.token_hex(8)}")
    try:
        with path.open("xb") as stream:
            yield stream
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def written(target: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Write `target` through the stream that this gives; it stands there once the `with` block ends well.

    Args:
        target: The file's place; what was there is replaced.
        durable: Wait until the content is on the disk: a power cut must not leave a name without content.

    Raises:
        BadInput: Something else than a file, or no folder, is in the way.
        EnvironmentFault: The disk is full, read-only or denies access.
    """
    with faults(str(target)), staged(target) as stream:
        yield stream
        finish(stream, durable=durable)
        Path(stream.name).replace(target)


def finish(stream: BinaryIO, *, durable: bool) -> None:
    """Hand the stream's content to the operating system, or (`durable`) to the disk."""
    stream.flush()
    if durable:
        os.fsync(stream.fileno())


def inside(folder: Path, name: str) -> Path:
    """The place of a name in a folder, which no symbolic link on the way may lead out of.

    Whoever fills a folder that Sluice reads, a lake or a published folder, could else have any file of the machine
    read, and its content shown in an error or published.

    Args:
        folder: It may be a link itself.
        name: Relative, without `..`; nothing need be there yet.

    Raises:
        BadInput: A link leads out of the folder, or in a circle.
    """
    path = folder / name
    try:
        leads_out = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle: RuntimeError before Python 3.13
        leads_out = True
    if leads_out:
        raise BadInput(f"{path} is a link that leads out of {folder}, or under one; put the file itself there")
    return path


@contextmanager
def faults(place: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, naming the place and the way out.

    Raises:
        BadInput: Nothing is there, or a folder is where a file should be or the reverse.
        EnvironmentFault: Any other failure of the file system.
    """
    try:
        yield
    except OSError as error:
        raise _in_words(error, place) from None


def denied(error: OSError) -> SluiceError | None:
    """What a person is told of an error that no caller expected, where it is the machine's: no access, no space.

    None for any other: that is a defect of ours, and its traceback says where.
    """
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        return None
    return _in_words(error, os.fsdecode(error.filename) if error.filename else "the disk")


def check_folder(name: str, place: Path) -> Path:
    """See that a folder can stand at the place that a setting names.

    Args:
        name: The setting, for the message.
        place: The folder, which need not be there yet.

    Raises:
        BadInput: A file is there, or where a folder above it should be.
    """
    there = next((each for each in (place, *place.parents) if os.path.lexists(each)), place)
    if os.path.lexists(there) and not there.is_dir():
        raise BadInput(f"{name}={str(place)!r}: {there} is no folder; move it away, or name another place")
    return place


def _in_words(error: OSError, place: str) -> SluiceError:
    if isinstance(error, FileNotFoundError):
        return BadInput(f"{place} is not there; check the address")
    if isinstance(error, IsADirectoryError):
        return BadInput(f"{place} is a folder where a file is wanted; check the address")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return BadInput(f"{place}: a file stands where a folder is needed; move it away or check the address")
    if error.errno == errno.ENAMETOOLONG:
        return BadInput(f"{place}: the name is too long for the file system; shorten it")
    if isinstance(error, PermissionError):
        return EnvironmentFault(f"{place}: access denied; check the owner and mode of the folder")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFault(f"{place}: no space left; free some, or point SLUICE_HOME or the store elsewhere")
    if error.errno == errno.EROFS:
        return EnvironmentFault(f"{place}: the file system is read-only; point SLUICE_HOME or the store elsewhere")
    if error.errno == errno.EFBIG:
        return EnvironmentFault(f"{place}: larger than the file system or `ulimit -f` allows; raise the limit")
    return EnvironmentFault(f"{place}: {error.strerror or error}; check the disk's health")

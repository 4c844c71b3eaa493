"""The archive that carries a project's code: one zip file, the same bytes on every machine, named by its SHA-256.

Its files are sorted by name, stored without compression (what a library compresses to changes with its version), with
one time and one mode. So the archive follows from names and contents alone; an archive of any other form is none: what
is opened is packed again in memory and must give the same bytes. That leaves no room for entries that overlap or hide,
for links, for names that lead out of the folder, or for more bytes than were fetched.
"""

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from types import MappingProxyType

from sluice.core.bounds import CODE_BYTES, CODE_FILES
from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.plain_text import is_unicode
from sluice.storage.keys import check_key

LOCK = ".sluice-packages.txt"
"""The file that holds the lock of a project's packages; see `sluice.project.packages`."""
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
_MODE = (stat.S_IFREG | 0o444) << 16
_UNIX, _VERSION = 3, 20
_LONGEST_NAME, _LONGEST_PART = 1000, 255  # bytes in UTF-8; file systems take no longer part
AGAIN = "run again from the project's folder, which publishes it anew"
_NO_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Archive:
    """A packed project, or the part of it that a step needs.

    Attributes:
        data: The bytes of the zip file.
        files: What it holds, by path with forward slashes, sorted.
    """

    data: bytes
    files: Mapping[str, bytes]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, 64 hex characters."""
        return sha256_bytes(self.data)

    @property
    def key(self) -> str:
        """Where it stands in any store."""
        return archive_key(self.digest)


def archive_key(digest: str) -> str:
    """Where the archive with a SHA-256 stands in any store."""
    return f"code/{digest}.zip"


def pack(files: Mapping[str, bytes], *, most: int | None = None) -> Archive:
    """Make the archive of files.

    Args:
        files: Contents by path, with forward slashes.
        most: The bytes of all contents that are taken; by default SLUICE_CODE_BYTES, else 5 MiB.

    Raises:
        BadInput: A name is such that two machines could read it differently, or there is too much.
    """
    _check_names(files)
    check_size(sum(map(len, files.values())), most)
    return Archive(_zipped(files), MappingProxyType({name: bytes(files[name]) for name in sorted(files)}))


def check_size(size: int, most: int | None = None) -> None:
    """Refuse more bytes than may go along.

    Raises:
        BadInput: The message says how to leave files out, and how to take more.
    """
    way_out = "leave files out by lines in .sluiceignore (`sluice bundle --list` shows each with its size)"
    if most is None:
        CODE_BYTES.check(size, "the project's code", way_out)
    elif size > most:
        raise BadInput(f"the project's code: {size:,} bytes, and at most {most:,} are taken; {way_out}, or allow more")


def unpacked(data: bytes, where: str) -> Archive:
    """Read an archive whose digest has been checked.

    Args:
        data: The bytes of the zip file.
        where: Its address, for errors.

    Raises:
        BadInput: It is no archive that `pack` made.
    """
    try:
        files = _contents(data)
        _check_names(files)
        if _zipped(files) == data:
            return Archive(data, MappingProxyType(files))
        reason = "it is of another form"
    except (BadInput, *_NO_ZIP) as error:
        reason = str(error) or type(error).__name__
    raise BadInput(f"{where} cannot be read as a project's code: {reason}; it was not packed by Sluice. {AGAIN}")


def _zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr, entry.create_system = _MODE, _UNIX
            entry.create_version = entry.extract_version = _VERSION
            archive.writestr(entry, files[name])
    return out.getvalue()


def _contents(data: bytes) -> dict[str, bytes]:
    """The files of a zip file; not more bytes than it has itself, whatever its headers say."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > CODE_FILES.most or sum(entry.file_size for entry in entries) > len(data):
            raise BadInput("it says that it holds more than it can")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise BadInput("its files are compressed or encrypted")
        if len({entry.filename for entry in entries}) < len(entries):
            raise BadInput("it has a name twice")
        return {entry.filename: archive.read(entry) for entry in sorted(entries, key=lambda each: each.filename)}


def _check_names(files: Mapping[str, bytes]) -> None:
    """See that every machine would read the names as the same files.

    Raises:
        BadInput: The message shows the name.
    """
    CODE_FILES.check(len(files), "the project's code", "leave folders out by lines in .sluiceignore")
    seen: dict[str, str] = {}
    for name in files:
        check_name(name)
        for path in (name, *(parent.as_posix() for parent in PurePosixPath(name).parents if parent.name)):
            other = seen.setdefault(_folded(path), path)
            if other != path:
                raise BadInput(
                    f"{other!r} and {path!r} differ in case or in how accents are written, and are one file on some "
                    "machines; rename one of them"
                )
        if any(parent.as_posix() in files for parent in PurePosixPath(name).parents):
            raise BadInput(f"{name!r}: a file has the name of its folder; rename one of them")


def check_name(name: str) -> None:
    """Refuse a path that cannot stand in an archive.

    Raises:
        BadInput: It is not UTF-8, too long, or such that `check_key` refuses it.
    """
    if not is_unicode(name):
        raise BadInput(f"the file name {name!r} is not UTF-8; rename it")
    check_key(name)
    size = len(name.encode())
    if size > _LONGEST_NAME or any(len(part.encode()) > _LONGEST_PART for part in name.split("/")):
        raise BadInput(f"the file name {name[:60]!r}… has {size} bytes; shorten it")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

"""The lake's files: found, opened with care, and hashed while a reader works on them."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from sluice.core.errors import BadInput
from sluice.core.files import faults, inside
from sluice.core.plain_text import is_unicode

_BLOCK = 1 << 20
_GLOB = re.compile(r"[*?[]")
_LETTER = re.compile(r"[A-Za-z]")


@dataclass(frozen=True)
class SourceFile:
    """A file of the lake.

    Attributes:
        path: Where it lies.
        name: Its path in the lake, for messages and records.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Digest:
    """What one pass over a file's bytes gives.

    Attributes:
        sha256: In hex.
        size: In bytes.
        zero_at: Where the first NUL byte is, or -1: no text has one.
    """

    sha256: str
    size: int
    zero_at: int


def find(lake: Path, pattern: str) -> list[SourceFile]:
    """The files that a path or glob of the contract names, sorted by name.

    Raises:
        BadInput: The pattern or a link leads out of the lake, or nothing matches it.
    """
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise BadInput(f"contract.yaml: source {pattern!r} leads out of the lake; give a path inside it")
    try:
        with faults(str(lake)):
            paths = sorted(lake.glob(pattern))
    except ValueError as error:
        raise BadInput(f"contract.yaml: source {pattern!r} is no path or glob: {error}") from None
    _check_case(lake, pattern, paths)
    if not paths:
        raise BadInput(
            f"no file matches {pattern!r} in the lake {lake}; check the lake's address and its contract.yaml"
        )
    names = [path.relative_to(lake).as_posix() for path in paths]
    for name in names:
        if not is_unicode(name):
            raise BadInput(f"the lake's file {name} has a name that is not UTF-8; rename it")
    return [SourceFile(inside(lake, name), name) for name in names]


def may_mean(pattern: str, key: str) -> bool:
    """Whether a path or glob of the contract may mean a file, in whatever case; `find` then decides in a folder."""
    return _matches(PurePosixPath(pattern.casefold()).parts, PurePosixPath(key.casefold()).parts)


def _matches(pattern: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """As `Path.glob` has it: `*` stays within a folder, and `**` stands for any folders, also for none."""
    reached = {0}  # how many parts of the key the pattern so far may have taken
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached, default=len(key) + 1), len(key) + 1))
        else:
            reached = {place + 1 for place in reached if place < len(key) and fnmatchcase(key[place], part)}
    return len(key) in reached


def _check_case(lake: Path, pattern: str, paths: list[Path]) -> None:
    """Refuse a file that only its upper case keeps out: whether it is meant differs between systems."""
    if paths and not _GLOB.search(pattern):
        return
    parts = re.split(r"(\[[^]]*])", pattern)
    either = [part if part.startswith("[") else _LETTER.sub(_in_either_case, part) for part in parts]
    with faults(str(lake)):
        for path in sorted(set(lake.glob("".join(either))) - set(paths)):
            name = path.relative_to(lake).as_posix()
            raise BadInput(
                f"contract.yaml: source {pattern!r} means {name} but for its case; rename it, or name it alike"
            )


def _in_either_case(letter: re.Match[str]) -> str:
    return f"[{letter[0].lower()}{letter[0].upper()}]"


def check_readable(file: SourceFile) -> None:
    """Refuse what no reader could read.

    Raises:
        BadInput: It is a folder, a device or an empty file, or access is denied.
    """
    try:
        if not file.path.is_file():
            raise BadInput(f"{file.name} is not a file; the contract's source must name files")
        with file.path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput(f"{file.name} is empty; put the data there, or take the file away")
    except OSError as error:
        raise BadInput(f"{file.name} cannot be read ({error.strerror}); check its owner and mode") from None


@contextmanager
def hashed(file: SourceFile, watch: Callable[[bytes], None] | None = None) -> Iterator[Future[Digest]]:
    """Hash a file in a thread of its own while the `with` block reads it.

    Args:
        file: The file.
        watch: Is given the same bytes, block by block, in that thread.

    Raises:
        BadInput: The file changed in the meantime: what was read and what was hashed may differ.
    """
    before = _stamp(file)
    with ThreadPoolExecutor(1, "sha256") as hasher:
        digest = hasher.submit(_digest, file.path, watch)
        yield digest
        digest.result()
    if _stamp(file) != before:
        raise BadInput(f"{file.name} changed while it was read; wait until whoever writes it is done, and run again")


def line_at(path: Path, offset: int) -> int:
    """The line, counted from 1, in which a byte stands."""
    lines, left = 1, offset
    with path.open("rb") as stream:
        while left and (block := stream.read(min(_BLOCK, left))):
            lines += block.count(b"\n")
            left -= len(block)
    return lines


def _digest(path: Path, watch: Callable[[bytes], None] | None) -> Digest:
    sha256, size, zero_at = hashlib.sha256(), 0, -1
    with path.open("rb", buffering=0) as stream:
        if hasattr(os, "posix_fadvise"):  # macOS has none, and reads ahead without being told
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := stream.read(_BLOCK):
            sha256.update(block)
            if watch:
                watch(block)
            if zero_at < 0 and (found := block.find(0)) >= 0:
                zero_at = size + found
            size += len(block)
    return Digest(sha256.hexdigest(), size, zero_at)


def _stamp(file: SourceFile) -> tuple[int, int]:
    with faults(file.name):
        state = file.path.stat()
    return state.st_size, state.st_mtime_ns

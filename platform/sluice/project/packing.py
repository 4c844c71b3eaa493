"""Reads a project's folder for the archive: the files that a step's references need, or the whole project.

Nothing is imported or run. A name that leads out of the project, holds a secret or would hide another package's module
ends in one line; what stays by the rules (`sluice.project.packing_rules`) is listed with the reason.
"""

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sluice.core.bounds import CODE_FILES, FILE_BYTES
from sluice.core.errors import BadInput
from sluice.core.files import faults, inside
from sluice.core.home import HOME, home
from sluice.project.archive import LOCK, Archive, check_name, check_size, pack
from sluice.project.imports import Modules, check_reference, check_shadow, file_and_name, imports, star_names
from sluice.project.packing_rules import LeftOut, Rules, is_binary, never, refuse_content, without_outputs

_NOTEBOOK = ".ipynb"
_ENVIRONMENT = "pyvenv.cfg"  # what marks the folder of a virtual environment


@dataclass(frozen=True)
class Packed:
    """A packed project.

    Attributes:
        archive: What goes along.
        left_out: What stays, sorted by path; empty for a closure, which takes what is asked for and no more.
    """

    archive: Archive
    left_out: tuple[LeftOut, ...] = ()


def closure(
    folder: Path,
    references: Iterable[str],
    extra_files: Sequence[str] = (),
    *,
    packages: str = "",
    most: int | None = None,
) -> Archive:
    """The files that a step needs of a project, and no others: an edit of another file changes nothing for it.

    Args:
        folder: The project's.
        references: Such as `prepare.py:rows`: the file, the project's modules that it imports, and those that these
            import, wherever an import statement stands.
        extra_files: Paths or patterns (`words/*.txt`, `lookups/`) of files that the code reads.
        packages: The path of the project's lock, where it brings packages along; see `sluice.project.packages`.
        most: The bytes that are taken; by default SLUICE_CODE_BYTES, else 5 MiB.

    Raises:
        BadInput: A reference, a file or a module's name is not as it must be; the message names file and line.
        EnvironmentFault: A file cannot be read.
    """
    reader = _Reader(folder, most)
    modules = Modules(reader.is_file)
    waiting: list[tuple[str, str]] = []
    read: set[str] = set()
    for reference in references:
        file, _ = file_and_name(reference)
        if not reader.is_file(file):
            raise BadInput(f"{reference}: {folder / file} is not there{_near(file, folder)}")
        check_reference(file, reader.folder)
        waiting.append((file, reference))
    waiting += [(file, f"files: {pattern}") for pattern in extra_files for file in reader.listed(pattern)]
    while waiting:
        file, why = waiting.pop()
        if file in read:
            continue
        read.add(file)
        source = reader.take(file, why)
        waiting += [(each, file) for each in _packages_above(file) if reader.is_file(each)]
        for wanted in imports(source, file) if file.endswith(".py") else ():
            where = f"{file}:{wanted.line}"
            check_shadow(modules, wanted, file, reader.folder)
            found = set(modules.files_of(wanted, file))
            if package := modules.package_of_star(wanted, file):
                names = star_names(reader.take(package, where), package)
                found |= set(modules.files_of(replace(wanted, names=names), file))
            waiting += [(each, where) for each in sorted(found)]
    if packages:
        from sluice.project.packages import read_lock  # the only one that needs the package packaging

        lock = reader.read(packages)
        read_lock(lock, packages)
        reader.add(LOCK, lock)
    return pack(reader.taken, most=most)


def whole(folder: Path, *, most: int | None = None) -> Packed:
    """A project's folder but for what stays by the rules: what its lineage keeps, and what `sluice bundle` writes.

    Args:
        folder: The project's.
        most: As for `closure`.

    Raises:
        BadInput: It has too many files or bytes, or two names that differ in case alone.
        EnvironmentFault: A file cannot be read.
    """
    reader = _Reader(folder, most)
    rules = Rules(reader.folder)
    left: list[LeftOut] = []
    for path in _walk(reader.folder, rules, left):
        if (size := (reader.folder / path).stat().st_size) > FILE_BYTES.most:
            left.append(LeftOut(path, f"{size:,} bytes are more than any file may have"))
            continue
        data = reader.read(path)
        reason = refuse_content(data)
        if path.endswith(_NOTEBOOK) and not reason:
            bare = without_outputs(data)
            data, reason = (bare, "") if bare is not None else (b"", "is no notebook that can be read")
        elif is_binary(data) and not reason:
            reason = "binary; list it under `files:` if a step needs it"
        if reason:
            left.append(LeftOut(path, reason))
        else:
            reader.add(path, data)
    return Packed(pack(reader.taken, most=most), tuple(sorted(left, key=lambda each: each.path)))


class _Reader:
    """Takes files of a folder, within the bounds, none of them by a link that leads out."""

    def __init__(self, folder: Path, most: int | None) -> None:
        self.folder = folder.absolute()
        if not self.folder.is_dir():
            raise BadInput(f"{folder} is no folder; name the project's folder")
        self.taken: dict[str, bytes] = {}
        self._most, self._size = most, 0
        self._names: dict[Path, set[str]] = {}

    def is_file(self, path: str) -> bool:
        """Whether a path in the project is a file, by this very spelling also where the disk ignores case."""
        place = self.folder / path
        if not place.is_file():
            return False
        if place.parent not in self._names:
            self._names[place.parent] = _names(place.parent)
        return place.name in self._names[place.parent]

    def take(self, path: str, why: str) -> bytes:
        """Read and keep a file.

        Raises:
            BadInput: It may not go along.
        """
        if path not in self.taken:
            if reason := never(path) or _never_above(path):
                raise BadInput(f"{why}: {path} {reason}; rename it, or have the code read it in another way")
            data = self.read(path)
            if reason := refuse_content(data):
                raise BadInput(f"{why}: {path} {reason}; keep the key out of the project's files")
            self.add(path, data)
        return self.taken[path]

    def read(self, path: str) -> bytes:
        """A file's content."""
        place = inside(self.folder, path)
        with faults(str(place)):
            FILE_BYTES.check(place.stat().st_size, str(place), "leave it out by a line in .sluiceignore")
            return place.read_bytes()

    def add(self, path: str, data: bytes) -> None:
        """Keep a file's content."""
        self.taken[path] = data
        self._size += len(data)
        check_size(self._size, self._most)
        CODE_FILES.check(len(self.taken), str(self.folder), "leave folders out by lines in .sluiceignore")

    def listed(self, pattern: str) -> list[str]:
        """The files behind an entry of `files:`; a folder stands for all in it that may go along.

        Raises:
            BadInput: There is none.
        """
        path = PurePosixPath(pattern)
        if not pattern.strip() or path.is_absolute() or ".." in path.parts or "\\" in pattern:
            raise BadInput(f"files: {pattern!r} must be a path or pattern from the project's folder, without '..'")
        found: list[str] = []
        try:
            places = sorted(self.folder.glob(path.as_posix()))
        except (ValueError, NotImplementedError) as error:
            raise BadInput(f"files: {pattern!r} is no pattern: {error}") from None
        for place in places:
            name = place.relative_to(self.folder).as_posix()
            if place.is_dir():
                found += _below(self.folder, place)
            elif not (set(pattern) & set("*?[") and (never(name) or _never_above(name))):
                found.append(name)
        if not found:
            raise BadInput(f"files: {pattern!r} is no file in {self.folder}{_near(pattern, self.folder)}")
        return found


def _below(root: Path, folder: Path) -> list[str]:
    """The files in a folder, but for caches and the like."""
    found = []
    for place, folders, names in os.walk(folder):
        base = Path(place).relative_to(root).as_posix()
        folders[:] = sorted(name for name in folders if not never(f"{base}/{name}/"))
        found += [f"{base}/{name}" for name in sorted(names) if not never(f"{base}/{name}")]
    return found


def _walk(root: Path, rules: Rules, left: list[LeftOut], base: str = "") -> Iterator[str]:
    with faults(str(root / base)):
        entries = sorted(os.scandir(root / base), key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        path = f"{base}{entry.name}{'/' if is_folder else ''}"
        reason = _unnameable(path) or rules.reason(path) or _unfit(entry, root)
        if reason:
            left.append(LeftOut(path, reason))
        elif is_folder:
            yield from _walk(root, rules, left, path)
        else:
            yield path


def _unnameable(path: str) -> str:
    try:
        check_name(path.rstrip("/"))
    except BadInput:
        return "its name cannot be kept: it is not UTF-8, too long, or holds a backslash or control character"
    return ""


def _unfit(entry: "os.DirEntry[str]", root: Path) -> str:
    """Why something that the rules would let go along cannot."""
    if entry.is_dir(follow_symlinks=False):
        if Path(entry.path) == home():
            return f"{HOME}: what Sluice keeps of runs"
        return "a virtual environment" if os.path.lexists(Path(entry.path, _ENVIRONMENT)) else ""
    if entry.is_symlink():
        target = Path(entry.path)
        try:
            if not target.resolve().is_relative_to(root.resolve()):
                return "a link that leads out of the project"
        except (OSError, RuntimeError):  # a circle: RuntimeError before Python 3.13
            return "a link that leads in a circle"
        return "" if target.is_file() else "a link to a folder, or to nothing"
    return "" if entry.is_file() else "no plain file"


def _never_above(path: str) -> str:
    return next(
        filter(None, (never(f"{parent.as_posix()}/") for parent in PurePosixPath(path).parents if parent.name)), ""
    )


def _names(folder: Path) -> set[str]:
    with faults(str(folder)):
        return {path.name for path in folder.iterdir()}


def _packages_above(file: str) -> list[str]:
    """The `__init__.py` of each folder above a module, which Python runs first."""
    return [f"{parent.as_posix()}/__init__.py" for parent in PurePosixPath(file).parents if parent.name]


def _near(file: str, folder: Path) -> str:
    known = [path.relative_to(folder).as_posix() for path in [*folder.glob("*.py"), *folder.glob("*/*.py")]]
    close = difflib.get_close_matches(file, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else "; check the path"

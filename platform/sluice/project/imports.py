"""Which files of a project a file imports, read from its source: nothing is run.

The rules are those that the steps import by (`sluice.project.code`), so that what is packed is what is found: a name
of the standard library or of Sluice is never the project's. Any other name is looked for in the project's folder, as
Python does for a program that is started there; then in the folders on the way to the file that imports it, the outer
ones first, as for a program that is started in one of them. A package's folder (it has `__init__.py`) is passed over,
as Python does: inside a package, siblings are imported by `from . import sibling`.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.core.extensions import split_reference

OURS, STAR = "sluice", "*"
STANDARD = frozenset(sys.stdlib_module_names) | frozenset(sys.builtin_module_names)
_INIT = "__init__.py"


@dataclass(frozen=True)
class Import:
    """One import statement, or one module of it.

    Attributes:
        module: As it is written, without the dots of a relative import: `lib.x`.
        level: How many dots stood before it; 0 for an absolute import.
        names: What is taken from it, each of which may be a module of its own: `("y",)`; `*` for all.
        line: Where, from 1.
    """

    module: str
    level: int = 0
    names: tuple[str, ...] = ()
    line: int = 0


class Modules:
    """The modules of a project.

    Args:
        is_file: Whether a path in the project, with forward slashes, is a file.
        is_folder: Whether it is a folder with files: `import lib` of a folder without `__init__.py` needs no more.
    """

    def __init__(self, is_file: Callable[[str], bool], is_folder: Callable[[str], bool] | None = None) -> None:
        self._is_file, self._is_folder = is_file, is_folder or (lambda _: False)

    def file(self, dotted: str) -> str | None:
        """The file of a module by its name from the project's folder; a package comes before a file of its name."""
        path = dotted.replace(".", "/")
        return next((name for name in (f"{path}/{_INIT}", f"{path}.py") if self._is_file(name)), None)

    def find(self, wanted: Import, importer: str) -> str | None:
        """The project's module that an absolute import means: `lib.x` for `src/lib/x.py` gives `src.lib.x`.

        Args:
            wanted: The import.
            importer: The path of the file that it stands in.

        Returns:
            The dotted name from the project's folder; None where the first part of the name is no module of the
            project, or has to be the standard library's or Sluice's.
        """
        top = wanted.module.partition(".")[0]
        return None if top == OURS or top in STANDARD else self.place(wanted, importer)

    def place(self, wanted: Import, importer: str) -> str | None:
        """The same, also for a name that is the standard library's or Sluice's."""
        top = wanted.module.partition(".")[0]
        for folder in self._folders(importer):
            dotted = f"{folder}{wanted.module}".replace("/", ".")
            if self.file(f"{folder}{top}".replace("/", ".")) or self._within(dotted, wanted.names):
                return dotted
        path = wanted.module.replace(".", "/")
        return next(
            (f"{f}{path}".replace("/", ".") for f in self._folders(importer) if self._is_folder(f + path)), None
        )

    def files_of(self, wanted: Import, importer: str) -> Iterator[str]:
        """The files that an import runs, or may: a name that is taken may be a module or a plain name."""
        base = self._base(wanted, importer)
        if base is not None:
            yield from self._along(base)
            for name in wanted.names:
                if name != STAR and (file := self.file(f"{base}.{name}" if base else name)):
                    yield file

    def package_of_star(self, wanted: Import, importer: str) -> str | None:
        """The `__init__.py` that says what `from package import *` takes; None for any other import."""
        base = self._base(wanted, importer) if STAR in wanted.names else None
        file = self.file(base) if base else None
        return file if file and file.endswith(f"/{_INIT}") else None

    def _base(self, wanted: Import, importer: str) -> str | None:
        return self._relative(wanted, importer) if wanted.level else self.find(wanted, importer)

    def _relative(self, wanted: Import, importer: str) -> str | None:
        folder = importer.split("/")[:-1]
        if wanted.level - 1 > len(folder):
            return None  # the import itself fails, and says so
        kept = folder[: len(folder) - (wanted.level - 1)]
        return ".".join([*kept, wanted.module] if wanted.module else kept)

    def _along(self, dotted: str) -> Iterator[str]:
        parts = dotted.split(".") if dotted else []
        yield from filter(None, (self.file(".".join(parts[:depth])) for depth in range(1, len(parts) + 1)))

    def _within(self, dotted: str, names: tuple[str, ...]) -> bool:
        """Whether a folder without `__init__.py` holds what is wanted of it; by itself it is no module."""
        return any(self._along(dotted)) or any(self.file(f"{dotted}.{name}") for name in names if name != STAR)

    def _folders(self, importer: str) -> Iterator[str]:
        parts = importer.split("/")[:-1]
        for depth in range(len(parts) + 1):
            folder = "".join(f"{part}/" for part in parts[:depth])
            if not folder or not self._is_file(f"{folder}{_INIT}"):
                yield folder


def file_and_name(reference: str) -> tuple[str, str]:
    """File and name of `train/mine.py:Net`.

    Raises:
        BadInput: It is no reference.
    """
    found = split_reference(reference)
    if not found:
        raise BadInput(
            f"{reference!r} names nothing in a project's file; write FILE.py:NAME, such as prepare.py:rows, with the "
            "file's path from the project's folder"
        )
    return found


def imports(source: bytes, file: str) -> list[Import]:
    """The imports of a file, wherever they stand in it.

    Args:
        source: The file's content.
        file: Its name, for errors.

    Raises:
        BadInput: It is no Python, with the line; or it is nested too deeply.
    """
    found: list[Import] = []
    for node in ast.walk(_tree(source, file)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, line=node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(Import(node.module or "", node.level, tuple(alias.name for alias in node.names), node.lineno))
    return found


def star_names(source: bytes, file: str) -> tuple[str, ...]:
    """What `from package import *` takes of a package: the texts of a plain list `__all__`, which may be modules.

    Raises:
        BadInput: See `imports`.
    """
    names: list[str] = []
    for node in _tree(source, file).body:
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets) and node.value:
                found = (each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant))
                names += [each for each in found if isinstance(each, str)]
    return tuple(names)


def _tree(source: bytes, file: str) -> ast.Module:
    try:
        return ast.parse(source, file)
    except SyntaxError as error:
        raise BadInput(syntax_error(error, file)) from None
    except ValueError as error:  # it holds NUL, before Python 3.12
        raise BadInput(f"{file}: this is no Python: {error}") from None
    except (RecursionError, MemoryError):
        raise BadInput(f"{file}: this is nested too deeply to be read as Python") from None


def syntax_error(error: SyntaxError, file: str) -> str:
    """What Python says of a file that it cannot read, with the line and what stands there."""
    text = (error.text or "").strip()
    quoted = f": {text[:80]!r}" if text else ""
    return f"{file}:{error.lineno or 1}: this is no Python: {error.msg}{quoted}"


def check_reference(file: str, folder: Path) -> None:
    """Refuse a reference to a file that has the name of another module: `torch.py`.

    Args:
        file: Its path in the project.
        folder: The project's.

    Raises:
        BadInput: The message names the file and whose name it is.
    """
    top = file.split("/")[0].removesuffix(".py")
    if owner := _owner(top, folder):
        raise BadInput(f"{file}: {top!r} is also the name of {owner}; rename the project's")


def check_shadow(modules: Modules, wanted: Import, file: str, folder: Path) -> None:
    """Refuse an import that would find one module here and another elsewhere: what runs must not depend on the place.

    `import sluice` always means Sluice, whatever the project's file of that name declares.

    Raises:
        BadInput: The message names file and line.
    """
    top = wanted.module.partition(".")[0]
    dotted = None if wanted.level or top == OURS else modules.place(wanted, file)
    if dotted is None:
        return
    if owner := _owner(top, folder):
        place = dotted.removesuffix(wanted.module).replace(".", "/")
        found = modules.file(f"{place}{top}".replace("/", ".")) or f"{place}{top}/"
        raise BadInput(f"{file}:{wanted.line}: {top!r} means {owner}, and also {found}; rename the project's")


def _owner(top: str, folder: Path) -> str:
    """Who else has a module of this name; empty where nobody has."""
    if top == OURS:
        return "Sluice itself"
    if top in STANDARD:
        return "a module of Python's standard library"
    origin = _installed(top, folder.resolve())
    return f"an installed package ({origin})" if origin else ""


def _installed(top: str, project: Path) -> str:
    """The file of the module that Python finds outside the project; a mere folder without `__init__.py` is none."""
    path = [place for place in sys.path if not Path(place or ".").resolve().is_relative_to(project)]
    for finder in sys.meta_path:
        if finder is PathFinder:
            spec: ModuleSpec | None = PathFinder.find_spec(top, path)
        else:
            find = getattr(finder, "find_spec", None)
            spec = find(top, None) if find else None
        if spec is not None and spec.origin and not Path(spec.origin).resolve().is_relative_to(project):
            return spec.origin
    return ""

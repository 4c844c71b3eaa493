"""A project's code, loaded from its archive: `open_code("code/<sha256>.zip").load("prepare.py:rows")`.

Its modules live under a package whose name holds the archive's digest, so that two versions can work in one process.
They are compiled from the verified bytes. The project's own modules find each other as the user wrote it (`import
helpers`, `from lib.x import y`, `from . import x`): their `import` statement, and only theirs, looks among the
project's files first, by the rules of `sluice.project.imports`. So a project can hide no module from anybody else.
"""

import builtins
import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sluice.core.errors import BadInput
from sluice.project.archive import Archive
from sluice.project.imports import Import, Modules, file_and_name
from sluice.project.user_errors import ProjectPlace, told

PREFIX = "sluice_project_"
_INIT = "__init__.py"


class ProjectCode:
    """A project's code, of one version.

    Attributes:
        archive: What it was made of.
        digest: SHA-256 of the archive; part of what a step's result was made by.
        folder: Where its files lie on this machine, for tracebacks and for what the code reads beside itself.
        files: The contents by path in the project.
        folders: The folders that these are in.
    """

    def __init__(self, archive: Archive, folder: Path, suffix: str = "") -> None:
        """Nothing is imported yet; use `open_code` or `code_of_folder`, which keep folders of one digest apart."""
        self.archive, self.digest, self.folder, self.files = archive, archive.digest, folder, archive.files
        self.folders = {
            "/".join(file.split("/")[:depth]) for file in archive.files for depth in range(file.count("/") + 1)
        }
        self.modules = Modules(archive.files.__contains__, self.folders.__contains__)
        self.package = f"{PREFIX}{self.digest}{suffix}"
        self._where = ProjectPlace(folder, archive.files, self.package)

    def load(self, reference: str) -> Any:  # noqa: ANN401 - whatever the user's file has by that name
        """What a reference names: a function, a class.

        Args:
            reference: Such as `prepare.py:rows`.

        Raises:
            BadInput: The file or the name is not there, or the file cannot be imported: one line with file and line.
        """
        file, name = file_and_name(reference)
        if file not in self.files:
            raise BadInput(f"{reference}: {file} is not in the project's code{_near(file, self.files)}")
        module = self.module(file)
        with self.blamed(reference):
            found = getattr(module, name, _MISSING)
        if found is _MISSING:
            names = [each for each in vars(module) if not each.startswith("_")]
            raise BadInput(f"{reference}: {file} has no {name!r}{_near(name, names)}")
        return found

    def module(self, file: str) -> ModuleType:
        """Import a file of the project.

        Raises:
            BadInput: It cannot be imported: one line with file and line.
        """
        _Finder.take(self)
        dotted = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        with self.blamed(f"{file} cannot be imported", importing=True):
            return importlib.import_module(f"{self.package}.{dotted}")

    def blamed(self, what: str, *, importing: bool = False, log: bool = False) -> "Blame":
        """A context that turns what the user's code raises into one line that names its file and line.

        Args:
            what: What is being done, such as `candidate mine.py:Net`; the line begins with it.
            importing: Whether the code is being imported, for the words.
            log: Print the traceback first, from the user's first line on: for a step's log.

        Returns:
            For as many `with` blocks as wanted. It raises `BadInput` for what they raise, and `EnvironmentFault` where
            that was for want of memory or disk. Errors that Sluice understands, and Ctrl-C, pass as they are.
        """
        return Blame(self._where, what, importing, log)

    def place_of(self, thing: Any) -> str:  # noqa: ANN401 - whatever `load` gave
        """Where something of the project is defined: `mine.py:12`, or its file alone, or an empty text."""
        try:
            path = inspect.getsourcefile(inspect.unwrap(thing)) or ""
            line = inspect.getsourcelines(inspect.unwrap(thing))[1]
        except (TypeError, OSError, ValueError):
            return ""
        file = self._where.file(path)
        return f"{file}:{line}" if file else ""


@dataclass(frozen=True)
class Blame:
    """See `ProjectCode.blamed`.

    Attributes:
        place: Whose lines are the user's.
        what: What is being done.
        importing: Whether the code is being imported.
        log: Whether to print the traceback.
    """

    place: ProjectPlace
    what: str
    importing: bool = False
    log: bool = False

    def __enter__(self) -> None:
        """Nothing begins."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the one line instead of what was raised."""
        found = told(error, self.what, self.place, importing=self.importing, log=self.log) if error else None
        if found is not None:
            raise found from None


class _Loader(InspectLoader):
    """Compiles a module from the archive's bytes and gives it the project's own `import`."""

    def __init__(self, code: ProjectCode, file: str | None) -> None:
        self._code, self._file = code, file

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002 - importlib's name
        return self._file is None or self._file.rpartition("/")[2] == _INIT

    def get_source(self, fullname: str) -> str | None:  # noqa: ARG002 - importlib's name
        return importlib.util.decode_source(self._code.files[self._file]) if self._file else None

    def get_code(self, fullname: str) -> CodeType | None:  # noqa: ARG002 - importlib's name
        if self._file is None:
            return compile("", self._code.package, "exec")
        path = str(self._code.folder / self._file)
        code: CodeType = compile(self._code.files[self._file], path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        if self._file:
            own = dict(vars(builtins))
            own["__import__"] = _importer(self._code, self._file)
            vars(module)["__builtins__"] = own
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the modules of every project that this process has opened, by the package's name."""

    opened: dict[str, ProjectCode] = {}  # noqa: RUF012 - one for the process, as sys.modules is

    @classmethod
    def take(cls, code: ProjectCode) -> None:
        """Have Python find a project's modules from now on."""
        cls.opened.setdefault(code.package, code)
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())  # before Python's own, which would read the folder

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib's name
        target: ModuleType | None = None,  # noqa: ARG002 - importlib's name
    ) -> ModuleSpec | None:
        package, _, dotted = fullname.partition(".")
        code = self.opened.get(package)
        if code is None:
            return None
        file = code.modules.file(dotted) if dotted else None
        folder = dotted.replace(".", "/")
        if file is None and dotted and folder not in code.folders:
            return None
        loader = _Loader(code, file)
        spec = ModuleSpec(fullname, loader, origin=str(code.folder / file) if file else None)
        spec.has_location = file is not None
        if loader.is_package(fullname):
            spec.submodule_search_locations = [str(code.folder / folder)]
        return spec


def _importer(code: ProjectCode, file: str) -> Callable[..., ModuleType]:
    """The `import` of one file of a project.

    Source: https://docs.python.org/3/library/functions.html#import__ for what its arguments mean.
    """

    def own_import(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - Python's names
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        wanted = Import(name, level, tuple(fromlist or ()))
        found = None if level else code.modules.find(wanted, file)
        if found is None:
            return __import__(name, globals, locals, fromlist or (), level)
        full = f"{code.package}.{found}"
        if fromlist:
            return __import__(full, globals, locals, fromlist, 0)
        importlib.import_module(full)
        return sys.modules[full.removesuffix(name) + name.partition(".")[0]]

    return own_import


_MISSING = object()


def _near(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    shown = sorted(known)[:10]
    return f"; it has {', '.join(shown)}" if shown else ""

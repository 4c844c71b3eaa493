"""The code that steps run, as one digest: what a reused result must have been made by.

It holds the installed packages with their versions, every file of Sluice that a step may read, and the files of
whatever else these import from outside the installed packages: a module on PYTHONPATH, a package that is installed from
its folder. Imports are read from the source, so those inside functions count too; a name that is only put together
while a step runs is not seen.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Collection, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from sluice.artifacts.producer import environment_digest
from sluice.core.extensions import extension_modules

OWN: tuple[ModuleType, ...] = (sys.modules["sluice"],)  # `import sluice` would read as an import of all that it offers
NO_STEP = (
    "cli",
    "cluster",
    "mlflow_server",
    "notebook",
    "project_tools",
    "run_gateway",
    "running",
    "serving",
)  # no step imports them
NOT_RUN = ("README.md", "metadata.yaml")  # a step's pages for people; the catalogue's card


def code_digest(names: Collection[str] = ()) -> str:
    """SHA-256 over the code that steps run and the environment that they run in.

    Args:
        names: Top-level modules that steps of a user's own import as well.
    """
    digest = hashlib.sha256(environment_digest().encode())
    for record in _folder_installs():
        digest.update(record.encode())
    for name, path in sorted(step_files(names).items()):
        digest.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def imports_of(source: str) -> set[str]:
    """The top-level names that a user's own pipeline imports, anywhere in its file.

    Args:
        source: Its file and function, `FILE.py:NAME`; empty, or YAML, for none.
    """
    path = Path(source.rpartition(":")[0] or source)
    return set(_imports(path)) if path.suffix == ".py" and path.is_file() else set()


def step_files(names: Collection[str] = ()) -> dict[str, Path]:
    """The files behind the digest, by a name that does not depend on where the code lies; `names` as above."""
    found = {name: path for package in OWN for name, path in _own(package)}
    seen = {package.__name__ for package in OWN}
    waiting, wanted = list(found.values()), set(names)
    while waiting or wanted:
        for name in sorted((wanted or _imports(waiting.pop())) - seen):
            seen.add(name)
            new = dict(_foreign(name))
            found |= new
            waiting += new.values()
        wanted = set()
    return found


def _own(package: ModuleType) -> Iterator[tuple[str, Path]]:
    """The files of each package in it that steps import, links to other folders followed."""
    for folder in map(Path, package.__path__):
        parts = [part for part in folder.iterdir() if part.is_dir() and not _is_hidden(part.name)]
        inner = [part for part in parts if part.name not in NO_STEP]
        for part in sorted(inner):
            yield from _tree(f"{package.__name__}.{part.name}", iter([part]))


def _tree(name: str, folders: Iterator[Path]) -> Iterator[tuple[str, Path]]:
    for number, folder in enumerate(folders):
        for path in folder.rglob("*"):
            place = path.relative_to(folder)
            if not any(map(_is_hidden, place.parts)) and path.name not in NOT_RUN and path.is_file():
                yield f"{name}/{number}/{place.as_posix()}", path


def _is_hidden(name: str) -> bool:
    """Whether no step reads it: an editor's or Python's own cache."""
    return name.startswith(".") or name == "__pycache__"


def _imports(path: Path) -> frozenset[str]:
    """The top-level names that a file imports, anywhere in it."""
    if path.suffix != ".py":
        return frozenset()
    found = path.stat()
    return _parsed(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=4096)  # who runs many pipelines asks for the same files each time
def _parsed(path: Path, changed: int, size: int) -> frozenset[str]:
    del changed, size  # by them a file that was written anew is another one
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # whoever imports it will be told
        return frozenset()
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names - sys.stdlib_module_names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, whatever it stands in; expressions, which hold no import, are most of a tree and left out."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, part, ())
            waiting += found if isinstance(found, list) else ()


def _foreign(name: str) -> Iterator[tuple[str, Path]]:
    """The files of a module or package that lies outside the installed packages; none for any other."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or _installed(spec):
        return
    if spec.submodule_search_locations:
        yield from _tree(name, map(Path, spec.submodule_search_locations))
    elif spec.origin and Path(spec.origin).is_file():
        yield name, Path(spec.origin)


def _installed(spec: ModuleSpec) -> bool:
    """Whether the environment's digest answers for it: a package of site-packages, or a part of Python itself."""
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location and spec.origin else [])]
    standard = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots = [Path(root).resolve() for root in (*standard, *site.getsitepackages(), site.getusersitepackages())]
    return all(any(Path(place).resolve().is_relative_to(root) for root in roots) for place in places)


def _folder_installs() -> Iterator[str]:
    """What pip wrote down of packages from a folder or file: their version may stay when their code changes."""
    local = [found for found in importlib.metadata.distributions() if found.read_text("direct_url.json")]
    for found in sorted(local, key=lambda each: each.name):
        yield f"\0{found.name}\0{found.read_text('RECORD')}"
    yield from _extensions()


def _extensions() -> Iterator[str]:
    """The files of packages that extend Sluice by entry points, where they lie outside the installed packages.

    No step imports them by name, and the record of a package that was installed to be edited stays when its code
    changes.
    """
    for module in sorted(extension_modules()):
        for name, path in sorted(_foreign(module)):
            yield f"\0{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}"

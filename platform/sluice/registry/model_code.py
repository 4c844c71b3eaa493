"""The code that travels with a registered model, so that it loads where Sluice is not installed.

It is the modules that `sluice.registry.pyfunc_loader` imports, early or late, and nothing else of ours. They are
copied as a package whose name holds their digest, because one process may hold models of two releases, and Sluice
beside them.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sluice.registry import pyfunc_loader

_ROOT = Path(str(pyfunc_loader.__file__)).parents[1]
_LOADER = pyfunc_loader.__name__.partition(".")[2]
_IMPORT = re.compile(r"^(\s*)(from|import) sluice\b", re.MULTILINE)
_INIT = '"""Sluice\'s code for one registered model."""\n'


@dataclass(frozen=True)
class ModelCode:
    """A package to be kept with a model.

    Attributes:
        package: Its name.
        files: Its modules' source by path within it.
    """

    package: str
    files: dict[str, str]

    @property
    def loader(self) -> str:
        """The module that MLflow loads the model by."""
        return f"{self.package}.{_LOADER}"

    def write(self, folder: Path) -> Path:
        """Write the package into a folder; the package's own folder."""
        place = folder / self.package
        for name, text in self.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
        return place


def model_code() -> ModelCode:
    """The loader with all that it imports of ours; the same sources give the same package."""
    sources = {name: _source(name).read_text(encoding="utf-8") for name in imported_modules(_LOADER)}
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sources.items()).encode()).hexdigest()
    package = f"sluice_model_{digest[:12]}"
    files = {f"{name.replace('.', '/')}.py": _IMPORT.sub(rf"\1\2 {package}", text) for name, text in sources.items()}
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    return ModelCode(package, {Path(name, "__init__.py").as_posix(): _INIT for name in sorted(folders)} | files)


def imported_modules(first: str) -> list[str]:
    """The names, below `sluice`, of the modules that one of them leads to, itself included, sorted.

    Imports inside functions count; those only for the type checker do not.
    """
    done: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in done:
            done.add(name)
            waiting += _imported(name)
    return sorted(done)


@cache  # a source does not change while we run, and parsing all of them takes most of a second
def _imported(name: str) -> tuple[str, ...]:
    return tuple(_imports(ast.parse(_source(name).read_text(encoding="utf-8"))))


def _source(name: str) -> Path:
    return _ROOT / f"{name.replace('.', '/')}.py"


def _imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sluice."):
            module = node.module.removeprefix("sluice.")
            inner = [f"{module}.{alias.name}" for alias in node.names]
            found += [module] if _source(module).exists() else [name for name in inner if _source(name).exists()]
        found += _imports(node)
    return found

"""The code that travels with a registered model, so that it loads where Sluice is not installed.

It is the modules that `sluice.registry.pyfunc_loader` imports, early or late, and nothing else of ours. They are
copied as a package whose name holds their digest, because `components` is a usual name for a folder of one's own, and
because one process may hold models of two releases.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sluice.registry import pyfunc_loader

_PACKAGE = "components.common"
_LOADER = "pyfunc_loader"
_IMPORT = re.compile(rf"^(\s*)(from|import) {re.escape(_PACKAGE)}\b", re.MULTILINE)
_INIT = '"""Sluice\'s code for one registered model."""\n'


@dataclass(frozen=True)
class ModelCode:
    """A package to be kept with a model.

    Attributes:
        package: Its name.
        files: Its modules' source by file name.
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
        place.mkdir(parents=True)
        for name, text in self.files.items():
            (place / name).write_text(text, encoding="utf-8")
        return place


def model_code() -> ModelCode:
    """The loader with all that it imports of ours; the same sources give the same package."""
    folder = Path(str(pyfunc_loader.__file__)).parent
    sources = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in imported_modules(folder, _LOADER)}
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sources.items()).encode()).hexdigest()
    package = f"sluice_model_{digest[:12]}"
    files = {f"{name}.py": _IMPORT.sub(rf"\1\2 {package}", text) for name, text in sources.items()}
    return ModelCode(package, {"__init__.py": _INIT, **files})


def imported_modules(folder: Path, first: str) -> list[str]:
    """The names of the modules in a folder that one of them leads to, itself included, sorted.

    Imports inside functions count; those only for the type checker do not.
    """
    done: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in done:
            done.add(name)
            waiting += _imports(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8")))
    return sorted(done)


def _imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{_PACKAGE}."):
            found.append(node.module.removeprefix(f"{_PACKAGE}."))
        found += _imports(node)
    return found

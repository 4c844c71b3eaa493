"""The projects in `examples/`, as tests use them: their folders, and what stands in their files."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from sluice.project.declaration import Project
from sluice.project.files import read_project

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FLIGHTS = str(EXAMPLES / "flights")
DIGITS = str(EXAMPLES / "digits")
IRIS = str(EXAMPLES / "iris")


def project(folder: str) -> Project:
    """What an example declares."""
    return read_project(Path(folder) / "sluice.yaml").project


def module(folder: str, name: str) -> ModuleType:
    """A file of an example, imported under a name of its own."""
    path = Path(folder) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{name}", path)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def task(folder: str) -> dict[str, Any]:
    """The parameter `task` of an example's run."""
    return project(folder).task_body()

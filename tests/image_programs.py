"""The programs of platform/images as modules. platform/hermetic has a build.py too: neither is left under that name."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[1] / "platform/images"


def _loaded(*names: str) -> list[ModuleType]:
    other = sys.modules.pop("build", None)
    sys.path.insert(0, str(FOLDER))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(FOLDER))
        del sys.modules["build"]
        if other:
            sys.modules["build"] = other


build, sbom, scan = _loaded("build", "sbom", "scan")

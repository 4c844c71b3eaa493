"""Sluice's own packages before others of the same names: many repositories have a folder `components`.

`PYTHONPATH=.` in such a repository, or `python -m sluice` typed there, would have Python find that folder first. Other
modules on PYTHONPATH stay where they are: a project may keep code there that its steps import.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

NAMES = ("components", "pipelines")


def own_root() -> Path:
    """The folder that Sluice's packages lie in: site-packages, or a checkout."""
    return next(folder for folder in Path(__file__).resolve().parents[1:3] if (folder / "components/common").is_dir())


def hidden() -> bool:
    """Whether Python would take another package for one of ours."""
    return any(not _is_own(name) for name in NAMES)


def unhide() -> None:
    """Put ours first for this process and for those that it starts, where another package hides one of ours."""
    if hidden():
        root = str(own_root())
        sys.path.insert(0, root)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        importlib.invalidate_caches()


def _is_own(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent == own_root() / name

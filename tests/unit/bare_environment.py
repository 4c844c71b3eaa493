"""A Python that finds only stated requirements and what they need, as `pip install -r` would leave it; no checkout."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement


def linked_packages(folder: Path, requirements: Iterable[str]) -> Path:
    """A folder that holds links to the distributions that some requirements lead to, and to nothing else."""
    folder.mkdir()
    for distribution in _closure(requirements):
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not top.endswith(".pth") and not (folder / top).exists():
                (folder / top).symlink_to(source)
    return folder


def run_bare(packages: Path, code: str, *arguments: str, home: Path) -> str:
    """Run code in a process whose only packages are those of a folder; what it printed."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code, *arguments],
        env={**keep, "PYTHONPATH": str(packages), "HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _closure(requirements: Iterable[str]) -> list[importlib.metadata.Distribution]:
    done: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = wanted.name.lower().replace("_", "-")
        if name not in done:
            found = importlib.metadata.distribution(wanted.name)
            done[name] = found
            waiting += [(Requirement(line), part) for line in found.requires or () for part in (wanted.extras or {""})]
    return list(done.values())

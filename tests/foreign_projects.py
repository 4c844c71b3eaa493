"""The projects in `examples/` of other shapes, copied out of the repository, laid out and run as their users do."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.examples import EXAMPLES

# Budgets of rounds, so that no clock decides; the rest keeps the runs short.
QUICK = ("-p", "max_rounds=3", "-p", "seconds_per_candidate=600", "-p", "resamples=100")
CANDIDATES = {
    "weather": "mean,heuristic,linear-regression",
    "aircraft": "zero-rule,heuristic,gradient-boosted-trees",
    "fleet": "zero-rule,heuristic,logistic-regression",
    "orders": "zero-rule,heuristic,logistic-regression,candidates.py:Rates",
}
SECONDS = 1500  # a busy machine is no failure


def laid_out(name: str, folder: Path) -> Path:
    """A copy of an example with its data, made as its README says; the project's folder."""
    project = folder / name
    shutil.copytree(EXAMPLES / name, project, ignore=shutil.ignore_patterns("data", ".sluice", "__pycache__"))
    subprocess.run([sys.executable, "lake.py"], cwd=project, check=True, timeout=SECONDS)
    return project


def words(name: str) -> tuple[str, ...]:
    """What makes a run of an example short, and equal on every machine."""
    return (*QUICK, "-p", f"candidates={CANDIDATES[name]}")


@dataclass(frozen=True)
class InFolder:
    """The `sluice` command, typed in a project's folder, with its results in `home`."""

    project: Path
    home: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
        environment = kept | {"SLUICE_HOME": str(self.home), "COLUMNS": "140"}
        # -P: the command never looks into the folder that it is typed in, where a project may keep a sluice.py
        command = [sys.executable, "-P", "-m", "sluice", *arguments]
        return subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def result(self, *arguments: str) -> dict[str, Any]:
        """The JSON that a command prints, which must have ended well."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))


def same_in_both(result: dict[str, Any]) -> dict[str, Any]:
    """What of a run's result every machine must agree on; each has a champion of its own, or none."""
    names = ("datasets", "models", "candidates", "winner", "threshold", "population")
    checks = [check for check in result["checks"] if check["name"] != "champion"]
    return {name: result[name] for name in names} | {"checks": checks}

"""The `sluice` command as a user types it: a process with a home of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The budget is one that no candidate uses up, on a busy machine either: else results would follow the machine's load.
QUICK = ("-p", "sample_fraction=0.03", "-p", "seconds_per_candidate=600", "-p", "max_rounds=25")
# For the lake of few flights, and tests that are not about models: as many rows, and the models that are soon there.
QUICKEST = ("-p", "sample_fraction=0.36", "-p", "candidates=zero-rule,logistic-regression")


@dataclass(frozen=True)
class Sluice:
    """Runs the command with its results in `home`."""

    home: Path

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
        environment = kept | {"SLUICE_HOME": str(self.home), "COLUMNS": "140"} | variables
        command = [sys.executable, "-m", "sluice", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)

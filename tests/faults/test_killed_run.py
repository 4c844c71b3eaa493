"""A run that is killed leaves nothing half-made: the next run finishes, and registers one version."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sluice_command import QUICK, Sluice

DEADLINE_SECONDS = 240


def _start(sluice: Sluice, lake: Path) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
    command = [sys.executable, "-m", "sluice", "run", "lake_to_model", "-p", f"lake={lake}", *QUICK]
    return subprocess.Popen(
        command,
        env=kept | {"SLUICE_HOME": str(sluice.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its steps are killed with it
    )


def _wait_for(step: str, home: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if any(step in log.read_text(errors="replace") for log in home.glob("runs/*/run.log")):
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    pytest.fail(f"{step} did not begin within {DEADLINE_SECONDS} s")


@pytest.mark.parametrize("step", ["sample", "register"])
def test_the_next_run_finishes_what_a_killed_one_began(step: str, flights: Path, tmp_path: Path) -> None:
    sluice = Sluice(tmp_path)
    process = _start(sluice, flights)
    try:
        _wait_for(f"Executing task '{step}'", sluice.home, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = sluice("run", "lake_to_model", "-p", f"lake={flights}", *QUICK, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["version"] == "1"
    assert len(list(sluice.home.glob("store/promotions/flights-late/*.json"))) == 1

"""One finished run that several tests look at."""

import subprocess
from pathlib import Path

import pytest

from tests.examples import FLIGHTS
from tests.sluice_command import QUICK, Sluice


@pytest.fixture(scope="session")
def first_run(
    tmp_path_factory: pytest.TempPathFactory, flights: Path
) -> tuple[Sluice, subprocess.CompletedProcess[str]]:
    """A home in which supervised has run once, and what that run printed."""
    sluice = Sluice(tmp_path_factory.mktemp("home"))
    done = sluice("run", FLIGHTS, "-p", f"lake={flights}", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    return sluice, done

"""A process whose user has no name, as OpenShift starts them, records the number and runs to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.core.user_names import user_name

NOBODY = 1_234_567
# Python itself may lie where only root can read, so the process becomes another once all is imported.
RECORD = f"""
import getpass, os, pwd, sys
from sluice.steps.step import step
import sluice.registry.tracking
from mlflow.tracking.context.default_context import DefaultRunContext
if os.getuid() == 0:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
else:  # only root may become another
    def unknown(number): raise KeyError(f"getpwuid(): uid not found: {{number}}")
    pwd.getpwuid = unknown
with step("register"):
    print(getpass.getuser(), DefaultRunContext().tags()["mlflow.user"], os.getuid())
"""


def test_a_number_without_a_name_stands_for_it_in_every_library(tmp_path: Path) -> None:
    hidden = ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "MLFLOW_TRACKING_USERNAME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", RECORD]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    who, user, number = done.stdout.split()
    assert number == str(NOBODY) or os.getuid() != 0
    assert who == user == f"uid-{number}"


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username set in the environment")])
def test_of_a_known_user_the_name(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert user_name() == "ann"

    def fail() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", fail)
    assert user_name() == f"uid-{os.getuid()}"

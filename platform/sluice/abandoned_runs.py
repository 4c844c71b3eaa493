"""Tells MLflow of runs on this machine that were killed, steps and all: they cannot do so themselves.

A run that is killed leaves its lifeline behind, which nobody holds; it names the MLflow run. Looking costs a listing of
a folder, so every `sluice` command looks. MLflow is imported only where there is something to tell.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from components.common import steps
from components.common.errors import BadInput, SluiceError
from components.common.lifeline import abandoned
from components.common.mlflow_access import mlflow_module, tracking_faults, tracking_uri, without_password
from components.common.pipeline_runs import close_run

RUN, PLACE = "mlflow_run", "mlflow"
_REASON = "the run was killed"
# A server that is down must not hold up another command; the next one tries again.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


def place() -> str:
    """Where the runs of this process are tracked, without a password."""
    return without_password(tracking_uri())


def close_abandoned(runs: Path | None = None) -> list[str]:
    """End the MLflow runs of killed runs as KILLED.

    Args:
        runs: The folder of the runs' folders; by default that of the home.

    Returns:
        The MLflow runs that were ended. One that is tracked elsewhere, or whose server is down, is left for later.
    """
    closed = []
    with contextlib.suppress(SluiceError):
        for _, notes in _here(runs or steps.home() / "runs"):
            if notes.get(RUN):
                with contextlib.suppress(BadInput):  # MLflow does not know the run any more
                    _close(notes[RUN])
                    closed.append(notes[RUN])
    return closed


def _here(runs: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    return abandoned(runs, lambda notes: notes.get(PLACE, place()) == place())


def _close(run: str) -> None:
    before = {name: os.environ.get(name) for name in _IMPATIENT}
    os.environ.update(_IMPATIENT)
    try:
        mlflow = mlflow_module()
        client = mlflow.MlflowClient()
        with tracking_faults():
            if client.get_run(run).info.status == "RUNNING":
                close_run(client, run, "KILLED", _REASON)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""Tells MLflow of runs on this machine that were killed, steps and all, and removes the folders that they left.

A run that is killed leaves its lifeline behind, which nobody holds; it names the MLflow run, or, where the run was
killed while it opened one, the id by which that can be found. Looking costs a listing of a folder, so every `sluice`
command looks, as it begins and as it ends. MLflow is imported only where there is something to tell.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sluice.artifacts.bundles import staging_prefix
from sluice.core.addresses import shown
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput, SluiceError
from sluice.core.files import STAGING
from sluice.core.home import home
from sluice.core.lifeline import abandoned
from sluice.core.settings import settings
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.registry.mlflow_access import mlflow_module, tracking_exists, tracking_faults, tracking_uri
from sluice.registry.pipeline_runs import close_run, find
from sluice.storage.locations import default_store

TRACKED, PLACE = "mlflow_run", "mlflow"
SCRATCH_PREFIX = "sluice-run-"
_SCRATCH, _STORE, _ID = "scratch", "store", "run"
_REASON = "the run was killed"
# A server that is down must not hold up another command; the next one tries again.
_IMPATIENT = {TrackingVariables.retries.name: "0", TrackingVariables.timeout.name: "5"}


def place() -> str:
    """Where the runs of this process are tracked, without a password."""
    return shown(tracking_uri())


def notes(scratch: str) -> dict[str, str]:
    """What a run leaves word of as it begins.

    Args:
        scratch: The folder of its temporary files.
    """
    local = default_store().local_path("any")
    store = str(local.parent) if local else ""
    return {PLACE: place(), _SCRATCH: scratch, _STORE: store, _ID: settings().run.run}


def close_abandoned(runs: Path | None = None) -> list[str]:
    """End the MLflow runs of killed runs as KILLED, and remove their temporary folders.

    Args:
        runs: The folder of the runs' folders; by default that of the home.

    Returns:
        The MLflow runs that were ended. One that is tracked elsewhere, or whose server is down, is left for later.
    """
    closed: list[str] = []
    with contextlib.suppress(SluiceError, OSError):  # the command itself will tell
        for _, noted in _here(runs or home() / "runs"):
            with contextlib.suppress(BadInput):  # MLflow does not know the run any more
                closed += _close(noted)
            _remove_folders(noted)
    return closed


def _here(runs: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    return abandoned(runs, lambda noted: noted.get(PLACE, place()) == place())


def _close(noted: dict[str, str]) -> list[str]:
    if not (noted.get(TRACKED) or noted.get(_ID)) or not tracking_exists():
        return []
    with changed_variables(_IMPATIENT):
        mlflow = mlflow_module()
        client = mlflow.MlflowClient()
        with tracking_faults():
            run = noted.get(TRACKED) or find(client, noted[_ID])
            if run and client.get_run(run).info.status == "RUNNING":
                close_run(client, run, "KILLED", _REASON)
        return [run] if run else []


def _remove_folders(noted: dict[str, str]) -> None:
    """Remove temporary files, and half-written datasets; only what is named as a run names its own."""
    scratch = Path(noted.get(_SCRATCH) or ".")
    if scratch.name.startswith(SCRATCH_PREFIX) and scratch.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(scratch, ignore_errors=True)
    prefix = staging_prefix(noted.get(_ID, ""))
    if noted.get(_STORE) and prefix != STAGING:
        for left in Path(noted[_STORE]).glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)

"""What surrounds every step: its record of who made what, its progress, and its one line when it fails.

The same step runs in a test, on a laptop and in a pod; what differs between them reaches it through the environment.
"""

import functools
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from sluice.core.addresses import redacted, show_defect
from sluice.artifacts.code_state import code_state
from sluice.core.errors import BadInput, EnvironmentFault, Killed, SluiceError, TrackingFault, shortened
from sluice.core.files import check_folder, denied, faults
from sluice.core.lifeline import Stopped, stoppable, watch, work_has_stopped
from sluice.artifacts.manifests import Producer
from sluice.core.parameter_checks import check_numbers
from sluice.core.setting_checks import check_settings
from sluice.storage.stores import GUARDED_S3, Store, open_store
from sluice.core.user_names import user_name

HOME = "SLUICE_HOME"
STORE = "SLUICE_STORE"
PIPELINE = "SLUICE_PIPELINE"
RUN = "SLUICE_RUN"
COMMIT = "SLUICE_COMMIT"
CHANGES = "SLUICE_CHANGES"
ENVIRONMENT = "SLUICE_ENVIRONMENT"
IMAGE = "SLUICE_IMAGE"
TERMINATION_LOG = "SLUICE_TERMINATION_LOG"
PROGRESS = "[sluice] "
_SIGNALLED = 128  # what shells add to a signal's number
_MORE_MEMORY = "raise SLUICE_ENGINE_MEMORY, or unset it; in a pod also raise the step's limit"
_FAILURE = re.compile(r"step (?P<step>[\w-]+) failed with exit code (?P<code>\d+): (?P<message>.+)")


def home() -> Path:
    """The folder of everything that Sluice keeps on this machine: SLUICE_HOME, else `.sluice` here.

    Raises:
        BadInput: A file stands in its place.
    """
    return check_folder(HOME, Path(os.environ.get(HOME) or ".sluice").absolute())


def make_home() -> Path:
    """The home, made where it is not there yet.

    Raises:
        BadInput: A file stands in its place.
        EnvironmentFault: The disk is full, read-only or denies access.
    """
    place = home()
    with faults(f"{HOME}={str(place)!r}"):
        place.mkdir(parents=True, exist_ok=True)
    return place


def default_store() -> Store:
    """The store that steps publish to: SLUICE_STORE, else the folder `store` in the home.

    Raises:
        BadInput: SLUICE_STORE, SLUICE_STORE_TRIES or a variable of S3 is wrong.
    """
    given = os.environ.get(STORE)
    if not given:
        return open_store(str(home() / "store"))
    try:
        store = open_store(given)
    except BadInput as error:
        raise BadInput(f"{STORE}: {error}") from None
    if local := store.local_path("any"):
        check_folder(STORE, local.parent)
    return store


def open_lake(address: str) -> Store:
    """Open the lake at an address.

    Args:
        address: `s3://bucket/prefix`, a path that starts with `/`, `./`, `../` or `~`, or else a key of the default
            store, such as `lakes/flights`: so the same default works on a laptop and on a cluster.

    Raises:
        BadInput: The address is empty.
    """
    if not address or "://" in address or address.startswith(("/", "./", "../", "~")) or address in (".", ".."):
        return open_store(address)
    return open_store(f"{default_store().uri}/{address}")


def progress(message: str) -> None:
    """Tell the person who waits: one line, at once, whatever names the message holds."""
    print(f"{PROGRESS}{shortened(redacted(message))}", flush=True)  # noqa: T201 - a step's standard output is its log


def log_metrics(artifact: Any, values: Mapping[str, float]) -> None:  # noqa: ANN401 - KFP's, which this package does not know
    """Log scalars to a KFP Metrics artifact, and write them to its path as JSON.

    KFP keeps them in the artifact's metadata alone; its local cache then takes the artifact for lost and never reuses
    the step.
    """
    for name, value in values.items():
        artifact.log_metric(name, value)
    Path(artifact.path).write_text(json.dumps(dict(values), indent=1), encoding="utf-8")


def producer(step_name: str, parameters: Mapping[str, Any]) -> Producer:
    """The record of what is running: step and parameters from the caller, the rest from the environment."""
    return Producer(
        step=step_name,
        parameters=dict(parameters),
        pipeline=os.environ.get(PIPELINE, ""),
        run=os.environ.get(RUN, ""),
        commit=code_commit(),
        changes=code_changes(),
        environment=os.environ.get(ENVIRONMENT) or environment_digest(),
        image=os.environ.get(IMAGE, ""),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def code_commit() -> str:
    """SLUICE_COMMIT, else the git commit of the code that runs, `+dirty` when the packages' files differ from it.

    `unknown` outside a checkout.
    """
    return os.environ.get(COMMIT) or code_state().commit


def code_changes() -> str:
    """SHA-256 of what differs from `code_commit()`; empty where nothing does, or where an image holds the code.

    The store keeps it under `sluice.artifacts.code_state.changes_key`.
    """
    return os.environ.get(CHANGES, "") if os.environ.get(COMMIT) else code_state().digest


@functools.cache
def environment_digest() -> str:
    """SHA-256 over Python's version and every installed package with its version, sorted."""
    import importlib.metadata  # 40 ms that a step does not pay when its environment is told

    packages = sorted({f"{d.name}=={d.version}".lower() for d in importlib.metadata.distributions()})
    return hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()


@contextmanager
def step(name: str, parameters: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Run a step's body; turn a failure that Sluice understands into one line and the right exit code.

    Args:
        name: The step's.
        parameters: What it was given, whose numbers are looked at first; a component hands over its `locals()`.

    The line goes to the log, to the termination message (a pod's, or the file SLUICE_TERMINATION_LOG) and to MLflow.
    Any other exception passes through with its traceback: it is a defect of ours. A step ends with its run, and when
    Kubernetes or a person ends it by a signal, it closes what is open first.
    """
    watch()
    sys.excepthook = show_defect
    user_name()
    with stoppable():
        try:
            check_settings()
            check_numbers(parameters or {})
            yield
            _await_store()
        except SluiceError as error:
            _terminate(name, error)
        except (Stopped, KeyboardInterrupt) as error:
            _end_killed(name, error)
        except OSError as error:
            if fault := denied(error):
                _terminate(name, fault)
            _tell_tracking(name, error)
            raise
        except Exception as error:
            if _out_of_engine_memory(error):
                _terminate(name, EnvironmentFault(f"DuckDB is out of memory; {_MORE_MEMORY}"))
            _tell_tracking(name, error)
            raise


def _await_store() -> None:
    """In a pod of KFP, wait for a store that is down: the launcher uploads a step's pages next, and tries but once."""
    if os.environ.get(STORE, "").startswith(f"{GUARDED_S3}://"):
        default_store().exists("runs")


def _out_of_engine_memory(error: Exception) -> bool:
    """Whether it is DuckDB's; a step that has not imported it cannot have raised it."""
    duckdb = sys.modules.get("duckdb")
    return duckdb is not None and isinstance(error, duckdb.OutOfMemoryException)


def leave_message(step_name: str, error: SluiceError) -> None:
    """Write a failure's one line where a pod's last words go, or to SLUICE_TERMINATION_LOG.

    Kubernetes and KFP show it to people; `read_message` reads it back. In a pod the launcher stands between the step
    and Kubernetes and ends with 1 whatever the step ended with: so the line names the step's own exit code.
    """
    target = Path(os.environ.get(TERMINATION_LOG) or "/dev/termination-log")
    if not (os.environ.get(TERMINATION_LOG) or target.exists()):
        return
    try:
        target.write_text(f"step {step_name} failed with exit code {error.exit_code}: {error}", encoding="utf-8")
    except OSError as fault:  # the error itself stands in the log already, and counts more
        progress(f"{TERMINATION_LOG}={str(target)!r} cannot be written ({fault.strerror}); name a file in a folder")


def read_message(text: str) -> SluiceError | None:
    """The error behind the line that `leave_message` wrote, whatever stands before it; None where there is none."""
    found = _FAILURE.search(text)
    if not found:
        return None
    code, message = int(found["code"]), f"step {found['step']}: {found['message']}"
    if code > _SIGNALLED:
        return Killed(message, code - _SIGNALLED)
    return BadInput(message) if code == BadInput.exit_code else EnvironmentFault(message)


def _terminate(name: str, error: SluiceError) -> NoReturn:
    progress(f"error: {error}")
    leave_message(name, error)
    _tell_tracking(name, error, patient=not isinstance(error, TrackingFault))
    raise SystemExit(error.exit_code)


def _end_killed(name: str, error: Stopped | KeyboardInterrupt) -> NoReturn:
    ended = Killed(str(error), error.number) if isinstance(error, Stopped) else Killed("ended by SIGINT", signal.SIGINT)
    work_has_stopped()
    leave_message(name, ended)
    _tell_tracking(name, ended)
    raise SystemExit(ended.exit_code)


def _tell_tracking(name: str, error: BaseException, *, patient: bool = True) -> None:
    from sluice.registry.tracking import fail_pipeline_run  # it stands above this module

    fail_pipeline_run(name, error, patient=patient)

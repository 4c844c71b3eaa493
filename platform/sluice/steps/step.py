"""What surrounds every step: its settings and numbers looked at first, and its one line when it fails.

The same step runs in a test, on a laptop and in a pod; what differs between them reaches it through the environment.
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sluice.core.addresses import show_defect
from sluice.core.errors import EnvironmentFault, Killed, SluiceError, TrackingFault
from sluice.core.files import denied
from sluice.core.lifeline import Stopped, stoppable, watch, work_has_stopped
from sluice.core.parameter_checks import check_numbers
from sluice.core.progress import progress
from sluice.core.setting_checks import check_settings
from sluice.core.settings import settings
from sluice.core.termination_message import leave_message
from sluice.core.user_names import user_name
from sluice.storage.locations import default_store
from sluice.storage.stores import GUARD

_MORE_MEMORY = "raise SLUICE_ENGINE_MEMORY, or unset it; in a pod also raise the step's limit"


def log_metrics(artifact: Any, values: Mapping[str, float]) -> None:  # noqa: ANN401 - KFP's, which this package does not know
    """Log scalars to a KFP Metrics artifact, and write them to its path as JSON.

    KFP keeps them in the artifact's metadata alone; its local cache then takes the artifact for lost and never reuses
    the step.
    """
    for name, value in values.items():
        artifact.log_metric(name, value)
    Path(artifact.path).write_text(json.dumps(dict(values), indent=1), encoding="utf-8")


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
    if settings().store.address.startswith(GUARD):
        default_store().exists("runs")


def _out_of_engine_memory(error: Exception) -> bool:
    """Whether it is DuckDB's; a step that has not imported it cannot have raised it."""
    duckdb = sys.modules.get("duckdb")
    return duckdb is not None and isinstance(error, duckdb.OutOfMemoryException)


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
    from sluice.registry.tracking import fail_pipeline_run  # only a step that fails pays for it

    fail_pipeline_run(name, error, patient=patient)

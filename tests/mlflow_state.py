"""What MLflow remembers in a process, besides the environment: taken back, so that no test sees another's.

MLflow keeps the tracking server, the registry, the experiment, the open runs and the active model in globals of its
modules, and what was set there by a call wins over the environment.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def fresh_mlflow() -> Iterator[None]:
    """MLflow without a memory inside; the environment and MLflow's globals as they were after it."""
    before = dict(os.environ)
    try:
        forget()
        restore(before)
        yield
    finally:
        forget()
        restore(before)


def forget() -> None:
    """Take back what calls of MLflow have set in this process; costs nothing where MLflow was not imported.

    Open runs are forgotten, not ended: their store may be gone.
    """
    if "mlflow.tracking.fluent" not in sys.modules:
        return
    import mlflow
    from mlflow.tracking import fluent

    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    mlflow.clear_active_model()
    fluent._active_experiment_id = None
    for remembered in (fluent._active_run_stack, fluent._last_active_run_id, fluent._last_logged_model_id):
        remembered.reset()


def restore(environment: Mapping[str, str]) -> None:
    """Make the variables of this process those of `environment`, no more and no less."""
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)

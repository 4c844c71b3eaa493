"""What a person's own Python takes from Sluice: declaring and running a project, datasets, models, results of runs.

Each name is imported when it is first used, so that `import sluice` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
    from sluice.notebook.clusters import on_cluster
    from sluice.notebook.datasets import Dataset, open_dataset
    from sluice.notebook.models import Model, ModelWarning, load_model
    from sluice.notebook.runs import Run, get_run, run, runs
    from sluice.project.declaration import Candidate, Gate, Label, Project, Resources, Rows, Sample, Split, Train

_PLACES = {
    "core.errors": ("BadInput", "EnvironmentFault", "SluiceError"),
    "notebook.clusters": ("on_cluster",),
    "notebook.datasets": ("Dataset", "open_dataset"),
    "notebook.models": ("Model", "ModelWarning", "load_model"),
    "notebook.runs": ("Run", "get_run", "run", "runs"),
    "project.declaration": (
        "Candidate",
        "Gate",
        "Label",
        "Project",
        "Resources",
        "Rows",
        "Sample",
        "Split",
        "Train",
    ),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "BadInput",
    "Candidate",
    "Dataset",
    "EnvironmentFault",
    "Gate",
    "Label",
    "Model",
    "ModelWarning",
    "Project",
    "Resources",
    "Rows",
    "Run",
    "Sample",
    "SluiceError",
    "Split",
    "Train",
    "get_run",
    "load_model",
    "on_cluster",
    "open_dataset",
    "run",
    "runs",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above, imported when it is first used
    if name not in _MODULES:
        raise AttributeError(f"module 'sluice' has no attribute {name!r}")
    return getattr(import_module(f"sluice.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The `sluice` command, and what a person's own Python takes from Sluice: the objects that declare a project."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.project.declaration import Candidate, Gate, Label, Project, Resources, Rows, Sample, Split, Train

__all__ = ["Candidate", "Gate", "Label", "Project", "Resources", "Rows", "Sample", "Split", "Train"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above, imported when it is first used
    if name not in __all__:
        raise AttributeError(f"module 'sluice' has no attribute {name!r}")
    from sluice.project import declaration

    return getattr(declaration, name)

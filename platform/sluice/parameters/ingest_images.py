"""Which values the step takes."""

from typing import Annotated, Any

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check, StepParameters, check_lake
from sluice.problems.registry import PROBLEMS
from sluice.project import task_parameter
from sluice.project.declaration import TaskDeclaration

TABLE = "images"
"""What a project calls the one table of a lake of images."""
_TAKEN = ("name", "question", "rows", "label")


def checked_task(name: str, task: Any) -> TaskDeclaration:  # noqa: ANN401 - JSON
    """What a project declares of its images and their label.

    Args:
        name: The parameter's, for messages.
        task: As it was given: `Project.task_body()`.

    Raises:
        BadInput: It is empty, no such declaration, or names what images do not have.
    """
    declared = task_parameter.checked_task(name, task)
    if declared.label.kind:
        PROBLEMS.check_known(declared.label.kind)
    if declared.rows.table != TABLE:
        raise BadInput(f"rows.table is {declared.rows.table!r}; a lake of images has one table, {TABLE!r}")
    others = sorted({*declared.model_fields_set} - {*_TAKEN}) + [
        f"rows.{each}" for each in sorted(declared.rows.model_fields_set - {"table"})
    ]
    if others:
        raise BadInput(f"{others[0]} is for tables, and these are images; leave it out")
    return declared


class Parameters(StepParameters):
    """Where the images are, and what is asked of them."""

    lake: Annotated[str, check_lake] = Field(
        default="",
        description="Where the images are, as a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.",
    )
    task: Annotated[dict[str, Any], checked_task] = Field(
        default={}, description="The question and its label, as a project declares them."
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

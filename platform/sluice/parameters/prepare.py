"""What a person may set about the step."""

from typing import Annotated, Any

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.problems.registry import PROBLEMS
from sluice.project import task_parameter
from sluice.project.declaration import TaskDeclaration


def checked_task(name: str, task: Any) -> TaskDeclaration:  # noqa: ANN401 - JSON
    """What a project declares of its rows, label and features; its problem is one that somebody brings.

    Args:
        name: The parameter's, for messages.
        task: As it was given: `Project.task_body()`.

    Raises:
        BadInput: It is empty, no such declaration, or names a problem that nobody brings.
    """
    declared = task_parameter.checked_task(name, task)
    if declared.label.kind:
        PROBLEMS.check_known(declared.label.kind)
    return declared


def check_task(name: str, task: object) -> None:
    """Refuse what declares no rows, or has them made by a function that nobody brings.

    Args:
        name: The parameter's, for messages.
        task: As it was given.

    Raises:
        BadInput: See `checked_task`; or there is no prepare function of that name.
    """
    declared = checked_task(name, task)
    if declared.prepare:
        PREPARE_FUNCTIONS.check_known(declared.prepare)


class Parameters(StepParameters):
    """Which question is asked of which rows, and the code that prepares them."""

    task: Annotated[dict[str, Any], check_task] = Field(
        default={}, description="The question, its rows, label and features, as a project declares them."
    )
    code: str = Field(
        default="",
        description="The address of the project's code, code/<sha256>.zip, where it prepares the rows or has the "
        "problem.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

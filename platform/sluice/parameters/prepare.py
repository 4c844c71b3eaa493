"""What a person may set about the step."""

from typing import Annotated, Any

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.project.task_parameter import checked_task


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
        description="The address of the project's code, code/<sha256>.zip, where a function of it prepares the rows.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

"""What a person may set about the step."""

from typing import Annotated, Any

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters
from sluice.project.task_parameter import checked_task


class Parameters(StepParameters):
    """Which question is asked of which rows, and the code that prepares them."""

    task: Annotated[dict[str, Any], checked_task] = Field(
        default={}, description="The question, its rows, label and features, as a project declares them."
    )
    code: str = Field(
        default="",
        description="The address of the project's code, code/<sha256>.zip, where a function of it prepares the rows.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

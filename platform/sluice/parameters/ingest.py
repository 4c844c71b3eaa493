"""What a person may set about the step."""

from typing import Annotated

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters, check_lake


class Parameters(StepParameters):
    """Where the lake is."""

    lake: Annotated[str, check_lake] = Field(
        default="",
        description="Where the lake is: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

"""What a person may set about the step."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check, Range, StepParameters
from sluice.extending.samplers import SAMPLERS


def check_by(name: str, by: object) -> None:
    """Refuse what is no sampler's name; one of a project's own is found when the step runs.

    Args:
        name: The parameter's, for messages.
        by: As it was given; empty for Sluice's own sample.

    Raises:
        BadInput: There is none of that name.
    """
    if not isinstance(by, str):
        raise BadInput(f"parameter {name!r} is {by!r}; write a sampler's name, or FILE.py:NAME of a project")
    if by:
        SAMPLERS.check_known(by)


class Parameters(StepParameters):
    """How rows are drawn; no number of rows goes by the fraction."""

    fraction: Annotated[float, Range(0, 1, above=True)] = Field(
        default=1.0, description="The part of the rows to draw, above 0 and at most 1."
    )
    rows: Annotated[int, Range(0, whole=True)] = Field(
        default=0, description="How many rows to draw; 0 to go by the fraction."
    )
    strata: list[str] = Field(
        default=[],
        description="Columns whose combinations are sampled each for itself; empty for a simple random sample.",
    )
    allocation: Literal["proportional", "equal"] = Field(
        default="proportional", description="How rows are divided over the strata, proportional or equal."
    )
    by: Annotated[str, check_by] = Field(
        default="",
        description="A sampler that says with which probability each row is drawn, a name or file.py:name of a "
        "project; empty for strata.",
    )
    code: str = Field(
        default="",
        description="The address of the project's code, code/<sha256>.zip, where a sampler of it is named.",
    )
    seed: int = Field(default=42, description="Any integer; the same seed draws the same rows.")


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

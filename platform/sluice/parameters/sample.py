"""What a person may set about the step."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.core.parameter_checks import Check, Range, StepParameters


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
    seed: int = Field(default=42, description="Any integer; the same seed draws the same rows.")


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

"""What a person may set about the step."""

from typing import Literal

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters

Promotion = Literal["gate", "approval"]
GATE: Promotion = "gate"
APPROVAL: Promotion = "approval"


class Parameters(StepParameters):
    """Who has the last word."""

    promotion: Promotion = Field(
        default=GATE,
        description="Whether a model that passed the gate becomes champion at once (gate), or waits for a person "
        "(approval).",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

"""What a person may set about the step."""

from typing import Literal

from pydantic import Field

from sluice.core.parameter_checks import Check, StepParameters

Promotion = Literal["gate", "approval"]
GATE: Promotion = "gate"
APPROVAL: Promotion = "approval"
Served = Literal["each", "passed"]
EACH: Served = "each"
PASSED: Served = "passed"


class Parameters(StepParameters):
    """Who has the last word."""

    promotion: Promotion = Field(
        default=GATE,
        description="Whether a model that passed the gate becomes champion at once (gate), or waits for a person "
        "(approval).",
    )
    served: Served = Field(
        default=EACH,
        description="Of which versions a folder to serve is made at once: of each, or of those that the gate let pass "
        "(passed); of another one it is made when somebody serves or exports it.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

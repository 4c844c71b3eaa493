"""What a person may set about the step."""

from datetime import date
from typing import Annotated

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check, StepParameters


def parse_as_of(name: str, text: str) -> date | None:
    """The day that counts as today: `YYYY-MM-DD`; empty for none.

    Args:
        name: The parameter's, for messages.
        text: As it was given.

    Raises:
        BadInput: It is no such day.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        if day.isoformat() != text:  # Python also reads weeks, and digits alone
            raise ValueError(text)
    except ValueError:
        raise BadInput(
            f"parameter {name!r}: {text!r} is no day; write YYYY-MM-DD, or leave it empty to skip freshness"
        ) from None
    return day


class Parameters(StepParameters):
    """What the contract itself does not say."""

    as_of: Annotated[str, parse_as_of] = Field(
        default="",
        description="The day that counts as today for the freshness check (YYYY-MM-DD); empty skips the check.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

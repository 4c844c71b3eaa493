"""What a person may set about the step."""

from typing import Annotated

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check, StepParameters


def check_named(name: str, value: object) -> None:
    """Refuse an empty name: nothing says which one is meant.

    Args:
        name: The parameter's, for messages.
        value: As it was given.

    Raises:
        BadInput: It is empty, or no text.
    """
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"parameter {name!r} is empty; say which one: -p {name}=…")


class Parameters(StepParameters):
    """Which model forecasts which rows."""

    dataset: Annotated[str, check_named] = Field(
        default="",
        description="The dataset of the step ingest whose rows are forecast: its address, its id or the id's "
        "beginning.",
    )
    model: Annotated[str, check_named] = Field(
        default="",
        description="The registered model: MODEL (its champion), MODEL@alias or MODEL/version.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""

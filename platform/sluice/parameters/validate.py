"""Which values the step takes."""

from datetime import date

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check


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


CHECKS: dict[str, Check] = {"as_of": parse_as_of}
"""By parameter."""

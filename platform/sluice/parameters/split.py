"""Which values the step takes."""

import math
from collections.abc import Sequence
from fractions import Fraction

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check

PARTS = ("train", "validation", "test")


def check_shares(name: str, shares: Sequence[float]) -> tuple[Fraction, ...]:
    """The shares of train, validation and test as exact numbers.

    Args:
        name: The parameter's, for messages.
        shares: As they were given.

    Raises:
        BadInput: There are not three, one is not above 0, or they do not add up to 1.
    """
    given = f"parameter {name!r} is {shares}"
    try:
        if not all(math.isfinite(float(share)) for share in shares):
            raise ValueError(shares)
    except (ValueError, TypeError):
        raise BadInput(f"{given}, which holds something that is no number; use [0.7, 0.15, 0.15]") from None
    if len(shares) != len(PARTS) or not all(float(share) > 0 for share in shares):
        raise BadInput(f"{given}, but must hold three numbers above 0, for {', '.join(PARTS)}")
    exact = [Fraction(str(share)) for share in shares]  # of what a double holds, or `1e999999999` would never end
    if abs(sum(exact, Fraction(-1))) > Fraction(1, 10**6):
        raise BadInput(f"{given}, which adds up to {float(sum(exact, Fraction())):g}; they must add up to 1")
    return tuple(exact)


CHECKS: dict[str, Check] = {"shares": check_shares}
"""By parameter."""

"""Numbers that a person gives as a step's or a pipeline's parameter, checked in one place before any work begins.

NaN and Infinity pass every comparison the wrong way or never end a wait, and a whole number beyond 2^53 becomes another
one in KFP, which keeps all numbers as doubles.
"""

import math
from collections.abc import Mapping
from typing import Any

from components.common.errors import BadInput

MOST_WHOLE = 2**53
"""Beyond it a double does not hold every whole number."""


def check_numbers(parameters: Mapping[str, Any]) -> None:
    """Refuse a number that is none, or that would not arrive as it was given; lists and mappings are looked into.

    Args:
        parameters: By name; what holds no numbers is passed over.

    Raises:
        BadInput: The message names the parameter and the value.
    """
    for name, value in parameters.items():
        _check(name, value)


def _check(name: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"parameter {name!r}: {value} is no number to work with; give a finite one")
    if isinstance(value, int) and not -MOST_WHOLE <= value <= MOST_WHOLE:
        raise BadInput(
            f"parameter {name!r}: KFP would not keep a whole number of {value.bit_length()} bits exactly; "
            f"give one from -{MOST_WHOLE} to {MOST_WHOLE}"
        )
    if isinstance(value, list | tuple):
        for each in value:
            _check(name, each)
    elif isinstance(value, dict):
        for each in value.values():
            _check(name, each)

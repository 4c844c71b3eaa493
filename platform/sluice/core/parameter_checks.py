"""Numbers that a person gives as a step's or a pipeline's parameter, checked in one place before any work begins.

NaN and Infinity pass every comparison the wrong way or never end a wait, and a whole number beyond 2^53 becomes another
one in KFP, which keeps all numbers as doubles.

Which values a step takes stands once, as `CHECKS` in its module `parameters`: the step looks there before its work, the
command and the fused run before the first step of a pipeline.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.core.errors import BadInput

MOST_WHOLE = 2**53
"""Beyond it a double does not hold every whole number."""

Check = Callable[[str, Any], object]
"""Takes a parameter's name and its value; raises `BadInput`, which names both, where a step would not take it."""


@dataclass(frozen=True)
class Range:
    """From which number to which a parameter goes.

    Attributes:
        least: The smallest.
        most: The greatest.
        above: Whether `least` itself is refused.
        whole: Whether the parameter counts something; for the message's words.
    """

    least: float
    most: float = math.inf
    above: bool = False
    whole: bool = False

    def __call__(self, name: str, value: Any) -> None:  # noqa: ANN401 - whatever was given
        """See `Check`."""
        try:
            inside = math.isfinite(value) and self.least <= value <= self.most
        except (TypeError, OverflowError):
            inside = False
        if not inside or (self.above and value == self.least):
            raise BadInput(f"parameter {name!r} is {value}; give {self}")

    def __str__(self) -> str:
        """In words."""
        kind = "a whole number" if self.whole else "a number"
        least = f"above {self.least:g}" if self.above else f"from {self.least:.15g}"
        joint = "and at most" if self.above else "to"
        return f"{kind} {least}" + (f" {joint} {self.most:.15g}" if math.isfinite(self.most) else "")


SEED = Range(0, 2**31 - 1, whole=True)
"""What NumPy, scikit-learn and torch all take; a sample's or a split's own order takes any integer."""


def check_with(checks: Mapping[str, Check], given: Mapping[str, Any]) -> None:
    """Hold what is given to a step's checks.

    Raises:
        BadInput: The message names the parameter and the value.
    """
    for name, check in checks.items():
        if name in given:
            check(name, given[name])


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

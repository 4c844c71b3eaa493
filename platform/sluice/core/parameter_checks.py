"""What a person may set about a step, and the checks that follow, made in one place before any work begins.

NaN and Infinity pass every comparison the wrong way or never end a wait, and a whole number beyond 2^53 becomes another
one in KFP, which keeps all numbers as doubles.

A step states its parameters once, as the class `Parameters` in its module `parameters`: types, defaults, choices,
ranges and words. The step looks there before its work, the command and the fused run before a pipeline's first step.
KFP reads a step's signature and nothing else, so that repeats names and defaults; a test holds the two together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

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


def check_lake(name: str, address: Any) -> None:  # noqa: ANN401 - whatever was given
    """Refuse a lake that has no address.

    Args:
        name: The parameter's, for the message.
        address: As it was given.

    Raises:
        BadInput: It is empty.
    """
    if not address or not str(address).strip():
        raise BadInput(
            f"parameter {name!r} is empty, so there are no data; type `sluice run` in the folder of a project, or "
            f"name a lake: -p {name}=./my-lake, a key of the store, or s3://bucket/prefix"
        )


class StepParameters(BaseModel):
    """The parameters of one step, as a person may set them; a subclass has one field for each.

    A field's annotation holds its checks: `Annotated[int, Range(1, whole=True)]`, `Literal["a", "b"]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def checks(cls) -> dict[str, Check]:
        """One check for each field: what stands in its annotation, then its type."""
        return {name: partial(_check_field, cls, name) for name in cls.model_fields}

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """The values of each field that offers but some."""
        fields = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: get_args(kind) for name, kind in fields.items() if get_origin(kind) is Literal}

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> Self:
        """The parameters among what a step was given; whatever else is in there is passed over.

        Raises:
            BadInput: A value is none that the step takes; the message names the parameter and the value.
        """
        known = {name: value for name, value in given.items() if name in cls.model_fields}
        check_with(cls.checks(), known)
        return cls(**known)


def _check_field(parameters: type[StepParameters], field: str, name: str, value: Any) -> None:  # noqa: ANN401 - any
    """Hold a value to a field; `name` is what the person who gave it calls it."""
    stated = parameters.model_fields[field]
    annotation: Any = stated.annotation
    if get_origin(stated.annotation) is Literal:
        _check_choice(get_args(stated.annotation), name, value)
    for check in stated.metadata:
        check(name, value)
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]
        where = f", item {said['loc'][0] + 1}" if said["loc"] and isinstance(said["loc"][0], int) else ""
        reason = said["msg"].removeprefix("Input should be ")
        raise BadInput(f"parameter {name!r} is {value!r}{where}; give {reason}") from None


def _check_choice(offered: tuple[Any, ...], name: str, value: Any) -> None:  # noqa: ANN401 - whatever was given
    if value not in offered:
        close = [word for word in offered if str(word).startswith(str(value)[:2])] if value else []
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise BadInput(f"parameter {name!r} is {value!r}{hint}; choose {' or '.join(map(str, offered))}")


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

"""Checks of single fields of a contract, whose refusals are ready for people; pydantic calls them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from sluice.core.column_names import check_name
from sluice.core.durations import parse_duration
from sluice.core.errors import BadInput
from sluice.core.strict_yaml import quoted_text

REFUSAL = "sluice"
"""The type of pydantic's errors that hold a message of ours."""


def refusal(message: str, *below: str) -> PydanticCustomError:
    """An error of a validator; the message is ready for people, whatever it quotes from a file.

    Args:
        message: What is wrong, in one line.
        below: Where, as keys from the object that is checked.
    """
    return PydanticCustomError(REFUSAL, "{message}", {"message": message, "below": below})


def before(check: Callable[[str, Any], Any], what: str) -> BeforeValidator:
    """A check as a validator of a field.

    Args:
        check: Takes the field's name and the value, and gives the value to keep.
        what: The field's name, for messages.
    """
    return BeforeValidator(partial(check, what))


def number(what: str, value: Any) -> float:  # noqa: ANN401 - YAML
    """A finite number."""
    try:
        found = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise refusal(f"{what} {str(value)[:40]!r} is no number")
    return found


def text(what: str, value: Any) -> str:  # noqa: ANN401 - YAML
    """A text; what YAML takes for something else is refused."""
    try:
        return quoted_text(value, what)
    except BadInput as error:
        raise refusal(str(error)) from None


def optional_text(what: str, value: Any) -> str | None:  # noqa: ANN401 - YAML
    """A text, or nothing."""
    return None if value is None else text(what, value) or None


def lag(what: str, value: Any) -> str | None:  # noqa: ANN401 - YAML
    """A duration, also a negative one, or nothing."""
    if value is None:
        return None
    said = text(what, value)
    try:
        parse_duration(said, signed=True)
    except ValueError as error:
        raise refusal(f"{what}: {error}") from None
    return said


def truth(what: str, value: Any) -> bool:  # noqa: ANN401 - YAML
    """True or false, and no word for it."""
    if not isinstance(value, bool):
        raise refusal(f"{what} must be true or false")
    return value


def entries(what: str, body: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    """The entries of a mapping by name; names that SQL engines could not tell apart are refused."""
    if not isinstance(body, dict) or not body:
        raise refusal(f"`{what}` must be a mapping with at least one entry")
    names: dict[str, str] = {}
    for name in body:
        try:
            check_name(name, f"`{what}`")
        except BadInput as error:
            raise refusal(str(error)) from None
        other = names.setdefault(name.casefold(), name)
        if other != name:
            raise refusal(f"`{what}` has {name!r} beside {other!r}; names must differ by more than case")
    return body

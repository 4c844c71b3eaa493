"""JSON that other programs wrote, read so that nothing in it is passed over: a key that stands twice is refused.

Python's own reader takes the last of two equal keys, and NaN for a number; RFC 8259 leaves the one open and has not
the other.
"""

import json
import math
from decimal import Decimal
from typing import Any, NoReturn

_SURE_LENGTH = 17  # of a number that no float rounds to a whole one


class RepeatedKey(ValueError):
    """An object has a key twice."""


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON
    """The value of a JSON text; a number that a float would round to a whole one, or to infinity, is a `Decimal`.

    Raises:
        RepeatedKey: An object has a key twice.
        ValueError: It is no JSON (`json.JSONDecodeError`), holds NaN or an infinity, or is not UTF-8.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object, parse_float=_number, parse_constant=_refuse_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RepeatedKey(f"the key {twice[:40]!r} stands twice in one object; keep one")
    return body


def _number(text: str) -> float | Decimal:
    number = float(text)
    if len(text) <= _SURE_LENGTH and not math.isinf(number):
        return number
    exact = Decimal(text)
    return exact if exact != number and (math.isinf(number) or number.is_integer()) else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; write null")

"""Reading JSON that others wrote: bounded before it is read, and so that nothing in it is passed over.

A document of few bytes may become many objects. Python's own reader takes the last of two equal keys, and NaN for a
number; RFC 8259 leaves the one open and has not the other.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

from sluice.core.bounds import FILE_BYTES, JSON_VALUES

_SIGNS = (b",", b"[", b"{")
"""Before each value but the first stands one of them or a colon, whose object has them too."""
_SURE_LENGTH = 17  # of a number that no float rounds to a whole one


class RepeatedKey(ValueError):
    """An object has a key twice."""


def with_whole_numbers(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A value whose whole numbers are integers, wherever they stand in it.

    JSON knows one kind of number: KFP's API gives 1.0 back as 1, and 64 as 64.0. No id may differ by that.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [with_whole_numbers(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): with_whole_numbers(each) for key, each in value.items()}
    return value


def parse_json(data: bytes, where: str) -> Any:  # noqa: ANN401 - JSON
    """The value of a JSON text; a number that a float would round to a whole one, or to infinity, is a `Decimal`.

    Args:
        data: In UTF-8, with or without a byte order mark.
        where: The file, for the refusal.

    Raises:
        BadInput: It may hold more values than the bound allows, judged by its commas and brackets (in text, too).
        RepeatedKey: An object has a key twice.
        ValueError: It is no JSON (`json.JSONDecodeError`), holds NaN or an infinity, or is not UTF-8.
        RecursionError: It is nested too deeply.
    """
    JSON_VALUES.check(sum(map(data.count, _SIGNS)), where, "give large tables as CSV or SQL")
    return json.loads(
        data.decode("utf-8-sig"), object_pairs_hook=_object, parse_float=_number, parse_constant=_refuse_constant
    )


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """The content of a JSON file; raises as `parse_json`, and `OSError` where the file cannot be read."""
    FILE_BYTES.check(path.stat().st_size, str(path), "make it smaller")
    return parse_json(path.read_bytes(), str(path))


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
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:40]} has an exponent beyond all numbers") from None
    return exact if exact != number and (math.isinf(number) or number.is_integer()) else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; write null")

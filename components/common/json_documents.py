"""Reading JSON that others wrote: a document of few bytes may become many objects, so these are bounded first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.common.bounds import FILE_BYTES, JSON_VALUES

_SIGNS = (b",", b"[", b"{")
"""Before each value but the first stands one of them or a colon, whose object has them too."""


def parse_json(data: bytes, where: str, **options: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - JSON
    """`json.loads` of bytes.

    Args:
        data: In UTF-8, with or without a byte order mark.
        where: The file, for the refusal.
        options: Of `json.loads`.

    Raises:
        BadInput: It may hold more values than the bound allows, judged by its commas and brackets (in text, too).
        ValueError: It is not JSON, or not UTF-8.
        RecursionError: It is nested too deeply.
    """
    JSON_VALUES.check(sum(map(data.count, _SIGNS)), where, "give large tables as CSV or SQL")
    return json.loads(data.decode("utf-8-sig"), **options)


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """The content of a JSON file; raises as `parse_json`, and `OSError` where the file cannot be read."""
    FILE_BYTES.check(path.stat().st_size, str(path), "make it smaller")
    return parse_json(path.read_bytes(), str(path))

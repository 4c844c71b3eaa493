"""Names inside a store or a published folder: relative, with forward slashes, and never a way out of it."""

import unicodedata
from pathlib import PurePosixPath

from sluice.core.errors import BadInput

_NO_TEXT = ("Cc", "Cn", "Cs")  # control characters, code points without a character, halves of one: XML has none


def check_key(key: str) -> str:
    """Refuse a key that would leave its store, or that two stores would read differently.

    Args:
        key: Such as `datasets/3f…/rows/part-0.parquet`.

    Returns:
        The key.

    Raises:
        BadInput: It is empty, absolute, holds a `.` or `..`, an empty part, a backslash or a control character.
    """
    path = PurePosixPath(key)
    plain = "\\" not in key and not any(unicodedata.category(character) in _NO_TEXT for character in key)
    if not plain or not path.parts or path.is_absolute() or ".." in path.parts or path.as_posix() != key:
        raise BadInput(f"{key!r} is no key of a store: it must be relative, with '/' between its parts, without '..'")
    return key


def check_prefix(prefix: str) -> str:
    """Refuse a prefix that no key could start with; the empty one, and one that ends in `/`, are fine.

    Raises:
        BadInput: See `check_key`.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix

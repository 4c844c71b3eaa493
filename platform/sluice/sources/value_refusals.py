"""What readers say of a value that is not what the contract promises."""

import re
from collections.abc import Sequence

_DECIMAL = re.compile(r"\bDecimal\('([^']+)'\)")
_LONGEST = 80
_LONGEST_LIST = 200


def shown(value: object) -> str:
    """A value as a message can show it: quoted, on one line, not too long."""
    text = _DECIMAL.sub(lambda found: found[1].lower(), repr(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def listed(names: Sequence[str]) -> str:
    """Names as a message can list them: not too long."""
    text = ", ".join(names)
    return text if len(text) <= _LONGEST_LIST else f"{text[:_LONGEST_LIST]}…"


def wrong_value(where: str, column: str, value: object, kind: str) -> str:
    """The message for a value of the wrong type; `where` names the file and the row."""
    return (
        f"{where}: column {column!r} has {shown(value)}, which is no {kind}; correct it, or the type in contract.yaml"
    )

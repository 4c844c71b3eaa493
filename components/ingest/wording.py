"""What readers say of a value that is not what the contract promises."""

_LONGEST = 80


def shown(value: object) -> str:
    """A value as a message can show it: quoted, on one line, not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def wrong_value(where: str, column: str, value: object, kind: str) -> str:
    """The message for a value of the wrong type; `where` names the file and the row."""
    return (
        f"{where}: column {column!r} has {shown(value)}, which is no {kind}; correct it, or the type in contract.yaml"
    )

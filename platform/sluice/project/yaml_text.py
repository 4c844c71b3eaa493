"""Values as YAML text that reads back alike, by `sluice.core.strict_yaml` and by readers of YAML 1.1 and 1.2."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./()%+-]*(?<! )|[0-9]+[wdhms]")
_WORDS = re.compile(r"y|n|yes|no|on|off|true|false|null|nan|inf", re.IGNORECASE)  # YAML 1.1's, too
_WIDEST = 110


def scalar(value: object) -> str:
    """A text, number, truth value or None on one line; a text in quotes where it could be taken for something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text) and _is_text(text):
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.strip("\n")


def flow(value: object) -> str:
    """Any value on one line: `[a, b]`, `{name: value}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def block(body: Mapping[str, Any], indent: int = 0) -> str:
    """A mapping as lines, `name: value`; what would be too long for one line goes on below."""
    return "".join(_entry(key, value, indent) for key, value in body.items())


def _entry(key: str, value: Any, indent: int) -> str:  # noqa: ANN401 - JSON
    line = f"{' ' * indent}{scalar(key)}: {flow(value)}\n"
    if len(line) <= _WIDEST or not isinstance(value, Mapping | list | tuple) or not value:
        return line
    if isinstance(value, Mapping):
        return f"{' ' * indent}{scalar(key)}:\n{block(value, indent + 2)}"
    items = "".join(f"{' ' * (indent + 2)}- {flow(item)}\n" for item in value)
    return f"{' ' * indent}{scalar(key)}:\n{items}"


def _number(value: float) -> str:
    text = repr(value)
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text if "." in text else text.replace("e", ".0e"))


def _is_text(text: str) -> bool:
    try:
        return bool(parse_yaml(text, "") == text)
    except BadInput:
        return False

"""Settings from environment variables: read when they are needed, checked, refused in one line that names the variable.

Nothing here runs when a module is imported: a wrong variable must end in one line, not in an import's traceback. An
empty variable counts as one that is not set.
"""

import math
import re
from collections.abc import Mapping

from sluice.core.addresses import is_ambiguous, is_web_address, shown
from sluice.core.environment import variable
from sluice.core.errors import BadInput

_SIZE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})? ?(?:[KMGT]i?B|%)", re.ASCII | re.IGNORECASE)
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)


def whole_number(name: str, default: int, least: int, most: int, environment: Mapping[str, str] | None = None) -> int:
    """A whole number from `least` to `most`.

    Raises:
        BadInput: The variable holds something else.
    """
    given = _given(name, environment) or str(default)
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and least <= int(given) <= most):
        raise BadInput(f"{name}={given!r}: give a whole number from {least} to {most}, or unset it")
    return int(given)


def memory_size(name: str) -> str:
    """A size of memory such as `512MB` or `80%`, as DuckDB takes it; empty where it is not set.

    Raises:
        BadInput: The variable holds something else.
    """
    given = _given(name)
    if given and not (_SIZE.fullmatch(given) and re.search("[1-9]", given)):
        raise BadInput(f"{name}={given!r}: give a size such as 512MB, 2GiB or 50%, or unset it")
    return given


def seconds(name: str, default: float) -> float:
    """A number of seconds above 0.

    Raises:
        BadInput: The variable holds something else.
    """
    given = _given(name) or str(default)
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{name}={given!r}: give a number of seconds above 0, or unset it")
    return value


def choice(name: str, offered: tuple[str, ...], default: str, environment: Mapping[str, str] | None = None) -> str:
    """One of the words that are offered.

    Raises:
        BadInput: The variable holds another.
    """
    given = _given(name, environment) or default
    if given not in offered:
        raise BadInput(f"{name}={given!r}: give {', '.join(offered[:-1])} or {offered[-1]}, or unset it")
    return given


def header_text(name: str) -> str:
    """Text that a header of HTTP can carry: printable ASCII without blanks around it; empty where it is not set.

    The message does not show it: it may be a key. A line break at its end is what a Secret made from a file has.

    Raises:
        BadInput: The variable holds another character.
    """
    given = _given(name)
    if given != given.strip() or not (given.isascii() and given.isprintable()):
        raise BadInput(
            f"{name} holds a blank or line break at an end, or a character that no request can carry; set it again"
        )
    return given


def web_address(name: str) -> str:
    """An address of http or https, without the slash at its end; empty where it is not set.

    Raises:
        BadInput: The variable holds something else.
    """
    given = _given(name)
    check_login(name, given)
    if given and not is_web_address(given):
        raise BadInput(f"{name}={shown(given)!r}: give an address like https://host or http://host:port")
    return given.rstrip("/")


def check_login(name: str, address: str) -> None:
    """See that everybody reads the same login, and so the same host, in an address that a setting gives.

    Raises:
        BadInput: It can be read in two ways. The message shows nothing of it: which part is the password is not known.
    """
    if is_ambiguous(address):
        raise BadInput(
            f"{name} can be read as two different hosts: write `@` in a user, password or path as %40, `/` as %2F, "
            "`?` as %3F and `#` as %23 before the host"
        )


def image(name: str, reference: str) -> str:
    """The reference of a container image.

    Raises:
        BadInput: It is none. Source: the grammar of distribution/reference.
    """
    if not _IMAGE.fullmatch(reference):
        raise BadInput(
            f"{name}: {reference!r} names no image; write it like registry.example/sluice/python-torch:0.1.0"
        )
    return reference


def _given(name: str, environment: Mapping[str, str] | None = None) -> str:
    return variable(name) if environment is None else environment.get(name) or ""

"""The kinds of variables: what their texts must be, refused in one line that names the variable."""

import math
import re
from pathlib import Path

from sluice.core.addresses import is_ambiguous, is_web_address, shown
from sluice.core.errors import BadInput
from sluice.core.variables import Secret, SetBy, Told, Variable

_SIZE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})? ?(?:[KMGT]i?B|%)", re.ASCII | re.IGNORECASE)
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)


def text(*names: str, meaning: str = "", without: str = "", default: str = "", by: SetBy = SetBy.USER) -> Variable[str]:
    """Any text.

    Args:
        names: Of the variables; the first one that is set wins.
        meaning: For docs/settings.md; without one the row above speaks of this variable as well.
        without: What holds where it is not set, for docs/settings.md.
        default: The same as a value.
        by: Who sets it.
    """
    return Variable(*names, read=lambda _, given: given, default=default, told=Told(meaning, without, by))


def secret(*names: str, meaning: str = "", by: SetBy = SetBy.USER) -> Variable[Secret]:
    """A text that nothing shows."""
    return Variable(*names, read=lambda _, given: Secret(given), default=Secret(), told=Told(meaning, "", by))


def folder_or_file(*names: str, meaning: str = "", without: str = "", by: SetBy = SetBy.USER) -> Variable[Path | None]:
    """A path; whether anything is there is seen by who opens it."""
    return Variable(*names, read=lambda _, given: Path(given), default=None, told=Told(meaning, without, by))


def header(*names: str, meaning: str = "", without: str = "", by: SetBy = SetBy.USER) -> Variable[str]:
    """Text that a header of HTTP can carry; see `header_text`."""
    return Variable(*names, read=header_text, default="", told=Told(meaning, without, by))


def secret_header(*names: str, meaning: str = "", by: SetBy = SetBy.USER) -> Variable[Secret]:
    """The same, shown by nothing."""
    read = lambda name, given: Secret(header_text(name, given))  # noqa: E731 - as its neighbours
    return Variable(*names, read=read, default=Secret(), told=Told(meaning, "", by))


def web(*names: str, meaning: str = "", without: str = "", by: SetBy = SetBy.USER) -> Variable[str]:
    """An address of http or https; see `web_address`."""
    return Variable(*names, read=web_address, default="", told=Told(meaning, without, by))


def words(*names: str, meaning: str = "", by: SetBy = SetBy.USER) -> Variable[tuple[str, ...]]:
    """Words between blanks or commas."""
    read = lambda _, given: tuple(given.replace(",", " ").split())  # noqa: E731 - as its neighbours
    return Variable(*names, read=read, default=(), told=Told(meaning, "", by))


def whole(
    *names: str,
    least: int,
    most: int,
    default: int,
    meaning: str = "",
    without: str = "",
    by: SetBy = SetBy.USER,
) -> Variable[int]:
    """A whole number from `least` to `most`; others see `text`."""

    def read(name: str, given: str) -> int:
        if not (given.isascii() and given.isdecimal() and len(given) < 20 and least <= int(given) <= most):
            raise BadInput(f"{name}={given!r}: give a whole number from {least} to {most}, or unset it")
        return int(given)

    return Variable(*names, read=read, default=default, told=Told(meaning, without, by))


def one_of(
    *names: str, offered: tuple[str, ...], default: str, meaning: str = "", without: str = "", by: SetBy = SetBy.USER
) -> Variable[str]:
    """One of the words that are offered."""

    def read(name: str, given: str) -> str:
        return choice(name, given, offered)

    return Variable(*names, read=read, default=default, told=Told(meaning, without, by))


def duration(*names: str, default: float, meaning: str = "", by: SetBy = SetBy.USER) -> Variable[float]:
    """A number of seconds above 0."""

    def read(name: str, given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise BadInput(f"{name}={given!r}: give a number of seconds above 0, or unset it")
        return value

    return Variable(*names, read=read, default=default, told=Told(meaning, "", by))


def memory_size(*names: str, meaning: str = "", without: str = "", by: SetBy = SetBy.USER) -> Variable[str]:
    """A size of memory such as `512MB` or `80%`, as DuckDB takes it."""

    def read(name: str, given: str) -> str:
        if not (_SIZE.fullmatch(given) and re.search("[1-9]", given)):
            raise BadInput(f"{name}={given!r}: give a size such as 512MB, 2GiB or 50%, or unset it")
        return given

    return Variable(*names, read=read, default="", told=Told(meaning, without, by))


def choice(name: str, given: str, offered: tuple[str, ...]) -> str:
    """One of the words that are offered.

    Raises:
        BadInput: It is another.
    """
    if given not in offered:
        raise BadInput(f"{name}={given!r}: give {', '.join(offered[:-1])} or {offered[-1]}, or unset it")
    return given


def header_text(name: str, given: str) -> str:
    """Text that a header of HTTP can carry: printable ASCII without blanks around it.

    The message does not show it: it may be a key. A line break at its end is what a Secret made from a file has.

    Raises:
        BadInput: It holds another character.
    """
    if given != given.strip() or not (given.isascii() and given.isprintable()):
        raise BadInput(
            f"{name} holds a blank or line break at an end, or a character that no request can carry; set it again"
        )
    return given


def web_address(name: str, given: str) -> str:
    """An address of http or https, without the slash at its end.

    Raises:
        BadInput: It is something else.
    """
    check_login(name, given)
    if not is_web_address(given):
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

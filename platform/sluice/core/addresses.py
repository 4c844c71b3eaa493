"""Addresses that may hold a login: taken apart without guessing, and shown without it; so is any text that quotes one.

Everything that Sluice says to anybody goes through `redacted`: errors, the log, a pod's last words, MLflow's tags. It
knows what a login in an address looks like, and the values of this process's own secrets, however they are quoted.
"""

import functools
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from sluice.core.environment import variables
from sluice.core.plain_text import lines

SOURCE_PREFIX = "SLUICE_SOURCE_"  # of the variables that a lake's contract may name: whole addresses of databases
HIDDEN = "***"
_LEAST_SECRET = 6  # characters; shorter ones would be found in ordinary words
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PG)?(?:PASSWORD|PASSWD|SECRET|TOKEN|(?:ACCESS|ACCOUNT|API)_KEY)(?:_|$)", re.IGNORECASE
)
_PLACE_NAME = re.compile(r"_(?:FILE|PATH|DIR)$", re.IGNORECASE)  # says where a secret is kept
# What begins with a path has no login, nor has `s3://bucket/a@b`, whose bucket has no colon. Bounds keep it linear.
_LOGIN = re.compile(
    r"(?<!s3)(?<!gs)(?<!az)://(?!/)\S{0,4000}@|(?:(?<=s3)|(?<=gs)|(?<=az))://(?:[^/\s]{0,400}@|[^/\s:]{0,400}:\S{0,4000}@)"
)
_CLOUDS = ("s3", "gs", "az")
_OPTION = re.compile(
    r"([?&;][\w.%-]{0,64}(?:password|passwd|pwd|secret|token|signature|credential|sig|key)[\w.%-]{0,64}=)[^\s&;'\"]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(\b(?:basic|bearer)\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_BEFORE_LOGIN = re.compile(r"[/?#\\]")


class Login(NamedTuple):
    """What an address says of who asks; both parts decoded."""

    username: str
    password: str


def is_ambiguous(address: str) -> bool:
    """Whether two programs may find different hosts in an address: its login has a delimiter of URLs as such.

    `http://user:p@ss@host` leads one to `host` and another to `ss@host`; `http://user:80#x@host` one to `user`.
    """
    _, separator, rest = address.partition("://")
    if not separator or rest.startswith("/"):
        return False
    login, found, _ = rest.rpartition("@")
    return bool(found) and ("@" in login or bool(_BEFORE_LOGIN.search(login)))


def is_web_address(text: str) -> bool:
    """Whether a text is an address of http or https with a host, the same one for whoever reads it."""
    try:
        url = urlsplit(text)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False
    return known and not re.search(r"[\s\\]", text) and not is_ambiguous(text)


def without_login(address: str) -> tuple[str, Login | None]:
    """An address that is not ambiguous, and the login that stood in it, if any."""
    scheme, separator, rest = address.partition("://")
    login, found, place = rest.rpartition("@")
    if not separator or not found or rest.startswith("/"):
        return address, None
    username, _, password = login.partition(":")
    return f"{scheme}://{place}", Login(unquote(username), unquote(password))


def shown(address: str) -> str:
    """One address, however malformed, as a message may show it: without the login and options that are secret."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    if scheme.endswith(_CLOUDS):
        address = _LOGIN.sub("://", address)
    elif not rest.startswith("/"):
        address = f"{scheme}{separator}{rest.rpartition('@')[2]}"
    return _OPTION.sub(rf"\1{HIDDEN}", address)


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text without the logins of addresses in it, and without the secrets that this process's variables hold.

    Args:
        text: Of any kind, e.g. a library's error or traceback.
        environment: By default the process's own.
    """
    if known := set(_secrets(variables() if environment is None else environment)):
        text = _any_of(tuple(sorted(known, key=lambda secret: (-len(secret), secret)))).sub(HIDDEN, text)
    text = _OPTION.sub(rf"\1{HIDDEN}", _LOGIN.sub("://", text))
    return _HEADER.sub(rf"\1{HIDDEN}", text)


def show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's hook for what nobody catches: a traceback is redacted too, for libraries quote addresses in theirs."""
    sys.stderr.write(lines(redacted("".join(traceback.format_exception(kind, error, trace)))))


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        named = _SECRET_NAME.search(name) and not _PLACE_NAME.search(name)
        whole = [value, value.strip()] if named or name.startswith(SOURCE_PREFIX) else []
        yield from (each for each in (*whole, *_passwords(value)) if len(each) >= _LEAST_SECRET)


def _passwords(address: str) -> Iterator[str]:
    """The password in an address, as written and decoded, whole and in the pieces that a misreading makes of it."""
    rest = address.partition("://")[2]
    login = rest.rpartition("@")[0]
    if not login or rest.startswith("/") or address.partition("://")[0].endswith(_CLOUDS):
        return
    password = login.partition(":")[2] or login
    yield from (login, password, unquote(password), *re.split(r"[@/?#\\:]", password))


@functools.lru_cache(maxsize=8)
def _any_of(secrets: tuple[str, ...]) -> re.Pattern[str]:
    """Words stand alone, so that a password `postgres` does not hide the scheme `postgresql`."""
    return re.compile("|".join(rf"\b{re.escape(each)}\b" if each.isalpha() else re.escape(each) for each in secrets))

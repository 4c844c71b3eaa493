"""How values that tell of a person stand in the log: only which are equal can be seen.

A value becomes the first 128 bits of HMAC-SHA-256 over its column's name and its text. The key is the store's own (one
object, made once), or SLUICE_LOG_SALT, for those who do not want to keep it beside the log: whoever has the key can try
all values of a column with few of them.

Source: RFC 2104.
"""

import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import StoreVariables
from sluice.storage.stores import Store

SALT_VARIABLE = StoreVariables.log_salt.name
_KEY, _BYTES, _DIGITS, _LEAST = "salts/predictions", 32, 32, 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def salt_of(store: Store) -> bytes:
    """The key of a store's masks; it is made where there is none yet.

    Raises:
        BadInput: SLUICE_LOG_SALT is shorter than 16 characters.
        EnvironmentFault: The store failed.
    """
    if given := given_salt():
        return given
    if not store.exists(_KEY):
        store.put_if_absent(_KEY, secrets.token_bytes(_BYTES))
    return store.get_bytes(_KEY)


def given_salt() -> bytes:
    """The key that SLUICE_LOG_SALT holds; empty where it is not set.

    Raises:
        BadInput: It is shorter than 16 characters.
    """
    given = settings().store.log_salt.reveal()
    if given and len(given) < _LEAST:
        raise BadInput(f"{SALT_VARIABLE} has {len(given)} characters; give at least {_LEAST}, or unset it")
    return given.encode()


def masker(salt: bytes, column: str, kind: str) -> Callable[[object], str]:
    """What masks the values of a column.

    Args:
        salt: The store's.
        column: Its name.
        kind: Its type in the contract; values of it are texts, numbers, or microseconds since 1970.
    """
    begin = hmac.new(salt, column.encode() + b"\0", "sha256")

    def masked(value: object) -> str:
        made = begin.copy()
        made.update(_text(value, kind).encode())
        return made.hexdigest()[:_DIGITS]

    return masked


def _text(value: object, kind: str) -> str:
    """One text for one value, whether it comes from a request or from a file of labels."""
    if kind == "string":
        return str(value)
    if kind in ("timestamp", "date"):
        return (_EPOCH + timedelta(microseconds=int(str(value)))).isoformat()
    number = float(str(value))
    return str(int(number)) if number.is_integer() else repr(number)

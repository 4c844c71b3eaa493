"""Names of columns: which a table may have, and how a step's own keep out of their way."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BadInput
from sluice.core.plain_text import is_unicode

if TYPE_CHECKING:  # a registered model carries this module, and no engine
    import ibis

LONGEST = 1000  # characters; no engine's limit, but that of what a person or a page can show


def check_name(name: str, where: str) -> None:
    """Refuse a name that no table can have.

    Args:
        name: Of a table or a column.
        where: What has it, for the message.

    Raises:
        BadInput: It is blank, longer than 1,000 characters, or holds NUL or half a character (a lone surrogate).
    """
    if not name.strip():
        raise BadInput(f"{where} has the blank name {name!r}; give it letters")
    if len(name) > LONGEST:
        raise BadInput(f"{where} has a name of {len(name):,} characters, {name[:40]!r}…; use at most {LONGEST:,}")
    if "\0" in name or not is_unicode(name):
        raise BadInput(f"{where} has the name {name!r}, which holds NUL or half a character; no table can keep it")


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The name wanted, or the first of `wanted_2`, `wanted_3`, … that no column has; engines ignore upper case.

    Args:
        wanted: The name to begin with, in lower case.
        taken: The table's columns.
    """
    used = {name.casefold() for name in taken}
    name, number = wanted, 1
    while name in used:
        number += 1
        name = f"{wanted}_{number}"
    return name


def named(values: "Mapping[str, ibis.Value]") -> list[Any]:
    """Expressions under these names, for `mutate`, `select` or `aggregate`.

    As keyword arguments they would meet Ibis's own, such as `self` and `by`: a name that is not ours is never one.
    """
    return [value.name(name) for name, value in values.items()]


def repeated(names: Iterable[str]) -> str | None:
    """The first name that stands there twice, or None."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]

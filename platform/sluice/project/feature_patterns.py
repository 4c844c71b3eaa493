"""Which columns a project's `features` mean: names, patterns and exclusions."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from sluice.core.errors import BadInput


def choose_columns(patterns: Sequence[str], columns: Sequence[str], where: str = "features") -> tuple[str, ...]:
    """The columns that a project's patterns mean.

    A pattern that is a column's whole name means that column, whatever signs it holds. Else `*` and `?` stand for any
    characters and for one, and `!` before a name or a pattern takes its columns away, wherever it stands. With
    exclusions alone, all other columns are meant; without any pattern, all.

    Args:
        patterns: As the project file has them.
        columns: All that may be chosen, in the table's order.
        where: What the patterns are, for the message.

    Returns:
        Each column once: in the order of the patterns, within one in the table's order.

    Raises:
        BadInput: A pattern means no column.
    """
    excluded = [pattern for pattern in patterns if pattern.startswith("!") and pattern not in columns]
    included = [pattern for pattern in patterns if pattern not in excluded]
    taken_away = {name for pattern in excluded for name in _matches(pattern[1:], columns, where, "!")}
    chosen = [name for pattern in included for name in _matches(pattern, columns, where)] if included else columns
    return tuple(name for name in dict.fromkeys(chosen) if name not in taken_away)


def _matches(pattern: str, columns: Sequence[str], where: str, before: str = "") -> list[str]:
    if pattern in columns:
        return [pattern]
    found = [name for name in columns if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, columns, n=3)
        way_out = f"did you mean {', '.join(near)}?" if near else f"there are {_some(columns)}"
        raise BadInput(f"{where}: {before + pattern!r} means no column; {way_out}")
    return found


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""Which columns of the table that is learned from become features."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ibis

from sluice.core.column_names import repeated
from sluice.core.errors import BadInput
from sluice.project.feature_patterns import choose_columns

LABEL = "label"
LEFT_OUT_ROLE = "reason why a row is left out"
_SHOWN = 12


@dataclass(frozen=True)
class Choice:
    """The columns that are to be features.

    Attributes:
        names: In the order of the declaration; without one, in that of the table.
        declared: Whether a person chose them: what leaks is then refused, not left out.
        left_out: Columns that a pattern would take and models cannot, with the reason.
    """

    names: tuple[str, ...]
    declared: bool
    left_out: Mapping[str, str]


def choose_features(table: ibis.Table, patterns: Sequence[str], roles: Mapping[str, str]) -> Choice:
    """Resolve what a project declares as `features`: names, wildcards and exclusions (`choose_columns`).

    Args:
        table: The columns to choose from.
        patterns: The declaration; with exclusions alone, or empty, every column is meant.
        roles: Columns that are something else, such as the label or the key, with the word for what they are. A
            wildcard passes over them; a key or a time may be named all the same.

    Raises:
        BadInput: A pattern fits no column; a name stands twice, is the label, or is no number, text or truth value; or
            nothing is chosen.
    """
    named = [pattern for pattern in patterns if pattern in table.columns]
    if twice := repeated(named):
        raise BadInput(f"features names {twice!r} twice; name it once")
    for name in named:
        if roles.get(name) in (LABEL, LEFT_OUT_ROLE):
            raise BadInput(f"features: {name!r} is the {roles[name]}, which nobody knows when the question is asked")
    meant = choose_columns(patterns, table.columns)
    wanted = [name for name in meant if name in named or name not in roles]
    unfit = {name: reason for name in wanted if (reason := _unfit(table, name))}
    for name, reason in unfit.items():
        if name in named:
            raise BadInput(f"features: {name!r} is {reason}; choose another column")
    chosen = tuple(name for name in wanted if name not in unfit)
    if not chosen:
        raise BadInput(_nothing(patterns, table, roles, unfit))
    included = any(pattern in table.columns or not pattern.startswith("!") for pattern in patterns)
    return Choice(chosen, included, unfit)


def near(name: str, columns: Iterable[str]) -> str:
    """`; did you mean …?` with the names that are close to this one, else what there is."""
    known = sorted(columns)
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"; did you mean {', '.join(close)}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"; it has {', '.join(known[:_SHOWN])}{more}"


def _unfit(table: ibis.Table, name: str) -> str:
    """Why models cannot take a column; empty where they can."""
    kind = table[name].type()
    if kind.is_numeric() or kind.is_string() or kind.is_boolean():
        return ""
    return f"of type {str(kind).partition('(')[0]}, and models take numbers, text and truth values"


def _nothing(patterns: Sequence[str], table: ibis.Table, roles: Mapping[str, str], unfit: Mapping[str, str]) -> str:
    if patterns:
        return f"features {list(patterns)} leave no column to learn from; take an exclusion out"
    others = [f"{name} ({role})" for name, role in roles.items() if name in table.columns]
    others += [f"{name} ({reason})" for name, reason in unfit.items()]
    return f"there is no column to learn from beside {', '.join(others[:_SHOWN])}; add columns to the table"

"""The environment of this process: the one place where its variables are read and set; an import of it reads nothing.

What they mean is said once, by the groups of `sluice.core.settings`, through which they are read.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def variable_text(name: str) -> str | None:
    """A variable's text; None where it is not set. For `sluice.core.variables` alone, which knows what it means."""
    return os.environ.get(name)


def variables() -> dict[str, str]:
    """A copy of all of them, such as a process that is started takes; a change of it changes nothing here."""
    return dict(os.environ)


def set_variables(values: Mapping[str, str]) -> None:
    """Set variables of this process, and of those that it starts from now on."""
    os.environ.update(values)


def set_default(name: str, value: str) -> None:
    """Set a variable unless it is there; an empty one is there, so that a user can switch a default off."""
    os.environ.setdefault(name, value)


def unset_variables(*names: str) -> None:
    """Take variables away, whether they are there or not."""
    for name in names:
        os.environ.pop(name, None)


@contextmanager
def changed_variables(values: Mapping[str, str], without: tuple[str, ...] = ()) -> Iterator[None]:
    """Other variables for the time of the `with` block; afterwards all are as they were before it.

    Args:
        values: What is set.
        without: Names of what is taken away.
    """
    before = variables()
    unset_variables(*without)
    set_variables(values)
    try:
        yield
    finally:
        unset_variables(*(name for name in variables() if name not in before))  # not all: threads read the others now
        set_variables(before)

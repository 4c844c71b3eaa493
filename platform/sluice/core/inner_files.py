"""Errors about a file inside a published folder or a registered version begin with what a person gave.

A reader of model files knows only the folder that it reads: a store's, whose name is 64 hex digits, or a temporary
copy, which is gone when somebody looks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.core.errors import BadInput


@contextmanager
def told_by(given: str, folder: Path) -> Iterator[None]:
    """Let refusals that name a file in a folder name the address first, then the file as it stands in there.

    Args:
        given: The address, or the reference of a model's version.
        folder: Where its files lie on this machine.

    Raises:
        BadInput: As it was raised inside the `with` block; one that does not name the folder stays as it is.
    """
    try:
        yield
    except BadInput as error:
        message, place = str(error), str(folder)
        if f"{place}/" not in message:
            raise
        raise BadInput(f"{given}: {message.replace(f'{place}/', '')}") from None

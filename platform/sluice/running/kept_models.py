"""Where the served forms of registered versions that were published with none are kept: in the home, by digest."""

from pathlib import Path

from sluice.core.home import home

FOLDER = Path("serving", "models")


def kept_folder(digest: str) -> Path:
    """The folder of a version's served form; whether there is one, its `serving.json` tells.

    Args:
        digest: Of the registered files.

    Raises:
        BadInput: A file stands in the home's place.
    """
    return home() / FOLDER / digest

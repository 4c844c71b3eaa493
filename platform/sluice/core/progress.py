"""What a step tells the person who waits for it."""

from sluice.core.addresses import redacted
from sluice.core.errors import shortened

PROGRESS = "[sluice] "


def progress(message: str) -> None:
    """Tell the person who waits: one line, at once, whatever names the message holds."""
    print(f"{PROGRESS}{shortened(redacted(message))}", flush=True)  # noqa: T201 - a step's standard output is its log

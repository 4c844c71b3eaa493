"""Errors that end in one line for the person at the terminal.

A message names the file, row, column, parameter or service that is wrong and says the way out.
It is folded to one line and cut, because it must fit a pod's termination message and a terminal's last line; what a
terminal would obey or hide is written out. It never holds a login of an address or another secret of the environment,
whatever a library has put into its own words.
"""

from sluice.core.addresses import redacted
from sluice.core.plain_text import one_line

LONGEST_MESSAGE = 2000
"""Characters; a pod's termination message has 4,096 bytes, and a value from a lake may have many millions."""
_END = 600  # the way out stands at the end of a message


def shortened(message: str) -> str:
    """A message on one line, its middle left out where it is longer than LONGEST_MESSAGE; see `plain_text.one_line`."""
    return _cut(one_line(" ".join(_cut(message).split())))


def _cut(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    cut = f" … [{len(message) - LONGEST_MESSAGE:,} characters left out] … "
    start = LONGEST_MESSAGE - _END - len(cut)
    return f"{message[:start]}{cut}{message[-_END:]}"


class SluiceError(Exception):
    """A failure that Sluice understands.

    Attributes:
        exit_code: What the process exits with: 2 for bad input, 1 for a fault of the environment.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(shortened(redacted(message)))


class BadInput(SluiceError):
    """The data, a parameter or a file is wrong. Trying again cannot help; nothing was written."""

    exit_code = 2


class EnvironmentFault(SluiceError):
    """A service, a disk or a network failed, after bounded retries where they could help."""

    exit_code = 1


class TrackingFault(EnvironmentFault):
    """MLflow failed or denies access, after its own bounded retries."""


class Killed(SluiceError):
    """The run or the step was told to end, by a person or by Kubernetes.

    Attributes:
        exit_code: 128 and the signal's number, as shells count.
    """

    def __init__(self, message: str, signal: int = 15) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


class TimeIsUp(BaseException):
    """A deadline has passed. No `Exception`, so that no library takes it for a failure of its own to handle."""

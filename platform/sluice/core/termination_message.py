"""A step's last words: the one line of its failure, where Kubernetes, KFP and `sluice run` find it."""

import re
from pathlib import Path

from sluice.core.errors import BadInput, EnvironmentFault, Killed, SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.variable_groups.run import RunVariables

TERMINATION_LOG = RunVariables.termination_log.name
POD_LOG = Path("/dev/termination-log")
_SIGNALLED = 128  # what shells add to a signal's number
_FAILURE = re.compile(r"step (?P<step>[\w-]+) failed with exit code (?P<code>\d+): (?P<message>.+)")


def leave_message(step_name: str, error: SluiceError) -> None:
    """Write a failure's one line where a pod's last words go, or to SLUICE_TERMINATION_LOG.

    Kubernetes and KFP show it to people; `read_message` reads it back. In a pod the launcher stands between the step
    and Kubernetes and ends with 1 whatever the step ended with: so the line names the step's own exit code.
    """
    given = settings().run.termination_log
    target = given or POD_LOG
    if not (given or target.exists()):
        return
    try:
        target.write_text(f"step {step_name} failed with exit code {error.exit_code}: {error}", encoding="utf-8")
    except OSError as fault:  # the error itself stands in the log already, and counts more
        progress(f"{TERMINATION_LOG}={str(target)!r} cannot be written ({fault.strerror}); name a file in a folder")


def read_message(text: str) -> SluiceError | None:
    """The error behind the line that `leave_message` wrote, whatever stands before it; None where there is none."""
    found = _FAILURE.search(text)
    if not found:
        return None
    code, message = int(found["code"]), f"step {found['step']}: {found['message']}"
    if code > _SIGNALLED:
        return Killed(message, code - _SIGNALLED)
    return BadInput(message) if code == BadInput.exit_code else EnvironmentFault(message)

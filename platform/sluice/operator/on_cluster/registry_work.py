"""Making a version champion, on record, in a process of its own: it reads a whole model, and seldom.

`python -m sluice.operator.on_cluster.registry_work MODEL/VERSION` reads the reason from standard input.
"""

import gc
import subprocess
import sys
import threading

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.operator.actions import Promote, RollBack

_SECONDS = 120
_MOST_REASON = 900


class RegistryWork:
    """Moving aliases, with the record of why; one at a time, for each holds a model's files."""

    def __init__(self) -> None:
        self._one = threading.Lock()

    def promote(self, model: str, order: Promote) -> None:
        """Make a version champion.

        Raises:
            BadInput: The registry or the record refuses.
            EnvironmentFault: The registry or the store failed.
        """
        self._appoint(f"{model}/{order.version}", order.reason, order.by, order.digest)

    def roll_back(self, model: str, order: RollBack) -> None:
        """Let a champion of before reign again; raises as `promote`."""
        self._appoint(f"{model}/{order.to}", order.reason, order.by, "")

    def _appoint(self, reference: str, reason: str, by: str, digest: str) -> None:
        words = f"{reason[:_MOST_REASON]}{f' (asked for by {by})' if by else ' (the operator)'}"
        command = [sys.executable, "-m", "sluice.operator.on_cluster.registry_work", reference, digest]
        try:
            with self._one:
                done = subprocess.run(  # noqa: S603 - our own module
                    command, input=words, capture_output=True, text=True, timeout=_SECONDS, check=False
                )
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(f"making {reference} champion took more than {_SECONDS} s") from None
        said = done.stderr.strip().rpartition("\n")[2].removeprefix("error: ")
        if done.returncode == BadInput.exit_code:
            raise BadInput(said)
        if done.returncode:
            raise EnvironmentFault(said or f"making {reference} champion ended with code {done.returncode}")


def main(words: list[str]) -> int:
    """Do it; the last line of standard error says why not."""
    gc.disable()  # most of its seconds are imports, of which nothing is garbage, and it ends soon
    from sluice.registry.appointing import appoint
    from sluice.registry.mlflow_access import ask_servers_directly
    from sluice.registry.versions import version_by_number

    ask_servers_directly()
    reference, digest = words
    try:
        model, _, number = reference.partition("/")
        found = version_by_number(model, number)
        if digest and found and found.digest != digest:
            raise BadInput(f"{reference} is not the version that was approved: its digest is another one")
        appoint(reference, sys.stdin.read())
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - for who began this process
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""torchrun, ending quietly and with its worker's own exit code.

torchrun itself prints a page about each worker that fails, takes its own end by SIGTERM for a defect, and ends with 1
whatever a worker ended with: nobody after it could tell bad input (2) from a kill (137).
"""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from sluice.core.lifeline import GRACE_SECONDS, watch

_SIGNALLED = 128  # what shells add to a signal's number


def main(arguments: list[str] | None = None) -> int:
    """Run torchrun with its own arguments.

    Returns:
        0, or the exit code of the worker that failed first; 128 and its number for a signal.
    """
    watch(GRACE_SECONDS)  # the step ends torchrun, unless that was killed
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        code = int(failure.exitcode)
        return code if code > 0 else _SIGNALLED - code
    except SignalException as error:
        return _SIGNALLED + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main())

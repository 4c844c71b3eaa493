"""Places where the operator may be killed on purpose, to see that nothing is lost or done twice.

They are off unless SLUICE_FAILPOINT names one: `SLUICE_FAILPOINT=before-save` kills the process, as the kernel would,
the first time it passes there; `before-save:3` the third time.
"""

import os
import signal
from typing import Literal, get_args

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.operating import OperatorVariables

Point = Literal[
    "loaded", "before-intents", "after-intents", "before-action", "after-action", "before-results", "after-results"
]
POINTS: tuple[Point, ...] = get_args(Point)
"""In the order in which a reconciliation passes them; the two about actions once for each."""
_passed: dict[str, int] = {}


def failpoint(point: Point) -> None:
    """Pass a place; nothing happens unless SLUICE_FAILPOINT names it.

    Raises:
        BadInput: SLUICE_FAILPOINT names no such place.
    """
    wanted = settings().operator.failpoint
    if not wanted:
        return
    name, _, times = wanted.partition(":")
    if name not in POINTS or not (times or "1").isdecimal():
        given, known = f"{OperatorVariables.failpoint.name}={wanted!r}", ", ".join(POINTS)
        raise BadInput(f"{given}: write one of {known}, with :N for the N-th time")
    if name != point:
        return
    _passed[point] = _passed.get(point, 0) + 1
    if _passed[point] == int(times or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # a container's first process ignores its own signals, even this one

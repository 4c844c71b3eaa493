"""What the operator asks of a run's gate beside the project: further checks, slices, and that a person approves."""

from collections.abc import Iterable, Mapping
from typing import Any

from sluice.extending.gate_checks import APPROVAL
from sluice.operator.actions import StartRun

CHECKS, SLICES = "gate_checks", "gate_slices"


def gate_parameters(own: Mapping[str, Any], order: StartRun) -> dict[str, Any]:
    """All parameters of a run: the project's own, the order's over them, and what is asked of the gate.

    Args:
        own: What the project gives its pipeline.
        order: The run's.
    """
    given = {**own, **order.parameters}
    held = [APPROVAL] if order.hold else []
    for name, more in ((CHECKS, [*order.gate.checks, *held]), (SLICES, list(order.gate.slices))):
        before = list(given.get(name) or [])
        added = [each for each in more if each not in before]
        if added:
            given[name] = before + added
    return given


def passed(checks: Iterable[Mapping[str, Any]]) -> bool | None:
    """Whether a version passed the gate, an approval that is missing aside; None where nothing was asked.

    Args:
        checks: Each with `name` and `status`, as in an evaluation's record.
    """
    asked = [check for check in checks if check["name"] != APPROVAL]
    if not asked:
        return None
    return all(check["status"] in {"passed", "not judged"} for check in asked)

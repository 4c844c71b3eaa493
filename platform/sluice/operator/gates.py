"""What the operator asks of a run's gate beside the project: further checks, slices, and that a person approves."""

from collections.abc import Mapping
from typing import Any

from sluice.operator.actions import StartRun

CHECKS, SLICES, PROMOTION = "gate_checks", "gate_slices", "promotion"
APPROVAL = "approval"
"""The value of the parameter `promotion` by which a version that passed the gate waits for a person."""


def gate_parameters(own: Mapping[str, Any], order: StartRun) -> dict[str, Any]:
    """All parameters of a run: the project's own, the order's over them, and what is asked of the gate.

    Args:
        own: What the project gives its pipeline.
        order: The run's.
    """
    given = {**own, **order.parameters}
    for name, more in ((CHECKS, order.gate.checks), (SLICES, order.gate.slices)):
        before = list(given.get(name) or [])
        added = [each for each in more if each not in before]
        if added:
            given[name] = before + added
    if order.hold:
        given[PROMOTION] = APPROVAL
    return given

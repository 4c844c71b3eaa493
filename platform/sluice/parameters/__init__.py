"""Which values each step takes: one module a step, by the step's name."""

import importlib
import importlib.util
from collections.abc import Mapping

from sluice.core.parameter_checks import Check


def step_checks(step: str) -> Mapping[str, Check]:
    """The checks that a step states, by its parameters' names; none for a step that states none.

    Args:
        step: The name of its folder in `components`.
    """
    if not step or not importlib.util.find_spec(f"{__name__}.{step}"):
        return {}
    found: Mapping[str, Check] = importlib.import_module(f"{__name__}.{step}").CHECKS
    return found

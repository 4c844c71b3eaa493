"""What a person may set about each step: one module a step, by the step's name."""

import importlib
import importlib.util
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from sluice.core.parameter_checks import Check, StepParameters


def step_parameters(step: str) -> type[StepParameters] | None:
    """The parameters that a step states; None for a step that has none to set.

    Args:
        step: The name of its folder in `components`.
    """
    found: type[StepParameters] | None = getattr(_stated(step), "Parameters", None)
    return found


def step_checks(step: str, others: Collection[str] = ()) -> Mapping[str, Check]:
    """The checks that a step states, by its parameters' names; none for a step that states none.

    Args:
        step: The name of its folder in `components`.
        others: The other steps of its pipeline: some ask more of it than the step alone does (`CHECKS_WITH`).
    """
    module = _stated(step)
    found: dict[str, Check] = dict(getattr(module, "CHECKS", {}))
    for other, more in getattr(module, "CHECKS_WITH", {}).items():
        if other in others:
            found |= {name: _both(found.get(name), check) for name, check in more.items()}
    return found


def _both(first: Check | None, second: Check) -> Check:
    def check(name: str, value: Any) -> None:  # noqa: ANN401 - whatever was given
        if first:
            first(name, value)
        second(name, value)

    return check


def _stated(step: str) -> ModuleType | None:
    """The module in which a step states its parameters."""
    if not step or not importlib.util.find_spec(f"{__name__}.{step}"):
        return None
    return importlib.import_module(f"{__name__}.{step}")

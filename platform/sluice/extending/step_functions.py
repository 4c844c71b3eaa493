"""Functions that an installed package offers as steps: `call(code, "count-rows", …)` in a component of anybody's.

    [project.entry-points."sluice.steps"]                    # in the package's pyproject.toml
    count-rows = "acme_steps.counting:count_rows"

A project's own is written `steps.py:count_rows`; see `sluice.steps.own_step` for how either is called.
"""

from typing import Protocol

from sluice.core.extensions import Registry


class StepFunction(Protocol):
    """A function; what it takes, by name, is between it and the component that calls it."""


STEP_FUNCTIONS: Registry[StepFunction] = Registry("steps", StepFunction, {}, title="step")
"""Those of installed packages. Sluice's own steps are components of KFP, in `sluice.components`."""

"""What a site's administrator has said of runs, in the chart's values, as whoever starts one hears of it beforehand.

The ConfigMap `sluice-steps` carries it. The same is held by admission policies in the cluster: here a person is told in
one line, and before anything has run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sluice.cluster.resources import (
    NO_MAXIMUM,
    MaxResources,
    ResourcePlan,
    StepResources,
    read_maximum,
    read_resources,
)
from sluice.core.errors import BadInput
from sluice.core.variable_groups.cluster import ClusterVariables

STEP_RESOURCES, MAX_RESOURCES = ClusterVariables.step_resources.name, ClusterVariables.max_resources.name
PROJECT_CODE = ClusterVariables.project_code.name
CODE = "code"  # a parameter with the address of a project's archive: `code`, or `prepare_code` and the like


@dataclass(frozen=True)
class SiteRules:
    """What holds for runs of a release.

    Attributes:
        project_code: Whether steps may run code that a project brings along.
        resources: What steps get by the chart's values, by step.
        most: The most that one may ask for.
    """

    project_code: bool = True
    resources: Mapping[str, StepResources] = field(default_factory=dict)
    most: MaxResources = NO_MAXIMUM

    @classmethod
    def of(cls, given: ClusterVariables) -> Self:
        """Read the rules; a release of before says nothing, which forbids nothing.

        Args:
            given: Of the ConfigMap `sluice-steps`, or of an environment that holds it.

        Raises:
            BadInput: The chart's values are wrong in a way that its schema does not see.
        """
        by_step, most = _json(STEP_RESOURCES, given.step_resources), _json(MAX_RESOURCES, given.max_resources)
        return cls(
            _yes_or_no(given.project_code),
            read_resources(by_step, f"{STEP_RESOURCES} (steps.resourcesByStep of the chart)"),
            read_maximum(most, f"{MAX_RESOURCES} (steps.maxResources of the chart)"),
        )

    def plan(self, asked: Mapping[str, StepResources] | None = None) -> ResourcePlan:
        """These rules with what a project and a command line ask for."""
        return ResourcePlan(self.resources, asked or {}, self.most)

    def check_code(
        self,
        arguments: Mapping[str, Any],
        *,
        own_pipeline: bool = False,
    ) -> None:
        """Hold a run against `project_code`.

        Args:
            arguments: Of the pipeline.
            own_pipeline: Whether the pipeline itself, or a component of it, is the user's own.

        Raises:
            BadInput: The run brings code, and the site forbids that.
        """
        if self.project_code:
            return
        what = "a pipeline of your own" if own_pipeline else ""
        named = (name for name, value in arguments.items() if value and (name == CODE or name.endswith(f"_{CODE}")))
        if name := next(named, ""):
            what = f"the project's code ({name}={arguments[name]})"
        if what:
            raise BadInput(
                f"this site runs Sluice's own steps alone, not {what}: its administrator has set "
                "steps.projectCode=false in the chart's values; run it on your machine (sluice run), or leave out "
                "prepare, candidates and other files of your own"
            )


def _yes_or_no(given: str) -> bool:
    """A setting that is true unless it says `false`.

    Raises:
        BadInput: It says something else.
    """
    value = given or "true"
    if value not in ("true", "false"):
        raise BadInput(f"{PROJECT_CODE} is {value!r}: it must be true or false; the chart sets it (steps.projectCode)")
    return value == "true"


def _json(name: str, given: str) -> Mapping[str, Any]:
    try:
        found = json.loads(given or "{}")
    except ValueError as error:
        raise BadInput(f"{name} of the ConfigMap sluice-steps is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput(f"{name} of the ConfigMap sluice-steps holds no JSON object; the chart sets it")
    return found

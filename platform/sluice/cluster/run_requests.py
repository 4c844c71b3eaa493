"""What a run asks of a cluster at any one time, at most: the requests of those of its steps that may run together.

Counted are the requests of steps' containers, GPUs too. Not counted are KFP's own pods, Argo's containers beside a step
and what a step itself begins elsewhere, such as a TrainJob. A loop counts as often as it may run at once, where its
pipeline says that; else once.

Source of the format: kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, read at 2.14.3 and 2.17.0.
"""

import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import Any

from sluice.core.quantities import amount

Json = Mapping[str, Any]
_MOST_TASKS = 16  # of more than these nobody asks which may run together: their sum is an upper bound, too


def run_requests(spec: Json) -> dict[str, str]:
    """The requests by resource, as Kubernetes writes quantities.

    Args:
        spec: A pipeline's spec, as JSON values.
    """
    found = _dag(spec, spec["root"]["dag"])
    return {name: _quantity(name, value) for name, value in sorted(found.items()) if value}


def _dag(spec: Json, dag: Json) -> dict[str, Decimal]:
    tasks = {name: _task(spec, task) for name, task in dag["tasks"].items()}
    after = {name: _after(name, dag["tasks"]) for name in tasks}
    resources = {name for each in tasks.values() for name in each}
    return {
        name: _together({task: each.get(name, Decimal(0)) for task, each in tasks.items()}, after) for name in resources
    }


def _task(spec: Json, task: Json) -> dict[str, Decimal]:
    component = spec["components"][task["componentRef"]["name"]]
    if "dag" in component:
        found = _dag(spec, component["dag"])
    else:
        executor = spec["deploymentSpec"]["executors"].get(component.get("executorLabel", ""), {})
        found = _container(executor.get("container", {}).get("resources", {}))
    return {name: value * _times(task) for name, value in found.items()}


def _container(resources: Json) -> dict[str, Decimal]:
    """A container's requests; what KFP fills in while the pipeline runs cannot be counted."""
    found = {}
    for name in ("cpu", "memory"):
        key = f"resource{name.title()}"
        given = str(resources.get(f"{key}Request") or resources.get(f"{key}Limit") or "")
        if given and "{{" not in given:
            found[name] = amount(given)
    accelerator = resources.get("accelerator", {})
    count = str(accelerator.get("resourceCount") or accelerator.get("count") or "")
    if count.isdecimal():
        found[str(accelerator.get("resourceType") or accelerator.get("type"))] = Decimal(count)
    return found


def _times(task: Json) -> int:
    """How often a task of a loop may run at once."""
    loop = task.get("parameterIterator") or task.get("artifactIterator")
    if not loop:
        return 1
    most = int(task.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    raw = loop.get("items", {}).get("raw", "")
    items = len(json.loads(raw)) if raw else 0
    return min(each for each in (most, items) if each) if most or items else 1


def _after(name: str, tasks: Json) -> frozenset[str]:
    """All tasks that a task comes after."""
    found: set[str] = set()
    left = [name]
    while left:
        before = tasks[left.pop()].get("dependentTasks", ())
        left += [each for each in before if each not in found]
        found.update(before)
    return frozenset(found)


def _together(weights: Mapping[str, Decimal], after: Mapping[str, frozenset[str]]) -> Decimal:
    """The heaviest tasks of which none comes after another."""
    tasks = tuple(sorted(weights))
    if len(tasks) > _MOST_TASKS:
        return sum(weights.values(), Decimal(0))

    @cache
    def heaviest(left: tuple[str, ...]) -> Decimal:
        if not left:
            return Decimal(0)
        first, rest = left[0], left[1:]
        beside = tuple(each for each in rest if first not in after[each] and each not in after[first])
        return max(heaviest(rest), weights[first] + heaviest(beside))

    return heaviest(tasks)


def _quantity(name: str, value: Decimal) -> str:
    if name == "cpu":
        return f"{(value * 1000).to_integral_value(ROUND_CEILING)}m"
    return str(value.to_integral_value(ROUND_CEILING))

"""What a run's steps are doing, read from Argo's Workflow as KFP keeps it.

KFP compiles a task `validate` to three nodes: `validate-driver` (a pod that resolves inputs and asks the cache),
`validate` (a group), and in it `executor` (the step's pod, left out when the cache has its outputs).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

State = Literal["waiting", "starting", "running", "cached", "done", "failed"]
NO_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
_ENDED_BADLY = ("Failed", "Error")
_LEFT_OUT = ("Skipped", "Omitted")  # an executor whose outputs the cache had, a step behind one that failed
_EXECUTOR = re.compile(r"\.executor(?:\(\d+\))?$")  # numbered where tries are repeated


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: As the run shows it, e.g. `validate`.
        state: What it is doing.
        seconds: From its driver's start to its end; None until it ended, and where it was not run.
        message: Why it waits or failed, in Kubernetes' or the step's words; may be empty.
    """

    name: str
    state: State
    seconds: float | None = None
    message: str = ""

    @property
    def lacks_image(self) -> bool:
        """Whether its pod cannot start for want of its image, which may still come."""
        return self.state == "starting" and any(word in self.message for word in NO_IMAGE)


def steps_of(manifest: Mapping[str, Any], names: Iterable[str]) -> list[Step]:
    """The steps in the order of their names as given.

    Args:
        manifest: The Workflow; may be empty.
        names: The tasks of the pipeline's root.
    """
    workflow = str(manifest.get("metadata", {}).get("name", ""))
    nodes = {str(node["name"]): node for node in manifest.get("status", {}).get("nodes", {}).values()}
    return [_step(name, nodes, f"{workflow}.root.{name}") for name in names]


def task_order(spec: Mapping[str, Any]) -> list[str]:
    """The names of a pipeline's tasks, each behind those that it waits for."""
    tasks = dict(spec["root"]["dag"]["tasks"])
    ordered: list[str] = []
    while tasks:
        ready = sorted(name for name, task in tasks.items() if not set(task.get("dependentTasks", [])) & tasks.keys())
        ordered += ready
        tasks = {name: task for name, task in tasks.items() if name not in ready}
    return ordered


def _step(name: str, nodes: Mapping[str, Mapping[str, Any]], place: str) -> Step:
    driver, group = nodes.get(f"{place}-driver", {}), nodes.get(place, {})
    inside = [node for path, node in nodes.items() if path.startswith(f"{place}.")]
    executors = [node for node in inside if _EXECUTOR.search(str(node["name"]))]
    executor = max(executors, key=_latest, default={})
    broken = next((node for node in (driver, *inside, group) if node.get("phase") in _ENDED_BADLY), None)
    if broken is not None and (group.get("phase") in _ENDED_BADLY or broken is driver):
        tries = [node for path, node in nodes.items() if path.startswith(f"{place}-driver(")]
        asked = max(tries, key=_latest, default=driver)
        told = next((node for node in (executor, asked, group) if node.get("message")), broken)
        return Step(name, "failed", _seconds(driver, group or driver), str(told.get("message", "")))
    if group.get("phase") == "Succeeded":
        skipped = executor.get("phase") in _LEFT_OUT
        return Step(name, "cached") if skipped else Step(name, "done", _seconds(driver, group))
    if executor.get("phase") == "Running":
        return Step(name, "running")
    if (driver or group) and group.get("phase") not in _LEFT_OUT:
        return Step(name, "starting", None, str(executor.get("message") or driver.get("message") or ""))
    return Step(name, "waiting")


def _latest(node: Mapping[str, Any]) -> tuple[str, bool]:
    """The order of tries: where they are repeated, a node of no pod stands for all and begins with the first."""
    return str(node.get("startedAt") or ""), node.get("type") != "Retry"


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float | None:
    begin, end = first.get("startedAt") or last.get("startedAt"), last.get("finishedAt")
    if not begin or not end:
        return None
    return (datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(begin))).total_seconds()

"""The inputs that a step of a cluster's run had, and the step run here with them, on the cluster's stores.

KFP's driver resolves a step's inputs and writes them into the command of the step's pod, which the workflow keeps as
the parameter `pod-spec-patch` of the step's nodes. A step whose result the cache had was given no pod.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sluice.cli.cluster_resuming import asked_of
from sluice.cluster.access import Target
from sluice.cluster.connection import connected
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.workflow_steps import task_order
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.running.catalog import Pipeline, find_pipeline
from sluice.running.run_records import RunRecord, StepRecord
from sluice.running.step_debugging import StepResult, run_step

PATCH = "pod-spec-patch"
_INPUT = "--executor_input"


def step_of_cluster(run: str, name: str, target: Target, *, debug: bool, really: bool) -> StepResult:
    """Run a step of a cluster's run here, with the inputs that it had there.

    Args:
        run: The run's id.
        name: The step.
        target: The cluster.
        debug: Under Python's debugger.
        really: Let it write to the cluster's stores.

    Raises:
        BadInput: There is no such run or step, its result was reused, or it reads artifacts of KFP's own bucket.
        EnvironmentFault: The cluster does not answer.
    """
    with connected(target) as cluster:
        api = KfpApi(cluster.kfp)
        before, fused = asked_of(api, run)
        if fused:
            raise BadInput(
                f"run {before.id} has all steps in one pod, which keeps the inputs of none; resume it instead"
            )
        chosen = find_pipeline(before.reference)
        step = step_record(api.run(before.id).manifest, chosen, before.id, name)
        with changed_variables(cluster.variables):
            return run_step(RunRecord(id=before.id, pipeline=chosen.name), step, chosen, debug=debug, really=really)


def step_record(manifest: Mapping[str, Any], pipeline: Pipeline, run: str, name: str) -> StepRecord:
    """The record of a step, from the workflow of its run.

    Args:
        manifest: The workflow.
        pipeline: The run's.
        run: Its id, for messages.
        name: The step; `_` and `-` mean the same.

    Raises:
        BadInput: The pipeline has no such step, it was not run, or it reads artifacts of KFP's own bucket.
    """
    from google.protobuf import json_format

    spec = json_format.MessageToDict(pipeline.component.pipeline_spec)
    tasks, wanted = spec["root"]["dag"]["tasks"], name.replace("_", "-")
    if wanted not in tasks:
        names = task_order(spec)
        raise BadInput(f"run {run} has no step {name!r}{near(wanted, names) or '; it has ' + ', '.join(names)}")
    asked = next(_inputs(manifest, wanted), None)
    if asked is None:
        raise BadInput(f"run {run} has run no {wanted} of its own: it did not come so far, or took an earlier result")
    if asked.get("artifacts"):
        raise BadInput(
            f"step {wanted} reads {', '.join(asked['artifacts'])} from KFP's own bucket; run the step before it"
        )
    component = tasks[wanted]["componentRef"]["name"]
    return StepRecord(name=wanted, component=component, state="done", parameters=asked.get("parameterValues", {}))


def _inputs(manifest: Mapping[str, Any], step: str) -> Iterator[dict[str, Any]]:
    workflow = str(manifest.get("metadata", {}).get("name", ""))
    places = (f"{workflow}.root.{step}", f"{workflow}.root.{step}-driver")
    for node in manifest.get("status", {}).get("nodes", {}).values():
        path = str(node.get("name", ""))
        if not any(path == place or path.startswith((f"{place}.", f"{place}(")) for place in places):
            continue
        for side in ("inputs", "outputs"):
            for parameter in node.get(side, {}).get("parameters", []):
                if parameter.get("name") == PATCH and parameter.get("value"):
                    yield from _asked(parameter["value"])


def _asked(patch: str) -> Iterator[dict[str, Any]]:
    for container in json.loads(patch).get("containers", []):
        words = [*container.get("command", []), *container.get("args", [])]
        if _INPUT in words[:-1]:
            yield dict(json.loads(words[words.index(_INPUT) + 1]).get("inputs", {}))

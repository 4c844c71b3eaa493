"""A pipeline of one task that runs the whole of another pipeline in its pod.

A step costs some seconds of pods and waiting whatever it does; where all steps fit into one pod, that is paid once.
"""

import copy
import json
import re
from typing import Any

from sluice.core.step_images import TORCH_IMAGE

SUFFIX = "-fused"
TASK = "all-steps"
MODULE = "sluice.cluster.fused_step"
_STEP = re.compile(r"\bsluice\.components\.\w+")


def fuse(spec: dict[str, Any], pipeline: str) -> dict[str, Any]:
    """The spec of the fused pipeline: the same parameters and outputs, and one task.

    Args:
        spec: The pipeline's own spec, as JSON values.
        pipeline: Its name, as Sluice writes it.
    """
    root = copy.deepcopy(spec["root"])
    parameters = root.get("inputDefinitions", {}).get("parameters", {})
    outputs = root.get("outputDefinitions", {})
    task = {
        "cachingOptions": {},  # evaluation and registration look at the present champion
        "componentRef": {"name": f"comp-{TASK}"},
        "inputs": {"parameters": {name: {"componentInputParameter": name} for name in parameters}},
        "taskInfo": {"name": TASK},
    }
    selectors = {
        name: {"artifactSelectors": [{"outputArtifactKey": name, "producerSubtask": TASK}]}
        for name in outputs.get("artifacts", {})
    }
    container = {"image": TORCH_IMAGE, "command": ["python", "-m", MODULE], "args": [pipeline, "{{$}}", steps_of(spec)]}
    component = {"executorLabel": f"exec-{TASK}", "inputDefinitions": root["inputDefinitions"]}
    return {
        **spec,
        "pipelineInfo": {**spec["pipelineInfo"], "name": spec["pipelineInfo"]["name"] + SUFFIX},
        "components": {f"comp-{TASK}": copy.deepcopy({**component, "outputDefinitions": outputs})},
        "deploymentSpec": {"executors": {f"exec-{TASK}": {"container": container}}},
        "root": {**root, "dag": {"tasks": {TASK: task}, "outputs": {"artifacts": selectors}}},
    }


def steps_of(spec: dict[str, Any]) -> str:
    """The steps' packages that a pipeline's executors run, in one word: the chart gives pods their account by these."""
    return ",".join(sorted(set(_STEP.findall(json.dumps(spec["deploymentSpec"])))))

"""What a pod runs that may name the Secret of the register step, as the chart's admission policy compares it.

`python -m sluice.cluster.registering FILE` writes it; the chart holds it as files/registering.json. A pod says what it
runs in words that its author chose, so the policy knows these and takes no others.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common import images, steps
from sluice.catalog import find_pipeline, pipeline_names
from sluice.cluster.executors import THREADS, USER
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.step_environment import CONFIG_KEYS, REGISTER, RUN_LABEL, SECRET_KEYS, secret_for

IMAGES = {images.TABULAR: images.TABULAR_IMAGE, images.TORCH: images.TORCH_IMAGE}


def registering() -> dict[str, Any]:
    """Command lines and variables of all steps that register.

    Returns:
        `runs`, each a command with its arguments, as KFP's driver hands them to its launcher; `secret` and `config`,
        the variables that come from a key of their own name; `constants`, the variables whose value is known; `image`,
        the variable that repeats the container's image; `pipeline`, the one that names the pipeline; `fields`, those
        that the pod itself fills in.
    """
    runs = sorted(
        {json.dumps(run) for name in pipeline_names() for fused in (False, True) for run in _runs(name, fused)}
    )
    return {
        "runs": [json.loads(run) for run in runs],
        "secret": list(SECRET_KEYS),
        "config": list(CONFIG_KEYS),
        "constants": THREADS | USER,
        "image": steps.IMAGE,
        "pipeline": steps.PIPELINE,
        "fields": {steps.RUN: RUN_LABEL},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(registering(), indent=1) + "\n"


def _runs(name: str, fused: bool) -> list[list[str]]:
    spec = compile_for_cluster(find_pipeline(name), IMAGES, fused=fused).pipeline
    executors: Mapping[str, Any] = spec["deploymentSpec"]["executors"]
    containers = [each["container"] for label, each in executors.items() if secret_for(label) == REGISTER]
    return [[*container["command"], *container["args"]] for container in containers]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")

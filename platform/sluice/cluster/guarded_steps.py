"""What pods run that may name the Secrets of single steps, as the chart's admission policy compares it.

`python -m sluice.cluster.guarded_steps FILE` writes it; the chart holds it as files/guarded-steps.json. A pod says what
it runs in words that its author chose, so the policy knows these and takes no others.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sluice.artifacts.producer import IMAGE, PIPELINE, RUN
from sluice.cluster.check import own_pipeline
from sluice.cluster.executors import THREADS, USER
from sluice.cluster.resources import StepResources
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.step_environment import CONFIG_KEYS, REGISTER, RUN_LABEL, SECRET_KEYS, secret_for
from sluice.core import step_images
from sluice.running.catalog import find_pipeline, pipeline_names

IMAGES = {step_images.TABULAR: step_images.TABULAR_IMAGE, step_images.TORCH: step_images.TORCH_IMAGE}
_INGEST = re.compile(r"\bsluice\.components\.ingest[.,]")  # the chart tells the pods by this, too


def guarded_steps() -> dict[str, Any]:
    """Command lines and variables of the steps that register models, and of those that read databases.

    Returns:
        `registers` and `ingests`, each a list of commands with their arguments, as KFP's driver hands them to its
        launcher; `others`, all other steps of Sluice's, for sites that run these alone; `secret` and `config`, the
        variables that come from a key of their own name; `constants`, the variables whose value is known; `image`, the
        variable that repeats the container's image; `pipeline`, the one that names the pipeline; `fields`, those that
        the pod itself fills in.
    """
    runs = {label: run for each in _executors() for label, run in each.items()}
    registers = _sorted(run for label, run in runs.items() if secret_for(label[1]) == REGISTER)
    ingests = _sorted(run for run in runs.values() if any(_INGEST.search(word) for word in run))
    return {
        "registers": registers,
        "ingests": ingests,
        "others": [run for run in _sorted(runs.values()) if run not in registers and run not in ingests],
        "secret": list(SECRET_KEYS),
        "config": list(CONFIG_KEYS),
        "constants": THREADS | USER | StepResources(disk="1Gi").variables(),
        "image": IMAGE,
        "pipeline": PIPELINE,
        "fields": {RUN: RUN_LABEL},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(guarded_steps(), indent=1) + "\n"


def _executors() -> Iterator[dict[tuple[str, str], list[str]]]:
    """Command and arguments of every executor, by its pipeline and its label in KFP."""
    pipelines = [*map(find_pipeline, pipeline_names()), own_pipeline()]
    for pipeline in pipelines:
        for fused in (False, True) if pipeline.parameters else (False,):  # nobody fuses the check's one step
            spec = compile_for_cluster(pipeline, IMAGES, fused=fused)
            found = {label: each["container"] for label, each in spec.pipeline["deploymentSpec"]["executors"].items()}
            yield {(spec.name, label): [*each["command"], *each["args"]] for label, each in found.items()}


def _sorted(runs: Iterable[list[str]]) -> list[list[str]]:
    """Each once."""
    return [list(run) for run in sorted({tuple(run) for run in runs})]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")

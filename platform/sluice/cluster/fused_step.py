"""All steps of a pipeline in this process' pod: what the one task of a fused pipeline runs.

`python -m sluice.cluster.fused_step PIPELINE EXECUTOR_INPUT STEPS`, where KFP's launcher fills in the executor's input,
and the third is for who reads the command line: the chart gives the pod its account by it. The steps are those of
`sluice run`, each a process of its own; what they leave in the stores is the same, to the address.
"""

import io
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.core.errors import SluiceError
from sluice.core.parameter_checks import check_numbers
from sluice.core.progress import PROGRESS
from sluice.core.settings import settings
from sluice.core.termination_message import leave_message
from sluice.running.arguments import check_values
from sluice.running.resuming import typed

WIDTH = 140


class Marked(io.StringIO):
    """A terminal's place in a pod: marks every line as progress, so that whoever reads the log knows it for such."""

    def write(self, text: str) -> int:
        """Write whole lines, empty ones left out."""
        for line in filter(None, map(str.strip, text.splitlines())):
            print(f"{PROGRESS}{line}", file=sys.__stdout__, flush=True)
        return len(text)


def main(pipeline_name: str, executor_input: str) -> None:
    """Run the pipeline and hand over its outputs; a failing step's one line and exit code become this task's."""
    from rich.console import Console

    from sluice.running import catalog, local_run

    asked = json.loads(executor_input)
    pipeline = catalog.find_pipeline(pipeline_name)
    console = Console(file=Marked(), width=WIDTH, no_color=True)
    try:
        arguments = checked(pipeline, asked.get("inputs", {}).get("parameterValues", {}))
        done = local_run.run_pipeline(pipeline, arguments, console, run=settings().run.run)
    except SluiceError as error:
        print(f"{PROGRESS}error: {error}", flush=True)  # noqa: T201 - a step's standard output is its log
        leave(error)
        raise SystemExit(error.exit_code) from None
    if done.report is None:  # every pipeline of an image makes one
        raise RuntimeError(f"pipeline {pipeline_name} has left no report")
    result = done.report.with_suffix(".json")
    result.write_text(json.dumps(done.result, indent=1, ensure_ascii=False), encoding="utf-8")
    for name, made in (("report", done.report), ("result", result)):
        hand_over(asked, name, made)


def checked(pipeline: Any, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a catalog.Pipeline, imported late
    """The parameters' values as the pipeline declares them, and as its steps take them."""
    check_numbers(values)
    found = typed(pipeline, values)
    check_values(pipeline, found)
    return found


def leave(error: SluiceError) -> None:
    """Leave the line of the step that failed as this task's, under that step's own name where it has one."""
    place, separator, message = str(error).partition(": ")
    if separator and place.startswith("step "):
        leave_message(place.removeprefix("step "), type(error)(message))
    else:
        leave_message("all-steps", error)


def hand_over(asked: Mapping[str, Any], name: str, made: Path) -> None:
    """Copy a file to where KFP's launcher looks for an output artifact."""
    from kfp.dsl import Artifact

    (artifact,) = asked["outputs"]["artifacts"][name]["artifacts"]
    target = Path(artifact.get("customPath") or Artifact(uri=artifact["uri"]).path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, target)


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""Has KFP's local runner tell a run's record of each step: what it was given, how it ended, what it made.

KFP 2.17 has no place to be told; so the function that runs one step is wrapped, and the one that makes the step's input
only where the step really runs, not where its result is reused.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sluice.running.run_records import HTML, Recorder


@contextmanager
def recorded_steps(recorder: Recorder) -> Iterator[None]:
    """KFP's runner does so for the time of the `with` block."""
    from kfp.local import executor_input_utils, status
    from kfp.local.orchestrator import task_executor
    from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

    run_step, make_input = task_executor.execute_single_task, executor_input_utils.construct_executor_input
    running = threading.local()

    def making_input(*words: Any, **named: Any) -> Any:  # noqa: ANN401 - KFP's
        running.input = make_input(*words, **named)
        return running.input

    def running_step(*words: Any, **named: Any) -> Any:  # noqa: ANN401 - KFP's
        task, running.input = named["task_spec"], None
        label = named["components"][task.component_ref.name].executor_label
        imports = named["executors"][label].WhichOneof("spec") == "importer"  # which is no process, and never reused
        arguments = OrchestratorUtils.make_task_arguments(task.inputs, named["io_store"])
        step = recorder.begin(named["task_name"], task.component_ref.name, arguments)
        began, outputs, ended = time.monotonic(), {}, None
        try:
            outputs, ended = run_step(*words, **named)
        finally:
            ran = imports or running.input is not None
            seconds = time.monotonic() - began if ran else None
            if ended == status.Status.SUCCESS:
                recorder.end(step, "done" if ran else "reused", outputs, seconds)
            else:
                recorder.end(step, "failed", {}, seconds, _pages(running.input))
        return outputs, ended

    task_executor.execute_single_task = running_step
    executor_input_utils.construct_executor_input = making_input
    try:
        yield
    finally:
        task_executor.execute_single_task = run_step
        executor_input_utils.construct_executor_input = make_input


def _pages(executor_input: Any) -> Iterator[Path]:  # noqa: ANN401 - KFP's message ExecutorInput, or None
    """The HTML files that a step has written, though it failed."""
    artifacts = executor_input.outputs.artifacts.values() if executor_input is not None else ()
    for each in artifacts:
        for artifact in each.artifacts:
            path = Path(artifact.uri)
            with contextlib.suppress(OSError):
                if artifact.type.schema_title == HTML and path.is_file() and path.stat().st_size:
                    yield path

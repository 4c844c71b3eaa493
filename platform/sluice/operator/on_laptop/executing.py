"""Runs that were ordered, one after the other. A key has one run, ever.

A run whose operator was killed is taken up again under its own id: the steps that ended are not run again.
"""

import time
from datetime import timedelta

from rich.console import Console

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.operator.on_laptop.kept_files import KeptRun
from sluice.operator.on_laptop.laptop_world import LaptopWorld
from sluice.running.local_run import run_pipeline
from sluice.running.warm_steps import WarmPython

_MOST_TRIES = 3


def execute_all(world: LaptopWorld, console: Console, warm: WarmPython | None, *, quiet: bool = False) -> int:
    """Run what waits, to its end; how many runs that were. The caller is the only operator (`KeptFiles.alone`)."""
    waiting = [each for each in world.files.runs() if each.ended is None]
    for each in waiting:
        _execute(world, each, console, warm, quiet=quiet)
    return len(waiting)


def _execute(world: LaptopWorld, run: KeptRun, console: Console, warm: WarmPython | None, *, quiet: bool) -> None:
    run = run.model_copy(update={"began": run.began or world.now(), "tries": run.tries + 1})
    if run.tries > _MOST_TRIES:  # what kills its operator each time must not do so for ever
        world.files.keep_run(run.model_copy(update={"ended": world.now()}))
        return
    world.files.keep_run(run)
    began = time.monotonic()
    try:
        ordered = world.ordered(run)
        arguments = ordered.publish(world.store)
        run_pipeline(
            ordered.pipeline,
            arguments,
            console,
            quiet=quiet,
            run=run.run,
            name=run.run,
            given=ordered.given,
            project=str(ordered.file.folder),
            warm=warm,
        )
    except SluiceError as error:
        progress(f"run {run.run} failed: {error}")
    world.clock.passed(timedelta(seconds=round(time.monotonic() - began)))
    world.files.keep_run(run.model_copy(update={"ended": world.now()}))

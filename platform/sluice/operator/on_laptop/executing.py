"""Runs that were ordered, one after the other: each by its key, each at most once."""

import time
from datetime import timedelta

from rich.console import Console

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.operator.on_laptop.kept_files import KeptRun
from sluice.operator.on_laptop.laptop_world import LaptopWorld
from sluice.running.local_run import run_pipeline
from sluice.running.warm_steps import WarmPython


def execute_all(world: LaptopWorld, console: Console, warm: WarmPython | None, *, quiet: bool = False) -> int:
    """Run what waits, to its end; how many runs that were."""
    waiting = [each for each in world.files.runs() if each.began is None and each.ended is None]
    for each in waiting:
        _execute(world, each, console, warm, quiet=quiet)
    _close(world)
    return len(waiting)


def _execute(world: LaptopWorld, run: KeptRun, console: Console, warm: WarmPython | None, *, quiet: bool) -> None:
    run = run.model_copy(update={"began": world.now()})
    world.files.keep_run(run)  # from here on it is never begun again: who is killed now has a run that failed
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


def _close(world: LaptopWorld) -> None:
    """Note the end of runs that were killed together with their operator."""
    for each in world.files.runs():
        if each.began and not each.ended:
            world.files.keep_run(each.model_copy(update={"ended": world.now()}))

"""The present operated on this machine: look, decide, run, and look again when something is due."""

import threading
from datetime import UTC, datetime

from rich.console import Console

from sluice.core.errors import EnvironmentFault
from sluice.core.lifeline import stoppable
from sluice.core.progress import progress
from sluice.operator.on_laptop.clock import WallClock
from sluice.operator.on_laptop.documents import Operated
from sluice.operator.on_laptop.executing import execute_all
from sluice.operator.on_laptop.laptop_world import NAMESPACE, LaptopWorld
from sluice.operator.reconciling import reconcile

_MOST_ROUNDS = 20


def operate_present(operated: Operated, console: Console, *, every: float, once: bool, quiet: bool) -> None:
    """Operate until somebody ends it, or once.

    Args:
        operated: What is operated.
        console: Where the runs' progress goes.
        every: Seconds after which it looks again.
        once: End when nothing is left to do.
        quiet: Show no progress of runs.

    Raises:
        BadInput: What is operated is not as it should be.
        EnvironmentFault: Another process operates it; or, once, a service failed.
    """
    world, told = LaptopWorld(operated, WallClock()), 0
    waiting = threading.Event()
    with world.files.alone(), stoppable(waiting.set):
        while True:
            try:
                wake = _settle(world, console, quiet=quiet)
            except EnvironmentFault as error:
                if once:
                    raise
                progress(f"{error}; it is tried again")
                wake = None
            told = _tell(world, told)
            if once:
                return
            due = (wake - datetime.now(UTC)).total_seconds() if wake else every
            waiting.wait(max(0.5, min(every, due)))


def _settle(world: LaptopWorld, console: Console, *, quiet: bool) -> datetime | None:
    """Reconcile and run until nothing is left to do; when something is due."""
    wake = None
    for _ in range(_MOST_ROUNDS):
        before = _token(world)
        wake = reconcile(world, NAMESPACE, world.operated.name)
        ran = execute_all(world, console, None, quiet=quiet)
        if not ran and _token(world) == before:
            break
    return wake


def _token(world: LaptopWorld) -> str:
    loaded = world.load(NAMESPACE, world.operated.name)
    return loaded.token if loaded else ""


def _tell(world: LaptopWorld, told: int) -> int:
    """Say what was decided since; the newest decision's number."""
    loaded = world.load(NAMESPACE, world.operated.name)
    for each in loaded.state.decisions if loaded else ():
        if each.number > told:
            progress(f"{each.at:%Y-%m-%d %H:%M} {each.outcome}, {each.rule}: {each.words}")
            told = each.number
    return told

"""A backfill on this machine: its partitions in order, one run after the other, taken up again where it was left."""

from rich.console import Console

from sluice.core.errors import BadInput
from sluice.operator.actions import StartRun
from sluice.operator.backfilling import BackfillOutcome, BackfillState, advance
from sluice.operator.evidence import RunSeen
from sluice.operator.on_laptop.clock import WallClock
from sluice.operator.on_laptop.documents import Operated
from sluice.operator.on_laptop.executing import execute_all
from sluice.operator.on_laptop.laptop_world import NAMESPACE, LaptopWorld
from sluice.operator.specs import BackfillSpec
from sluice.operator.worlds import Subject
from sluice.running.warm_steps import WarmPython


def fill_back(
    operated: Operated, name: str, console: Console, *, warm: WarmPython | None = None, quiet: bool = False
) -> BackfillState:
    """Run what is left of a backfill, to its end or to the first partition that fails.

    Args:
        operated: The file that it stands in.
        name: The Backfill's.
        console: Where the runs' progress goes.
        warm: Forks the steps; without it each starts Python anew.
        quiet: Show none of it.

    Raises:
        BadInput: There is no such Backfill, or its partitions are none.
        EnvironmentFault: Another process operates this, or the disk failed.
    """
    spec = operated.backfills.get(name)
    if spec is None:
        known = ", ".join(operated.backfills) or "none"
        raise BadInput(f"{operated.path} has no Backfill {name!r}; it has {known}")
    world = LaptopWorld(operated, WallClock())
    loaded = world.load(NAMESPACE, operated.name)
    assert loaded is not None, "it is what is operated"  # noqa: S101
    with world.files.alone():
        while True:
            outcome = _advanced(world, name, spec)
            for action in outcome.actions:
                if isinstance(action, StartRun):  # a machine of one person has no queue
                    world.start_run(loaded, action)
            if not execute_all(world, console, warm, quiet=quiet) and outcome.state.phase != "Running":
                return outcome.state


def _advanced(world: LaptopWorld, name: str, spec: BackfillSpec) -> BackfillOutcome:
    state = world.files.backfill(name)
    subject = Subject(NAMESPACE, name, world.uid)
    try:
        outcome = advance(subject, spec, state, list(_runs(world, state)), world.code(), world.now())
    except ValueError as error:
        raise BadInput(f"{world.operated.path}: Backfill {name}: {error}") from None
    world.files.keep_backfill(name, outcome.state)
    return outcome


def _runs(world: LaptopWorld, state: BackfillState) -> list[RunSeen]:
    held = [world.files.run(key) for key in state.running.values()]
    return [world.seen_run(each) for each in held if each]

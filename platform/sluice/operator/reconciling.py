"""One reconciliation: load, look, decide, save, do, save. Whoever is killed between two of them does no harm.

What was decided is saved before anything of it is done, by compare and swap; what is done is done at most once by its
key, or not harmed by being done twice; what was done is saved in the end. So the next reconciliation, whoever's, goes
on where this one stopped.
"""

from datetime import datetime, timedelta

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.operator.actions import (
    Action,
    Answer,
    AskApproval,
    CancelRun,
    Outcome,
    Promote,
    Queue,
    RollBack,
    StartRun,
    WakeAt,
)
from sluice.operator.deciding import decide
from sluice.operator.failpoints import failpoint
from sluice.operator.results import asked, not_moved, not_started, started
from sluice.operator.state import State
from sluice.operator.worlds import Conflict, Loaded, World

_ATTEMPTS = 5
_SOON = timedelta(seconds=5)


def reconcile(world: World, namespace: str, name: str) -> datetime | None:
    """Bring one ContinuousTraining to where it should be, as far as that goes now.

    Args:
        world: Where it is.
        namespace: Its namespace.
        name: Its name.

    Returns:
        When it has to be looked at again without being asked; None for never.

    Raises:
        BadInput: Its specification is wrong.
        EnvironmentFault: A part of the world is away, or others kept saving; what was decided is saved, and doing it
            again is harmless.
    """
    looked_again = False
    for _ in range(_ATTEMPTS):
        loaded = world.load(namespace, name)
        if loaded is None:
            return None
        failpoint("loaded")
        try:
            wake, left = _reconcile(world, loaded)
        except Conflict:
            continue
        if not left:
            return wake
        if looked_again:
            soon = world.now() + _SOON
            return min(wake or soon, soon)
        looked_again = True  # the champion was changed: hold that against the registry, and answer who asked
    raise EnvironmentFault(f"{namespace}/{name}: others kept saving its state; it is looked at again")


def _reconcile(world: World, loaded: Loaded) -> tuple[datetime | None, bool]:
    """When to look again, and whether something was done that has to be held against the world, or answered."""
    world.keep(loaded, loaded.state.decisions)  # where somebody was killed before it was done
    evidence = world.gather(loaded)
    outcome = decide(loaded.subject, loaded.spec, loaded.state, evidence, world.now(), deleted=loaded.deleted)
    failpoint("before-intents")
    if outcome.state != loaded.state:
        loaded = world.save(loaded, outcome.state)
    failpoint("after-intents")
    world.keep(loaded, outcome.decisions)
    return _act(world, loaded, outcome)


def _act(world: World, loaded: Loaded, outcome: Outcome) -> tuple[datetime | None, bool]:
    """Do all that was decided; a part that fails keeps no other from being done, and is told in the end."""
    state, wake, faults = outcome.state, None, list[SluiceError]()
    for action in outcome.actions:
        failpoint("before-action")
        if isinstance(action, WakeAt):
            wake = action.at
            world.wake_at(loaded, action.at)
            continue
        try:
            state = _do(world, loaded, action, state)
        except Conflict:
            raise
        except SluiceError as error:
            faults.append(error)
        failpoint("after-action")
    failpoint("before-results")
    if state != outcome.state:
        world.save(loaded, state)
    failpoint("after-results")
    if faults:
        raise EnvironmentFault("; ".join(str(each) for each in faults))
    return wake, any(isinstance(each, Promote | RollBack) for each in outcome.actions)


def _do(world: World, loaded: Loaded, action: Action, state: State) -> State:
    """Do one thing; the state with what came of it. What the world refuses for good is on record in it."""
    now = world.now()
    try:
        if isinstance(action, StartRun):
            return started(state, action.key, world.start_run(loaded, action), now)
        if isinstance(action, Promote):
            world.promote(loaded, action)
            return state  # whether it stands is the registry's to say: see `reconcile`
        if isinstance(action, RollBack):
            world.roll_back(loaded, action)
            return state
        if isinstance(action, Queue):
            world.queue(loaded, action)
            return state
    except BadInput as error:
        if isinstance(action, StartRun | Queue):
            return not_started(state, action, str(error), now)
        return not_moved(state, str(error), now)
    if isinstance(action, AskApproval):
        world.ask_approval(loaded, action)
        return asked(state, action.version)
    if isinstance(action, CancelRun):
        world.cancel_run(loaded, action)
    elif isinstance(action, Answer):
        world.answer(loaded, action)
    return state

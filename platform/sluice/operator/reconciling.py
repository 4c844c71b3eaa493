"""One reconciliation: load, look, decide, save, do, save. Whoever is killed between two of them does no harm."""

from datetime import datetime

from sluice.operator.worlds import World


def reconcile(world: World, namespace: str, name: str) -> datetime | None:
    """Bring one ContinuousTraining to where it should be, as far as that goes now.

    Args:
        world: Where it is.
        namespace: Its namespace.
        name: Its name.

    Returns:
        When it has to be looked at again without being asked; None for never.

    Raises:
        EnvironmentFault: A part of the world is away; what was decided is saved, and doing it again is harmless.
    """
    raise NotImplementedError

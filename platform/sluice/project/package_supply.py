"""What brings a project's locked packages into this process before its code is imported.

Sluice's steps and commands take them from the store (`sluice.project.code` says so when it is imported). A registered
model that travels alone has no store, and needs none: its own requirements name the packages.
"""

from collections.abc import Callable

_supplies: list[Callable[[bytes], object]] = []


def supply_by(function: Callable[[bytes], object]) -> None:
    """Have a function bring packages; it is called with the lock as it stands in the code's archive."""
    if function not in _supplies:
        _supplies.append(function)


def supply(lock: bytes) -> None:
    """Bring a lock's packages, where somebody can.

    Raises:
        BadInput: A package is not in the store, or not as the lock says.
        EnvironmentFault: The store failed.
    """
    for function in _supplies:
        function(lock)

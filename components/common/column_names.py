"""Names for columns that a step adds to a table, so that none of the user's is touched."""

from collections.abc import Iterable


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The name wanted, or the first of `wanted_2`, `wanted_3`, … that no column has; engines ignore upper case.

    Args:
        wanted: The name to begin with, in lower case.
        taken: The table's columns.
    """
    used = {name.casefold() for name in taken}
    name, number = wanted, 1
    while name in used:
        number += 1
        name = f"{wanted}_{number}"
    return name

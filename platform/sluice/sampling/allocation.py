"""How many rows each stratum gives: exact totals by the method of largest remainders (Hamilton's method)."""

from collections.abc import Sequence
from fractions import Fraction

from sluice.core.errors import BadInput

ALLOCATIONS = ("proportional", "equal")


def allocate(sizes: Sequence[int], total: int, allocation: str) -> list[int]:
    """Divide a sample over strata.

    Every stratum gives at least one row, so that none vanishes, and at most the rows it has.

    Args:
        sizes: Rows of each stratum, each at least 1.
        total: Rows of the sample, at most the sum of sizes; raised to the number of strata where it is below it.
        allocation: `proportional` to the sizes, or `equal`, where a stratum too small for its part leaves the rest
            to the others.

    Returns:
        Rows to draw from each stratum, in the order given; their sum is exactly the total.

    Raises:
        BadInput: The allocation's name is unknown.
    """
    check_allocation(allocation)
    total = max(total, len(sizes))
    quotas = _equal(sizes, total) if allocation == "equal" else [Fraction(total * n, sum(sizes)) for n in sizes]
    drawn = [max(1, int(quota)) for quota in quotas]
    while sum(drawn) != total:
        step = 1 if sum(drawn) < total else -1
        # The stratum furthest from its quota moves first; the earlier one where two are equally far.
        movable = [i for i, n in enumerate(drawn) if (n < sizes[i] if step > 0 else n > 1)]
        for i in sorted(movable, key=lambda i: (step * (drawn[i] - quotas[i]), i))[: abs(total - sum(drawn))]:
            drawn[i] += step
    return drawn


def check_allocation(allocation: str) -> None:
    """Refuse an unknown name.

    Raises:
        BadInput: It is unknown.
    """
    if allocation not in ALLOCATIONS:
        raise BadInput(f"parameter allocation={allocation!r} is unknown; use one of {', '.join(ALLOCATIONS)}")


def _equal(sizes: Sequence[int], total: int) -> list[Fraction]:
    """Equal quotas, none above its size: the smallest strata are served first, the others share what is left."""
    quotas = [Fraction(0)] * len(sizes)
    left = Fraction(total)
    by_size = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for served, i in enumerate(by_size):
        quotas[i] = min(Fraction(sizes[i]), left / (len(sizes) - served))
        left -= quotas[i]
    return quotas

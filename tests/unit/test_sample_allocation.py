"""How many rows each stratum gives."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.errors import BadInput
from sluice.sampling.allocation import allocate

SIZES = st.lists(st.integers(1, 2_000), min_size=1, max_size=40)


@given(sizes=SIZES, share=st.floats(0, 1), allocation=st.sampled_from(["proportional", "equal"]))
def test_totals_are_exact_and_no_stratum_is_lost_or_overdrawn(sizes: list[int], share: float, allocation: str) -> None:
    total = round(share * sum(sizes))
    drawn = allocate(sizes, total, allocation)
    assert sum(drawn) == max(total, len(sizes))
    assert all(1 <= n <= size for n, size in zip(drawn, sizes, strict=True))


@given(sizes=SIZES, share=st.floats(0, 1))
def test_proportional_parts_are_within_a_row_of_their_quota(sizes: list[int], share: float) -> None:
    total = max(round(share * sum(sizes)), len(sizes))
    drawn = allocate(sizes, total, "proportional")
    quotas = [Fraction(total * size, sum(sizes)) for size in sizes]
    if min(quotas) >= 1:
        assert all(abs(n - quota) < 1 for n, quota in zip(drawn, quotas, strict=True))


@given(sizes=SIZES, share=st.floats(0, 1))
def test_equal_parts_differ_by_a_row_unless_a_stratum_is_used_up(sizes: list[int], share: float) -> None:
    drawn = allocate(sizes, round(share * sum(sizes)), "equal")
    left = [n for n, size in zip(drawn, sizes, strict=True) if n < size]
    assert max(left, default=0) - min(left, default=0) <= 1
    assert all(n <= min(left, default=n) + 1 for n, size in zip(drawn, sizes, strict=True) if n == size)


def test_known_allocations() -> None:
    assert allocate([21_878, 9_713, 4_167, 3_252, 1_065], 44, "proportional") == [24, 11, 5, 3, 1]
    assert allocate([1_000_000, 10], 100, "proportional") == [99, 1]
    assert allocate([1_000_000, 10], 100, "equal") == [90, 10]
    assert allocate([5, 5, 5], 7, "equal") == [3, 2, 2]


def test_an_unknown_allocation_is_refused() -> None:
    with pytest.raises(BadInput, match="allocation='optimal' is unknown; use one of proportional, equal"):
        allocate([1], 1, "optimal")

"""The random order of rows: uniform, unrelated to the keys and between seeds, and the same for ever."""

import hashlib
from fractions import Fraction
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sluice.core.errors import BadInput
from sluice.engine.row_order import check_key, order_bound, with_row_order

ROWS = 200_000
LEAST_P = 1e-4  # of some hundred tests with fixed seeds, none may be this unlikely
INT64 = st.integers(-(2**63), 2**63 - 1)
SEQUENCES = {
    "counted": np.arange(ROWS),
    "negative": -np.arange(ROWS),
    "thousands": np.arange(ROWS) * 1000,
    "high bits": np.arange(ROWS) * 2**40,
    "hours": 1_357_000_000_000_000 + np.arange(ROWS) * 3_600_000_000,
}


def orders(seed: int, *, purpose: str = "sample", **columns: Any) -> npt.NDArray[Any]:
    table = ibis.memtable(pd.DataFrame(columns))
    return (
        with_row_order(table, list(columns), seed, "order", purpose).order.to_pyarrow().to_numpy(zero_copy_only=False)
    )


def uniform(order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return order / 2.0**64 + 0.5


@pytest.mark.parametrize("keys", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_regular_keys_looks_random(keys: npt.NDArray[np.int64], seed: int) -> None:
    place, other = uniform(orders(seed, id=keys)), uniform(orders(seed + 1, id=keys))
    found = {
        "even": stats.chisquare(np.bincount((place * 1000).astype(int), minlength=1000)).pvalue,
        "unrelated to the key": stats.pearsonr(place, np.arange(ROWS)).pvalue,
        "unrelated to the neighbour": stats.pearsonr(place[:-1], place[1:]).pvalue,
        "unrelated to the next day": stats.pearsonr(place[:-24], place[24:]).pvalue,
        "unrelated to the next seed": cells(place, other),
        "unrelated to another purpose": cells(place, uniform(orders(seed, purpose="split", id=keys))),
        "unrelated to the next draw": cells(place, uniform(orders(seed, purpose="sample 2", id=keys))),
        "pairs even": cells(place[:-1], place[1:]),
        "drawn evenly along the keys": dispersion(place < 0.02),
    }
    assert all(p > LEAST_P for p in found.values()), found


def cells(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> float:
    pairs = (one * 20).astype(int) * 20 + (two * 20).astype(int)
    return float(stats.chisquare(np.bincount(pairs, minlength=400)).pvalue)


def dispersion(drawn: npt.NDArray[np.bool_], block: int = 500) -> float:
    """Counts in blocks of neighbours must vary as binomial ones do: neither clumped nor too regular."""
    counts = drawn[: len(drawn) // block * block].reshape(-1, block).sum(axis=1)
    share = drawn.mean()
    statistic = ((counts - block * share) ** 2).sum() / (block * share * (1 - share))
    tail = stats.chi2.cdf(statistic, len(counts) - 1)
    return float(2 * min(tail, 1 - tail))


def test_one_bit_of_the_key_changes_half_of_the_order() -> None:
    keys, bits = np.arange(4_000), [0, *(1 << bit for bit in range(63))]
    found = orders(5, id=np.concatenate([keys ^ bit for bit in bits])).view(np.uint8).reshape(len(bits), len(keys), 8)
    flips = np.unpackbits(found[1:] ^ found[0], axis=2).mean(axis=1)
    assert flips.shape == (63, 64)
    assert np.abs(flips - 0.5).max() < 0.05


@settings(max_examples=25)
@given(keys=st.lists(INT64, min_size=1, max_size=50, unique=True), seed=INT64)
def test_different_integers_never_tie(keys: list[int], seed: int) -> None:
    found = orders(seed, id=np.array(keys, dtype=np.int64))
    assert len(set(found.tolist())) == len(keys)


def feistel(values: list[int], purpose: str, seed: int) -> int:
    """The definition in plain Python: six rounds for each column of the key."""
    high = low = 0
    for position, value in enumerate(values):
        high, low = high ^ (value >> 32 & 0xFFFFFFFF), low ^ (value & 0xFFFFFFFF)
        for turn, factor in enumerate((0x7FEB352D, 0x5851F42D, 0x4C957F2D, 0x6A09E667, 0x27D4EB2F, 0x45D9F3B)):
            digest = hashlib.sha256(f"sluice row order {purpose} {seed} {position} {turn}".encode()).digest()
            mixed = (low ^ int.from_bytes(digest[:4], "big")) * factor >> 16
            high, low = low, high ^ (mixed & 0xFFFFFFFF)
    return (high << 32 | low) - 2**63


def test_the_order_never_changes() -> None:
    """Samples drawn by an older Sluice must be drawn again by a newer one: these numbers are for ever."""
    keys = [0, 1, -1, 2**63 - 1, -(2**63)]
    numbers = [
        8541313025259363031,
        -8452750698598834674,
        -1937748242821758727,
        2943039110190305186,
        1121183199882010832,
    ]
    assert orders(0, id=np.array(keys)).tolist() == numbers == [feistel([key], "sample", 0) for key in keys]
    pairs = [[key, other] for key, other in zip(keys, keys[::-1], strict=True)]
    found = orders(-7, purpose="split", id=np.array(keys), part=np.array(keys[::-1])).tolist()
    assert found == [feistel(pair, "split", -7) for pair in pairs]
    assert found[0] == 3894286517292351260


def test_text_keys_are_ordered_by_md5() -> None:
    moments = np.array(["2013-01-01T05:00:00.000001", "1969-12-31T23:59:59"], dtype="datetime64[us]")
    found = orders(3, name=["é", "b"], moment=moments, number=[1, -2])
    texts = [f"sample\x1f3\x1fé\x1f{1_357_016_400_000_001}\x1f1", f"sample\x1f3\x1fb\x1f{-1_000_000}\x1f-2"]
    assert found.tolist() == [hashlib.md5(text.encode()).hexdigest() for text in texts]


@settings(max_examples=15)
@given(share=st.fractions(0, Fraction(99, 100)))
def test_the_bound_leaves_that_share_below(share: Fraction) -> None:
    for column in (pd.Series(np.arange(500)), pd.Series([f"k{i}" for i in range(500)])):
        table = with_row_order(ibis.memtable(pd.DataFrame({"id": column})), ["id"], 1, "order", "sample")
        below = (table.order < order_bound(table.order, share)).mean().execute()
        assert abs(below - float(share)) < 0.1


def test_a_row_without_a_key_has_no_order() -> None:
    table = ibis.memtable(
        pd.DataFrame({"id": [1, None], "name": ["a", None]}, dtype=object), schema={"id": "int64", "name": "string"}
    )
    for key in (["id"], ["name"], ["id", "name"]):
        assert with_row_order(table, key, 1, "order", "sample").order.isnull().to_pyarrow().to_pylist() == [False, True]


def test_a_key_that_gives_no_order_is_refused() -> None:
    table = ibis.table({"id": "int64", "weight": "float64", "large": "uint64"}, name="t")
    for key, named in (([], "empty"), (["ids"], "'ids'"), (["id", "weight"], "float64"), (["large"], "uint64")):
        with pytest.raises(BadInput, match=named):
            check_key(table, key)

"""A portable random order of rows: a pure function of (purpose, seed, row key), the same rows on every engine.

A sample is the first rows of each stratum in such an order, a split is a cut through another. Two steps that share one
order are not random to each other: the rows drawn first would all become training rows, whatever the stratum. So each
consumer names its purpose, which is part of the key, and one seed can serve them all.

No engine's own hash can serve, for each engine has another, so the order is written in operations that all share:

- Keys that can be counted (integers, booleans, dates, timestamps) go through a Feistel network (Luby & Rackoff,
  *How to construct pseudorandom permutations from pseudorandom functions*, 1988) of 32-bit halves. It is a bijection of
  the 64-bit integers, so two keys of one column never tie, and it costs a few instructions a row.
- Any other key is joined into one text and goes through MD5 with purpose and seed: slower, and as good a shuffle.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction

import ibis
import ibis.expr.datatypes as dt

from sluice.core.column_names import free_name
from sluice.core.errors import BadInput

# Odd, below 2^31 so that a product with 32 bits stays inside int64 (engines refuse overflow), and known to mix well:
# from C. Wellons' lowbias32, M. O'Neill's PCG, Y. Collet's xxHash, and the square root of 2.
_MULTIPLIERS = (0x7FEB352D, 0x5851F42D, 0x4C957F2D, 0x6A09E667, 0x27D4EB2F, 0x45D9F3B)
_WORD = 0xFFFFFFFF
_SHIFT = 16  # takes the product's middle bits, which depend on the most bits of the factor
_SEPARATOR = "\x1f"  # ASCII's unit separator


def check_key(table: ibis.Table, key: Sequence[str]) -> None:
    """Refuse a key that gives no order.

    Raises:
        BadInput: It is empty, a column is missing, or is of a type that engines write differently, such as a float.
    """
    if not key:
        raise BadInput("the key is empty; name the columns that identify a row")
    for name in key:
        if name not in table.columns:
            raise BadInput(f"key column {name!r} is not in the table; it has {', '.join(table.columns)}")
        kind = table[name].type()
        if not (_is_countable(kind) or kind.is_string()):
            raise BadInput(
                f"key column {name!r} has type {kind}, which engines write differently; "
                "use integers, strings, dates, timestamps or booleans"
            )


def with_row_order(table: ibis.Table, key: Sequence[str], seed: int, name: str, purpose: str) -> ibis.Table:
    """Add a column by which rows are in random order.

    Args:
        table: Rows on any engine.
        key: Columns that identify a row, for example `("id",)`.
        seed: Any integer; two seeds give two unrelated orders.
        name: The new column: an int64 over all 64-bit integers, or a text of 32 hex digits. Null where a key is null.
        purpose: What the order is for, such as `split`; two purposes give two unrelated orders, whatever the seed.

    Raises:
        BadInput: See `check_key`.
    """
    check_key(table, key)
    if all(_is_countable(table[column].type()) for column in key):
        return _permuted(table, key, f"{purpose} {seed}", name)
    text = ibis.literal(f"{purpose}{_SEPARATOR}{seed}")
    for column in key:
        text = text + _SEPARATOR + _as_text(table[column])
    return table.mutate(**{name: text.hexdigest("md5")})


def order_bound(order: ibis.Column, share: Fraction) -> int | str:
    """The value of an order column below which a share of all keys, in [0, 1), is expected to lie."""
    position = int(share * 2**64)
    return position - 2**63 if order.type().is_integer() else f"{position:016x}"


def _permuted(table: ibis.Table, key: Sequence[str], secret: str, name: str) -> ibis.Table:
    # One `mutate` a round: each half is then computed once, where one nested expression would repeat it.
    high, low = (free_name(half, table.columns) for half in ("_high", "_low"))
    rows = table
    for position, column in enumerate(key):
        value = _as_integer(rows[column])
        halves = {high: (value >> 32) & _WORD, low: value & _WORD}
        rows = rows.mutate(**(halves if position == 0 else {half: rows[half] ^ halves[half] for half in halves}))
        for turn, multiplier in enumerate(_MULTIPLIERS):
            mixed = (((rows[low] ^ _round_key(secret, position, turn)) * multiplier) >> _SHIFT) & _WORD
            rows = rows.mutate(**{high: rows[low], low: rows[high] ^ mixed})
    return rows.mutate(**{name: (rows[high] - 2**31) * 2**32 + rows[low]}).drop(high, low)


def _round_key(secret: str, position: int, turn: int) -> int:
    digest = hashlib.sha256(f"sluice row order {secret} {position} {turn}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _is_countable(kind: dt.DataType) -> bool:
    if kind.is_unsigned_integer():
        return bool(kind.nbytes < 8)
    return bool(kind.is_integer() or kind.is_boolean() or kind.is_date() or kind.is_timestamp())


def _as_integer(column: ibis.Column) -> ibis.Column:
    kind = column.type()
    if kind.is_timestamp():
        return column.delta(ibis.timestamp("1970-01-01", timezone=kind.timezone), unit="microsecond")
    return column.epoch_days().cast("int64") if kind.is_date() else column.cast("int64")


def _as_text(column: ibis.Column) -> ibis.Column:
    return column if column.type().is_string() else _as_integer(column).cast("string")

"""New rows with the features that were made for them, row by row: none is lost, none is there twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import ibis
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from sluice.core.column_names import named
from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import arrow_batches
from sluice.features.building import computed

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class NewRows:
    """New rows, ready to be judged.

    Attributes:
        keys: The columns that identify them, in the order in which the rows were given.
        features: Of those rows that got some, in the same order.
        kept: Which of the rows these are, shape (rows,).
        notes: What a person should know of how they were made.
    """

    keys: pa.Table
    features: pd.DataFrame
    kept: npt.NDArray[np.bool_]
    notes: tuple[str, ...]


def gathered(
    asked: ibis.Table,
    place: str,
    key: Sequence[str],
    made: ibis.Table | None,
    features: Sequence[str],
    where: str,
    notes: Sequence[str],
) -> NewRows:
    """The features of the rows asked about, in their order.

    Args:
        asked: The rows as they were given.
        place: Its column with each row's place.
        key: What identifies a row of `made`.
        made: The table with the features; None where that is `asked` itself, row by row.
        features: Columns of it.
        where: What made it, for messages.
        notes: What a person should know so far.

    Raises:
        BadInput: A key is there twice, or cannot be told from the rows given; no row is left; or the engine cannot
            compute what the project's code asks for.
    """
    flat, shown = _flat(asked, place, key, made, features, where)
    return _checked(computed(flat, where).to_pyarrow(), shown, features, where, notes)


def gathered_batches(
    asked: ibis.Table, place: str, key: Sequence[str], made: ibis.Table | None, features: Sequence[str], where: str
) -> Iterator[NewRows]:
    """As `gathered`, batch by batch; a batch may have no row with features. See there for arguments and errors."""
    flat, shown = _flat(asked, place, key, made, features, where)
    rows, kept, last = 0, 0, None
    made_rows = computed(flat, where)  # kept by this name: the engine drops it when nobody holds it
    # Ordered once more: what the engine keeps of an ordered table has no promised order.
    batches = arrow_batches(made_rows.order_by("place"), BATCH_ROWS)
    slices = (batch.slice(start, BATCH_ROWS) for batch in batches for start in range(0, len(batch), BATCH_ROWS))
    for table in (pa.Table.from_batches([part]) for part in slices):
        if last is not None and table.column("place")[0] == last:
            raise BadInput(
                f"{where} gives several rows with the key {_shown(_keys(table, shown), 0)}; give each key once"
            )
        last = table.column("place")[len(table) - 1]
        found = _checked(table, shown, features, where, (), partial=True)
        rows, kept = rows + len(table), kept + int(found.kept.sum())
        yield found
    if rows and not kept:
        raise BadInput(f"{where} leaves out all {rows:,} rows; see by which columns it chooses them")


def _flat(
    asked: ibis.Table, place: str, key: Sequence[str], made: ibis.Table | None, features: Sequence[str], where: str
) -> tuple[ibis.Table, list[str]]:
    """One row for each that was asked about, or more where a key is there twice; and the columns of the key."""
    shown = [name for name in key if name in asked.columns]
    return answer_rows(asked, place, key, made, features, where, keep=lambda table: computed(table, where)), shown


def answer_rows(
    asked: ibis.Table,
    place: str,
    key: Sequence[str],
    made: ibis.Table | None,
    features: Sequence[str],
    where: str,
    keep: Callable[[ibis.Table], ibis.Table] = lambda table: table,
) -> ibis.Table:
    """The rows asked about beside what was made for each; arguments as for `gathered`.

    Args:
        asked: See `gathered`.
        place: As above.
        key: As above.
        made: As above.
        features: As above.
        where: As above.
        keep: Lets the engine compute a part once.

    Returns:
        Ordered by `place`: the key's columns that `asked` has as `k0`, `k1`, …, the features as `f0`, `f1`, …, and
        where `made` is another table `there`, which is null where it has no row of that key.

    Raises:
        BadInput: The key cannot be told from the rows given.
    """
    shown = [name for name in key if name in asked.columns]
    keys = named({f"k{i}": asked[name] for i, name in enumerate(shown)})
    if made is None:
        return asked.select(asked[place].name("place"), *keys, *made_features(asked, features)).order_by("place")
    if len(shown) < len(key):
        raise BadInput(
            f"{where} makes the key {', '.join(key)} itself, so new rows cannot be found again behind it; take columns "
            "of the rows' own table as rows.key, and train again"
        )
    first = asked.group_by(keys).agg(asked[place].min().name("place"))
    own = named({f"j{i}": made[name] for i, name in enumerate(key)})
    found = keep(made.select(*own, *made_features(made, features), ibis.literal(True).name("there")))
    matches = [first[f"k{i}"].identical_to(found[f"j{i}"]) for i in range(len(key))]
    return first.left_join(found, matches).order_by("place")


def made_features(table: ibis.Table, names: Sequence[str]) -> list[ibis.Value]:
    """The features as `prepare` keeps them: a truth value is 0 or 1."""
    columns = [table[name] for name in names]
    return named({f"f{i}": c.cast("int64") if c.type().is_boolean() else c for i, c in enumerate(columns)})


def _keys(table: pa.Table, key: Sequence[str]) -> pa.Table:
    return pa.table([table.column(f"k{i}") for i in range(len(key))], names=list(key))


def _checked(
    table: pa.Table,
    key: Sequence[str],
    features: Sequence[str],
    where: str,
    notes: Sequence[str],
    *,
    partial: bool = False,
) -> NewRows:
    keys = _keys(table, key)
    places = table.column("place").to_numpy()
    kept, told = np.ones(len(table), np.bool_), list(notes)
    if (again := np.flatnonzero(places[1:] == places[:-1])).size:
        raise BadInput(f"{where} gives several rows with the key {_shown(keys, int(again[0]))}; give each key once")
    if "there" in table.column_names:
        kept = table.column("there").is_valid().to_numpy()
        left_out = int((~kept).sum())
        if left_out == len(table) and not partial:
            raise BadInput(f"{where} leaves out all {len(table):,} rows; see by which columns it chooses them")
        if left_out:
            first = _shown(keys, int(np.argmin(kept)))
            told.append(f"{left_out:,} of {len(table):,} rows get no forecast: {where} leaves them out, first {first}")
    chosen = table.filter(pa.array(kept)).select([f"f{i}" for i in range(len(features))])
    return NewRows(keys, chosen.to_pandas().set_axis(list(features), axis=1), kept, tuple(told))


def _shown(keys: pa.Table, row: int) -> str:
    return ", ".join(f"{name}={value}" for name, value in keys.slice(row, 1).to_pylist()[0].items())

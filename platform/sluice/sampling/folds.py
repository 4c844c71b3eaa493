"""Folds: a small table judged whole. Each row is judged once, by models that were fitted without its fold.

For each fold the next one is what training stops and chooses by, and the others are what it learns from; the model that
is registered learns from all rows in the same way, with the last fold to stop and choose by. So what is judged is the
recipe, fold by fold, and the registered model is one more result of that recipe.

The rows' own scatter is not all that a number from folds may be off by: the models of different folds learned from
mostly the same rows, so their errors move together. With n rows to learn from and m to judge by, the variance of a mean
over K folds is about (1/K + m/n) times that of one fold instead of 1/K times (C. Nadeau and Y. Bengio, *Inference for
the generalization error*, Machine Learning 52, 2003). So standard errors of K folds are √(1 + K/(K-1)) times those of
the rows alone: 1.5 times with five folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.engine.row_order import with_row_order
from sluice.sampling.group_parts import by_group
from sluice.sampling.partition import PURPOSE, with_tiles
from sluice.sampling.splitters import Divided, SplitPlan

KEY = "folds"
"""Where a split dataset's design speaks of its folds."""


@dataclass(frozen=True)
class Folds:
    """The folds of a split dataset, whose table `test` then holds all rows.

    Attributes:
        number: How many there are; they are numbered from 1.
        column: The column with each row's fold, a whole number.
    """

    number: int
    column: str

    @property
    def widening(self) -> float:
        """By how much standard errors exceed those of the rows alone, see the module."""
        return sqrt(1 + self.number / (self.number - 1))

    def stopping(self, fold: int) -> int:
        """The fold that training stops and chooses by, while a fold is held back to be judged."""
        return fold % self.number + 1

    def design(self) -> dict[str, Any]:
        """As a dataset's design keeps it."""
        return {KEY: {"number": self.number, "column": self.column}}


def folds_of(bundle: Bundle) -> Folds | None:
    """The folds of a split dataset; None where it has none."""
    body = bundle.manifest.design.get(KEY) if bundle.manifest.design else None
    return Folds(int(body["number"]), str(body["column"])) if body else None


def names_of(number: int) -> tuple[str, ...]:
    """What folds are called in a splitter's column."""
    return tuple(str(fold) for fold in range(1, number + 1))


def split_in_folds(rows: ibis.Table, plan: SplitPlan) -> Divided:
    """Divide the rows into folds: groups whole where rows have one, else label by label.

    Without groups, rows go round the folds one by one, in a seeded random order within each class (of a number: within
    each tenth of its order). So folds differ by one row at most, and by one row of a class.

    Raises:
        BadInput: The rows have a time, there are fewer groups than folds, or a group is missing.
    """
    task, number = plan.task, plan.folds
    if task.time:
        raise BadInput(
            f"parameter strategy='folds': rows have a time, {task.time!r}, and folds would learn from what comes after "
            "the rows that they judge; use strategy 'time'"
        )
    design: dict[str, Any] = {"seed": plan.seed}
    if task.cluster:
        shares = [Fraction(1, number)] * number
        assigned = by_group(
            rows, task.cluster, task.label, shares, plan.seed, plan.part, names_of(number), number=task.regression
        )
        return Divided(assigned, design | {"group": task.cluster}, folds=number)
    order, rank, tile = (free_name(wanted, [*rows.columns, plan.part]) for wanted in ("_order", "_rank", "_tile"))
    ordered = with_row_order(rows, task.key, plan.seed, order, PURPOSE)
    stratum = task.label
    if task.regression:
        ordered, stratum = with_tiles(ordered, task.label, [order, *task.key], tile), tile
    places = ordered.mutate(**{rank: ibis.row_number().over(order_by=[stratum, order, *task.key])})
    fold = (places[rank] % number + 1).cast("string")
    dropped = [order, rank, *([tile] if task.regression else [])]
    return Divided(places.mutate(**{plan.part: fold}).drop(*dropped), design | {"strata": [task.label]}, folds=number)


def tables_of(assigned: ibis.Table, part: str, number: int, key: Sequence[str]) -> tuple[Folds, dict[str, ibis.Table]]:
    """Rows with their folds as a dataset's tables.

    Args:
        assigned: Rows, with the name of each one's fold.
        part: The column that holds it.
        number: How many folds there are.
        key: What the rows are ordered by.

    Returns:
        How folds are marked, and the tables: `train` and `validation` for the model that is registered, and in `test`
        all rows.
    """
    column = free_name("fold", [name for name in assigned.columns if name != part])
    rows = assigned.mutate(**{column: assigned[part].cast("int64")}).drop(part)
    last = rows[column] == number
    tables = {"train": rows.filter(~last), "validation": rows.filter(last), "test": rows}
    return Folds(number, column), {name: table.order_by(*key) for name, table in tables.items()}

"""Ways to divide rows into those to train on, to validate on and to test on.

A splitter is a function that adds a column to the rows: the name of each row's part, or the reason why the row is in
none. A project's own (`mine.py:NAME`) and an installed package's (entry points `sluice.splitters`) are taken as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from sluice.core.extensions import Registry
from sluice.problems.task import Task

if TYPE_CHECKING:  # the command looks at the names, and needs no engine
    import ibis

PARTS = ("train", "validation", "test")
FOLDS = "folds"
"""The strategy that divides rows into folds, see `sluice.sampling.folds`."""


@dataclass(frozen=True)
class SplitPlan:
    """How rows are to be divided.

    Attributes:
        task: What is to be learned of them: names label, key, time and group.
        shares: Of the parts, adding up to 1.
        seed: Any integer: decides whatever is random.
        part: The name of the column to add.
        gap: Seconds before a later part begins in which rows are left out; None for as long as the label takes to be
            known.
        folds: Into how many folds rows are divided, where they are.
    """

    task: Task
    shares: Sequence[Fraction]
    seed: int
    part: str
    gap: float | None = None
    folds: int = 5


@dataclass(frozen=True)
class Divided:
    """Rows with the part of each.

    Attributes:
        rows: The rows, with the plan's column: a part's name, or why a row is in none.
        design: How it was decided, for the dataset's design.
        at_random: Whether rows that are alike may lie in several parts, so that copies and groups are looked for.
        folds: How many folds there are, where the plan's column holds not parts but the numbers of folds, "1", "2", …;
            each row is then judged by models that were fitted without its fold.
    """

    rows: "ibis.Table"
    design: Mapping[str, Any] = field(default_factory=dict)
    at_random: bool = True
    folds: int = 0


class Splitter(Protocol):
    """Divides rows. It may also give the table alone, with the plan's column."""

    def __call__(self, rows: "ibis.Table", plan: SplitPlan) -> "Divided | ibis.Table":
        """The rows, each with its part.

        Args:
            rows: All rows, with label, key and features.
            plan: How they are to be divided.
        """


SPLITTERS: Registry[Splitter] = Registry(
    "splitters",
    Splitter,
    {
        "time": "sluice.sampling.division:split_by_time",
        "random": "sluice.sampling.division:split_at_random",
        "stratified": "sluice.sampling.division:split_by_label",
        "group": "sluice.sampling.division:split_by_group",
        FOLDS: "sluice.sampling.folds:split_in_folds",
    },
    title="split strategy",
)

"""What training shares with the test rows of a split at random, said before anyone believes the numbers."""

from dataclasses import dataclass
from typing import Any

import ibis

from sluice.core.errors import BadInput
from sluice.problems.task import Task
from sluice.sampling.copies import Copies, find_copies
from sluice.sampling.likely_groups import LikelyGroup, find_groups

MOST_COPIES = 0.5  # of test rows; with more, no number of the test part says anything of new rows


@dataclass(frozen=True)
class Overlap:
    """Copies, and groups whose rows lie in several parts."""

    copies: Copies
    groups: tuple[LikelyGroup, ...]

    @property
    def warnings(self) -> list[str]:
        """One sentence each; none where nothing was found."""
        found = [_words(group) for group in self.groups if group.seen > 0]
        return [*([_of_copies(self.copies)] if self.copies.copied else []), *found]

    def notes(self) -> dict[str, Any]:
        """As a manifest's notes keep it, for evaluation and report."""
        return {
            "overlap": {
                "copies": self.copies.body(),
                "groups": [group.body() for group in self.groups],
                "warnings": self.warnings,
            }
        }


def find_overlap(assigned: ibis.Table, task: Task, part: str) -> Overlap:
    """Look for what makes test rows known to a model that learned from the training rows.

    Args:
        assigned: Rows on DuckDB, held by it.
        task: Their task.
        part: The column with each row's part.

    Raises:
        BadInput: More than half of the test rows are copies of training rows.
    """
    copies = find_copies(assigned, task, part)
    if copies.copied and copies.exact > MOST_COPIES:
        raise BadInput(
            f"{copies.exact:.0%} of the test rows would be copies of training rows (all features are equal), so the "
            "test could tell nothing of new rows; remove repeated rows from the table before the split"
        )
    return Overlap(copies, tuple(find_groups(assigned, task, part)))


def _of_copies(copies: Copies) -> str:
    exact = copies.exact >= copies.near / 2
    how = f"{copies.exact:.1%} of the test rows equal" if exact else f"{copies.near:.1%} of the test rows nearly equal"
    return f"{how} a training row in all features, like copies; a model remembers these: remove repeated rows first"


def _words(group: LikelyGroup) -> str:
    seen = f"{group.seen:.1%} of the test rows have a {group.column!r} that training has seen"
    told = f"its {group.groups:,} values account for {max(group.correlation, 0):.0%} of the label's variance"
    if group.reason == "day":
        return f"{seen}, and rows of one day are alike; for a forecast of days to come use strategy 'time'"
    if group.reason == "declared":
        return f"{seen}, though the task declares its rows dependent ({told}); the test says little of new values"
    return f"{seen}, and {told}, like a person or a device; the test says little of new values of {group.column!r}"

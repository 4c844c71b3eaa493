"""What a canary is told of losses: of rows whose labels have come, or as they are estimated while none have.

Whoever has such rows gives them as a `LossSource`. Where both versions judged a row, for a shadow runs, only such rows
count, each compared with itself; else each version's own rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sluice.serving.canary_counts import GROUPS, Cells, group_of


@dataclass(frozen=True)
class LossRows:
    """Losses of single rows, all of the same length.

    Attributes:
        requests: The request of each.
        rows: Its place in the request.
        digests: Who said it: the digest of the version.
        subjects: What the caller named as the subject, or empty.
        moments: When it was answered, in seconds since 1970, shape (rows,).
        losses: The log loss, or of numbers the squared error, true or expected; shape (rows,).
    """

    requests: Sequence[str]
    rows: Sequence[int]
    digests: Sequence[str]
    subjects: Sequence[str]
    moments: np.ndarray
    losses: np.ndarray


class LossSource(Protocol):
    """Who knows losses."""

    def since(self, moment: float) -> LossRows:
        """Those of rows that were answered since then and whose losses are known by now.

        Raises:
            EnvironmentFault: They cannot be read now.
        """
        ...


def loss_cells(found: LossRows, champion: str, challenger: str) -> Cells:
    """The losses of two versions, by block of time and by group of subjects.

    Args:
        found: Of any versions.
        champion: The digest of one.
        challenger: The digest of the other.
    """
    arms = {champion: 0, challenger: 1}
    places: dict[tuple[str, int], list[int]] = {}
    for place, digest in enumerate(found.digests):
        if digest in arms and np.isfinite(found.losses[place]):
            places.setdefault((found.requests[place], found.rows[place]), []).append(place)
    both = [pair for pair in places.values() if len({found.digests[place] for place in pair}) == 2]
    cells = Cells(width=2, groups=np.zeros((GROUPS, 4)))
    for row in both or list(places.values()):
        for place in {arms[found.digests[each]]: each for each in row}.values():  # a corrected one counts once
            name = found.subjects[place] or found.requests[place]
            numbers = np.array([1.0, float(found.losses[place])])
            group = group_of(challenger.encode()[:64], name)
            cells.add(float(found.moments[place]), group, arms[found.digests[place]], numbers)
    return cells

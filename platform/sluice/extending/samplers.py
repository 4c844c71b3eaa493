"""Samplers that a project or an installed package brings.

A sampler says of each row with which probability it is to be drawn; Sluice draws. So the weights of the rows drawn, one
over that probability, are right whatever the sampler does, and the same rows are drawn on every machine. In `mine.py`:

    import ibis

    def dear_ones(rows, draw):                               # Ibis tables
        share = ibis.ifelse(rows.price > 200_000, 1.0, 0.25)
        return rows.mutate(share.name(draw.probability))

and in the project: `sample: {by: mine.py:dear_ones}`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sluice.core.extensions import Registry

if TYPE_CHECKING:  # the command looks at the names, and needs no engine
    import ibis


@dataclass(frozen=True)
class Draw:
    """What is to be drawn.

    Attributes:
        probability: The name of the column to add: each row's inclusion probability, above 0 and at most 1.
        rows: How many rows there are.
        wanted: How many the project asks for, by `fraction` or `rows`; as many are drawn as the probabilities add up
            to.
        seed: The sample's, for a sampler that needs random numbers of its own.
        key: The columns that identify a row.
        label: The column of the label.
    """

    probability: str
    rows: int
    wanted: int
    seed: int
    key: tuple[str, ...]
    label: str


class Sampler(Protocol):
    """Says with which probability each row is to be drawn."""

    def __call__(self, rows: "ibis.Table", draw: Draw) -> "ibis.Table":
        """The rows, or their key alone, with the column `draw.probability`.

        Args:
            rows: All rows, with key, label and features.
            draw: What is to be drawn.
        """
        ...


SAMPLERS: Registry[Sampler] = Registry("samplers", Sampler, {}, title="sampler")
"""Those that projects and installed packages bring; Sluice's own sample is simple or stratified."""

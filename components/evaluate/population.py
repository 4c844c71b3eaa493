"""Which rows a number speaks of: the sample that was judged, or all rows that the sample stands for."""

from dataclasses import dataclass

from components.common.bundles import Bundle
from components.common.errors import BadInput
from components.common.provenance import ancestry
from components.common.steps import default_store
from components.common.tasks import Task

_STEP = "sample"


@dataclass(frozen=True)
class Population:
    """What the judged rows were drawn from.

    Attributes:
        rows: How many rows it has, before it was split.
        sampled: How many were drawn.
        dataset: Its id.
        weighted: Whether each row counts for the rows that it stands for, because they were drawn with unequal chances.
    """

    rows: int
    sampled: int
    dataset: str
    weighted: bool

    def words(self) -> str:
        """In a sentence."""
        named = f"the {self.rows:,} rows of dataset {self.dataset[:12]}"
        if self.sampled == self.rows:
            return f"The numbers speak of {named}, none of them left out."
        chance = "each weighted by one over its chance" if self.weighted else "all with the same chance"
        return f"The numbers speak of {named}; {self.sampled:,} of them were drawn, {chance}."


def population_of(splits: Bundle, task: Task) -> Population:
    """The population behind a split dataset: what the first sample in its lineage was drawn from, or its own rows.

    Raises:
        EnvironmentFault: The store failed.
    """
    try:
        lineage = ancestry(default_store(), splits.id)
    except BadInput:  # an ancestor was removed from the store, which takes nothing from the rows themselves
        lineage = [splits]
    samples = [bundle for bundle in lineage if bundle.manifest.producer.step == _STEP]
    if not samples:
        return Population(splits.rows, splits.rows, splits.id, task.weight is not None)
    first = samples[0]
    rows = int(first.manifest.design.get("rows", first.rows))
    source = first.manifest.parents[0] if first.manifest.parents else first.id
    return Population(rows, splits.rows, source, task.weight is not None)

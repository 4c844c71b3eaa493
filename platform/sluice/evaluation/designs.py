"""How the judged rows came about: what each stands for, and which of them are not independent of each other.

Deliveries of one day meet the same storm, rows of one patient the same illness. An interval that draws rows one by one
takes them for independent and is too narrow; so clusters are drawn, and where clusters follow each other in time,
blocks of them (H. R. Kuensch, *The jackknife and the bootstrap for general stationary observations*, Annals of
Statistics 17, 1989), as long as their dependence lasts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sluice.evaluation.blocks import LEAST_BLOCKS, block_length
from sluice.problems.row_groups import cluster_name, effective_rows, row_clusters, row_weights
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Floats, Integers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Design:
    """The rows' weights and clusters.

    Attributes:
        weights: What each row counts for, shape (rows,).
        clusters: Each row's cluster, from 0 without a gap, in the order of time where there is time; shape (rows,).
        ordered: Whether neighbouring clusters may depend on each other.
        name: What a cluster is: `day`, `row`, or a column's name.
        block: How many neighbouring clusters are drawn together.
        widening: By how much standard errors exceed those that the rows alone give, see `sluice.sampling.folds`.
    """

    weights: Floats
    clusters: Integers
    ordered: bool = False
    name: str = "row"
    block: int = 1
    widening: float = 1.0

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0

    @property
    def units(self) -> float:
        """How many independent draws the clusters make: blocks of them."""
        return self.count / self.block

    @property
    def weighted(self) -> bool:
        """Whether rows count differently."""
        return bool(np.ptp(self.weights) > 0) if len(self.weights) else False

    @property
    def effective_rows(self) -> float:
        """Kish's effective number of rows, for their weights alone."""
        return effective_rows(self.weights)

    def subset(self, inside: NDArray[np.bool_]) -> "Design":
        """The design of some of the rows; clusters without any of them are gone.

        Args:
            inside: Shape (rows,).
        """
        codes = np.unique(self.clusters[inside], return_inverse=True)[1]
        count = int(codes.max()) + 1 if len(codes) else 0
        block = max(1, min(self.block, count // LEAST_BLOCKS))
        return replace(self, weights=self.weights[inside], clusters=np.asarray(codes, np.int64), block=block)

    def with_block(self, values: Iterable[Floats]) -> "Design":
        """The same with the longest block that the clusters' means of these per-row values ask for; see `blocks`."""
        if not self.ordered:
            return self
        lengths = [block_length(self.means(value)) for value in values]
        return replace(self, block=max([1, *lengths]))

    def means(self, values: Floats) -> Floats:
        """The weighted mean of a per-row value in each cluster, shape (clusters,)."""
        totals = np.bincount(self.clusters, self.weights, self.count)
        return np.asarray(np.bincount(self.clusters, self.weights * values, self.count) / totals)


def independent(rows: int) -> Design:
    """Rows that count alike and know nothing of each other."""
    return Design(np.ones(rows), np.arange(rows))


def design_of(frame: "pd.DataFrame", task: Task) -> Design:
    """The design of a dataset's rows.

    Raises:
        BadInput: A column that the task names for it is missing.
    """
    dated = task.cluster is None and task.time is not None
    return Design(row_weights(frame, task), row_clusters(frame, task), dated, cluster_name(task))

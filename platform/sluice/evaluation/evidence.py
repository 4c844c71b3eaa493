"""How much the test rows tell: as many rows as would tell the same if they were independent and weighed alike."""

from dataclasses import dataclass

import numpy as np

from sluice.evaluation.blocks import LEAST_BLOCKS
from sluice.evaluation.bootstrap import Resamples
from sluice.evaluation.designs import Design
from sluice.problems.weighted_metrics import Judged

LEAST_CLASS_ROWS = 10
"""With fewer rows of a class, no interval holds what it says."""


@dataclass(frozen=True)
class Evidence:
    """What rows there are.

    Attributes:
        rows: How many.
        effective_rows: How many independent rows would give the mean loss the same standard error.
        clusters: How many clusters.
        units: How many blocks of clusters.
        cluster: What a cluster is.
        rarest: Rows of the rarest class; all rows where the label is a number.
    """

    rows: int
    effective_rows: float
    clusters: int
    units: float
    cluster: str
    rarest: int

    def words(self) -> str:
        """In words."""
        told = f"{self.rows:,} rows tell as much as {self.effective_rows:,.0f} independent ones"
        return told if self.cluster == "row" else f"{told} (they are of {self.clusters:,} {_many(self.cluster)})"

    def problem(self, least: int) -> str:
        """Why nothing can be decided by them, or empty.

        Args:
            least: How many effective rows it takes.
        """
        if self.effective_rows < least:
            return f"worth {self.effective_rows:,.0f} independent rows, where {least:,} are wanted (min_effective_rows)"
        if self.units < LEAST_BLOCKS:
            return f"{self.units:.0f} independent blocks of {_many(self.cluster)}, where {LEAST_BLOCKS} are wanted"
        if self.rarest < LEAST_CLASS_ROWS:
            return f"{self.rarest} rows of the rarest class, where {LEAST_CLASS_ROWS} are wanted"
        return ""


def evidence_of(model: Judged, design: Design, measured: Resamples, name: str, loss: str = "log_loss") -> Evidence:
    """How much rows tell of a model.

    Args:
        model: What it says of the rows.
        design: Their weights and clusters.
        measured: Its metrics on them.
        name: Its name among them.
        loss: The metric that is the mean of the rows' losses.
    """
    error = measured.standard_error(name, loss)
    mean = np.average(model.losses, weights=design.weights)
    variance = float(np.average((model.losses - mean) ** 2, weights=design.weights))
    effective = min(variance / error**2, len(model.labels)) if error > 0 else design.effective_rows
    if design.units < 2:
        effective = 1.0  # one cluster tells of nothing but itself
    rarest = int(np.bincount(model.labels, minlength=model.classes).min()) if model.classes else len(model.labels)
    return Evidence(len(model.labels), effective, design.count, design.units, design.name, rarest)


def _many(cluster: str) -> str:
    return "days" if cluster == "day" else "rows" if cluster == "row" else f"groups of {cluster}"

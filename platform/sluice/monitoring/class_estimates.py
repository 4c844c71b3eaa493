"""The metrics of a classifier on rows without labels, each with the interval in which the truth will lie.

The interval is for what the labels of these very rows will show when they come. Two things are unknown: the curve that
turns what the model says into probabilities, which bootstrap samples of the reference vary, and the labels, which are
drawn from those probabilities. The density ratio is a third: see DOUBT.
"""

from dataclasses import dataclass

import numpy as np

from sluice.monitoring.expected_metrics import ExpectedMetrics
from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows
from sluice.monitoring.recalibration import Recalibration, recalibration

DRAWS = 100
_MOST_ROWS = 20_000  # whose labels are drawn; the noise of more rows follows from that of these
_Z = 1.959964
_GROUPS = 30
DOUBT = 0.35
"""The standard error of the density ratio, as a share of what it changed: no formula is known, and by simulation
(docs/monitoring.md) trees correct too little by about that much. It widens the interval and not a test's noise: where
nothing changed the ratio changes nothing, and where something did it corrects too little."""


@dataclass(frozen=True)
class Estimated:
    """A metric.

    Attributes:
        value: The estimate.
        low: The 95 % interval's lower end.
        high: Its upper end.
        error: The standard error: of curve and labels together.
        lasting: The part of the error that the reference makes, the same in every window that is held to it.
        noise: The standard error that the draw of the present rows makes, anew in every window.
    """

    value: float
    low: float
    high: float
    error: float
    lasting: float = 0.0
    noise: float = 0.0


def estimate_classes(
    reference: JudgedRows, current: JudgedRows, weights: Floats, clusters: Integers | None = None, seed: int = 7
) -> dict[str, Estimated]:
    """Estimate.

    Args:
        reference: Rows that all have labels, and that the model did not learn from.
        current: Rows whose labels are not looked at.
        weights: How much each reference row counts: ones (CBPE), or a density ratio (PAPE). Shape (reference rows,).
        clusters: Reference rows of one number are drawn together, shape (reference rows,); by default each by itself.
        seed: Decides the draws.
    """
    generator = np.random.default_rng(seed)
    curve = _learned(reference, weights)
    whole = ExpectedMetrics(current).under(curve(current.values))
    part = current.drawn(_MOST_ROWS, seed)
    metrics = ExpectedMetrics(part)
    middle = metrics.under(curve(part.values))
    names = list(whole)
    curves, labels = np.empty((DRAWS, len(names))), np.empty((DRAWS, len(names)))
    for draw in range(DRAWS):
        varied = _learned(reference, weights * _counts(len(reference), clusters, generator))
        probabilities = varied(part.values)
        expected, shown = metrics.under(probabilities), metrics.under(_drawn_labels(probabilities, generator))
        curves[draw] = [expected[name] - middle[name] for name in names]
        labels[draw] = [shown[name] - expected[name] for name in names]
    labels *= np.sqrt(len(part) / len(current))
    noise = _noise(part, curve, names) * np.sqrt(len(part) / len(current))
    plain = ExpectedMetrics(current).under(_learned(reference, np.ones(len(reference)))(current.values))
    doubts = [DOUBT * abs(whole[name] - plain[name]) for name in names]
    return {
        name: _estimated(whole[name], curves[:, place], labels[:, place], doubts[place], float(noise[place]), name)
        for place, name in enumerate(names)
    }


def _noise(rows: JudgedRows, curve: Recalibration, names: list[str]) -> Floats:
    """The standard error from one draw of rows to another: from groups of them, each a smaller draw."""
    places = np.random.default_rng(len(rows)).permutation(len(rows))
    groups = [rows.subset(each) for each in np.array_split(places, _GROUPS)]
    found = [ExpectedMetrics(group).under(curve(group.values)) for group in groups if len(group) > 1]
    spread = np.nanstd([[each[name] for name in names] for each in found], axis=0, ddof=1)
    return np.asarray(spread / np.sqrt(len(found)), np.float64)


def _learned(reference: JudgedRows, weights: Floats) -> Recalibration:
    assert reference.labels is not None, "reference rows have labels"  # noqa: S101 - the caller chose the rows
    return recalibration(reference.values, reference.labels, weights, binary=reference.binary)


def _counts(rows: int, clusters: Integers | None, generator: np.random.Generator) -> Floats:
    """How often each row is drawn, with its cluster."""
    units = np.arange(rows) if clusters is None else clusters
    count = int(units.max()) + 1
    drawn = np.bincount(generator.integers(0, count, count), minlength=count)
    return np.asarray(drawn[units], np.float64)


def _drawn_labels(probabilities: Floats, generator: np.random.Generator) -> Floats:
    """Labels as probabilities of 0 and 1, drawn from probabilities."""
    reached = generator.random(len(probabilities))[:, None] < np.cumsum(probabilities, axis=1)
    reached[:, -1] = True
    return np.asarray(np.diff(reached, axis=1, prepend=False) & reached, np.float64)


def _estimated(value: float, curves: Floats, labels: Floats, doubt: float, noise: float, name: str) -> Estimated:
    lasting = float(np.nanstd(curves, ddof=1))
    error = float(np.sqrt(lasting**2 + np.nanvar(labels, ddof=1) + doubt**2))
    low, high = value - _Z * error, value + _Z * error
    top = float("inf") if name in ("log_loss", "brier") else 1.0
    return Estimated(value, max(0.0, low), min(top, high), error, lasting, noise)

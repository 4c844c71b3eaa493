"""The metrics of a classifier on rows without labels, each with the interval in which the truth will lie.

The interval is for what the labels of these very rows will show when they come. Unknown are: the labels, which are
drawn from their probabilities; the model of these probabilities (`targeting`), by the delta method from each reference
row's influence on it; the density ratio, see DOUBT; and where rows are harder than the reference's, see UNFOLLOWED.
"""

from dataclasses import dataclass

import numpy as np

from sluice.monitoring.expected_metrics import ExpectedMetrics, certain
from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows
from sluice.monitoring.second_opinion import SecondOpinion, second_opinion
from sluice.monitoring.targeting import Targeted, inputs_of, probabilities_of, targeted

DRAWS = 100
_MOST_ROWS = 20_000  # whose labels are drawn; the noise of more rows follows from that of these
_Z = 1.959964
_GROUPS = 30
_STEP = 1e-4
DOUBT = 0.35
"""The standard error of the density ratio, as a share of what it changed: no formula is known, and by simulation
(docs/monitoring.md) trees correct too little by about that much. It widens the interval and not a test's noise: where
nothing changed the ratio changes nothing, and where something did it corrects too little."""
UNFOLLOWED = 0.2
"""The standard error that a choice of hard rows makes (`harder_rows`), as a share of how far the metric moved: an
estimate then follows the loss, but not all the way ("hard rows" in docs/monitoring.md, by whose simulation this was
chosen). It too widens the interval alone, and that of windows alone in which the assumption fails."""


@dataclass(frozen=True)
class Estimated:
    """A metric.

    Attributes:
        value: The estimate.
        low: The 95 % interval's lower end.
        high: Its upper end.
        error: The standard error: of curve and labels together.
        lasting: The standard error that the reference makes in the distance of `value` from its own metric, the same in
            every window that is held to it: what both have in common is not in it.
        noise: The standard error that the draw of the present rows makes, anew in every window.
    """

    value: float
    low: float
    high: float
    error: float
    lasting: float = 0.0
    noise: float = 0.0


def estimate_classes(
    reference: JudgedRows,
    current: JudgedRows,
    weights: Floats,
    clusters: Integers | None = None,
    seed: int = 7,
    opinion: SecondOpinion | None = None,
    *,
    hard: bool = False,
) -> dict[str, Estimated]:
    """Estimate.

    Args:
        reference: Rows that all have labels, and that the model did not learn from.
        current: Rows whose labels are not looked at.
        weights: How much each reference row counts: a density ratio, or ones. Shape (reference rows,).
        clusters: Reference rows of one number depend on each other, shape (reference rows,); by default none do.
        seed: Decides the draws.
        opinion: Of `second_opinion(reference)`, where it is at hand already.
        hard: Whether present rows are harder than their features explain.
    """
    generator = np.random.default_rng(seed)
    opinion = opinion or second_opinion(reference, seed)
    assert reference.labels is not None, "reference rows have labels"  # noqa: S101 - the caller chose the rows
    labels, inputs = reference.labels.astype(np.int64), inputs_of(reference, opinion.reference)
    plain = targeted(inputs, labels, np.ones(len(reference)))
    fitted = targeted(inputs, labels, weights, plain.coefficients)
    part = current.drawn(_MOST_ROWS, seed)
    metrics, asked = ExpectedMetrics(part), inputs_of(part, opinion.of(part, seed))
    usual, usually = _under(metrics, asked, plain, clusters)
    adapted, moved = _under(metrics, asked, fitted, clusters)
    probabilities = probabilities_of(asked, fitted.coefficients)
    names = list(metrics.under(probabilities))
    share = _kept(adapted - usual, _size(moved - usually))
    values = usual + share * (adapted - usual)
    moved = usually + share * (moved - usually)  # what moves the values, of which a share is adapted
    shown = [list(metrics.under(_drawn_labels(probabilities, generator)).values()) for _ in range(DRAWS)]
    scale = float(np.sqrt(len(part) / len(current)))
    drawn = np.nanstd(shown, axis=0, ddof=1) * scale
    before, lasting = _held_to(reference, inputs, plain, moved, clusters)
    doubts = np.hypot(DOUBT * abs(values - usual), (UNFOLLOWED if hard else 0.0) * abs(values - before))
    error = np.sqrt(_size(moved) ** 2 + drawn**2 + doubts**2)
    noise = _noise(part, probabilities) * scale
    return {
        name: _estimated(name, *map(float, found))
        for name, *found in zip(names, values, error, lasting, noise, strict=True)
    }


def _held_to(
    reference: JudgedRows, inputs: Floats, plain: Targeted, moved: Floats, clusters: Integers | None
) -> tuple[Floats, Floats]:
    """The reference's metrics, and the standard errors of an estimate's distance from them; shapes (metrics,).

    The labels of the reference move both: the plain fit has their weighted sums, so what they move in the reference's
    metrics is what they move in those under the fit. The draw of the reference's rows moves its own metrics alone.
    """
    own = _under(ExpectedMetrics(reference), inputs, plain, clusters)[1]
    drawn = _noise(reference, probabilities_of(inputs, plain.coefficients))
    assert reference.labels is not None  # noqa: S101 - for the type checker
    true = ExpectedMetrics(reference).under(certain(reference.labels, reference.values.shape[1]))
    return np.array(list(true.values())), np.hypot(_size(moved - own), drawn)


def _under(
    metrics: ExpectedMetrics, asked: Floats, fitted: Targeted, clusters: Integers | None
) -> tuple[Floats, Floats]:
    """The metrics, shape (metrics,), and how much each reference row moves them, shape (rows or clusters, metrics).

    By the delta method: the rows move coefficients, and these the metrics.
    """
    values = list(metrics.under(probabilities_of(asked, fitted.coefficients)).values())
    slopes = []
    for place in range(asked.shape[2]):
        step = np.zeros(asked.shape[2])
        step[place] = _STEP
        ends = [metrics.under(probabilities_of(asked, fitted.coefficients + side * step)) for side in (1, -1)]
        slopes.append([(ends[0][name] - ends[1][name]) / (2 * _STEP) for name in ends[0]])
    moved = fitted.influence @ np.array(slopes)
    if clusters is not None:
        together = np.zeros((int(clusters.max()) + 1, moved.shape[1]))
        np.add.at(together, clusters, moved)
        moved = together
    return np.array(values), moved


def _size(moved: Floats) -> Floats:
    """The standard errors of sums over rows that are drawn independently."""
    return np.asarray(np.sqrt((moved**2).sum(axis=0)), np.float64)


def _kept(change: Floats, error: Floats) -> Floats:
    """How much of what the ratio changes is kept: nothing where it is no larger than its own standard error.

    The positive part of James and Stein's factor, of one number. Weights make an estimate less certain, and where they
    change nothing that would be all they do.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.clip(1 - (error / change) ** 2, 0.0, 1.0))


def _noise(rows: JudgedRows, probabilities: Floats) -> Floats:
    """The standard errors from one draw of rows to another: from groups of them, each a smaller draw."""
    places = np.random.default_rng(len(rows)).permutation(len(rows))
    groups = [each for each in np.array_split(places, _GROUPS) if len(each) > 1]
    found = [list(ExpectedMetrics(rows.subset(each)).under(probabilities[each]).values()) for each in groups]
    return np.asarray(np.nanstd(found, axis=0, ddof=1) / np.sqrt(len(found)), np.float64)


def _drawn_labels(probabilities: Floats, generator: np.random.Generator) -> Floats:
    """Labels as probabilities of 0 and 1, drawn from probabilities."""
    reached = generator.random(len(probabilities))[:, None] < np.cumsum(probabilities, axis=1)
    reached[:, -1] = True
    return np.asarray(np.diff(reached, axis=1, prepend=False) & reached, np.float64)


def _estimated(name: str, value: float, error: float, lasting: float, noise: float) -> Estimated:
    top = float("inf") if name in ("log_loss", "brier") else 1.0
    return Estimated(value, max(0.0, value - _Z * error), min(top, value + _Z * error), error, lasting, noise)

"""The metrics of one model under many weightings of the rows at once.

A bootstrap resample is a weighting: how often each row was drawn. What depends on scores only through their order is
sorted once; what is a mean over rows is one matrix product. scikit-learn's metrics are the reference in the tests.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sluice.problems.metrics import Metric

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Labels = NDArray[Any]
"""Class codes or numbers, shape (rows,)."""
Weights = NDArray[np.float32] | NDArray[np.float64]
"""Single precision where rows weigh alike: counts are whole numbers, which it keeps exactly up to 16 million."""

CALIBRATION_BINS = 10
_EPSILON = float(np.finfo(np.float64).eps)


class Judged(Protocol):
    """What one model said of labelled rows, whatever the label is: `Predictions`, or `NumberPredictions` for numbers.

    Attributes:
        labels: Class codes or numbers, shape (rows,).
        losses: Each row's loss, shape (rows,): what tells how much rows depend on each other.
        classes: How many classes there are; 0 for numbers.
    """

    @property
    def labels(self) -> NDArray[Any]: ...  # noqa: D102 - see the class
    @property
    def losses(self) -> Floats: ...  # noqa: D102 - see the class
    @property
    def classes(self) -> int: ...  # noqa: D102 - see the class

    def metrics(self, weights: Weights) -> dict[str, Floats]:
        """Every metric under every weighting, by name, shape (weightings,); weights: shape (rows, weightings)."""
        ...

    def subset(self, inside: NDArray[np.bool_]) -> Self:
        """The same of some of the rows; inside: shape (rows,)."""
        ...


@dataclass(frozen=True)
class Predictions:
    """What one model said of labelled rows.

    Attributes:
        labels: The class codes, shape (rows,).
        probabilities: Shape (rows, classes); each row sums to 1.
        threshold: With two classes, the score from which a row is called positive.
        own: A project's own metrics.
        bars: With two classes, each row's own threshold where several models judged the rows, shape (rows,); None
            where `threshold` holds for all.
    """

    labels: Integers
    probabilities: Floats
    threshold: float = 0.5
    own: tuple["Metric", ...] = ()
    bars: Floats | None = None

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.probabilities.shape[1])

    @property
    def binary(self) -> bool:
        """Whether there are two; the second is then the positive one."""
        return self.classes == 2

    @cached_property
    def predicted(self) -> Integers:
        """The class called, shape (rows,): by the threshold, or the most probable of several."""
        if self.binary:
            return np.asarray(self.confidence >= (self.threshold if self.bars is None else self.bars), np.int64)
        return self.most_probable

    @cached_property
    def most_probable(self) -> Integers:
        """The most probable class, the first of equals, shape (rows,): what accuracy judges."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def log_losses(self) -> Floats:
        """Minus the logarithm of the probability given to the true class, in nats, shape (rows,)."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(np.clip(true, _EPSILON, 1.0)))

    @property
    def losses(self) -> Floats:
        """The log losses: what tells how much rows depend on each other."""
        return self.log_losses

    def subset(self, inside: NDArray[np.bool_]) -> "Predictions":
        """The same of some of the rows; inside: shape (rows,)."""
        bars = None if self.bars is None else self.bars[inside]
        return replace(self, labels=self.labels[inside], probabilities=self.probabilities[inside], bars=bars)

    @cached_property
    def targets(self) -> range:
        """The classes that ranking and F1 look at: the positive one, or each against the rest."""
        return range(1, 2) if self.binary else range(self.classes)

    @cached_property
    def confidence(self) -> Floats:
        """What calibration judges: the positive class's probability, or the most probable class's. Shape (rows,)."""
        return np.asarray(self.probabilities[:, 1] if self.binary else self.probabilities.max(axis=1))

    @cached_property
    def confirmed(self) -> Floats:
        """Whether that came true, 0 or 1, shape (rows,)."""
        hit = self.labels == 1 if self.binary else self.labels == self.most_probable
        return np.asarray(hit, np.float64)

    @cached_property
    def bins(self) -> Integers:
        """Each row's bin of confidence, by quantiles; equal scores share a bin. Shape (rows,)."""
        edges = np.unique(np.quantile(self.confidence, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]))
        return np.searchsorted(edges, self.confidence, side="right").astype(np.int64)

    def metrics(self, weights: Weights) -> dict[str, Floats]:
        """Every metric under every weighting.

        Args:
            weights: Shape (rows, weightings), at least 0; all ones gives the plain metrics.

        Returns:
            By name, shape (weightings,):

            - `log_loss` and `brier`; `accuracy` of the most probable class;
            - `precision`, `recall` and `f1` of the class called by the threshold (over several classes, the macro
              averages of the most probable one);
            - `squared_calibration_error`, see `calibration`, and `bias`, the share that came true less the mean
              probability: below 0 the model promises too much;
            - `roc_auc` (macro, one against the rest) and, with two classes, `average_precision`;
            - the project's own.

            What is undefined, such as an area where a class has no weight, is NaN.
        """
        found = self._means(weights)
        ranked = [ranking(self.labels == k, self.probabilities[:, k], weights) for k in self.targets]
        found["roc_auc"] = np.mean([auc for auc, _ in ranked], axis=0)
        if self.binary:
            found["average_precision"] = ranked[0][1]
        return found | {metric.name: metric.under(self.labels, self.probabilities, weights) for metric in self.own}

    def _means(self, weights: Weights) -> dict[str, Floats]:
        """The metrics that follow from sums over rows, all from one matrix product."""
        total = weights.sum(axis=0, dtype=np.float64)
        sums = self._columns.T @ weights
        count = len(self.targets)
        hits, said, true = (sums[3 + i * count : 3 + (i + 1) * count] for i in range(3))
        gaps, inside = np.split(sums[3 + 3 * count :], 2)
        return {
            "log_loss": sums[0] / total,
            "brier": sums[1] / total,
            "accuracy": sums[2] / total,
            "precision": _share(hits, said).mean(axis=0),
            "recall": _share(hits, true).mean(axis=0),
            "f1": _share(2 * hits, said + true).mean(axis=0),
            "squared_calibration_error": _share(gaps**2, inside).sum(axis=0) / total,
            "bias": gaps.sum(axis=0) / total,
        }

    @cached_property
    def _columns(self) -> Floats:
        """What is summed over rows, shape (rows, sums)."""
        true = self.labels[:, None] == np.arange(self.classes)
        errors = (self.probabilities - true) ** 2
        brier = errors[:, 1] if self.binary else errors.sum(axis=1)
        said = self.predicted[:, None] == np.array(self.targets)
        wanted = self.labels[:, None] == np.array(self.targets)
        correct = self.most_probable == self.labels
        parts = [self.log_losses, brier, correct, said & wanted, said, wanted, self.residuals, self.inside]
        return np.column_stack(parts).astype(float)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which bin of confidence each row is in, shape (rows, CALIBRATION_BINS)."""
        return np.asarray(self.bins[:, None] == np.arange(CALIBRATION_BINS))

    @cached_property
    def residuals(self) -> Floats:
        """What came true less what was promised, in the row's bin, else 0; shape (rows, CALIBRATION_BINS)."""
        return np.asarray((self.confirmed - self.confidence)[:, None] * self.inside)


def _share(part: Floats, whole: Floats) -> Floats:
    """A quotient, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def ranking(positive: NDArray[np.bool_], scores: Floats, weights: Weights) -> tuple[Floats, Floats]:
    """Area under the ROC curve, ties counted half, and average precision, under every weighting.

    Each positive row is compared with the weight of the negative rows that score above it and at least as high.

    Args:
        positive: Whether the row is of the class, shape (rows,).
        scores: Shape (rows,).
        weights: Shape (rows, weightings).

    Returns:
        The two, each of shape (weightings,); NaN where one side has no weight.
    """
    order = np.argsort(-scores, kind="stable")
    ups, downs = order[positive[order]], order[~positive[order]]
    up_scores, down_scores = -scores[ups], -scores[downs]
    misses = np.zeros((len(downs) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights[downs], axis=0, out=misses[1:])
    drawn = weights[ups]
    hits = np.zeros((len(ups) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(drawn, axis=0, out=hits[1:])
    misses_above = misses[np.searchsorted(down_scores, up_scores, side="left")]
    misses_to = misses[np.searchsorted(down_scores, up_scores, side="right")]
    hits_to = hits[np.searchsorted(up_scores, up_scores, side="right")]
    total, other = hits[-1].astype(np.float64), misses[-1].astype(np.float64)
    precision = _share(hits_to, hits_to + misses_to)
    with np.errstate(invalid="ignore", divide="ignore"):
        lost = np.einsum("ij,ij->j", drawn, misses_above + misses_to, dtype=np.float64) / 2
        auc = 1 - lost / (total * other)
        average_precision = np.einsum("ij,ij->j", drawn, precision, dtype=np.float64) / total
    return auc, np.where(other > 0, average_precision, np.nan)

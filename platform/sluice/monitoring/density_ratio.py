"""How much more frequent rows like a reference row are now: the density ratio, from a classifier.

A classifier that tells present rows from reference rows gives odds, and the odds are the ratio of the two densities
(M. Sugiyama, T. Suzuki and T. Kanamori, *Density Ratio Estimation in Machine Learning*, 2012, chapter 4). Every row's
odds come from trees that have not seen it, and are brought to the right spread by a logistic regression on them: where
nothing changed the trees find noise alone, the slope is near 0, and all ratios are near 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.modeling.threads import fixed_threads
from sluice.monitoring.judged_rows import Flags, Floats, to_learn_from

_FOLDS = 3
_LEAVES = 6
_MOST_ROWS = 20_000  # of either side, for the classifier
_LARGEST = 1000.0
_FAR = 4.0  # standard deviations: one wild value moves no mean
_STEEPEST = 1.5
_AT_ONCE = 10_000  # rows: no second copy of all of them is made


@dataclass(frozen=True)
class DensityRatio:
    """How the present rows differ from the reference.

    Attributes:
        reference: How much more frequent each reference row is now, shape (reference rows,), with mean 1.
        current: The same ratio at each present row, shape (present rows,).
        slope: How much of what the classifier says is true of rows that it has not seen: 0 is noise, 1 all of it.
    """

    reference: Floats
    current: Floats
    slope: float

    @property
    def effective_rows(self) -> float:
        """How many reference rows of equal weight tell as much (Kish): few where present rows lie beside them."""
        return float(self.reference.sum() ** 2 / (self.reference**2).sum())

    @property
    def foreign(self) -> float:
        """The share of present rows that are at least FOREIGN times as frequent now as in the reference."""
        return float((self.current >= FOREIGN).mean())


FOREIGN = 50.0
"""A present row whose like is so many times rarer in the reference has no support there."""


def density_ratio(reference: Floats, current: Floats, seed: int = 7, leaves: int = _LEAVES) -> DensityRatio:
    """Learn it.

    Args:
        reference: Features of the reference rows, shape (rows, features), with NaN for missing values.
        current: Features of the present rows.
        seed: Decides folds and trees.
        leaves: Of a tree at most; 2 make a ratio that is a product over features.
    """
    generator = np.random.default_rng(seed)
    both = _Both(reference, current)
    now = np.arange(len(both)) >= len(reference)
    folds = generator.integers(0, _FOLDS, len(both))
    learned = _drawn(now, generator)
    logits = np.empty(len(both))
    for fold in range(_FOLDS):
        inside, outside = learned & (folds != fold), folds == fold
        logits[outside] = _logits(both.chosen(inside), now[inside], both.chosen(outside), seed, leaves)
    logits, slope = _combined(both, logits, now, learned)
    ratios = np.exp(np.clip(logits - logits[~now].mean(), -30, 30))
    scale = ratios[~now].mean()
    return DensityRatio(np.minimum(ratios[~now] / scale, _LARGEST), np.minimum(ratios[now] / scale, _LARGEST), slope)


@dataclass(frozen=True)
class _Both:
    """Reference and present rows as if they were one table, without a second copy of them."""

    reference: Floats
    current: Floats

    def __len__(self) -> int:
        return len(self.reference) + len(self.current)

    def chosen(self, rows: Flags) -> Floats:
        """Those of a mask, shape (rows, features)."""
        cut = len(self.reference)
        return np.vstack([self.reference[rows[:cut]], self.current[rows[cut:]]])

    def measures(self) -> list[tuple[float, float]]:
        """Mean and standard deviation of each feature."""
        return [_measures(np.concatenate(pair)) for pair in zip(self.reference.T, self.current.T, strict=True)]

    def parts(self) -> Iterator[Floats]:
        """All rows, some at a time."""
        for side in (self.reference, self.current):
            yield from (side[begin : begin + _AT_ONCE] for begin in range(0, len(side), _AT_ONCE))


def _drawn(now: Flags, generator: np.random.Generator) -> Flags:
    """The rows that the classifier learns from: both sides alike where there are many."""
    chosen = np.zeros(len(now), np.bool_)
    for side in (now, ~now):
        places = np.flatnonzero(side)
        chosen[generator.choice(places, min(len(places), _MOST_ROWS), replace=False)] = True
    return chosen


def _logits(rows: Floats, now: Flags, asked: Floats, seed: int, leaves: int) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(  # small: what larger trees learn beyond it is noise, and flattens the slope
        max_iter=60,
        max_leaf_nodes=leaves,
        min_samples_leaf=30,
        l2_regularization=1.0,
        random_state=seed,
        early_stopping=False,
    )
    with fixed_threads(1):  # threads that wait for each other cost ten times more on a busy machine
        model.fit(to_learn_from(rows), now)
        parts = [model.decision_function(asked[begin : begin + _AT_ONCE]) for begin in range(0, len(asked), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)


def _combined(rows: _Both, logits: Floats, now: Flags, learned: Flags) -> tuple[Floats, float]:
    """The trees' odds brought to the right spread, and what trees shrink given back, by one logistic regression.

    Its other inputs are the features themselves: so the weighted reference has the means of the present rows.
    """
    from sklearn.linear_model import LogisticRegression

    measures = rows.measures()
    width = logits.std() or 1.0
    inputs = np.column_stack([logits[learned] / width, _scaled(rows.chosen(learned), measures)])
    fitted = LogisticRegression(C=1.0, max_iter=200).fit(inputs, now[learned])
    slope = float(fitted.coef_[0, 0] / width)
    if not 0 <= slope <= _STEEPEST:  # one slope is held, so the others have to be fitted beside it
        slope = float(np.clip(slope, 0.0, _STEEPEST))
        inputs[:, 0] = 0.0 if slope == 0 else inputs[:, 0]
        fitted = LogisticRegression(C=1.0, max_iter=200).fit(inputs, now[learned])
    features = [_scaled(part, measures) @ fitted.coef_[0, 1:] for part in rows.parts()]
    return np.asarray(slope * logits + np.concatenate(features)), slope


def _measures(column: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the finite values; 0 and 1 where there is none, or no spread."""
    values = column[np.isfinite(column)]
    return (float(values.mean()), float(values.std()) or 1.0) if len(values) else (0.0, 1.0)


def _scaled(rows: Floats, measures: Sequence[tuple[float, float]]) -> Floats:
    """Features in standard deviations from their mean, 0 where there is no value; shape (rows, features)."""
    centre, spread = np.array(measures).T
    with np.errstate(invalid="ignore"):
        found = (rows - centre) / spread
    found[~np.isfinite(found)] = 0.0
    return np.asarray(np.clip(found, -_FAR, _FAR, out=found), np.float64)

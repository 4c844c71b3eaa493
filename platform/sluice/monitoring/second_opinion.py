"""What the labels of rows are likely to be, learned on reference rows from their features and from what the model said.

Of two rows that the model says the same of, one may be more certain than the other: a second model, learned on labels
that the first one never saw, tells part of that. Every row is asked of a model that has not learned from it, and
present rows of one of those same models each, not of their mean: the mean would be better than what was tried out on
the reference, and so would be trusted too little (cross-fitting; V. Chernozhukov and others, *Double/debiased machine
learning for treatment and structural parameters*, The Econometrics Journal 21, 2018).
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.modeling.threads import fixed_threads
from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows, to_learn_from

_FOLDS = 3
_MOST_ROWS = 50_000
_MOST_TREES = 240  # over all classes
_MOST_CLASSES = 12  # with more of them trees cost much and each class has few rows
_LEAST_ROWS = 300
_SMALLEST = 1e-4
_LEARNED: dict[int, "SecondOpinion"] = {}


@dataclass(frozen=True)
class SecondOpinion:
    """Models of the labels, one a fold.

    Attributes:
        reference: Logarithms of the probabilities of reference rows, shape (reference rows, classes).
        models: One a fold, each with the codes of the classes that it knows; empty where the rows are too few, or the
            classes too many, to learn any: then the opinion is that of the model itself.
    """

    reference: Floats
    models: Sequence[Any]

    def of(self, rows: JudgedRows, seed: int = 7) -> Floats:
        """Logarithms of the probabilities of other rows, shape (rows, classes)."""
        if not self.models:
            return logarithms(rows.values)
        folds = np.random.default_rng(seed).integers(0, len(self.models), len(rows))
        found, known = np.empty(rows.values.shape), rows.known
        for fold, model in enumerate(self.models):
            if (inside := folds == fold).any():
                found[inside] = _asked(model, known[inside], rows.values.shape[1])
        return found


def logarithms(values: Floats) -> Floats:
    """Of probabilities, none of them below a small one."""
    return np.asarray(np.log(np.clip(values, _SMALLEST, 1.0)), np.float64)


def second_opinion(reference: JudgedRows, seed: int = 7) -> SecondOpinion:
    """Learn it.

    Args:
        reference: Rows that all have labels, and that the model did not learn from.
        seed: Decides folds and trees.
    """
    assert reference.labels is not None, "reference rows have labels"  # noqa: S101 - the caller chose the rows
    classes = reference.values.shape[1]
    labels: Integers = reference.labels.astype(np.int64)
    generator = np.random.default_rng(seed)
    folds = generator.integers(0, _FOLDS, len(labels))
    enough = len(labels) >= _LEAST_ROWS and classes <= _MOST_CLASSES
    if not enough or any(len(np.unique(labels[folds != fold])) < 2 for fold in range(_FOLDS)):
        return SecondOpinion(logarithms(reference.values), ())
    used = np.zeros(len(labels), np.bool_)
    used[generator.permutation(len(labels))[:_MOST_ROWS]] = True
    known, found, models = reference.known, np.empty(reference.values.shape), []
    for fold in range(_FOLDS):
        inside = used & (folds != fold)
        models.append(_fitted(known[inside], labels[inside], classes, seed))
        found[folds == fold] = _asked(models[-1], known[folds == fold], classes)
    return SecondOpinion(found, models)


def opinion_on(reference: JudgedRows) -> SecondOpinion:
    """The same, learned once for each reference and forgotten with it: windows are held to one reference for months."""
    place = id(reference)
    if place not in _LEARNED:
        weakref.finalize(reference, _LEARNED.pop, place, None)
        _LEARNED[place] = second_opinion(reference)
    return _LEARNED[place]


def _fitted(known: Floats, labels: Integers, classes: int, seed: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=80 if classes == 2 else _MOST_TREES // classes,
        max_leaf_nodes=8,
        min_samples_leaf=30,
        l2_regularization=5.0,
        random_state=seed,
        early_stopping=False,
    )
    with fixed_threads(1):
        return model.fit(to_learn_from(known), labels)


def _asked(model: Any, known: Floats, classes: int) -> Floats:  # noqa: ANN401 - scikit-learn has no types
    found = np.full((len(known), classes), _SMALLEST)
    with fixed_threads(1):
        found[:, model.classes_] = model.predict_proba(known)
    return logarithms(found)

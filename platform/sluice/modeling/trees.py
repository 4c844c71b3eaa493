"""Gradient-boosted trees on histograms.

A round adds 20 trees, or a quarter of those there are if that is more: when it goes on, scikit-learn goes through all
earlier trees again, so equal rounds would cost a time that grows with the square of the trees.
"""

import copy
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from sluice.features.encoding import Floats
from sluice.modeling.categories import tree_inputs
from sluice.modeling.parts import Parts
from sluice.modeling.sklearn_models import SklearnModel, class_probabilities, numbers
from sluice.modeling.training_settings import TrainingSettings
from sluice.parameters.candidate_settings import TreesSettings
from sluice.problems.losses import ABSOLUTE, LOG_LOSS, QUANTILE, SQUARED, Loss

_TREES, _GROWTH = 20, 4
_LEAST_LEAF, _MOST_LEAF = 20, 200


class TreesFitting:
    """Boosted trees on their way; each round adds trees to those of the last."""

    round_limit = 26
    """About 10,000 trees."""

    def __init__(self, parts: Parts, settings: TrainingSettings) -> None:
        self._parts = parts
        self._encoder, self._train = tree_inputs(parts, settings.seed)
        self._sample, self._validation = (self._encoder.matrix(part.rows) for part in (parts.sample, parts.validation))
        self._train[:, np.isnan(self._train).all(axis=0)] = 0.0  # scikit-learn cannot bin a column without a value
        self._set = TreesSettings(**settings.of_candidate)
        leaf = min(max(len(parts.train.labels) // 500, _LEAST_LEAF), _MOST_LEAF)
        self._loss = settings.loss(parts.task)
        family = HistGradientBoostingRegressor if parts.task.regression else HistGradientBoostingClassifier
        self._estimator = family(
            **_loss_arguments(self._loss),
            learning_rate=self._set.learning_rate,
            max_leaf_nodes=self._set.max_leaf_nodes,
            max_depth=self._set.max_depth or None,
            min_samples_leaf=self._set.min_samples_leaf or leaf,
            l2_regularization=self._set.l2_regularization,
            max_features=self._set.max_features,
            categorical_features=list(range(len(self._encoder.vocabularies))) or None,
            early_stopping=False,  # it would cut validation rows from the training rows; `rounds` has its own
            warm_start=True,
            max_iter=0,
            random_state=settings.seed,
        )
        self._best = self._estimator

    @property
    def parameters(self) -> dict[str, Any]:
        """See `rounds.Fitting`."""
        learned = {"min_samples_leaf": self._best.min_samples_leaf, "trees": self._best.max_iter}
        return self._set.model_dump() | learned | self._loss.told

    def advance(self) -> None:
        """See `rounds.Fitting`."""
        trees = self._estimator.max_iter
        self._estimator.set_params(max_iter=trees + max(_TREES, trees // _GROWTH))
        self._estimator.fit(self._train, self._parts.train.labels, self._parts.train.weights)

    def forecasts(self) -> tuple[Floats, Floats]:
        """See `rounds.Fitting`."""
        if self._parts.task.regression:
            return numbers(self._estimator, self._sample), numbers(self._estimator, self._validation)
        classes = len(self._parts.task.classes)
        sample = class_probabilities(self._estimator, self._sample, classes)
        return sample, class_probabilities(self._estimator, self._validation, classes)

    def keep(self) -> None:
        """See `rounds.Fitting`."""
        self._best = copy.deepcopy(self._estimator)

    def model(self) -> SklearnModel:
        """See `rounds.Fitting`."""
        return SklearnModel(self._parts.task, self._best, self._encoder)


def _loss_arguments(loss: Loss) -> dict[str, Any]:
    """A loss as scikit-learn's trees take it; nothing for their own."""
    if loss.name in (LOG_LOSS, SQUARED):
        return {}
    if loss.name == QUANTILE:
        return {"loss": "quantile", "quantile": loss.level}
    return {"loss": "absolute_error" if loss.name == ABSOLUTE else loss.name}

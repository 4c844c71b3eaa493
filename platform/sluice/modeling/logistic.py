"""Logistic regression on one-hot codes and scaled numbers, or on pixels: L-BFGS, some iterations a round."""

import copy
import warnings
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sluice.features.encoding import Encoder, Floats
from sluice.features.pixels import ImageShape
from sluice.modeling.column_inputs import learn_inputs
from sluice.modeling.parts import Parts
from sluice.modeling.rounds import MOST_ROUNDS
from sluice.modeling.sklearn_models import SklearnModel, class_probabilities, design_matrix
from sluice.modeling.training_settings import Settings

_ITERATIONS = 10


class LogisticFitting:
    """A logistic regression on its way; each round goes on from the weights of the last."""

    round_limit = MOST_ROUNDS

    def __init__(self, parts: Parts, settings: Settings) -> None:  # noqa: ARG002 - nothing here is random
        self._parts = parts
        self._inputs = learn_inputs(parts)
        self._preparation = _preparation(self._inputs)
        self._train = self._preparation.fit_transform(design_matrix(parts.train.rows, parts.task, self._inputs))
        self._sample, self._validation = (
            self._preparation.transform(design_matrix(part.rows, parts.task, self._inputs))
            for part in (parts.sample, parts.validation)
        )
        self._estimator = LogisticRegression(C=1.0, max_iter=_ITERATIONS, warm_start=True)
        self._best = self._estimator

    @property
    def parameters(self) -> dict[str, Any]:
        """See `rounds.Fitting`."""
        return {"penalty": "l2", "inverse_penalty": self._estimator.C, "iterations_per_round": _ITERATIONS}

    def advance(self) -> None:
        """See `rounds.Fitting`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a round is meant to end before convergence
            self._estimator.fit(self._train, self._parts.train.labels, self._parts.train.weights)

    def probabilities(self) -> tuple[Floats, Floats]:
        """See `rounds.Fitting`."""
        classes = len(self._parts.task.classes)
        sample = class_probabilities(self._estimator, self._sample, classes)
        return sample, class_probabilities(self._estimator, self._validation, classes)

    def keep(self) -> None:
        """See `rounds.Fitting`."""
        self._best = copy.deepcopy(self._estimator)

    def model(self) -> SklearnModel:
        """See `rounds.Fitting`."""
        pipeline = Pipeline([("preparation", self._preparation), ("logistic", self._best)])
        return SklearnModel(self._parts.task, pipeline, self._inputs)


def _preparation(inputs: Encoder | ImageShape) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Medians and scales are those of the rows as they are, without weights.

    Any fixed scale does, for the regression's own weights make up for it; and so does any number in the place of a
    missing one, for a column of its own says that it was missing.
    """
    if isinstance(inputs, ImageShape):
        return StandardScaler()
    codes = len(inputs.vocabularies)
    impute = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    numbers = Pipeline([("impute", impute), ("scale", StandardScaler())])
    one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float64)
    return ColumnTransformer(
        [
            ("codes", one_hot, list(range(codes))),
            ("numbers", numbers, list(range(codes, codes + len(inputs.numeric)))),
        ]
    )

"""Logistic and linear regression on one-hot codes and scaled numbers, or on pixels.

A logistic regression makes some iterations of L-BFGS a round. A linear regression has a closed form for each strength
of its penalty (ridge: A. E. Hoerl and R. W. Kennard, *Ridge Regression*, Technometrics 12, 1970): a round weakens the
penalty, so that early stopping chooses its strength on the validation rows. Where the problem's loss is that of a
Poisson or a gamma distribution it is linear in the logarithm of the forecast (a generalized linear model), which each
round fits anew from the weights of the last.
"""

import copy
import warnings
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sluice.features.encoding import Encoder, Floats
from sluice.features.pixels import ImageShape
from sluice.modeling.column_inputs import learn_inputs
from sluice.modeling.parts import Parts
from sluice.modeling.rounds import MOST_ROUNDS
from sluice.modeling.sklearn_models import SklearnModel, class_probabilities, design_matrix, numbers
from sluice.modeling.training_settings import TrainingSettings
from sluice.parameters.candidate_settings import LinearSettings
from sluice.problems.losses import GAMMA, POISSON

_ITERATIONS = 10
_STEP = 10**-0.5
"""By what each round of a linear regression multiplies the penalty."""
_TOLERANCE = 1e-4
_BY_LOG = {POISSON: PoissonRegressor, GAMMA: GammaRegressor}


class _LinearRounds:
    """What both regressions share: the prepared rows, and the best state so far.

    Attributes:
        name: The estimator's name in the pipeline that is saved.
    """

    name = ""

    def __init__(self, parts: Parts, estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
        self._parts = parts
        self._inputs = learn_inputs(parts)
        self._preparation = _preparation(self._inputs)
        self._train = self._preparation.fit_transform(design_matrix(parts.train.rows, parts.task, self._inputs))
        self._sample, self._validation = (
            self._preparation.transform(design_matrix(part.rows, parts.task, self._inputs))
            for part in (parts.sample, parts.validation)
        )
        self._estimator = estimator
        self._best = self._estimator

    def keep(self) -> None:
        """See `rounds.Fitting`."""
        self._best = copy.deepcopy(self._estimator)

    def model(self) -> SklearnModel:
        """See `rounds.Fitting`."""
        pipeline = Pipeline([("preparation", self._preparation), (self.name, self._best)])
        return SklearnModel(self._parts.task, pipeline, self._inputs)


class LogisticFitting(_LinearRounds):
    """A logistic regression on its way; each round goes on from the weights of the last."""

    round_limit = MOST_ROUNDS
    name = "logistic"

    def __init__(self, parts: Parts, settings: TrainingSettings) -> None:
        self._set = LinearSettings(**settings.of_candidate)
        super().__init__(parts, LogisticRegression(C=1 / self._set.penalty, max_iter=_ITERATIONS, warm_start=True))

    @property
    def parameters(self) -> dict[str, Any]:
        """See `rounds.Fitting`."""
        return {"kind_of_penalty": "l2", "penalty": self._set.penalty, "iterations_per_round": _ITERATIONS}

    def advance(self) -> None:
        """See `rounds.Fitting`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a round is meant to end before convergence
            self._estimator.fit(self._train, self._parts.train.labels, self._parts.train.weights)

    def forecasts(self) -> tuple[Floats, Floats]:
        """See `rounds.Fitting`."""
        classes = len(self._parts.task.classes)
        sample = class_probabilities(self._estimator, self._sample, classes)
        return sample, class_probabilities(self._estimator, self._validation, classes)


class LinearFitting(_LinearRounds):
    """A linear regression with a penalty on its way; each round weakens the penalty."""

    round_limit = 19
    """Down to a billionth of the first penalty, which is none."""
    name = "linear"

    def __init__(self, parts: Parts, settings: TrainingSettings) -> None:
        self._set = LinearSettings(**settings.of_candidate)
        self._strength = self._set.penalty / _STEP
        self._loss = settings.loss(parts.task)
        self._by_row = self._loss.name in _BY_LOG  # whether scikit-learn states the penalty for each row
        super().__init__(parts, self._fresh(parts, settings.seed))

    def _fresh(self, parts: Parts, seed: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
        if not self._by_row:
            return Ridge(random_state=seed)
        # A Poisson loss grows with the labels, and so does the gradient at which it may end; a gamma loss does not.
        scale = float(np.average(parts.train.labels, weights=parts.train.weights)) if self._loss.name == POISSON else 1
        return _BY_LOG[self._loss.name](warm_start=True, tol=_TOLERANCE * scale)

    @property
    def parameters(self) -> dict[str, Any]:
        """See `rounds.Fitting`."""
        learned = {"penalty_per_row": self._best.alpha / self._rows}
        return {"kind_of_penalty": "l2", "penalty": self._set.penalty, **learned, **self._loss.told}

    @property
    def _rows(self) -> int:
        """By what scikit-learn's penalty exceeds that of a row."""
        return 1 if self._by_row else len(self._parts.train.labels)

    def advance(self) -> None:
        """See `rounds.Fitting`."""
        self._strength *= _STEP
        self._estimator.set_params(alpha=self._strength * self._rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next round goes on from there
            self._estimator.fit(self._train, self._parts.train.labels, self._parts.train.weights)

    def forecasts(self) -> tuple[Floats, Floats]:
        """See `rounds.Fitting`."""
        return numbers(self._estimator, self._sample), numbers(self._estimator, self._validation)


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

"""Models of scikit-learn: linear and logistic regression and gradient-boosted trees, on tables or on pixels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sluice.features.encoding import MOST_CATEGORIES, Encoder, Floats, encoder_from_body
from sluice.features.pixels import ImageShape, image_pixels
from sluice.modeling.skops_files import read_skops, write_skops
from sluice.modeling.tree_checks import check_trees
from sluice.problems.candidate_names import LINEAR, LOGISTIC, TREES
from sluice.problems.task import Task

WEIGHTS = "model.skops"


@dataclass(frozen=True)
class SklearnModel:
    """A fitted estimator and how rows become its matrix.

    Attributes:
        task: What it predicts.
        estimator: The fitted estimator.
        inputs: For tables the encoder, for images their shape.
    """

    task: Task
    estimator: Any
    inputs: Encoder | ImageShape
    family = "sklearn"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities."""
        return self.task.classes

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        if hasattr(self.estimator, "_predictors"):
            return sum(len(tree.nodes) for trees in self.estimator._predictors for tree in trees)
        return int(self.estimator[-1].coef_.size + np.size(self.estimator[-1].intercept_))

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        return class_probabilities(self.estimator, design_matrix(rows, self.task, self.inputs), len(self.classes))

    def predict(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        return numbers(self.estimator, design_matrix(rows, self.task, self.inputs))

    def options(self) -> dict[str, Any]:
        """What model.json keeps."""
        linear = LINEAR if self.task.regression else LOGISTIC
        kind = TREES if hasattr(self.estimator, "_predictors") else linear
        if isinstance(self.inputs, Encoder):
            return {"estimator": kind, "encoder": self.inputs.body()}
        return {"estimator": kind, "image": asdict(self.inputs)}

    def write_weights(self, folder: Path) -> None:
        """Write the estimator."""
        write_skops(folder / WEIGHTS, self.estimator)


def class_probabilities(estimator: Any, matrix: Any, classes: int) -> Floats:  # noqa: ANN401 - arrays and sparse arrays
    """An estimator's probabilities, shape (rows, classes); 0 for a class that its training rows did not have."""
    proba: Floats = np.zeros((matrix.shape[0], classes))
    if not len(proba):
        return proba  # scikit-learn refuses to judge nothing
    proba[:, estimator.classes_] = estimator.predict_proba(matrix)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def numbers(estimator: Any, matrix: Any) -> Floats:  # noqa: ANN401 - arrays and sparse arrays
    """A regressor's forecasts, shape (rows,)."""
    if not matrix.shape[0]:
        return np.zeros(0)  # scikit-learn refuses to judge nothing
    return np.asarray(estimator.predict(matrix), np.float64).reshape(-1)


def design_matrix(rows: pd.DataFrame, task: Task, inputs: Encoder | ImageShape) -> Floats:
    """Rows as an estimator sees them, shape (rows, features): codes and numbers, or pixels row by row.

    Raises:
        BadInput: A column is missing or holds something else.
    """
    if isinstance(inputs, Encoder):
        return inputs.matrix(rows)
    pixels = image_pixels(rows, task, inputs)
    return pixels.reshape(len(rows), inputs.width * inputs.height * inputs.channels).astype(np.float64)


def read_sklearn_model(folder: Path, task: Task, options: Mapping[str, Any]) -> SklearnModel:
    """Read what `SklearnModel` wrote.

    Raises:
        BadInput: The weights hold a type that is not allowed.
        Exception: Anything on a damaged file; `models.load_model` turns it into words.
    """
    inputs = encoder_from_body(options["encoder"], task) if "encoder" in options else ImageShape(**options["image"])
    estimator = read_skops(folder / WEIGHTS)
    _check_kind(estimator, options["estimator"], regression=task.regression)
    if options["estimator"] == TREES and isinstance(inputs, Encoder):
        _check_categories(inputs)
    if task.regression:
        return SklearnModel(task, estimator, inputs)
    classes = np.asarray(estimator.classes_)
    if not np.isin(classes, np.arange(len(task.classes))).all():
        raise ValueError("the estimator's classes are not the task's")
    return SklearnModel(task, estimator, inputs)


def _check_categories(encoder: Encoder) -> None:
    """No code may be beyond the categories that trees take."""
    for name, values in encoder.vocabularies.items():
        if len(values) > MOST_CATEGORIES and name not in encoder.shares:
            raise ValueError(f"column {name!r} has more values than trees take, and no class shares")


def _check_kind(estimator: Any, kind: str, *, regression: bool) -> None:  # noqa: ANN401 - scikit-learn has no types
    """The outermost types must be those that the family trains; what a pipeline calls follows from them."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, Ridge
    from sklearn.pipeline import Pipeline

    trees = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    by_loss: tuple[type, ...] = (Ridge, PoissonRegressor, GammaRegressor)
    name, linear = (LINEAR, by_loss) if regression else (LOGISTIC, (LogisticRegression,))
    if kind == TREES and type(estimator) is trees:
        check_trees(estimator)
    elif kind != name or type(estimator) is not Pipeline or type(estimator[-1]) not in linear:
        raise ValueError(f"the weights are no {kind}")

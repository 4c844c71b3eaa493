"""The winner's ROC curve and confusion matrix, as KFP's UI and the page draw them."""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve

from sluice.evaluation.designs import Design
from sluice.evaluation.evaluation import Evaluation
from sluice.problems.weighted_metrics import Predictions

_MOST_POINTS = 200


def log_curves(classification: Any, evaluation: Evaluation) -> None:  # noqa: ANN401 - KFP's artifact
    """Log what KFP's UI draws: nothing where the label is a number, the ROC curve where there are two classes."""
    if evaluation.binary:
        classification.log_roc_curve(*roc_points(evaluation))
    if not evaluation.regression:
        classification.log_confusion_matrix(list(evaluation.task.classes), confusion(evaluation))


def roc_points(evaluation: Evaluation) -> tuple[list[float], list[float], list[float]]:
    """The winner's ROC curve: false positive rates, true positive rates and thresholds, at most 200 points."""
    return thinned_roc(evaluation.classified, evaluation.design)


def thinned_roc(model: Predictions, design: Design) -> tuple[list[float], list[float], list[float]]:
    """A model's ROC curve from (0, 0) to (1, 1), evenly thinned; the first threshold is 1, where it would be infinite.

    Args:
        model: Predictions of two classes.
        design: The rows' weights.
    """
    curve = roc_curve(model.labels, model.confidence, sample_weight=design.weights if design.weighted else None)
    false_positives, true_positives, thresholds = curve
    kept = np.unique(np.linspace(0, len(thresholds) - 1, _MOST_POINTS).round().astype(int))
    finite = np.minimum(thresholds[kept], 1.0)
    return false_positives[kept].tolist(), true_positives[kept].tolist(), finite.tolist()


def confusion(evaluation: Evaluation) -> list[list[int]]:
    """Test rows by truth, and by the class that the winner calls; not weighted."""
    model = evaluation.classified
    matrix = confusion_matrix(model.labels, model.predicted, labels=range(len(evaluation.task.classes)))
    return [[int(count) for count in row] for row in matrix]

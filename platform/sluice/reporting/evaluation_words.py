"""The evaluation in words: metrics' names, numbers with their intervals."""

from collections.abc import Sequence

from markupsafe import Markup

from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.evaluation import Evaluation
from sluice.reporting.pages import estimate_html

TITLES = {
    "log_loss": "Log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "calibration_error": "Calibration error",
    "bias": "Bias",
}
"""Metrics in words, in the order of the tables."""


def estimate_text(estimate: Estimate) -> str:
    """`0.412 (0.405 to 0.420)`, or a dash where it is undefined."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def estimate_cell(estimate: Estimate | None, *, signed: bool = False) -> Markup:
    """The same for a table's cell, the interval under the number."""
    estimate = estimate or Estimate(None, None, None)
    return estimate_html(estimate.value, estimate.low, estimate.high, "+.4f" if signed else ".3f")


def percent(share: float | None) -> str | None:
    """`23.4%`."""
    return None if share is None else f"{share:.1%}"


def known_metrics(evaluation: Evaluation) -> Sequence[str]:
    """The metrics that this task has."""
    return [metric for metric in TITLES if metric in evaluation.intervals.metrics(evaluation.winner)]


def headline_metrics(evaluation: Evaluation) -> tuple[str, str]:
    """The two that figures show: a loss, and how well the classes are told apart."""
    return ("log_loss", "roc_auc") if evaluation.binary else ("log_loss", "accuracy")


def rules(evaluation: Evaluation) -> str:
    """By which rule each metric decides for a class."""
    if not evaluation.binary:
        return "Accuracy, precision, recall and F1 judge the most probable class; all but accuracy are macro averages."
    rule = evaluation.thresholds.get(evaluation.winner, "the more probable class")
    shares = evaluation.test[evaluation.winner].labels
    majority = max(shares.mean(), 1 - shares.mean())
    if evaluation.design.weighted:
        mean = float((evaluation.design.weights * shares).sum() / evaluation.design.weights.sum())
        majority = max(mean, 1 - mean)
    return (
        f"Accuracy judges the more probable class (from 0.5 on); its baseline is the majority class, {majority:.1%}. "
        f"Precision, recall and F1 judge what is called {evaluation.task.classes[1]!r}, each model from its own "
        f"threshold on ({rule}); the winner's is {evaluation.test[evaluation.winner].threshold:.3f}, stored with it."
    )


def intervals_text(evaluation: Evaluation) -> str:
    """What the intervals were drawn from."""
    design, drawn = evaluation.design, f"{evaluation.settings.resamples:,} bootstrap resamples"
    if design.name == "row":
        return f"95 % intervals from {drawn} of rows"
    unit = "days" if design.name == "day" else f"groups of {design.name}"
    blocks = f" in blocks of {design.block}" if design.block > 1 else ""
    return f"95 % intervals from {drawn} of {design.count:,} {unit}{blocks}: rows of one do not count as independent"

"""The evaluation in words: metrics' names, numbers with their intervals."""

from collections.abc import Sequence

from markupsafe import Markup

from components.common.pages import estimate_html
from components.evaluate.bootstrap import Estimate
from components.evaluate.evaluation import Evaluation

TITLES = {
    "log_loss": "Log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "f1": "F1",
    "ece": "Calibration error",
}
"""Metrics in words, in the order of the tables."""


def estimate_text(estimate: Estimate) -> str:
    """`0.412 (0.405 to 0.420)`, or a dash where it is undefined."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def estimate_cell(estimate: Estimate, *, signed: bool = False) -> Markup:
    """The same for a table's cell, the interval under the number."""
    return estimate_html(estimate.value, estimate.low, estimate.high, "+.4f" if signed else ".3f")


def percent(share: float | None) -> str | None:
    """`23.4%`."""
    return None if share is None else f"{share:.1%}"


def known_metrics(evaluation: Evaluation) -> Sequence[str]:
    """The metrics that this task has."""
    return [metric for metric in TITLES if metric in evaluation.intervals.values[evaluation.winner]]


def headline_metrics(evaluation: Evaluation) -> tuple[str, str]:
    """The two that figures show: a loss, and how well the classes are told apart."""
    return ("log_loss", "roc_auc") if evaluation.binary else ("log_loss", "accuracy")

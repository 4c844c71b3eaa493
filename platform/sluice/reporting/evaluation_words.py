"""The evaluation in words: metrics' names, numbers with their intervals."""

from markupsafe import Markup

from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.evaluation import Evaluation
from sluice.problems.metrics import Metric, metrics_of
from sluice.problems.registry import form_of
from sluice.reporting.pages import estimate_html

_HIDDEN = ("mse",)
"""Measured, but told by another metric."""


def estimate_text(estimate: Estimate, metric: Metric | None = None) -> str:
    """`0.412 (0.405 to 0.420)`, or a dash where it is undefined; `12,340 (11,950 to 12,720)` in a label's units."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    value, low, high = (_form(metric, number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def estimate_cell(estimate: Estimate | None, metric: Metric | None = None, *, signed: bool = False) -> Markup:
    """The same for a table's cell, the interval under the number."""
    estimate = estimate or Estimate(None, None, None)
    return estimate_html(
        estimate.value, estimate.low, estimate.high, lambda number: _form(metric, number, signed=signed)
    )


def _form(metric: Metric | None, value: float, *, signed: bool = False) -> str:
    """A number as tables show it; a difference with its sign and one digit more."""
    if metric is not None and metric.in_label_units:
        return metric.text(value, "+" if signed else "")
    return f"{value:+.4f}" if signed else f"{value:.3f}"


def percent(share: float | None) -> str | None:
    """`23.4%`."""
    return None if share is None else f"{share:.1%}"


def known_metrics(evaluation: Evaluation) -> dict[str, Metric]:
    """The metrics that this task has, by name, in the order of the tables."""
    measured = evaluation.intervals.metrics(evaluation.winner)
    known = metrics_of(evaluation.task.kind, evaluation.settings.own)
    return {name: metric for name, metric in known.items() if name in measured and name not in _HIDDEN}


def headline_metrics(evaluation: Evaluation) -> tuple[Metric, Metric]:
    """The two that figures show: what models are chosen by, and one beside it that says something else."""
    first, second = form_of(evaluation.task).headline
    chosen = evaluation.metric.name
    names = (first, second) if chosen == first else (chosen, first if chosen == second else second)
    return evaluation.known_metric(names[0]), evaluation.known_metric(names[1])


def rules(evaluation: Evaluation) -> str:
    """By which rule each metric decides for a class, or what it says of a number."""
    if evaluation.regression:
        ratios = "" if "mape" in known_metrics(evaluation) else " MAPE is left out: a label is zero or near it."
        return (
            f"RMSE, MAE and pinball losses are in the units of {evaluation.task.label!r}; R² is the share of its "
            f"variance that forecasts account for. Bias is the mean residual, label less forecast.{ratios}"
        )
    if not evaluation.binary:
        return "Accuracy, precision, recall and F1 judge the most probable class; all but accuracy are macro averages."
    rule = evaluation.thresholds.get(evaluation.winner, "the more probable class")
    shares = evaluation.classified.labels
    majority = max(shares.mean(), 1 - shares.mean())
    if evaluation.design.weighted:
        mean = float((evaluation.design.weights * shares).sum() / evaluation.design.weights.sum())
        majority = max(mean, 1 - mean)
    return (
        f"Accuracy judges the more probable class (from 0.5 on); its baseline is the majority class, {majority:.1%}. "
        f"Precision, recall and F1 judge what is called {evaluation.task.classes[1]!r}, each model from its own "
        f"threshold on ({rule}); the winner's is {evaluation.classified.threshold:.3f}, stored with it."
    )


def intervals_text(evaluation: Evaluation) -> str:
    """What the intervals were drawn from."""
    design, drawn = evaluation.design, f"{evaluation.settings.resamples:,} bootstrap resamples"
    wider = f", {design.widening:.2f} times as wide for the folds," if design.widening > 1 else ""
    if design.name == "row":
        return f"95 % intervals{wider} from {drawn} of rows"
    unit = "days" if design.name == "day" else f"groups of {design.name}"
    blocks = f" in blocks of {design.block}" if design.block > 1 else ""
    apart = "rows of one do not count as independent"
    return f"95 % intervals{wider} from {drawn} of {design.count:,} {unit}{blocks}: {apart}"

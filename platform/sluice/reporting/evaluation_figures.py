"""The evaluation's figures: forest plot, ROC, reliability, slices, months."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.calibration import Bin
from sluice.evaluation.champion import NAME
from sluice.evaluation.curves import thinned_roc
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.slices import Slice
from sluice.problems.metrics import Metric
from sluice.problems.weighted_metrics import Predictions
from sluice.reporting.evaluation_words import estimate_text
from sluice.reporting.plots import FONT_SIZE, INK, MUTED, PAPER, SERIES, figure_svg, legend, new_figure

_ROW = 0.34  # inches a line of a forest plot takes
_MARKERS = ("o", "s", "D")
MOST_DRAWN = 30
"""Groups that a figure of slices holds; the table beside it has all."""


def forest(evaluation: Evaluation, metric: Metric) -> Markup:
    """Every model's metric with its interval, simplest at the top; the winner is filled, baselines are grey."""
    names = [candidate.name for candidate in evaluation.candidates]
    names += [name for name in evaluation.test if name not in names]
    grey = {candidate.name for candidate in evaluation.candidates if candidate.baseline}
    estimates = [evaluation.intervals.estimate(name, metric.name) for name in names]
    figure, axes = new_figure(0.9 + _ROW * len(names))
    for place, (name, estimate) in enumerate(zip(names, estimates, strict=True)):
        colour = MUTED if name in grey else SERIES[0]
        _whisker(axes, estimate, place, colour, filled=name == evaluation.winner)
    _name_rows(axes, names)
    axes.set_xlabel(f"{metric.title} {evaluation.place_words}")
    told = estimate_text(evaluation.intervals.estimate(evaluation.winner, metric.name), metric)
    best = f"{evaluation.winner} {told}"
    return figure_svg(figure, f"{metric.title} of {len(names)} models with 95 % intervals; the winner is {best}")


def roc(evaluation: Evaluation) -> Markup:
    """The winner's ROC curve against the best baseline's and the champion's."""
    figure, axes = new_figure(3.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    dashes = ("-", "--", "-.")
    for place, name in enumerate(_compared(evaluation)):
        said = evaluation.test[name]
        assert isinstance(said, Predictions), "the label is a class"  # noqa: S101 - the page asks for it
        false_positives, true_positives, _ = thinned_roc(said, evaluation.design)
        axes.plot(false_positives, true_positives, color=SERIES[place], linestyle=dashes[place], label=name)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    legend(axes, where="lower right")
    area = evaluation.intervals.estimate(evaluation.winner, "roc_auc")
    return figure_svg(figure, f"ROC curves; the area under {evaluation.winner}'s is {estimate_text(area)}")


def reliability_figure(bins: Sequence[Bin], wanted: str) -> Markup:
    """Observed share against predicted probability, by bins with about as many rows each."""
    figure, axes = new_figure(3.6)
    top = min(1.0, 1.08 * max(max(b.high for b in bins), max(b.predicted for b in bins)))
    low = 0.0 if min(b.predicted for b in bins) < 0.3 else 0.95 * min(min(b.low, b.predicted) for b in bins)
    axes.plot([low, top], [low, top], color=MUTED, linewidth=1, linestyle=":")
    x, y = [b.predicted for b in bins], [b.observed for b in bins]
    errors = [[b.observed - b.low for b in bins], [b.high - b.observed for b in bins]]
    axes.errorbar(x, y, yerr=errors, color=SERIES[0], marker="o", markersize=5, linewidth=1.2, capsize=2)
    axes.set(xlabel=f"predicted {wanted}", ylabel="observed share", xlim=(low, top), ylim=(low, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    worst = max(bins, key=lambda b: abs(b.observed - b.predicted))
    gap = f"the widest gap is at {worst.predicted:.0%} predicted, {worst.observed:.0%} observed"
    return figure_svg(figure, f"Reliability curve over {len(bins)} bins; {gap}")


def slice_figure(found: Sequence[Slice], winner: str, rival: str, metric: Metric) -> Markup:
    """The winner and a rival in the largest groups that can be judged, the most frequent group at the top."""
    judged = [e for e in found if e.judged and e.metrics[winner][metric.name].value is not None][:MOST_DRAWN]
    figure, axes = new_figure(1.1 + _ROW * len(judged))
    for place, (name, colour, marker) in enumerate(((winner, SERIES[0], "o"), (rival, MUTED, "s"))):
        for row, entry in enumerate(judged):
            shift = row + (0.13 if place else -0.13)
            _whisker(axes, entry.metrics[name][metric.name], shift, colour, filled=not place, marker=marker)
        axes.plot(
            [], [], color=colour, marker=marker, linestyle="", label=name, markerfacecolor=PAPER if place else colour
        )
    _name_rows(axes, [entry.group for entry in judged])
    axes.set_xlabel(metric.title)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=FONT_SIZE - 0.5, labelcolor=INK)
    column = found[0].column
    return figure_svg(figure, f"{metric.title} by {column}: {winner} against {rival} in {len(judged)} groups")


def month_figure(months: Sequence[Slice], metric: Metric) -> Markup:
    """The winner's metric month by month; validation months are hollow."""
    figure, axes = new_figure(3.2)
    shown = [(n, m) for n, m in enumerate(months) if m.judged and m.metrics["winner"][metric.name].value is not None]
    for place, month in shown:
        estimate = month.metrics["winner"][metric.name]
        face = SERIES[0] if month.column == "test" else PAPER
        low, high = estimate.low or 0.0, estimate.high or 0.0
        axes.plot([place, place], [low, high], color=SERIES[0], linewidth=1.4)
        axes.plot(place, estimate.value or 0.0, color=SERIES[0], marker="o", markersize=6, markerfacecolor=face)
    axes.set_xticks(range(len(months)), [m.group[2:] for m in months], rotation=0 if len(months) < 8 else 60)
    axes.set_xlim(-0.6, len(months) - 0.4)
    axes.set_ylabel(metric.title)
    axes.grid(visible=False, axis="x")
    return figure_svg(figure, f"The winner's {metric.title} by month, {len(shown)} months")


def _compared(evaluation: Evaluation) -> list[str]:
    names = [evaluation.winner, evaluation.selection.best_baseline, NAME]
    return [name for name in names if name in evaluation.test]


def _whisker(
    axes: Axes, estimate: Estimate, row: float, colour: str, *, filled: bool, marker: str = _MARKERS[0]
) -> None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return
    axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=1.6)
    face = colour if filled else PAPER
    axes.plot(estimate.value, row, color=colour, marker=marker, markersize=6, markerfacecolor=face)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)

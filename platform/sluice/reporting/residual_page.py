"""The section on residuals: how forecasts of numbers err, in words, figures and a table."""

import numpy as np
from markupsafe import Markup

from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.residuals import ResidualBin
from sluice.problems.metrics import BUILT_IN, significant
from sluice.problems.weighted_metrics import Floats
from sluice.reporting.pages import (
    Cell,
    Section,
    estimate_html,
    figure_html,
    figures_html,
    note_html,
    table_html,
    text_html,
)
from sluice.reporting.plots import INK, MUTED, SERIES, figure_svg, new_figure

_MOST_POINTS = 800
_BARS = 30


def residuals_section(evaluation: Evaluation) -> Section:
    """How the winner's forecasts err."""
    found, unit = evaluation.residuals, BUILT_IN["mae"]
    assert found is not None, "the label is a number"  # noqa: S101 - the page asks for it
    slope = found.slope
    text = (
        "A residual is the label less the forecast: above 0 the model forecast too little. The slope is that of the "
        "labels on the forecasts: 1 where a forecast means what it says, below 1 where forecasts spread too widely. "
        "No interval of a single forecast is claimed."
    )
    told = (
        f"Labels less forecasts of {evaluation.winner} are {unit.text(found.bias.value, '+')} on average "
        f"({unit.text(found.bias.low, '+')} to {unit.text(found.bias.high, '+')}), {found.relative:.0%} of the mean "
        f"absolute error {unit.text(found.error.value)}: {found.words}. Slope "
        + ("-" if slope.value is None else f"{slope.value:.3f} ({slope.low:.3f} to {slope.high:.3f})")
        + f". Half of the residuals lie between {significant(found.quantiles['0.25'])} and "
        f"{significant(found.quantiles['0.75'])}, nine in ten between {significant(found.quantiles['0.05'])} and "
        f"{significant(found.quantiles['0.95'])}."
    )
    rows: list[list[Cell]] = [_bin_row(entry) for entry in found.bins]
    headers = ["Rows", "Mean forecast", "Mean label, 95 % interval", "Difference"]
    caption = "Rows sorted by the forecast and cut into bins of about equal size"
    figures = [
        figure_html(actual_figure(evaluation), _sampled(evaluation)),
        figure_html(residual_figure(evaluation), "Residuals along the forecast."),
        figure_html(histogram_figure(evaluation), "How often residuals of a size occur."),
    ]
    parts = [
        note_html(told),
        text_html(text),
        figures_html(figures),
        table_html(headers, rows, "rrrr", caption=caption),
    ]
    return Section("residuals", "Residuals", Markup("").join(parts))


def actual_figure(evaluation: Evaluation) -> Markup:
    """Labels against forecasts, and the bins' mean labels with their intervals."""
    said, found = evaluation.numbers, evaluation.residuals
    assert found is not None, "the label is a number"  # noqa: S101 - as above
    forecasts, labels = _thinned(said.forecasts, said.labels)
    figure, axes = new_figure(3.6)
    ends = [float(min(forecasts.min(), labels.min())), float(max(forecasts.max(), labels.max()))]
    axes.plot(forecasts, labels, ".", color=MUTED, alpha=0.35, markersize=3)
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle=":")
    drawn = [b for b in found.bins if b.observed.value is not None]
    middle = np.array([b.observed.value for b in drawn], np.float64)
    low, high = (np.array([getattr(b.observed, end) for b in drawn], np.float64) for end in ("low", "high"))
    axes.errorbar(
        [b.forecast for b in drawn],
        middle,
        yerr=[np.maximum(middle - low, 0), np.maximum(high - middle, 0)],
        color=SERIES[0],
        marker="o",
        markersize=5,
        linewidth=1.2,
        capsize=2,
    )
    axes.set(xlabel="forecast", ylabel=evaluation.task.label)
    axes.locator_params(axis="x", nbins=5)
    score = evaluation.intervals.estimate(evaluation.winner, "r2").value
    told = "" if score is None else f"; R² {score:.3f}"
    return figure_svg(figure, f"Labels against forecasts of {evaluation.winner} {evaluation.place_words}{told}")


def residual_figure(evaluation: Evaluation) -> Markup:
    """Residuals against forecasts."""
    said = evaluation.numbers
    forecasts, residuals = _thinned(said.forecasts, said.residuals)
    figure, axes = new_figure(3.2)
    axes.plot(forecasts, residuals, ".", color=SERIES[0], alpha=0.45, markersize=3)
    axes.axhline(0, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="forecast", ylabel="residual")
    axes.locator_params(axis="x", nbins=5)
    spread = float(np.std(said.residuals))
    return figure_svg(figure, f"Residuals along the forecast; their standard deviation is {significant(spread)}")


def histogram_figure(evaluation: Evaluation) -> Markup:
    """How often residuals of a size occur, the widest hundredth left out; each row counts for what it stands for."""
    residuals = evaluation.numbers.residuals
    low, high = np.quantile(residuals, [0.005, 0.995])
    inside = (residuals >= low) & (residuals <= high)
    figure, axes = new_figure(3.2)
    axes.hist(residuals[inside], bins=_BARS, weights=evaluation.design.weights[inside], color=SERIES[0])
    axes.axvline(0, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="residual", ylabel="rows")
    axes.locator_params(axis="x", nbins=5)
    middle = float(np.median(residuals))
    return figure_svg(figure, f"Histogram of {len(residuals):,} residuals; their median is {significant(middle)}")


def _thinned(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Evenly spaced rows, at most so many as a figure holds."""
    places = np.unique(np.linspace(0, len(first) - 1, min(len(first), _MOST_POINTS)).round().astype(int))
    return first[places], second[places]


def _sampled(evaluation: Evaluation) -> str:
    rows = len(evaluation.numbers.labels)
    words = evaluation.rows_words
    shown = f"{min(rows, _MOST_POINTS):,} of {rows:,} {words}" if rows > _MOST_POINTS else f"{rows:,} {words}"
    return f"{shown}; on the dotted line the forecast is right. Blue: mean label by bin of forecasts."


def _bin_row(entry: ResidualBin) -> list[Cell]:
    observed = entry.observed
    gap = None if observed.value is None else significant(observed.value - entry.forecast, sign="+")
    shown = estimate_html(observed.value, observed.low, observed.high, significant)
    return [entry.rows, significant(entry.forecast), shown, gap]

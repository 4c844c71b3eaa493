"""How forecasts of numbers err: on average, along the forecast, and how widely.

For a number there is no probability to be taken at its word. What can be asked is whether forecasts are right on
average (bias), whether high ones are as much too high as low ones are too low (slope: 1 where a forecast means what it
says, below 1 where forecasts spread too widely; J. Mincer and V. Zarnowitz, *The Evaluation of Economic Forecasts*,
1969), and where along the forecast they err (bins).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sluice.evaluation.bootstrap import Estimate, Resamples, resample_weights, summary
from sluice.evaluation.designs import Design
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.problems.weighted_metrics import Floats, Integers

BINS = 10
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SEED = 7


@dataclass(frozen=True)
class ResidualBin:
    """Rows of like forecasts.

    Attributes:
        rows: How many.
        forecast: Their mean forecast, weighted.
        observed: Their mean label, weighted, with its interval.
    """

    rows: int
    forecast: float
    observed: Estimate


@dataclass(frozen=True)
class Residuals:
    """What is known of a model's residuals, label less forecast.

    Attributes:
        bias: Their mean: below 0 the model forecasts too much.
        error: The mean absolute error: what a bias has to be seen against.
        relative: The bias' size as a share of `error`.
        slope: The slope of the labels on the forecasts.
        quantiles: The residuals' weighted quantiles, by level.
        words: In which direction it errs, or that it does not beyond noise.
        bins: Along the forecast, lowest first.
    """

    bias: Estimate
    error: Estimate
    relative: float
    slope: Estimate
    quantiles: dict[str, float]
    words: str
    bins: list[ResidualBin]

    @property
    def beyond_noise(self) -> bool:
        """Whether the bias' interval lies on one side of zero."""
        return (self.bias.low or 0.0) * (self.bias.high or 0.0) > 0


def residuals_of(
    predictions: NumberPredictions, design: Design, measured: Resamples, model: str, resamples: int
) -> Residuals:
    """Judge a model's residuals.

    Args:
        predictions: Of labelled rows.
        design: The rows' weights and clusters.
        measured: Its metrics.
        model: Its name among them.
        resamples: For the bins and the slope.
    """
    bias, error = measured.estimate(model, "bias"), measured.estimate(model, "mae")
    relative = abs(bias.value or 0.0) / error.value if error.value else 0.0
    codes = forecast_bins(predictions.forecasts)
    drawn = np.hstack(list(_sums(predictions, codes, design, resamples)))
    means, slope = _bin_means(drawn, codes, design), summary(_slopes(drawn[-5:]), design.units, design.widening)
    levels = np.quantile(predictions.residuals, QUANTILES, weights=design.weights, method="inverted_cdf")
    quantiles = {f"{level:g}": float(value) for level, value in zip(QUANTILES, levels, strict=True)}
    return Residuals(bias, error, relative, slope, quantiles, _words(bias), means)


def forecast_bins(forecasts: Floats) -> Integers:
    """Each row's bin of forecasts, by quantiles, numbered without a gap; equal forecasts share a bin. Shape (rows,)."""
    edges = np.unique(np.quantile(forecasts, np.linspace(0, 1, BINS + 1)[1:-1]))
    places = np.searchsorted(edges, forecasts, side="right")
    return np.unique(places, return_inverse=True)[1].astype(np.int64)


def _sums(predictions: NumberPredictions, codes: Integers, design: Design, resamples: int) -> Iterator[Floats]:
    """Sums under each weighting, shape (3 * bins + 5, weightings).

    By bin the weights, weighted labels and forecasts; then weights, labels, forecasts, squares of forecasts, products.
    """
    inside = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float64)
    centre = predictions.labels.mean()  # of products of numbers far from zero no digit would be left
    label, forecast = predictions.labels - centre, predictions.forecasts - centre
    every = [np.ones(len(label)), label, forecast, forecast**2, forecast * label]
    raw = [inside, inside * predictions.labels[:, None], inside * predictions.forecasts[:, None]]
    stacked = np.column_stack([*raw, *every]).T
    for weights in resample_weights(design, resamples, _SEED):
        yield stacked @ weights


def _bin_means(drawn: Floats, codes: Integers, design: Design) -> list[ResidualBin]:
    bins = int(codes.max()) + 1
    weights, labels, forecasts = (drawn[place * bins : (place + 1) * bins] for place in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed, said = labels / weights, forecasts[:, 0] / weights[:, 0]
    rows = np.bincount(codes)
    means = [summary(observed[b], design.units, design.widening) for b in range(bins)]
    return [ResidualBin(int(rows[b]), float(said[b]), means[b]) for b in range(bins)]


def _slopes(sums: Floats) -> Floats:
    total, label, forecast, square, product = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = square / total - (forecast / total) ** 2
        joint = product / total - forecast / total * (label / total)
        return np.asarray(np.where(spread > 0, joint / spread, np.nan))


def _words(bias: Estimate) -> str:
    if bias.value is None or (bias.low or 0.0) * (bias.high or 0.0) <= 0:
        return "right on average, as far as these rows can tell"
    return "too low on average" if bias.value > 0 else "too high on average"

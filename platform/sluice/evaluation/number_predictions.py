"""What one model said of rows whose label is a number, and its metrics under many weightings of the rows at once.

As for classes (`sluice.problems.weighted_metrics`), a bootstrap resample is a weighting, and what is a mean over rows
is one matrix product. scikit-learn's metrics are the reference in the tests.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sluice.problems.metrics import BUILT_IN, Metric
from sluice.problems.weighted_metrics import Floats, Weights

MEANS = ("mse", "mae", "pinball_10", "pinball_50", "pinball_90", "bias")
"""The built-in metrics that are means over rows, wherever they are defined."""


@dataclass(frozen=True)
class NumberPredictions:
    """What one model said of labelled rows.

    Attributes:
        labels: The numbers, shape (rows,).
        forecasts: What the model says of them, shape (rows,).
        ratios: Whether relative errors say something: no label of the table is near zero.
        own: A project's own metrics.
        row_loss: The one of them that is the mean of the rows' losses; None for squared errors.
    """

    labels: Floats
    forecasts: Floats
    ratios: bool = False
    own: tuple[Metric, ...] = ()
    row_loss: Metric | None = None
    binary = False
    classes = 0

    @cached_property
    def residuals(self) -> Floats:
        """The label less the forecast, shape (rows,): above 0 where the model forecast too little."""
        return np.asarray(self.labels - self.forecasts)

    @cached_property
    def losses(self) -> Floats:
        """Squared errors, or the problem's own losses, shape (rows,): they tell how much rows depend on each other."""
        if self.row_loss is not None:
            return self.row_loss.each(self.labels, self.forecasts)
        return np.asarray(self.residuals**2)

    def subset(self, inside: NDArray[np.bool_]) -> "NumberPredictions":
        """The same of some of the rows; inside: shape (rows,)."""
        return replace(self, labels=self.labels[inside], forecasts=self.forecasts[inside])

    def metrics(self, weights: Weights) -> dict[str, Floats]:
        """Every metric under every weighting.

        Args:
            weights: Shape (rows, weightings), at least 0; all ones gives the plain metrics.

        Returns:
            By name, shape (weightings,): `rmse`, `mae`, `r2`, `mape` where `ratios`, `pinball_10`, `pinball_50`,
            `pinball_90`, `mse`, `bias` (the mean residual: below 0 forecasts are too high), and the project's own.
            R² is NaN where all labels are alike.
        """
        total = weights.sum(axis=0, dtype=np.float64)
        names = [*MEANS, *(["mape"] if self.ratios else [])]
        means = dict(zip([*names, "_label", "_square"], self._columns.T @ weights / total, strict=True))
        spread = means.pop("_square") - means.pop("_label") ** 2  # of labels less their mean: nothing cancels
        with np.errstate(invalid="ignore", divide="ignore"):
            means["r2"] = np.where(spread > 0, 1 - means["mse"] / spread, np.nan)
        means["rmse"] = np.sqrt(means["mse"])
        found = {name: np.asarray(means[name]) for name in BUILT_IN if name in means}
        return found | {metric.name: metric.under(self.labels, self.forecasts, weights) for metric in self.own}

    @cached_property
    def _columns(self) -> Floats:
        """What is averaged over rows, shape (rows, means)."""
        names = [*MEANS, *(["mape"] if self.ratios else [])]
        functions = [BUILT_IN[name].rows for name in names]
        columns = [rows(self.labels, self.forecasts) for rows in functions if rows is not None]
        centred = self.labels - self.labels.mean()
        return np.column_stack([*columns, centred, centred**2])

"""The metrics of forecasts whose labels are known only by their probabilities.

Under probabilities that are right, the expected confusion matrix is a sum of probabilities, and every metric of it
follows (J. Bialek and others, arXiv 2401.08348; NannyML calls the use of it confidence-based performance estimation).
With probabilities of 0 and 1, which are labels, the results are the metrics themselves: one code for both, so that an
estimate and the truth that comes later cannot differ by their definitions.
"""

import numpy as np

from sluice.monitoring.judged_rows import Floats, Integers, JudgedRows

_EPSILON = float(np.finfo(np.float64).eps)


class ExpectedMetrics:
    """Forecasts, arranged so that their metrics under many probabilities of their labels are quick to compute."""

    def __init__(self, rows: JudgedRows) -> None:
        self._said, self._binary = rows.said, rows.binary
        values = rows.values
        self._count = len(values)
        self._logs = -np.log(np.clip(values, _EPSILON, 1.0))
        self._squares = (values**2).sum(axis=1)
        self._values = values
        self._most = values.argmax(axis=1)
        self._targets = range(1, 2) if rows.binary else range(values.shape[1])
        self._orders = [_Order(values[:, target]) for target in self._targets]

    def under(self, probabilities: Floats) -> dict[str, float]:
        """The expected metrics.

        Args:
            probabilities: Of each row's label, shape (rows, classes).

        Returns:
            `log_loss`, `brier`, `accuracy` of the most probable class, `precision`, `recall` and `f1` of the class
            called (over several classes their macro averages), and `roc_auc` (macro, one against the rest; NaN where a
            class is expected nowhere). `sluice.problems.weighted_metrics` has the same names and meanings.
        """
        places = np.arange(self._count)
        brier = float((self._squares - 2 * (probabilities * self._values).sum(axis=1) + 1).mean())
        areas = [
            order.area(probabilities[:, target]) for order, target in zip(self._orders, self._targets, strict=True)
        ]
        return {
            "log_loss": float((probabilities * self._logs).sum(axis=1).mean()),
            "brier": brier / 2 if self._binary else brier,
            "accuracy": float(probabilities[places, self._most].mean()),
            **self._of_called(probabilities),
            "roc_auc": float(np.mean(areas)),
        }

    def _of_called(self, probabilities: Floats) -> dict[str, float]:
        shares: list[tuple[float, float, float]] = []
        for target in self._targets:
            called = self._said == target
            hits, said = float(probabilities[called, target].sum()), float(called.sum())
            true = float(probabilities[:, target].sum())
            shares.append((_share(hits, said), _share(hits, true), _share(2 * hits, said + true)))
        means = np.mean(shares, axis=0)
        return dict(zip(("precision", "recall", "f1"), map(float, means), strict=True))


class _Order:
    """Rows in the order of a score, for the area under the ROC curve."""

    def __init__(self, scores: Floats) -> None:
        self._order: Integers = np.argsort(scores, kind="stable").astype(np.int64)
        ordered = scores[self._order]
        self._starts = np.searchsorted(ordered, ordered, side="left")
        self._ends = np.searchsorted(ordered, ordered, side="right")

    def area(self, positive: Floats) -> float:
        """The expected area, ties counted half: pairs of different rows, one positive and one negative."""
        ups = positive[self._order]
        downs = 1 - ups
        below = np.concatenate([[0.0], np.cumsum(downs)])
        ranked = (below[self._starts] + below[self._ends]) / 2 - downs / 2  # a row makes no pair with itself
        pairs = ups.sum() * downs.sum() - (ups * downs).sum()
        return float((ups * ranked).sum() / pairs) if pairs > 0 else float("nan")


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def certain(labels: Floats, classes: int) -> Floats:
    """Labels as probabilities of 0 and 1, shape (rows, classes)."""
    return np.asarray(labels[:, None] == np.arange(classes), np.float64)


def true_metrics(rows: JudgedRows) -> dict[str, float]:
    """The metrics of rows that all have a label."""
    assert rows.labels is not None, "every row has a label"  # noqa: S101 - the caller chose the rows
    if rows.regression:
        return number_metrics(rows.labels - rows.values)
    return ExpectedMetrics(rows).under(certain(rows.labels, rows.values.shape[1]))


def number_metrics(residuals: Floats) -> dict[str, float]:
    """`rmse` and `mae` of labels less forecasts."""
    return {"rmse": float(np.sqrt((residuals**2).mean())), "mae": float(abs(residuals).mean())}

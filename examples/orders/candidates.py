"""A candidate of one's own: naive Bayes on the words of a row, and on its earlier share in tenths."""

from typing import Any

import numpy as np
import pandas as pd

WORDS = ("channel", "plan", "region")
TENTHS = np.linspace(0.1, 0.9, 9)
PRIOR = 20.0  # rows' worth of the common rate in each value's rate


class Rates:
    """Log odds of the common rate, and what each value adds to them."""

    def fit(
        self, rows: pd.DataFrame, label: np.ndarray, weight: np.ndarray, *, seed: int, seconds: float
    ) -> dict[str, Any]:
        """Learn the rates: arrays, numbers and texts, which are kept without a pickle."""
        common = float(np.average(label, weights=weight))
        state: dict[str, Any] = {"common": common}
        for name, values in _words(rows).items():
            frame = pd.DataFrame({"value": values, "all": weight, "ones": weight * label})
            sums = frame.groupby("value")[["all", "ones"]].sum()
            rates = (sums["ones"] + PRIOR * common) / (sums["all"] + PRIOR)
            state[name] = {str(value): float(rate) for value, rate in rates.items()}
        return state

    def predict(self, state: dict[str, Any], rows: pd.DataFrame) -> np.ndarray:
        """Probabilities of kept and sent back, shape (rows, 2)."""
        odds = np.full(len(rows), _odds(state["common"]))
        for name, values in _words(rows).items():
            rates = values.map(state[name]).fillna(state["common"]).to_numpy(float)
            odds += _odds(rates) - _odds(state["common"])
        share = 1 / (1 + np.exp(-odds))
        return np.column_stack([1 - share, share])


def _words(rows: pd.DataFrame) -> dict[str, pd.Series]:
    found = {name: rows[name].astype(str) for name in WORDS}
    share = rows["returned_before"].to_numpy(float)
    tenth = np.where(np.isnan(share), "new", np.digitize(share, TENTHS).astype(str))
    return found | {"returned_before": pd.Series(tenth, index=rows.index)}


def _odds(rate: Any) -> Any:
    return np.log(rate) - np.log1p(-rate)

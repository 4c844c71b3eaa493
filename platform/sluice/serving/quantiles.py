"""Quantiles of sizes in fixed memory: counts in bins whose bounds grow by the same factor.

So a quantile is right to within 5 % of itself, from 1e-12 to 1e6, whatever the values; two sketches add up by adding
their counts. Source: C. Masson, J. E. Rim, H. K. Lee, *DDSketch*, PVLDB 12, 2019, with a fixed range of bins.
"""

from math import ceil, log

import numpy as np
import numpy.typing as npt

_LEAST, _MOST = 1e-12, 1e6
_GROWTH = 1.1
_BINS = ceil(log(_MOST / _LEAST) / log(_GROWTH)) + 2
ACCURACY = (_GROWTH - 1) / (_GROWTH + 1)
"""The relative error of a quantile, at most."""


class QuantileSketch:
    """Counts of sizes; what is below 1e-12 counts as 0, what is above 1e6 as that.

    Attributes:
        count: How many sizes.
        greatest: The greatest of them, exactly.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self.count, self.greatest = 0, 0.0

    def add(self, sizes: npt.NDArray[np.float64]) -> None:
        """Count sizes, at least 0, shape (values,); those that are no numbers are passed over."""
        known = sizes[np.isfinite(sizes)]
        if not len(known):
            return
        with np.errstate(divide="ignore"):
            places = np.ceil(np.log(known / _LEAST) / log(_GROWTH))
        np.add.at(self._counts, np.clip(places, 0, _BINS - 1).astype(np.int64), 1)
        self.count += len(known)
        self.greatest = max(self.greatest, float(known.max()))

    def quantile(self, share: float) -> float:
        """The size that a share of all is not above; NaN where there is none."""
        if not self.count:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._counts), max(1, ceil(share * self.count))))
        if place == 0:
            return 0.0
        return float(min(self.greatest, 2 * _LEAST * _GROWTH**place / (1 + _GROWTH)))

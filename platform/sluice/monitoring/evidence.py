"""Evidence that keeps its word over all time: e-values, and detectors that add them up.

An e-value is a number that is at most 1 on average where nothing has changed (G. Shafer and V. Vovk, 2019; V. Vovk and
R. Wang, *E-values: calibration, combination and applications*, Annals of Statistics 49, 2021). A detector multiplies
the e-values of a channel from any moment on at which the change may have begun, and adds these products up (the
Shiryaev-Roberts form of an e-detector; J. Shin, A. Ramdas and A. Rinaldo, 2023). Where nothing changes, the time until
the sum reaches a limit is on average at least as many windows as the limit: that holds at every moment at which
somebody looks, for any mean of detectors, and whatever they depend on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_SMALLEST = 1e-300
_LARGEST = 1e12


def e_value(p_value: float) -> float:
    """An e-value of a p-value: the mixture of all p-to-e calibrators of the power family (Vovk and Wang 2021, (3))."""
    p = min(max(p_value, _SMALLEST), 1.0)
    if 1.0 - p < 1e-6:
        return 0.5  # the limit
    logarithm = float(np.log(p))
    return float((1 - p + p * logarithm) / (p * logarithm**2))


def least_p_value(wanted: float) -> float:
    """The p-value whose e-value is `wanted`, at least 1."""
    low, high = np.log(_SMALLEST), 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if e_value(float(np.exp(middle))) >= wanted else (low, middle)
    return float(np.exp(low))


def normal_p_value(worse: float, lasting: float, noise: float) -> float:
    """How probable so much worse a window is where nothing changed.

    Args:
        worse: By how much the window is worse than the reference, in any unit.
        lasting: The standard error of the reference, which all windows share: its 95 % bound is taken off, for no
            number of windows would average it out.
        noise: The standard error of this window alone.
    """
    left = worse - LASTING_QUANTILE * lasting
    if noise <= 0:
        return 0.0 if left > 0 else 1.0
    return float(stats.norm.sf(left / noise))


LASTING_QUANTILE = 1.644854


def share_p_value(hits: int, rows: int, limit: float) -> float:
    """How probable so many hits are where each row is one with a probability of at most `limit`."""
    return float(stats.binom.sf(hits - 1, rows, min(max(limit, 0.0), 1.0)))


def share_bound(hits: int, rows: int) -> float:
    """The upper 95 % bound of a share (Clopper and Pearson 1934)."""
    return 1.0 if hits >= rows else float(stats.beta.ppf(0.95, hits + 1, rows - hits))


@dataclass
class Detectors:
    """The sums of all channels of a model, each with its share of the false alarms.

    Attributes:
        limit: How many windows pass on average until a false alarm, all channels together.
        sums: By channel, from the windows before.
    """

    limit: float
    sums: dict[str, float]

    def add(self, p_values: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
        """One window more.

        Args:
            p_values: By channel; one that could not be judged is left out, and its sum stays as it is.
            shares: How much of the false alarms each channel may use; together at most 1.

        Returns:
            How far each channel's sum is along its limit; from 1 on it is evidence.
        """
        for name, p_value in p_values.items():
            grown = (self.sums.get(name, 0.0) + 1) * e_value(p_value)
            self.sums[name] = min(grown, _LARGEST)
        return {name: shares.get(name, 0.0) * self.sums[name] / self.limit for name in p_values}

    def restart(self, channel: str) -> None:
        """Begin anew after an alarm."""
        self.sums.pop(channel, None)


def limit_of(windows_a_quarter: float, false_alarms_a_quarter: float) -> float:
    """The limit that holds a rate of false alarms; below 1 window it would be an alarm at once."""
    return max(1.0, windows_a_quarter / false_alarms_a_quarter)

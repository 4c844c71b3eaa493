"""How much worse a model is for being old: a slope with age, and breaks, out of windows that are noisy and come late.

Each window says by how much the model was worse than on the rows it was judged by. That is taken to be

    worse = offset + slope · age + step · [window is after the break] + noise

with at most one break since the model was trained, its place unknown: every place is weighed by how well it explains
the windows (Bayesian averaging over linear models with Gaussian priors, in closed form). The offset is no staleness:
training cannot take it away. The slope is learned over all versions that were watched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BREAK = 1 / 40
"""The chance of a break in a window, before anything was seen."""
_FORGOTTEN = 2.0
"""So many times the variance of the slope grows from one version to the next: worlds change."""


@dataclass(frozen=True)
class Watched:
    """Windows of one version, oldest first: age in days at each, by how much it was worse, and that value's error."""

    ages: Floats
    worse: Floats
    noise: Floats


@dataclass(frozen=True)
class Prior:
    """What is thought before anything is seen: Gaussian, by standard deviations.

    Attributes:
        slope: Mean of the slope, a day.
        slope_sd: Its standard deviation.
        step_sd: That of a break's step, around 0.
        offset_sd: That of the offset, around 0.
    """

    slope: float
    slope_sd: float
    step_sd: float
    offset_sd: float


@dataclass(frozen=True)
class Staleness:
    """What is thought afterwards.

    Attributes:
        now: By how much the model is worse now for being old; the posterior mean.
        sd: Its standard deviation.
        slope: By how much more a day.
        slope_sd: Its standard deviation.
        broken: The probability that there was a break.
    """

    now: float
    sd: float
    slope: float
    slope_sd: float
    broken: float


def staleness(current: Watched, age: float, earlier: Sequence[Watched], prior: Prior) -> Staleness:
    """Estimate it.

    Args:
        current: Windows of the champion; may be none.
        age: The champion's age now, days.
        earlier: Windows of the versions before, oldest version first.
        prior: Before anything was seen.
    """
    for watched in earlier:
        if len(watched.ages):
            found = _averaged(watched, float(watched.ages[-1]), prior)
            wide = min(float(np.sqrt(_FORGOTTEN)) * found.slope_sd, prior.slope_sd)
            prior = Prior(found.slope, max(wide, prior.slope_sd / 8), prior.step_sd, prior.offset_sd)
    return _averaged(current, age, prior)


def _averaged(watched: Watched, age: float, prior: Prior) -> Staleness:
    count = len(watched.ages)
    if not count:
        return Staleness(prior.slope * age, prior.slope_sd * age, prior.slope, prior.slope_sd, 0.0)
    places = [None, *range(1, count)]  # before the first window it is the offset
    weights = np.array([1 - min(_BREAK * (count - 1), 0.5), *[min(_BREAK, 0.5 / max(count - 1, 1))] * (count - 1)])
    fits = [_fit(watched, place, prior) for place in places]
    logs = np.log(weights) + np.array([each[2] for each in fits])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    nows, slopes, now_vars, slope_vars = [], [], [], []
    for (mean, cover, _), place in zip(fits, places, strict=True):
        look = np.array([0.0, age, 0.0 if place is None else 1.0])
        nows.append(float(look @ mean))
        now_vars.append(float(look @ cover @ look))
        slopes.append(float(mean[1]))
        slope_vars.append(float(cover[1, 1]))
    now, sd = _mixed(shares, np.array(nows), np.array(now_vars))
    slope, slope_sd = _mixed(shares, np.array(slopes), np.array(slope_vars))
    return Staleness(now, sd, slope, slope_sd, float(1 - shares[0]))


def _mixed(shares: Floats, means: Floats, variances: Floats) -> tuple[float, float]:
    mean = float(shares @ means)
    return mean, float(np.sqrt(shares @ (variances + (means - mean) ** 2)))


def _fit(watched: Watched, place: int | None, prior: Prior) -> tuple[Floats, Floats, float]:
    """Posterior mean and covariance of offset, slope and step with a break at a place, and the log evidence.

    Source: Bishop, Pattern Recognition and Machine Learning, 3.3 and 3.5, by the Woodbury identity.
    """
    count = len(watched.ages)
    after = np.zeros(count) if place is None else (np.arange(count) >= place).astype(float)
    design = np.stack([np.ones(count), watched.ages, after], axis=1)
    mean = np.array([0.0, prior.slope, 0.0])
    cover = np.diag(np.array([prior.offset_sd, prior.slope_sd, prior.step_sd]) ** 2)
    left = watched.worse - design @ mean
    spread = design @ cover @ design.T + np.diag(watched.noise**2)
    solved = np.linalg.solve(spread, np.column_stack([left, design @ cover]))
    posterior = mean + cover @ design.T @ solved[:, 0]
    covariance = cover - cover @ design.T @ solved[:, 1:]
    _, log_det = np.linalg.slogdet(spread)
    return posterior, covariance, float(-0.5 * (left @ solved[:, 0] + log_det))

"""How much worse a model is for being old: a slope with age, and breaks, out of windows that are noisy and come late.

Each window says by how much the model was worse than on the rows it was judged by. That is taken to be

    worse = offset + slope · age + step · [window is after the break] + noise

with at most one break since the model was trained, its place unknown: every place is weighed by how well it explains
the windows (Bayesian averaging over linear models with Gaussian priors, in closed form). The slope is learned over the
versions that were watched before, and so is the offset that even a new model has: training cannot take that away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BREAK = 1 / 40
"""The chance of a break in a window, before anything was seen."""
_PLACES = 12  # only so many of the last windows may have been the first after a break
_WINDOWS = 40  # of a version, the newest
_VERSIONS = 4  # before the champion
_FORGOTTEN = 1.41
"""So many times the standard deviation of the slope grows from one version to the next: worlds change."""


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
        now: By how much the model is worse now than a new one would be; the posterior mean.
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


@dataclass(frozen=True)
class _Found:
    """Posterior means and standard deviations of one version: at an age, of the slope, of the offset."""

    now: float
    sd: float
    slope: float
    slope_sd: float
    offset: float
    offset_sd: float
    broken: float


def staleness(current: Watched, age: float, earlier: Sequence[Watched], prior: Prior) -> Staleness:
    """Estimate it.

    Args:
        current: Windows of the champion; may be none.
        age: The champion's age now, days.
        earlier: Windows of the versions before, oldest version first.
        prior: Before anything was seen.
    """
    offsets, weights = 0.0, 1 / prior.offset_sd**2  # a new model is as good as it was judged, unless seen otherwise
    for watched in [each for each in earlier if len(each.ages)][-_VERSIONS:]:
        found = _averaged(watched, float(watched.ages[-1]), prior)
        wide = min(_FORGOTTEN * found.slope_sd, prior.slope_sd)
        prior = replace(prior, slope=found.slope, slope_sd=max(wide, prior.slope_sd / 8))
        offsets += found.offset / found.offset_sd**2
        weights += 1 / found.offset_sd**2
    new = max(offsets / weights, 0.0)
    found = _averaged(current, age, prior)
    return Staleness(found.now - new, found.sd, found.slope, found.slope_sd, found.broken)


def _averaged(watched: Watched, age: float, prior: Prior) -> _Found:
    """The average over all places of a break, the first of them "none"."""
    ages, worse, noise = (each[-_WINDOWS:] for each in (watched.ages, watched.worse, watched.noise))
    count = len(ages)
    places = np.arange(max(count - _PLACES, 1), count)  # before the first window it is the offset
    after = np.vstack([np.zeros(count), np.arange(count)[None, :] >= places[:, None]])
    fits = len(after)
    design = np.stack([np.ones_like(after), np.broadcast_to(ages, after.shape), after], axis=2)
    mean = np.array([0.0, prior.slope, 0.0])
    cover = np.diag(np.array([prior.offset_sd, prior.slope_sd, prior.step_sd]) ** 2)
    means, covers, logs = _fitted(design, worse, noise, mean, cover)
    chance = min(_BREAK, 0.5 / max(fits - 1, 1))
    logs = logs + np.log([1 - chance * (fits - 1), *[chance] * (fits - 1)])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    looks = np.column_stack([np.ones(fits), np.full(fits, age), [0.0, *[1.0] * (fits - 1)]])
    slope_only, offset_only = (np.tile(np.eye(3)[index], (fits, 1)) for index in (1, 0))
    now, sd = _mixed(shares, looks, means, covers)
    slope, slope_sd = _mixed(shares, slope_only, means, covers)
    offset, offset_sd = _mixed(shares, offset_only, means, covers)
    return _Found(now, sd, slope, slope_sd, offset, offset_sd, float(1 - shares[0]))


def _mixed(shares: Floats, looks: Floats, means: Floats, covers: Floats) -> tuple[float, float]:
    """Mean and standard deviation of a mixture of Gaussians, each looked at along its row."""
    each = np.einsum("pi,pi->p", looks, means)
    spread = np.einsum("pi,pij,pj->p", looks, covers, looks)
    mean = float(shares @ each)
    return mean, float(np.sqrt(max(shares @ (spread + (each - mean) ** 2), 0.0)))


def _fitted(design: Floats, worse: Floats, noise: Floats, mean: Floats, cover: Floats) -> tuple[Floats, Floats, Floats]:
    """Posterior means, covariances and log evidences of Gaussian linear models, one a design.

    Source: Bishop, Pattern Recognition and Machine Learning, 3.3 and 3.5, in the form for few observations.
    """
    left = worse - design @ mean
    crossed = design @ cover
    spread = crossed @ design.transpose(0, 2, 1) + np.diag(noise**2)
    solved = np.linalg.solve(spread, np.concatenate([left[:, :, None], crossed], axis=2))
    gain = crossed.transpose(0, 2, 1)
    means = mean + (gain @ solved[:, :, :1])[:, :, 0]
    covers = cover - gain @ solved[:, :, 1:]
    _, log_dets = np.linalg.slogdet(spread)
    return means, covers, -0.5 * (np.einsum("pn,pn->p", left, solved[:, :, 0]) + log_dets)

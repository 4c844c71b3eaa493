"""`policy: cost`: what a stale model costs, weighed against what a run costs.

A run is worth its price when the model costs more a day for being old than the best rhythm of runs would cost a day,
all in all. With a price C of a run and staleness that grows by s a day (in money a day), the best rhythm trains every
√(2C/s) days and costs √(2Cs) a day; a model that costs less than that now may still wait. Without any growth a run
still has to pay within the horizon: C/horizon. (The marginal value rule of renewal theory; the same trade as CARA,
arXiv 2310.04216, and "When to retrain", ICML 2025, with an explicit forecast.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

import numpy as np

from sluice.operator.draft import Draft
from sluice.operator.evidence import VersionSeen, WindowSeen
from sluice.operator.parts import span
from sluice.operator.staleness import Prior, Staleness, Watched, staleness
from sluice.operator.state import CostEstimate
from sluice.operator.windows import metric_of

_DAY = 86_400.0
_ESTIMATED = 1.5  # an estimate without labels may be wrong by more than it says
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class Weighed:
    """Whether a run is worth its price, why, and the numbers."""

    train: bool
    words: str
    cost: CostEstimate


@dataclass(frozen=True)
class Prices:
    """What is weighed: the price of a run, money a day for a unit of the metric, and the horizon in days."""

    run: float
    unit_day: float
    horizon: float

    def prior(self, noise: float) -> Prior:
        """Before anything was seen: growth and steps of the size at which a run begins to be worth its price.

        Args:
            noise: A window's error: offsets of that size say nothing.
        """
        level = self.run / (self.horizon * self.unit_day)
        return Prior(level / self.horizon, 4 * level / self.horizon, step_sd=8 * level, offset_sd=max(level, noise))

    def threshold(self, found: Staleness) -> float:
        """Money a day: a model that costs more than this for being old is trained again."""
        growth = max(found.slope, 0.0) * self.unit_day
        return max(sqrt(2 * self.run * growth), self.run / self.horizon)


def weigh(draft: Draft) -> Weighed | None:
    """Weigh it; None where prices are not given, there is no champion, or no window tells."""
    money, champion = draft.spec.cost, draft.evidence.champion
    if not money.per_run or not money.per_unit_loss or champion is None:
        return None
    current, *earlier = _watched(draft, champion)
    rows = money.rows_per_day or draft.evidence.rows_per_day or _rows_per_day(draft.evidence.windows)
    if not rows or not (len(current.ages) or any(len(each.ages) for each in earlier)):
        return None
    prices = Prices(money.per_run, money.per_unit_loss * rows, span(money.horizon).total_seconds() / _DAY)
    noises = np.concatenate([current.noise, *(each.noise for each in earlier)])
    age = (draft.now - _began(champion)).total_seconds() / _DAY
    found = staleness(current, age, earlier, prices.prior(float(np.median(noises))))
    return _told(found, prices, money.currency, draft)


def _told(found: Staleness, prices: Prices, currency: str, draft: Draft) -> Weighed:
    now = max(found.now, 0.0) * prices.unit_day
    limit = prices.threshold(found)
    growth = max(found.slope, 0.0) * prices.unit_day
    stale = prices.horizon * now + growth * prices.horizon**2 / 2
    train = now >= limit
    words = (
        f"being old, the model costs {now:.2f} {currency} a day; from {limit:.2f} a day on a "
        f"run for {prices.run:.2f} is worth it (worse by {found.now:.4g} ± {found.sd:.2g} now, {found.slope:+.2g} a day"
        f"{f', a break with probability {found.broken:.0%}' if found.broken > _LIKELY else ''})"
    )
    cost = CostEstimate(
        run=prices.run, stale=round(stale, 4), saved=round(prices.horizon * now, 4), waiting=round(now, 4),
        currency=draft.spec.cost.currency, words=words,
    )  # fmt: skip
    return Weighed(train, words, cost)


_LIKELY = 0.5


def _began(champion: VersionSeen) -> datetime:
    return champion.trained or champion.since


def _watched(draft: Draft, champion: VersionSeen) -> Iterator[Watched]:
    """Windows of the champion, then of the versions before in the order of their first windows."""
    by_version: dict[str, list[WindowSeen]] = {champion.version: []}
    for window in draft.evidence.windows:
        by_version.setdefault(window.version, []).append(window)
    for version, windows in by_version.items():
        began = _began(champion) if version == champion.version else windows[0].start
        yield _points(windows, began, draft)


def _points(windows: list[WindowSeen], began: datetime, draft: Draft) -> Watched:
    points = []
    metric = next((t.performance.metric for t in draft.spec.triggers if t.performance and t.performance.metric), "")
    for window in windows:
        found = metric_of(window, metric, "either", draft)
        if found is not None:
            middle = window.start + (window.end - window.start) / 2
            wider = _ESTIMATED if found.by == "estimated" else 1.0
            age = (middle - began).total_seconds() / _DAY
            points.append((age, found.worse, max(found.noise * wider, _LEAST_NOISE)))
    ages, worse, noise = np.array(points, dtype=np.float64).reshape(-1, 3).T
    return Watched(ages, worse, noise)


def _rows_per_day(windows: tuple[WindowSeen, ...]) -> float:
    if not windows:
        return 0.0
    days = (windows[-1].end - windows[0].start).total_seconds() / _DAY
    return sum(each.rows for each in windows) / days if days > 0 else 0.0

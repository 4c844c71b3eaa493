"""`policy: cost`: what a stale model costs, weighed against what a run costs.

Windows of the model's versions say by how much each was worse than when it was judged. From them follows what the
champion will cost for being old, and what a version would cost that is trained now, or later (`possible_worlds`); the
cheapest plan of runs within the horizon follows from that and a run's price (`planning`). A run begins where the
cheapest plan begins with one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

import numpy as np

from sluice.operator.draft import Draft
from sluice.operator.evidence import WindowSeen
from sluice.operator.parts import span
from sluice.operator.planning import Plan, plan
from sluice.operator.possible_worlds import Forecast, Question, WindowStep, forecast
from sluice.operator.specs import ContinuousTrainingSpec, Cost
from sluice.operator.state import CostEstimate
from sluice.operator.windows import Moment, metric_of

_DAY = timedelta(days=1)
_ESTIMATED = 1.5  # an estimate without labels may be wrong by more than it says
_AHEAD = 13  # steps of the horizon
_MOST_STEPS = 80
_OLDEST = -40  # a version from before is taken to be from then


@dataclass(frozen=True)
class Weighed:
    """Whether a run is worth its price, why, and the numbers."""

    train: bool
    words: str
    cost: CostEstimate


@dataclass(frozen=True)
class Point:
    """What a window says of a version: when, by how much it was worse, and that value's error."""

    version: str
    middle: datetime
    worse: float
    noise: float


def weigh(draft: Draft) -> Weighed | None:
    """Weigh it; None where prices are not given, there is no champion, or no window tells."""
    money, champion = draft.spec.cost, draft.evidence.champion
    if not money.per_run or not money.per_unit_loss or champion is None:
        return None
    windows = draft.evidence.windows
    rows = money.rows_per_day or draft.evidence.rows_per_day or rows_a_day(windows)
    points = list(points_of(windows, draft))
    if not rows or not points:
        return None
    trained = trained_at(windows) | {champion.version: champion.trained or champion.since}
    grid = Grid(draft.spec, windows, trained, draft.now, rows)
    asked = grid.question(champion.version)
    found = forecast(grid.steps(points), asked)
    made = plan(found, money.per_run, grid.unit)
    return _told(made, found, grid.step / _DAY, money)


class Grid:
    """Time in steps of equal length, of which the newest window's end is one.

    Attributes:
        step: A step's length.
        begin: Where the first begins.
        count: How many there are up to now.
        unit: What a step costs when the metric is worse by one.
    """

    def __init__(
        self,
        spec: ContinuousTrainingSpec,
        windows: Sequence[WindowSeen],
        trained: Mapping[str, datetime],
        now: datetime,
        rows: float,
    ) -> None:
        """Lay it.

        Args:
            spec: Prices and delays.
            windows: Oldest first; at least one.
            trained: When each version was trained.
            now: The moment.
            rows: A day.
        """
        self._spec, self._trained = spec, trained
        self.horizon = span(spec.cost.horizon)
        lengths = sorted(each.end - each.start for each in windows)
        self.step = max(lengths[len(lengths) // 2], self.horizon / _AHEAD)
        end = windows[-1].end + (now - windows[-1].end) // self.step * self.step
        self.count = min(max(round((end - min(trained.values())) / self.step), 1), _MOST_STEPS)
        self.begin = end - self.count * self.step
        self._unit_day = spec.cost.per_unit_loss * rows
        self.unit = self._unit_day * (self.step / _DAY)

    def place(self, moment: datetime) -> int:
        """The step that ends nearest to a moment."""
        return max(min(round((moment - self.begin) / self.step), self.count), _OLDEST)

    def question(self, champion: str) -> Question:
        """What is asked now about a version."""
        money = self._spec.cost
        return Question(
            now=self.count,
            champion=self.place(self._trained[champion]),
            delay=ceil(span(self._spec.label_delay) / self.step),
            learns=max(1, round(span(money.learns_from) / self.step)),
            ahead=max(1, round(self.horizon / self.step)),
            level=money.per_run / (self.horizon / _DAY * self._unit_day),
        )

    def steps(self, points: Iterable[Point]) -> tuple[WindowStep, ...]:
        """Windows by step; several of one version in one step are one."""
        found: dict[tuple[int, str], list[Point]] = {}
        for each in points:
            step = (each.middle - self.begin) // self.step + 1
            if 1 <= step <= self.count:
                found.setdefault((step, each.version), []).append(each)
        return tuple(self._step(step, version, told) for (step, version), told in sorted(found.items()))

    def _step(self, step: int, version: str, told: list[Point]) -> WindowStep:
        weights = np.array([each.noise for each in told]) ** -2.0
        worse = float(np.average([each.worse for each in told], weights=weights))
        return WindowStep(step, min(self.place(self._trained[version]), step), worse, float(weights.sum() ** -0.5))


def trained_at(windows: Sequence[WindowSeen]) -> dict[str, datetime]:
    """When versions were trained, as far as windows tell: the first one's begin."""
    return {each.version: each.start for each in reversed(windows)}


def metric_name(spec: ContinuousTrainingSpec) -> str:
    """The metric that is weighed: that of a trigger, where one names it; empty for whichever is told first."""
    return next((t.performance.metric for t in spec.triggers if t.performance and t.performance.metric), "")


def points_of(windows: Sequence[WindowSeen], asked: Moment) -> Iterator[Point]:
    """What windows say at a moment, oldest first."""
    metric = metric_name(asked.spec)
    for window in windows:
        found = metric_of(window, metric, "either", asked, few=True)
        if found is not None:
            wider = _ESTIMATED if found.by == "estimated" else 1.0
            middle = window.start + (window.end - window.start) / 2
            yield Point(window.version, middle, found.worse, max(found.noise * wider, _LEAST_NOISE))


_LEAST_NOISE = 1e-6


def _told(made: Plan, found: Forecast, days: float, money: Cost) -> Weighed:
    train, currency = made.now <= made.later, money.currency
    later = "never" if made.wait is None else f"in {made.wait * days:.3g} days"
    words = (
        f"a run now and the best that follows costs {made.now:.2f} {currency} over {money.horizon}, the first run "
        f"{later} costs {made.later:.2f} (worse by {found.now:.4g} ± {found.sd:.2g} now, a version trained now by "
        f"{found.trained[0, 0]:.4g})"
    )
    cost = CostEstimate(
        run=money.per_run, stale=round(made.never, 4), saved=round(made.saved, 4), waiting=round(made.step, 4),
        currency=currency, words=words,
    )  # fmt: skip
    return Weighed(train, words, cost)


def rows_a_day(windows: Sequence[WindowSeen]) -> float:
    """How many rows a day windows had."""
    if not windows:
        return 0.0
    days = (windows[-1].end - windows[0].start) / _DAY
    return sum(each.rows for each in windows) / days if days > 0 else 0.0

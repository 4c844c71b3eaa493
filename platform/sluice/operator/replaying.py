"""What `policy: cost` would have done with the windows of the past, beside what was done, schedules and hindsight.

Nobody can watch a version that was never trained. What it would have been worse by is the average over worlds that
explain all windows that there were (`possible_worlds.past`); where the version is one that was there, its own windows
are shown to the policy. The policy is `decide` itself, with its limits, and sees of each moment what was known then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sluice.core.errors import BadInput
from sluice.operator import evidence as seen
from sluice.operator.costs import Grid, metric_name, points_of, rows_a_day, trained_at
from sluice.operator.deciding import decide
from sluice.operator.parts import span
from sluice.operator.possible_worlds import past
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import State
from sluice.operator.worlds import Subject

Floats = NDArray[np.floating]
_LEAST = 3  # windows
_SUBJECT = Subject("replay", "replay", "replay")


@dataclass(frozen=True)
class Tried:
    """One way to choose when to train.

    Attributes:
        name: In words.
        runs: When its runs began.
        price: Of the runs.
        old: What versions cost for being old, beyond what training cannot take away.
    """

    name: str
    runs: tuple[datetime, ...]
    price: float
    old: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.price + self.old


@dataclass(frozen=True)
class Replay:
    """What was replayed.

    Attributes:
        since: From when.
        until: To when.
        windows: How many windows told of it.
        currency: Of all money here.
        tried: Ways to choose, `policy: cost` first and what was done second.
        decisions: What `policy: cost` said at each step, in words.
    """

    since: datetime
    until: datetime
    windows: int
    currency: str
    tried: tuple[Tried, ...]
    decisions: tuple[tuple[datetime, str], ...]


@dataclass(frozen=True)
class _Past:
    """The past on a grid.

    Attributes:
        spec: Under `policy: cost`.
        grid: The steps.
        first: The step before the first one that is replayed.
        worse: As `past` gives it.
        reigned: When the version that reigned in each step was trained, by step from 1; 0 stands for none.
        windows: Oldest first.
        rows: A day.
    """

    spec: ContinuousTrainingSpec
    grid: Grid
    first: int
    worse: Floats
    reigned: list[int]
    windows: tuple[seen.WindowSeen, ...]
    rows: float

    def moment(self, step: int) -> datetime:
        """A step's end."""
        return self.grid.begin + step * self.grid.step

    def tried(self, name: str, turns: Sequence[int], runs: Sequence[datetime] | None = None) -> Tried:
        """What training at these steps costs."""
        old, at = 0.0, [*turns, self.grid.count]
        old += self.worse[self.reigned[self.first + 1], self.first : at[0]].sum()
        for begin, end in pairwise(at):
            old += self.worse[begin, begin:end].sum()
        moments = tuple(self.moment(turn) for turn in turns) if runs is None else tuple(runs)
        return Tried(name, moments, len(moments) * self.spec.cost.per_run, float(old) * self.grid.unit)


def replay(
    spec: ContinuousTrainingSpec,
    windows: Sequence[seen.WindowSeen],
    runs: Sequence[datetime],
    last: timedelta,
) -> Replay:
    """Replay the last windows.

    Args:
        spec: With prices; its policy is taken to be `cost`.
        windows: Of the versions that reigned, oldest first, with the labels that have come by now.
        runs: When runs began.
        last: How much of the past.

    Raises:
        BadInput: The specification has no prices, or too few windows tell.
    """
    gone = _laid(spec, tuple(windows), last)
    since, until = gone.moment(gone.first), gone.moment(gone.grid.count)
    turns, decisions = _by_policy(gone)
    done = [each for each in runs if since < each <= until]
    tried = [gone.tried("policy: cost", turns), _as_done(gone, done), *_others(gone)]
    return Replay(since, until, len(gone.windows), spec.cost.currency, tuple(tried), tuple(decisions))


def _laid(spec: ContinuousTrainingSpec, windows: tuple[seen.WindowSeen, ...], last: timedelta) -> _Past:
    money = spec.cost
    if not money.per_run or not money.per_unit_loss:
        raise BadInput("a replay weighs prices, and there are none; give cost.perRun and cost.perUnitLoss")
    spec = spec.model_copy(update={"policy": "cost"})
    now = windows[-1].end if windows else datetime.max
    labels = _Known(spec, now + span(spec.label_delay)) if windows else None
    points = list(points_of(windows, labels)) if labels else []
    told = {each.middle for each in points if each.middle > now - last}
    if len(told) < _LEAST:
        raise BadInput(
            f"{len(told)} windows of the last {last.days} days say how good the model was, and {_LEAST} are needed; "
            "`sluice monitor MODEL --windows week` judges them"
        )
    rows = money.rows_per_day or rows_a_day(windows)
    grid = Grid(spec, windows, trained_at(windows), now, rows)
    champion = windows[-1].version
    worse = past(grid.steps(points), grid.question(champion))
    first = max(grid.place(max(now - last, windows[0].start)), 0)
    return _Past(spec, grid, first, worse, _reigned(grid, windows), windows, rows)


@dataclass(frozen=True)
class _Known:
    """A moment, for what windows said then."""

    spec: ContinuousTrainingSpec
    now: datetime


def _reigned(grid: Grid, windows: Sequence[seen.WindowSeen]) -> list[int]:
    """When the version was trained that answered most rows in each step; where none did, that of the step before."""
    trained = trained_at(windows)
    rows: list[dict[str, int]] = [{} for _ in range(grid.count + 1)]
    for each in windows:
        step = (each.start + (each.end - each.start) / 2 - grid.begin) // grid.step + 1
        if 1 <= step <= grid.count:
            rows[step][each.version] = rows[step].get(each.version, 0) + each.rows
    found = [0] * (grid.count + 1)
    for step in range(1, grid.count + 1):
        most = max(rows[step], key=lambda version: rows[step][version], default="")
        found[step] = max(min(grid.place(trained[most]), step - 1), 0) if most else found[step - 1]
    return found


def _by_policy(gone: _Past) -> tuple[list[int], list[tuple[datetime, str]]]:
    """The steps at which `decide` begins runs, each of which ends at once; and what it said at each step."""
    state, champion, turns, said = State(), gone.reigned[gone.first + 1], list[int](), list[tuple[datetime, str]]()
    before = [each for each in gone.windows if each.end <= gone.moment(gone.first)]
    own = list[seen.WindowSeen]()
    for step in range(gone.first + 1, gone.grid.count):
        own.append(_window(gone, champion, step))
        now = gone.moment(step)
        windows = tuple(_as_known(each, gone.spec, now) for each in [*before, *own])
        evidence = seen.Evidence(
            code="replay",
            lakes=(seen.LakeSeen(name="lake", dataset=f"step-{step}", rows=step, labelled=step, arrived=now),),
            windows=windows[-_MOST:],
            champion=_version(gone, champion),
            rows_per_day=gone.rows,
        )
        outcome = decide(_SUBJECT, gone.spec, state, evidence, now)
        state = outcome.state
        said += [(now, each.cost.words) for each in outcome.decisions[-1:] if each.cost]
        if state.open:
            champion = step
            turns.append(step)
            state = _ended(gone, state, evidence, champion)
    return turns, said


_MOST = 120


def _ended(gone: _Past, state: State, evidence: seen.Evidence, champion: int) -> State:
    run = seen.RunSeen(
        key=state.open[0].key, id="replay", state="succeeded", version=str(champion), passed=True, promoted=True
    )
    after = evidence.model_copy(update={"runs": (run,), "champion": _version(gone, champion)})
    return decide(_SUBJECT, gone.spec, state, after, gone.moment(champion)).state


def _version(gone: _Past, trained: int) -> seen.VersionSeen:
    at, name = gone.moment(trained), f"trained-{trained}"
    return seen.VersionSeen(model="replay", version=name, digest=name, since=at, trained=at)


def _window(gone: _Past, champion: int, step: int) -> seen.WindowSeen:
    """What a version's window of a step would have said: its own windows, where it was there, else worlds."""
    start, end, name = gone.moment(step - 1), gone.moment(step), f"trained-{champion}"
    inside = [each for each in gone.windows if start < each.end <= end]
    known = _Known(gone.spec, end + 10 * span(gone.spec.label_delay))
    points = list(points_of(inside, known))
    noise = float(np.median([each.noise for each in points or points_of(gone.windows, known)]))
    worse = float(gone.worse[champion, step - 1])
    if points and gone.reigned[step] == champion:
        worse = float(np.mean([each.worse for each in points]))
    rows = sum(each.rows for each in inside)
    metric = seen.MetricSeen(
        metric=metric_name(gone.spec) or "metric",
        by="labels",
        value=worse,
        low=worse - 2 * noise,
        high=worse + 2 * noise,
        reference=0,
        worse=worse,
        noise=noise,
        rows=rows,
    )
    return seen.WindowSeen(id=f"{name}-{step}", version=name, start=start, end=end, rows=rows, metrics=(metric,))


def _as_known(window: seen.WindowSeen, spec: ContinuousTrainingSpec, now: datetime) -> seen.WindowSeen:
    """A window without the labels that had not come."""
    if window.end + span(spec.label_delay) <= now:
        return window.model_copy(update={"settled": True})
    estimated = tuple(each for each in window.metrics if each.by == "estimated")
    return window.model_copy(update={"metrics": estimated, "settled": False})


def _as_done(gone: _Past, runs: list[datetime]) -> Tried:
    """What was there: the versions that reigned, and all runs, whether or not their versions passed the gate."""
    old = sum(gone.worse[gone.reigned[step], step - 1] for step in range(gone.first + 1, gone.grid.count + 1))
    return Tried("as it was done", tuple(runs), len(runs) * gone.spec.cost.per_run, float(old) * gone.grid.unit)


def _others(gone: _Past) -> list[Tried]:
    """The best schedule, no run at all, and what hindsight would have done."""
    first, count, day = gone.first, gone.grid.count, timedelta(days=1)
    schedules = [
        gone.tried(f"every {every * gone.grid.step / day:.3g} days", range(first + every, count, every))
        for every in range(1, count - first)
    ]
    best = min(schedules, key=lambda each: each.total)
    best = Tried(f"{best.name}, the best schedule", best.runs, best.price, best.old)
    return [best, gone.tried("never", []), gone.tried("hindsight", _hindsight(gone))]


def _hindsight(gone: _Past) -> list[int]:
    """The steps at which runs would have cost least, by dynamic programming over what is known now."""
    first, count = gone.first, gone.grid.count
    costs = gone.worse * gone.grid.unit
    best = dict.fromkeys(range(first + 1, count + 1), (np.inf, 0))  # the least up to a turn, and the turn before it
    best[first] = (0.0, -1)
    for begin in range(first, count):
        version = gone.reigned[first + 1] if begin == first else begin
        until = best[begin][0] + np.cumsum(costs[version, begin:])
        for end in range(begin + 1, count + 1):
            price = until[end - begin - 1] + (gone.spec.cost.per_run if end < count else 0.0)
            best[end] = min(best[end], (float(price), begin))
    turns, turn = list[int](), best[count][1]
    while turn > first:
        turns.append(turn)
        turn = best[turn][1]
    return turns[::-1]

"""What windows say of the world that a model learns from, as a thousand worlds that could have made them.

What is to be learned is a place that moves: steadily, at random, by jumps, or not at all. A model knows where the place
was, on average, in the rows that it learned from, and those end where labels were not there yet; it is worse by the
square of the distance from there to where the place is now, as any smooth loss is near its best. So is each earlier
version, and so would be one that is trained today, or in some weeks.

A particle filter draws such worlds, weighs each by how well it explains every window of every version that was watched,
and draws those that explain more again (N. Gordon, D. Salmond and A. Smith, *Novel approach to nonlinear/non-Gaussian
Bayesian state estimation*, 1993). What moves, how fast and how often it jumps is learned on the way (J. Liu and
M. West, *Combined parameter and state estimation*, 2001, without their shrinkage). Then the worlds go on into the
future.

Time goes in steps of equal length. The same inputs give the same numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_WORLDS = 1000
_FUTURES = 250
_SEED = 7
_STILL = 0.34  # the chance that a world does not move so: steadily, at random
_JUMPS = (1 / 400, 1 / 40)  # the chance of a jump in a step: seldom in one half of worlds, now and then in the other
_GUIDED = 0.05  # of worlds jump to where the next window says that the place is, and are weighed for it
_PACES = (0.05, 0.6)  # steadily, a step, in units of the distance at which a run begins to be worth its price
_WALKS = (0.1, 1.0)
_LENGTHS = (1.5, 8.0)  # of jumps
_UNSTEADY = 0.5  # the chance that rows are harder in some steps
_HARDER = (0.2, 20.0)  # by so much, in units of what is worth a run's price within the horizon
_JITTER = 0.1
_LEAST_NOISE = 1e-9


@dataclass(frozen=True)
class WindowStep:
    """What windows said in one step of one version.

    Attributes:
        step: Its end, in steps from the begin.
        trained: When the version was trained, in steps from the begin; below 0 where it was before.
        worse: By how much it was worse than when it was judged.
        noise: The error of that.
    """

    step: int
    trained: int
    worse: float
    noise: float


@dataclass(frozen=True)
class Question:
    """What is to be forecast.

    Attributes:
        now: In steps from the begin.
        champion: When the champion was trained, in steps from the begin.
        delay: So many steps labels take to come.
        learns: So many steps of rows a run learns from.
        ahead: So many steps are forecast.
        level: A model that is worse by this costs a run's price within the horizon.
    """

    now: int
    champion: int
    delay: int
    learns: int
    ahead: int
    level: float


@dataclass(frozen=True)
class Forecast:
    """By how much models will be worse, on average over worlds, beyond what no training takes away.

    Attributes:
        champion: The champion in each step to come, shape (ahead,).
        trained: One that is trained in so many steps (row) in each step to come (column), shape (ahead, ahead); what
            lies before its training says nothing.
        now: The champion in the step that begins now.
        sd: The standard deviation of that over worlds.
    """

    champion: Floats
    trained: Floats
    now: float
    sd: float


@dataclass(frozen=True)
class _Worlds:
    """Worlds, one a row.

    Attributes:
        places: By step, shape (worlds, steps, 2): two dimensions, for a world may turn.
        velocity: The steady move a step, shape (worlds, 2).
        walk: The size of the random one.
        length: Of jumps.
        jumps: The chance of one in a step.
        offset: By how much any version is worse than it was judged.
        unsteady: By how much rows are harder in one step than in another, for any version.
    """

    places: Floats
    velocity: Floats
    walk: Floats
    length: Floats
    jumps: Floats
    offset: Floats
    unsteady: Floats

    def __len__(self) -> int:
        return len(self.walk)

    def chosen(self, rows: NDArray[np.int64]) -> "_Worlds":
        """Some of them; one may be there several times."""
        return _Worlds(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def step(self, before: Floats, random: np.random.Generator) -> Floats:
        """Where places are a step later."""
        found = before + self.velocity + self.walk[:, None] * random.normal(size=before.shape)
        jump = random.random(len(self)) < self.jumps
        found[jump] += random.normal(size=(int(jump.sum()), 2)) * (self.length[jump] / np.sqrt(2))[:, None]
        return found


@dataclass(frozen=True)
class _Frame:
    """What all steps share: steps before the begin that somebody learned from, and fields of the question."""

    before: int
    delay: int
    learns: int
    level: float


@lru_cache(maxsize=64)  # who decides again before there is another window asks the same
def forecast(windows: tuple[WindowStep, ...], asked: Question) -> Forecast:
    """Forecast it.

    Args:
        windows: Of all versions, at most one a step and version, in the order of their steps; from 1 to `now`.
        asked: What.
    """
    frame = _frame(windows, asked)
    worlds = _explaining(windows, asked, frame)
    ahead = np.stack(list(_ahead(worlds, asked)), axis=1)
    places = np.concatenate([worlds.places, ahead], axis=1)
    champion = _gaps(places, asked.champion, frame)[:, asked.now :]
    trained = [_gaps(places, asked.now + step, frame)[:, asked.now :].mean(axis=0) for step in range(asked.ahead)]
    return Forecast(champion.mean(axis=0), np.stack(trained), float(champion[:, 0].mean()), float(champion[:, 0].std()))


def past(windows: tuple[WindowStep, ...], asked: Question) -> Floats:
    """By how much a version trained at each step (row, from 0 on) was worse in each step so far (column).

    The average over worlds that explain all windows, so it tells of versions that were never trained, too; shape
    (now + 1, now). What lies before a version's training says nothing. Arguments as above.
    """
    frame = _frame(windows, asked)
    places = _explaining(windows, asked, frame).places
    return np.stack([_gaps(places, step, frame)[:, : asked.now].mean(axis=0) for step in range(asked.now + 1)])


def _frame(windows: tuple[WindowStep, ...], asked: Question) -> _Frame:
    oldest = min([asked.champion, 0, *(each.trained for each in windows)])
    return _Frame(asked.learns + asked.delay - oldest, asked.delay, asked.learns, asked.level)


def _explaining(windows: tuple[WindowStep, ...], asked: Question, frame: _Frame) -> _Worlds:
    """Worlds that explain the windows, each as likely as the others."""
    worlds, logs = _until(asked.now, windows, frame)
    return worlds.chosen(_places(_shares(logs), _FUTURES, _random(asked.now, 1)))


def _random(step: int, use: int) -> np.random.Generator:
    """By the step, so that what was found up to a step need not be found again for the next one."""
    return np.random.default_rng([_SEED, step, use])


@lru_cache(maxsize=8)  # the newest steps: of the next one only the last windows are others
def _until(step: int, windows: tuple[WindowStep, ...], frame: _Frame) -> tuple[_Worlds, Floats]:
    """Worlds up to a step, and the logarithm of each one's weight."""
    random = _random(step, 0)
    if not step:
        return _drawn(frame, random), np.zeros(_WORLDS)
    earlier, told = (tuple(each for each in windows if (each.step < step) is before) for before in (True, False))
    worlds, logs = _until(step - 1, earlier, frame)
    if told:
        place, more = _guided(worlds, told[-1], frame, random)
        logs = logs + more
    else:
        place = worlds.step(worlds.places[:, -1], random)
    worlds = replace(worlds, places=np.concatenate([worlds.places, place[:, None]], axis=1))
    for each in told:
        expected = _gap(worlds.places, step, each.trained, frame) + worlds.offset
        spread = _spread(worlds, each)
        logs = logs - ((each.worse - expected) ** 2 / spread + np.log(spread)) / 2
    shares = _shares(logs)
    if told and 1 / (shares**2).sum() < _WORLDS / 2:
        return _jittered(worlds.chosen(_places(shares, _WORLDS, random)), random), np.zeros(_WORLDS)
    return worlds, logs


def _guided(worlds: _Worlds, told: WindowStep, frame: _Frame, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Where places are a step later, some of them by a jump to where a window says; and what that adds to the weights.

    Few blind jumps would end where a window with a small error says. So jumps are drawn from what the window says, as
    often as it takes, and weighed by how likely each would have been (importance sampling, exact).
    """
    before, count = worlds.places[:, -1], len(worlds)
    place = before + worlds.velocity + worlds.walk[:, None] * random.normal(size=before.shape)
    logs = np.log((1 - worlds.jumps) / (1 - _GUIDED))
    spread = _spread(worlds, told)
    gap = told.worse - worlds.offset + np.sqrt(spread) * random.normal(size=count)
    angle = random.uniform(0, 2 * np.pi, count)
    jump = random.random(count) < _GUIDED
    away = np.sqrt(np.maximum(gap, 0))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    landed = 2 * (_learned(worlds.places, told.trained, frame) + away) - before  # the window tells of the step's middle
    place[jump] = landed[jump]
    moved = ((landed - before - worlds.velocity) ** 2).sum(axis=1) / worlds.length**2
    moved[gap <= 0] = np.inf  # no place is so near
    blind = np.log(worlds.jumps / (np.pi * worlds.length**2)) - moved
    drawn = np.log(_GUIDED / (4 * np.pi)) - (gap + worlds.offset - told.worse) ** 2 / (2 * spread)
    drawn -= np.log(2 * np.pi * spread) / 2
    return place, np.where(jump, blind - drawn, logs)


def _spread(worlds: _Worlds, told: WindowStep) -> Floats:
    """The variance of what a window says."""
    return told.noise**2 + worlds.unsteady**2 + _LEAST_NOISE**2


def _drawn(frame: _Frame, random: np.random.Generator) -> _Worlds:
    """Worlds before anything was seen, their past up to the begin included."""
    unit, count = np.sqrt(frame.level), _WORLDS

    def some(bounds: tuple[float, float], chance: float) -> Floats:
        return np.where(random.random(count) < chance, unit * _between(bounds, count, random), 0.0)

    walk, pace = some(_WALKS, 1 - _STILL), some(_PACES, 1 - _STILL)
    length, jumps = some(_LENGTHS, 1.0), random.choice(_JUMPS, count)
    angle = random.uniform(0, 2 * np.pi, count)
    velocity = np.stack([np.cos(angle), np.sin(angle)], axis=1) * pace[:, None]
    moves = velocity[:, None] + walk[:, None, None] * random.normal(size=(count, frame.before, 2))
    places = np.concatenate([np.zeros((count, 1, 2)), np.cumsum(moves, axis=1)], axis=1)
    offset = random.normal(0, frame.level / 2, count)
    unsteady = np.where(random.random(count) < _UNSTEADY, frame.level * _between(_HARDER, count, random), 0.0)
    return _Worlds(places, velocity, walk, length, jumps, offset, unsteady)


def _between(bounds: tuple[float, float], count: int, random: np.random.Generator) -> Floats:
    """Sizes of all orders of magnitude alike."""
    sizes: Floats = np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]), count))
    return sizes


def _gap(places: Floats, step: int, trained: int, frame: _Frame) -> Floats:
    """By how much a version is worse in the step that ends at `step`; shape (worlds,)."""
    end = frame.before + step
    middle = (places[:, end] + places[:, end - 1]) / 2
    found: Floats = ((middle - _learned(places, trained, frame)) ** 2).sum(axis=1)
    return found


def _gaps(places: Floats, trained: int, frame: _Frame) -> Floats:
    """The same in each step from the first on; shape (worlds, steps)."""
    middles = (places[:, frame.before + 1 :] + places[:, frame.before : -1]) / 2
    found: Floats = ((middles - _learned(places, trained, frame)[:, None]) ** 2).sum(axis=2)
    return found


def _learned(places: Floats, trained: int, frame: _Frame) -> Floats:
    """What a version knows: the mean of the places in the rows that had their labels; shape (worlds, 2)."""
    end = frame.before + trained - frame.delay + 1
    known: Floats = places[:, end - frame.learns : end].mean(axis=1)
    return known


def _shares(logs: Floats) -> Floats:
    weights = np.exp(logs - logs.max())
    shares: Floats = weights / weights.sum()
    return shares


def _places(shares: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """So many drawn by their shares, as evenly as that goes (systematic resampling)."""
    looks = (random.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(shares), looks), len(shares) - 1)


def _jittered(worlds: _Worlds, random: np.random.Generator) -> _Worlds:
    """The same, with parameters a little apart: those that were drawn several times have to differ."""
    factors = np.exp(random.normal(0, _JITTER, (4, len(worlds))))
    turn = random.normal(0, _JITTER, len(worlds))
    x, y = worlds.velocity.T
    turned = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return replace(
        worlds,
        velocity=turned * factors[0][:, None],
        walk=worlds.walk * factors[1],
        length=worlds.length * factors[2],
        unsteady=worlds.unsteady * factors[3],
    )


def _ahead(worlds: _Worlds, asked: Question) -> Iterator[Floats]:
    place, random = worlds.places[:, -1], _random(asked.now, 2)
    for _ in range(asked.ahead):
        place = worlds.step(place, random)
        yield place

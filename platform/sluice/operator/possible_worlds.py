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
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_WORLDS = 1000
_FUTURES = 250
_SEED = 7
_STILL = 0.34  # the chance that a world does not move so: steadily, at random
_JUMPS = 0.5  # the chance that it knows jumps
_JUMP = 1 / 40  # and that of one in a step
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


@dataclass
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


@lru_cache(maxsize=64)  # who decides again before there is another window asks the same
def forecast(windows: tuple[WindowStep, ...], asked: Question) -> Forecast:
    """Forecast it.

    Args:
        windows: Of all versions, at most one a step and version, in the order of their steps; from 1 to `now`.
        asked: What.
    """
    random = np.random.default_rng(_SEED)
    worlds, before = _explaining(windows, asked, random)
    now = before + asked.now
    ahead = np.stack(list(_ahead(worlds, now, asked.ahead, random)), axis=1)
    places = np.concatenate([worlds.places, ahead], axis=1)
    champion = _gaps(places, before, asked.champion, asked)[:, asked.now :]
    trained = [
        _gaps(places, before, asked.now + step, asked)[:, asked.now :].mean(axis=0) for step in range(asked.ahead)
    ]
    return Forecast(champion.mean(axis=0), np.stack(trained), float(champion[:, 0].mean()), float(champion[:, 0].std()))


def past(windows: tuple[WindowStep, ...], asked: Question) -> Floats:
    """By how much a version trained at each step (row, from 0 on) was worse in each step so far (column).

    The average over worlds that explain all windows, so it tells of versions that were never trained, too; shape
    (now + 1, now). What lies before a version's training says nothing. Arguments as above.
    """
    worlds, before = _explaining(windows, asked, np.random.default_rng(_SEED))
    return np.stack(
        [_gaps(worlds.places, before, step, asked)[:, : asked.now].mean(axis=0) for step in range(asked.now + 1)]
    )


def _explaining(windows: tuple[WindowStep, ...], asked: Question, random: np.random.Generator) -> tuple[_Worlds, int]:
    """Worlds that explain the windows, each as likely as the others; and how many steps they have before the begin."""
    oldest = min([asked.champion, 0, *(each.trained for each in windows)])
    before = asked.learns + asked.delay - oldest  # somebody learned from these
    worlds = _drawn(asked, before, random)
    logs = np.zeros(len(worlds))
    for step in range(1, asked.now + 1):
        worlds.places[:, before + step] = worlds.step(worlds.places[:, before + step - 1], random)
        told = [each for each in windows if each.step == step]
        for each in told:
            expected = _worse(worlds.places, before, step, each.trained, asked) + worlds.offset
            spread = each.noise**2 + worlds.unsteady**2 + _LEAST_NOISE**2
            logs -= ((each.worse - expected) ** 2 / spread + np.log(spread)) / 2
        shares = _shares(logs)
        if told and 1 / (shares**2).sum() < len(worlds) / 2:
            worlds = _jittered(worlds.chosen(_places(shares, len(worlds), random)), random)
            logs = np.zeros(len(worlds))
    return worlds.chosen(_places(_shares(logs), _FUTURES, random)), before


def _drawn(asked: Question, before: int, random: np.random.Generator) -> _Worlds:
    """Worlds before anything was seen, their past up to the begin included."""
    unit, count = np.sqrt(asked.level), _WORLDS

    def some(bounds: tuple[float, float], chance: float) -> Floats:
        return np.where(random.random(count) < chance, unit * _between(bounds, count, random), 0.0)

    walk, pace = some(_WALKS, 1 - _STILL), some(_PACES, 1 - _STILL)
    length, jumps = some(_LENGTHS, 1.0), np.where(random.random(count) < _JUMPS, _JUMP, 0.0)
    angle = random.uniform(0, 2 * np.pi, count)
    velocity = np.stack([np.cos(angle), np.sin(angle)], axis=1) * pace[:, None]
    places = np.zeros((count, before + asked.now + 1, 2))
    moves = velocity[:, None] + walk[:, None, None] * random.normal(size=(count, before, 2))
    places[:, 1 : before + 1] = np.cumsum(moves, axis=1)
    offset = random.normal(0, asked.level / 2, count)
    unsteady = np.where(random.random(count) < _UNSTEADY, asked.level * _between(_HARDER, count, random), 0.0)
    return _Worlds(places, velocity, walk, length, jumps, offset, unsteady)


def _between(bounds: tuple[float, float], count: int, random: np.random.Generator) -> Floats:
    """Sizes of all orders of magnitude alike."""
    sizes: Floats = np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]), count))
    return sizes


def _worse(places: Floats, before: int, step: int, trained: int, asked: Question) -> Floats:
    """By how much a version is worse in the step that ends at `step`; shape (worlds,)."""
    middle = (places[:, before + step] + places[:, before + step - 1]) / 2
    gap: Floats = ((middle - _learned(places, before, trained, asked)) ** 2).sum(axis=1)
    return gap


def _learned(places: Floats, before: int, trained: int, asked: Question) -> Floats:
    """What a version knows: the mean of the places in the rows that had their labels; shape (worlds, 2)."""
    end = before + trained - asked.delay + 1
    known: Floats = places[:, end - asked.learns : end].mean(axis=1)
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
    worlds.velocity = turned * factors[0][:, None]
    worlds.walk, worlds.length = worlds.walk * factors[1], worlds.length * factors[2]
    worlds.unsteady = worlds.unsteady * factors[3]
    return worlds


def _gaps(places: Floats, before: int, trained: int, asked: Question) -> Floats:
    """By how much a version is worse in each step from the first on; shape (worlds, steps)."""
    middles = (places[:, before + 1 :] + places[:, before:-1]) / 2
    known = _learned(places, before, trained, asked)
    found: Floats = ((middles - known[:, None]) ** 2).sum(axis=2)
    return found


def _ahead(worlds: _Worlds, now: int, steps: int, random: np.random.Generator) -> Iterator[Floats]:
    place = worlds.places[:, now]
    for _ in range(steps):
        place = worlds.step(place, random)
        yield place

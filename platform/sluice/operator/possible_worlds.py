"""What windows say of the world that a model learns from, as a thousand worlds that could have made them.

What is to be learned is a place that moves: steadily, at random, by jumps, to and fro, or not at all. A model knows
where the place was, on average, in the rows that it learned from, and those end where labels were not there yet; it is
worse by the square of the distance from there to where the place is now, as any smooth loss is near its best. So is
each earlier version, and so would be one that is trained today, or in some weeks.

A particle filter draws such worlds, weighs each by how well it explains every window of every version that was watched,
and draws those that explain more again (N. Gordon, D. Salmond and A. Smith, *Novel approach to nonlinear/non-Gaussian
Bayesian state estimation*, 1993). What moves, how fast and how often it jumps is learned on the way: worlds that were
drawn several times are changed by steps of a Markov chain which would leave worlds as they are, on the whole (W. Gilks
and C. Berzuini, *Following a moving target*, 2001). Then the worlds go on into the future.

Time goes in steps of equal length. The same inputs give the same numbers.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_SHORT = np.float32  # half the memory and time, and far more exact than windows are
_WORLDS = 1000
_FUTURES = 250
_SEED = 7
_STILL = 0.34  # the chance that a world does not move so: steadily, at random
_COMES_BACK = 0.34  # the chance that it swings
_JUMPS = (1 / 400, 1 / 40)  # the chance of a jump in a step: seldom in one half of worlds, now and then in the other
_GUIDED = 0.05  # of worlds jump to where the next window says that the place is, and are weighed for it
_PACES = (0.01, 0.6)  # steadily, a step, in units of the distance at which a run begins to be worth its price
_WALKS = (0.02, 1.0)
_LENGTHS = (1.5, 8.0)  # of jumps
_SWINGS = (0.5, 8.0)  # from the middle to the end
_PERIODS = (8.0, 80.0)  # of swings, in steps
_UNSTEADY = 0.5  # the chance that rows are harder in some steps
_HARDER = (0.2, 20.0)  # by so much, in units of what is worth a run's price within the horizon
_TRIES = 2  # to change worlds that were drawn several times
_CHANGED = 0.3  # of a world's laws in a try
_CHANGED_MOVES = 0.5  # of worlds change their random moves, too
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
class _Laws:
    """How places move; the last axis is over worlds.

    Attributes:
        velocity: The steady move a step, shape (2, worlds): two dimensions, for a world may turn.
        walk: The size of the random one.
        length: Of jumps.
        chance: Of one in a step.
        turn: By how much a swing turns in a step, radians.
        along: Where a swing is at the begin, shape (2, worlds).
        across: Where it is a quarter of its period later.
        unsteady: By how much rows are harder in one step than in another, for any version.
    """

    velocity: Floats
    walk: Floats
    length: Floats
    chance: Floats
    turn: Floats
    along: Floats
    across: Floats
    unsteady: Floats

    def swung(self, first: int, end: int) -> Floats:
        """Where swings are in these steps, shape (steps, 2, worlds)."""
        turned = np.arange(first, end, dtype=_SHORT)[:, None] * self.turn
        found: Floats = np.cos(turned)[:, None] * self.along + np.sin(turned)[:, None] * self.across
        return found


@dataclass(frozen=True)
class _Frame:
    """What all steps share: steps before the begin that somebody learned from, and fields of the question."""

    before: int
    delay: int
    learns: int
    level: float


@dataclass(frozen=True)
class _Worlds:
    """Worlds, one a column; before anything was seen, all numbers are drawn alike in all of them.

    Attributes:
        numbers: Of which laws are made: from 0 to 1, shape (laws, worlds).
        offset: By how much any version is worse than it was judged, normal.
        moves: The random ones by step, normal, shape (steps, 2, worlds).
        jumps: The same, 0 where there is none.
        when: In a step a jump is, from 0 to 1, shape (steps, worlds).
        middles: The mean of the places in each step, shape (steps, 2, worlds): it follows from these.
        within: The variance of a step's places, shape (steps, worlds): only that of jumps.
        place: At the end, shape (2, worlds).
    """

    numbers: Floats
    offset: Floats
    moves: Floats
    jumps: Floats
    when: Floats
    middles: Floats
    within: Floats
    place: Floats

    def __len__(self) -> int:
        return len(self.offset)

    def chosen(self, which: NDArray[np.int64]) -> "_Worlds":
        """Some of them; one may be there several times."""
        return _Worlds(*(getattr(self, name)[..., which] for name in self.__dataclass_fields__))

    def longer(self, step: "_Step", laws: _Laws, frame: _Frame) -> "_Worlds":
        """The same, one step later."""
        place = self.foreseen(laws, frame) + laws.walk * step.moves + laws.length * step.jumps
        middle, within = _inside(self.place, place, laws.length * step.jumps, step.when)
        return _Worlds(
            self.numbers,
            self.offset,
            moves=_and(self.moves, step.moves),
            jumps=_and(self.jumps, step.jumps),
            when=_and(self.when, step.when),
            middles=_and(self.middles, middle),
            within=_and(self.within, within),
            place=place,
        )

    def foreseen(self, laws: _Laws, frame: _Frame) -> Floats:
        """Where places would be a step later without random moves and jumps."""
        now = len(self.moves) - frame.before
        swung = laws.swung(now, now + 2)
        found: Floats = self.place + laws.velocity + swung[1] - swung[0]
        return found


def _and(steps: Floats, another: Floats) -> Floats:
    return np.concatenate([steps, another[None]])


@dataclass(frozen=True)
class _Step:
    """What happens at random in one step; as in `_Worlds`."""

    moves: Floats
    jumps: Floats
    when: Floats


@lru_cache(maxsize=64)  # who decides again before there is another window asks the same
def forecast(windows: tuple[WindowStep, ...], asked: Question) -> Forecast:
    """Forecast it.

    Args:
        windows: Of all versions, at most one a step and version, in the order of their steps; from 1 to `now`.
        asked: What.
    """
    frame = _frame(windows, asked)
    worlds = _explaining(windows, asked, frame)
    laws, random = _laws(worlds.numbers, frame), _random(asked.now, 2)
    for _ in range(asked.ahead):
        worlds = worlds.longer(_moved(laws, random), laws, frame)
    champion = _gaps(worlds, asked.champion, frame, asked.now)
    trained = [_gaps(worlds, asked.now + step, frame, asked.now).mean(axis=1) for step in range(asked.ahead)]
    return Forecast(champion.mean(axis=1), np.stack(trained), float(champion[0].mean()), float(champion[0].std()))


def past(windows: tuple[WindowStep, ...], asked: Question) -> Floats:
    """By how much a version trained at each step (row, from 0 on) was worse in each step so far (column).

    The average over worlds that explain all windows, so it tells of versions that were never trained, too; shape
    (now + 1, now). What lies before a version's training says nothing. Arguments as above.
    """
    frame = _frame(windows, asked)
    worlds = _explaining(windows, asked, frame)
    return np.stack([_gaps(worlds, step, frame)[: asked.now].mean(axis=1) for step in range(asked.now + 1)])


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


@lru_cache(maxsize=4)  # the newest steps: of the next one only the last windows are others
def _until(step: int, windows: tuple[WindowStep, ...], frame: _Frame) -> tuple[_Worlds, Floats]:
    """Worlds up to a step, and the logarithm of each one's weight."""
    random = _random(step, 0)
    if not step:
        return _drawn(frame, random), np.zeros(_WORLDS, dtype=_SHORT)
    earlier, told = (tuple(each for each in windows if (each.step < step) is before) for before in (True, False))
    worlds, logs = _until(step - 1, earlier, frame)
    laws = _laws(worlds.numbers, frame)
    moved = _moved(laws, random)
    if told:
        moved, more = _guided(worlds, laws, moved, told[-1], frame, random)
        logs = logs + more
    worlds = worlds.longer(moved, laws, frame)
    logs = logs + _likely(worlds, laws, told, frame)
    shares = _shares(logs)
    if told and 1 / (shares**2).sum() < _WORLDS / 2:
        worlds = worlds.chosen(_places(shares, _WORLDS, random))
        logs = _likely(worlds, _laws(worlds.numbers, frame), windows, frame)
        for _ in range(_TRIES):
            worlds, logs = _changed(worlds, logs, windows, frame, random)
        return worlds, np.zeros(_WORLDS, dtype=_SHORT)
    return worlds, logs


def _moved(laws: _Laws, random: np.random.Generator) -> _Step:
    """What happens in the next step."""
    count = len(laws.walk)
    moves, jumps = _normal(random, 2, 2, count)
    jumps *= random.random(count) < laws.chance
    return _Step(moves, jumps, _uniform(random, count))


def _guided(
    worlds: _Worlds, laws: _Laws, moved: _Step, told: WindowStep, frame: _Frame, random: np.random.Generator
) -> tuple[_Step, Floats]:
    """The next step, where some jump to where a window says that places are; and what that adds to the weights.

    Few blind jumps would end where a window with a small error says. So jumps are drawn from what the window says, as
    often as it takes, and weighed by how likely each would have been (importance sampling, exact).
    """
    count, spread, rest = len(worlds), _spread(laws, told.noise), 1 - moved.when
    middle = (worlds.place + worlds.foreseen(laws, frame) + laws.walk * moved.moves) / 2
    away = middle - _learned(worlds, told.trained, frame)
    said = told.worse - worlds.offset * frame.level / 2 + np.sqrt(spread) * _normal(random, count)
    gap = (said - moved.when * (away**2).sum(axis=0)) / rest  # after the jump
    jumps = np.sqrt(np.maximum(gap, 0)) * _towards(2 * pi * _uniform(random, count)) - away
    jumps /= laws.length
    jump = random.random(count) < _GUIDED
    blind = np.log(laws.chance / (2 * pi * laws.length**2)) - (jumps**2).sum(axis=0) / 2
    blind[gap <= 0] = -np.inf  # no place is so near
    drawn = np.log(_GUIDED * rest / pi) - np.log(2 * pi * spread) / 2
    drawn -= (said + worlds.offset * frame.level / 2 - told.worse) ** 2 / (2 * spread)
    more = np.where(jump, blind - drawn, np.log((1 - laws.chance) / (1 - _GUIDED)))
    return _Step(moved.moves, jumps * jump, moved.when), more


def _likely(worlds: _Worlds, laws: _Laws, windows: tuple[WindowStep, ...], frame: _Frame) -> Floats:
    """The logarithm of how likely worlds make windows; shape (worlds,)."""
    if not windows:
        return np.zeros(len(worlds), dtype=_SHORT)
    versions = sorted({each.trained for each in windows})
    known = np.stack([_learned(worlds, each, frame) for each in versions])
    which = [versions.index(each.trained) for each in windows]
    at = [frame.before + each.step - 1 for each in windows]
    worse, noise = np.array([(each.worse, each.noise) for each in windows], dtype=_SHORT).T[..., None]
    away = ((worlds.middles[at] - known[which]) ** 2).sum(axis=1) + worlds.within[at]
    spread = _spread(laws, noise)
    found: Floats = -((worse - away - worlds.offset * frame.level / 2) ** 2 / spread + np.log(spread)).sum(axis=0) / 2
    return found


def _changed(
    worlds: _Worlds, logs: Floats, windows: tuple[WindowStep, ...], frame: _Frame, random: np.random.Generator
) -> tuple[_Worlds, Floats]:
    """Each world or another one like it, by how well they explain the windows (W. Hastings, 1970).

    Laws change a little or a lot, and so do random moves (the proposal of Crank and Nicolson; S. Cotter and others,
    *MCMC methods for functions*, 2013), each so that worlds nobody has seen anything of would stay as they were drawn.
    """
    count = len(worlds)
    size = 10 ** (-2 * _uniform(random, count)) * (random.random(worlds.numbers.shape) < _CHANGED)
    size[_CHANCE] = 0  # the jumps that there are were drawn by it
    numbers = (worlds.numbers + size * _normal(random, *size.shape)) % 1
    part = 10 ** (-1.5 * _uniform(random, count)) * (random.random(count) < _CHANGED_MOVES)
    rest = np.sqrt(1 - part**2)
    moves = rest * worlds.moves + part * _normal(random, *worlds.moves.shape)
    jumps = rest * worlds.jumps + part * (worlds.jumps != 0) * _normal(random, 2, count)
    offset = rest * worlds.offset + part * _normal(random, count)
    when = (worlds.when + part * _normal(random, count)) % 1
    tried = _placed(numbers, offset, moves, jumps, when, frame)
    likely = _likely(tried, _laws(numbers, frame), windows, frame)
    taken = np.log(random.random(count)) < likely - logs
    both = ((getattr(tried, name), getattr(worlds, name)) for name in worlds.__dataclass_fields__)
    return _Worlds(*(np.where(taken, new, old) for new, old in both)), np.where(taken, likely, logs)


def _placed(numbers: Floats, offset: Floats, moves: Floats, jumps: Floats, when: Floats, frame: _Frame) -> _Worlds:
    """Worlds of these numbers."""
    laws = _laws(numbers, frame)
    places = laws.swung(-frame.before, len(moves) + 1 - frame.before)
    jumped = laws.length * jumps
    places[1:] += np.cumsum(laws.velocity + laws.walk * moves + jumped, axis=0)
    middles, within = _inside(places[:-1], places[1:], jumped, when)
    return _Worlds(numbers, offset, moves, jumps, when, middles, within, places[-1])


def _inside(before: Floats, after: Floats, jumped: Floats, when: Floats) -> tuple[Floats, Floats]:
    """The mean of a step's places, and what jumps add to their variance; of one step, or of all."""
    middle = (before + after) / 2 + jumped * (0.5 - when)[..., None, :]
    return middle, (jumped**2).sum(axis=-2) * when * (1 - when)


def _spread(laws: _Laws, noise: Floats | float) -> Floats:
    """The variance of what a window says."""
    return noise**2 + laws.unsteady**2 + _LEAST_NOISE**2


def _drawn(frame: _Frame, random: np.random.Generator) -> _Worlds:
    """Worlds before anything was seen, their past up to the begin included."""
    moves, offset = _normal(random, frame.before, 2, _WORLDS), _normal(random, _WORLDS)
    numbers = _uniform(random, _NUMBERS, _WORLDS)
    return _placed(numbers, offset, moves, np.zeros_like(moves), _uniform(random, frame.before, _WORLDS), frame)


_NUMBERS = 11
_CHANCE = 3  # of them tells the chance of jumps


def _laws(numbers: Floats, frame: _Frame) -> _Laws:
    """Laws of numbers from 0 to 1: sizes of all orders of magnitude alike, and of all directions."""
    unit = sqrt(frame.level)
    walk, pace, length, chance, harder, swing, period, *angles, shape = numbers
    way, phase, axis = (2 * pi * each for each in angles)
    size = unit * _sizes(swing, _SWINGS, 1 - _COMES_BACK)
    one, other = size * _towards(axis), size * (2 * shape - 1) * _towards(axis + pi / 2)
    return _Laws(
        velocity=unit * _sizes(pace, _PACES, _STILL) * _towards(way),
        walk=unit * _sizes(walk, _WALKS, _STILL),
        length=unit * _sizes(length, _LENGTHS) / sqrt(2),
        chance=np.where(chance < 0.5, *_JUMPS).astype(_SHORT),
        turn=2 * pi / _sizes(period, _PERIODS),
        along=np.cos(phase) * one + np.sin(phase) * other,
        across=np.cos(phase) * other - np.sin(phase) * one,
        unsteady=frame.level * _sizes(harder, _HARDER, 1 - _UNSTEADY),
    )


def _towards(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)])


def _sizes(numbers: Floats, bounds: tuple[float, float], none: float = 0.0) -> Floats:
    """Sizes between bounds, or 0 by this chance."""
    low, high = bounds
    found: Floats = low * np.exp(log(high / low) / (1 - none) * (numbers - none)) * (numbers >= none)
    return found


def _gaps(worlds: _Worlds, trained: int, frame: _Frame, first: int = 0) -> Floats:
    """By how much a version is worse in each step after the first ones; shape (steps, worlds)."""
    begin = frame.before + first
    away = worlds.middles[begin:] - _learned(worlds, trained, frame)
    found: Floats = (away**2).sum(axis=1) + worlds.within[begin:]
    return found


def _learned(worlds: _Worlds, trained: int, frame: _Frame) -> Floats:
    """What a version knows: the mean of the places in the rows that had their labels; shape (2, worlds)."""
    end = min(frame.before + trained - frame.delay, len(worlds.middles))
    known: Floats = worlds.middles[end - frame.learns : end].mean(axis=0)
    return known


def _uniform(random: np.random.Generator, *shape: int) -> Floats:
    return random.random(shape, dtype=_SHORT)


def _normal(random: np.random.Generator, *shape: int) -> Floats:
    return random.standard_normal(shape, dtype=_SHORT)


def _shares(logs: Floats) -> Floats:
    weights = np.exp(logs.astype(np.float64) - logs.max())
    shares: Floats = weights / weights.sum()
    return shares


def _places(shares: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """So many drawn by their shares, as evenly as that goes (systematic resampling)."""
    looks = (random.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(shares), looks), len(shares) - 1)

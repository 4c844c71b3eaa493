"""What nobody can be better than who does not know the future, though the world's laws are told to him.

    .venv/bin/python -m tests.benchmarks.retraining_bound [--worlds 200]

Hindsight's plan is charged for what it knows of the future: for each step, what the champion's loss will grow by beyond
what could be expected, times how long that lasts. Who does not know the future pays 0 for that on average, whatever he
does, so the average of the cheapest plans' prices, charged so, is below what any such policy costs (D. Brown, J. Smith
and P. Sun, *Information relaxations and duality in stochastic dynamic programs*, 2010). The bound holds for policies
that know the speeds and chances that the world was drawn with, and see the place itself, without noise: up to the day
from which there are labels.
"""

import argparse
from math import comb

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.retraining_policies import (
    DAYS,
    DELAY,
    PRICE,
    ROWS,
    SCENARIOS,
    STEP,
    UNIT,
    World,
    hindsight,
    learned_in,
    world,
)

Floats = NDArray[np.float64]
HISTORY = 60
FIRST, LAST = 80, DAYS + HISTORY - 30
JUMP = 2 * 0.25**2
TURNS = np.arange(0, DAYS, STEP)
EVERY = 6  # steps of the plain schedule


def expected(name: str, seed: int, jumps: int, day: int, size: Floats) -> tuple[Floats, float]:
    """Mean of a step's move, shape (2,), and the mean of its square beyond that, as the laws say on a day."""
    random = np.random.default_rng([seed, *name.encode()])
    drift, spread = np.zeros(2), 0.0
    if name in ("walk", "mixed"):
        spread = 2 * STEP * random.uniform(0.008, 0.02) ** 2 * (0.25 if name == "mixed" else 1.0)
    if name in ("breaks", "mixed"):
        spread += JUMP * _to_come(jumps, day)
    return drift + size, spread


def _to_come(jumps: int, day: int) -> float:
    """How many jumps are to be expected in the step after a day, where there were so many up to it."""
    gone, days = min(max(day + 1 - FIRST, 0), LAST - FIRST), LAST - FIRST
    inside = max(min(day + STEP + 1, LAST) - max(day + 1, FIRST), 0)
    if not inside:
        return 0.0
    left = sum(chance * (n - jumps) for n, chance in chances_of_jumps(jumps, day).items())
    return left * inside / (days - gone)


def chances_of_jumps(jumps: int, day: int) -> dict[int, float]:
    """How likely one, two or three jumps are in all, where there were so many up to a day."""
    gone, days = min(max(day + 1 - FIRST, 0), LAST - FIRST), LAST - FIRST
    ways = {n: comb(gone, jumps) * comb(days - gone, n - jumps) / comb(days, n) for n in (1, 2, 3) if n >= jumps}
    return {n: way / sum(ways.values()) for n, way in ways.items()}


def moves(name: str, seed: int) -> tuple[Floats, Floats, Floats]:
    """The place by day, the part of its moves that the laws foresee by step, and the variance of the rest by step."""
    random = np.random.default_rng([seed, *name.encode()])
    place = SCENARIOS[name](random, DAYS + HISTORY)
    drift = drift_of(name, seed)
    jumped = jumped_on(name, seed)
    days = TURNS + HISTORY - DELAY
    seen = [expected(name, seed, int((jumped <= day).sum()), int(day), drift) for day in days]
    return place, np.stack([mean for mean, _ in seen]), np.array([spread for _, spread in seen])


def drift_of(name: str, seed: int) -> Floats:
    """The steady move of a step."""
    if name != "mixed":
        return np.zeros(2)
    random = np.random.default_rng([seed, *name.encode()])
    SCENARIOS["walk"](random, DAYS + HISTORY)
    SCENARIOS["breaks"](random, DAYS + HISTORY)
    path = SCENARIOS["gradual"](random, DAYS + HISTORY) * 0.5
    step: Floats = (path[1] - path[0]) * STEP
    return step


def jumped_on(name: str, seed: int) -> NDArray[np.int64]:
    """The days of jumps."""
    if name == "walk":
        return np.zeros(0, dtype=np.int64)
    random = np.random.default_rng([seed, *name.encode()])
    if name == "mixed":
        SCENARIOS["walk"](random, DAYS + HISTORY)
    return np.sort(random.choice(np.arange(FIRST, LAST), random.integers(1, 4), replace=False))


def charged(given: World, name: str, seed: int, lasting: float) -> tuple[float, float]:
    """The cheapest plan's price, charged for what it knows; and what a plain schedule is charged, on average 0.

    Args:
        given: The world.
        name: Its scenario.
        seed: By which it was drawn.
        lasting: Days that a surprise is taken to last.
    """
    place, drift, spread = moves(name, seed)
    learned = _learned(name, seed)[HISTORY + TURNS]
    edges = np.append(TURNS, DAYS)
    sums = np.concatenate([np.zeros((DAYS, 1)), np.cumsum(given.loss, axis=1)], axis=1) * UNIT * ROWS
    costs = sums[TURNS][:, edges[1:]] - sums[TURNS][:, edges[:-1]]
    plain = 0.0
    for step, turn in enumerate(TURNS):
        before, after = place[HISTORY + turn - DELAY], place[HISTORY + turn - DELAY + STEP]
        away = before - learned
        grown = ((after - learned) ** 2).sum(axis=1) - (away**2).sum(axis=1)
        foreseen = 2 * away @ drift[step] + (drift[step] ** 2).sum() + spread[step]
        charge = (grown - foreseen) * min(lasting, DAYS - turn - STEP + DELAY) * UNIT * ROWS
        costs[:, step] -= charge
        plain += float(charge[step // EVERY * EVERY])
    best = np.full(len(TURNS) + 1, np.inf)
    best[0] = 0.0
    for begin in range(len(TURNS)):
        until = best[begin] + np.cumsum(costs[begin, begin:])
        until[:-1] += PRICE
        best[begin + 1 :] = np.minimum(best[begin + 1 :], until)
    return float(best[-1]), plain


def _learned(name: str, seed: int) -> Floats:
    random = np.random.default_rng([seed, *name.encode()])
    return learned_in(SCENARIOS[name](random, DAYS + HISTORY), random)


LASTING = {"walk": 21.0, "breaks": 21.0, "mixed": 14.0}
"""Days, chosen on seeds 5,000 to 5,059: any length gives a bound, and these gave high ones."""


def main() -> None:
    """Print the bound as a multiple of hindsight's price."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--first", type=int, default=6000)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.worlds)
    for name, lasting in LASTING.items():
        worlds = [world(name, seed) for seed in seeds]
        base = np.array([hindsight(each) for each in worlds])
        both = [charged(each, name, seed, lasting) for each, seed in zip(worlds, seeds, strict=True)]
        found, plain = np.array(both).T
        more = found - base
        more = more - np.cov(more, plain)[0, 1] / plain.var() * plain  # a control variate: its mean is known to be 0
        error = more.std() / np.sqrt(len(base)) / base.mean()
        print(
            f"{name:8} {1 + more.mean() / base.mean():.3f} ± {error:.3f} of hindsight's {base.mean():.0f}", flush=True
        )


if __name__ == "__main__":
    main()

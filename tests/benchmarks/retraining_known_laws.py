"""What the plans of `policy: cost` would cost somebody who is told each world's laws, and sees its place without noise.

    .venv/bin/python -m tests.benchmarks.retraining_known_laws [--worlds 20] [--weeks 13]

Futures are drawn by the laws of the world itself, from where it is as far as there are labels, and planned for as the
policy plans: what it costs beyond this is the price of learning the laws, and of noise.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from sluice.operator.planning import plan
from sluice.operator.possible_worlds import Forecast
from tests.benchmarks.retraining_bound import FIRST, HISTORY, LAST, chances_of_jumps, drift_of, jumped_on
from tests.benchmarks.retraining_policies import (
    DAYS,
    DELAY,
    PRICE,
    ROWS,
    SCENARIOS,
    STEP,
    UNIT,
    hindsight,
    learned_in,
    total,
    world,
)

Floats = NDArray[np.float64]
FUTURES = 100
LEARNS = 28
ERROR = 2 * 0.01**2
"""Of what any version learns, in both dimensions."""


def futures(name: str, seed: int, place: Floats, now: int, ahead: int, random: np.random.Generator) -> Floats:
    """Places of the days after `now`, shape (futures, ahead, 2); only one where nothing is left to chance."""
    if name in ("still", "gradual", "season"):
        again = np.random.default_rng([seed, *name.encode()])
        path = SCENARIOS[name](again, len(place) + ahead) * (name != "still")
        return path[None, now + 1 : now + 1 + ahead]
    moves = np.zeros((FUTURES, ahead, 2))
    if name in ("walk", "mixed"):
        size = np.random.default_rng([seed, *name.encode()]).uniform(0.008, 0.02) * (0.5 if name == "mixed" else 1.0)
        moves += random.normal(0, size, moves.shape)
    if name in ("breaks", "mixed"):
        gone, first = int((jumped_on(name, seed) <= now).sum()), max(now + 1, FIRST)
        ways = chances_of_jumps(gone, now)
        for future in moves:
            left = min(int(random.choice(list(ways), p=list(ways.values()))) - gone, max(LAST - first, 0))
            for day in random.choice(np.arange(first, LAST), left, replace=False) - now - 1 if left else ():
                if day < ahead:
                    future[day] += random.normal(0, 0.25, 2)
    moves += drift_of(name, seed) / STEP
    path: Floats = place[now] + np.cumsum(moves, axis=1)
    return path


def by_laws(name: str, seed: int, weeks: int) -> list[int]:
    """The days of its runs."""
    random = np.random.default_rng([seed, *name.encode()])
    place = SCENARIOS[name](random, DAYS + HISTORY)
    learned = learned_in(place, random)
    own, champion, trained = np.random.default_rng([seed, 3]), 0, list[int]()
    before = DELAY + LEARNS
    for day in range(STEP, DAYS, STEP):
        now = HISTORY + day - DELAY
        ahead = futures(name, seed, place, now, DELAY + STEP * weeks, own)
        past = np.broadcast_to(place[now - before : now + 1], (len(ahead), before + 1, 2))
        path = np.concatenate([past, ahead], axis=1)  # its first day is now - before
        sums = np.concatenate([np.zeros((len(path), 1, 2)), np.cumsum(path, axis=1)], axis=1)
        days = path[:, before + DELAY :][:, : STEP * weeks]
        known = [learned[HISTORY + champion][None]]
        for week in range(weeks):
            end = before + STEP * week
            known.append((sums[:, end] - sums[:, end - LEARNS]) / LEARNS)
        worse = [
            ((days - each[:, None]) ** 2).sum(axis=2).mean(axis=0).reshape(weeks, STEP).mean(axis=1) for each in known
        ]
        found = Forecast(worse[0], np.stack(worse[1:]) + ERROR, 0, 0)
        made = plan(found, PRICE, UNIT * ROWS * STEP)
        if made.now <= made.later:
            trained.append(day)
            champion = day
    return trained


def main() -> None:
    """Print what a year costs as a multiple of what hindsight pays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=7300)
    parser.add_argument("--weeks", type=int, default=13)
    options = parser.parse_args()
    sums = np.zeros(2)
    for name in SCENARIOS:
        seeds = range(options.first, options.first + options.worlds)
        worlds = [world(name, seed) for seed in seeds]
        paid = sum(total(each, by_laws(name, seed, options.weeks)) for each, seed in zip(worlds, seeds, strict=True))
        least = sum(hindsight(each) for each in worlds)
        sums += paid, least
        print(f"{name:8} {paid / least:.2f}", flush=True)
    print(f"all      {sums[0] / sums[1]:.3f}")


if __name__ == "__main__":
    main()

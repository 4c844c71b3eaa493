"""What training costs by policy where models are real: on the flights of a year, and on drifts that are known.

    .venv/bin/python -m tests.benchmarks.retraining_streams [--streams 5] [--stream NAME]

Here every loss is that of a model that was trained: gradient boosting, each week, on the rows of four weeks whose
labels are there, and judged on a fifth of them that it has not seen. The loss of each on every later day is measured,
so each policy pays what its models lose, all of it, and what its runs cost, as in CARA (arXiv 2310.04216) and "When to
retrain" (ICML 2025). Hindsight knows all these losses. What is left when the least is taken away that any of these
models lost in each week, run or no run, is told, too: that is harder on everybody.

The simulated drifts are the field's own: a plane that turns (G. Hulten and others, 2001), thresholds that jump (SEA;
W. Street and Y. Kim, 2001), circles that jump (A. Pesaranghader and H. Viktor, 2016), and inputs that move while the
question stays (CARA has such ones), each with a tenth of wrong labels. The flights are New York's of 2013 (CC0): which
will be late?
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.benchmarks.retraining_policies import (
    DELAY,
    SCHEDULES,
    STEP,
    World,
    by_sluice,
    hindsight,
    scheduled,
    spec_of,
    total,
)

Floats = NDArray[np.float64]
LEARNS = 28
FIRST = LEARNS + DELAY
"""The day on which the first model is trained: on the first rows."""
HELD_OUT = 5  # each fifth row judges
DAILY, LENGTH = 500, 364
WRONG = 0.1
PRICES = (10.0, 40.0, 160.0)
"""Of a run, where a loss that is worse by 0.01 costs 1 a day."""
ALARM = 0.2
"""Population stability index of one input, over tenths: the usual limit."""
_LEAST = 1e-4


@dataclass(frozen=True)
class Day:
    """Rows of one day, and what was to be forecast."""

    rows: Floats
    labels: NDArray[np.int64]


def _wrong(labels: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    return (labels ^ (random.random(len(labels)) < WRONG)).astype(np.int64)


def _plane(random: np.random.Generator) -> Iterator[Day]:
    """Ten inputs, weighed; two weights move steadily and turn back now and then."""
    weights, moves = random.random(10), random.choice([-1.0, 1.0], 10) * random.uniform(0.002, 0.01)
    moves[2:] = 0
    while True:
        moves *= np.where(random.random(10) < 0.01, -1, 1)
        weights = weights + moves
        rows = random.random((DAILY, 10))
        yield Day(rows, _wrong(rows @ weights > weights.sum() / 2, random))


def _thresholds(random: np.random.Generator) -> Iterator[Day]:
    """Two of three inputs have to be small together; how small changes three times a year."""
    turns, day = _turns(random), 0
    limits = random.permutation([8.0, 9.0, 7.0, 9.5])
    while True:
        rows = random.random((DAILY, 3)) * 10
        yield Day(rows, _wrong(rows[:, 0] + rows[:, 1] <= limits[np.searchsorted(turns, day) % 4], random))
        day += 1


def _circles(random: np.random.Generator) -> Iterator[Day]:
    """A circle that jumps to another place and size three times a year."""
    turns, day = _turns(random), 0
    circles = random.permutation([(0.2, 0.15), (0.4, 0.2), (0.6, 0.25), (0.8, 0.3)])
    while True:
        middle, size = circles[np.searchsorted(turns, day) % 4]
        rows = random.random((DAILY, 2))
        yield Day(rows, _wrong(((rows - [middle, 0.5]) ** 2).sum(axis=1) <= size**2, random))
        day += 1


def _turns(random: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(random.choice(np.arange(FIRST, FIRST + LENGTH), 3, replace=False))


def _inputs(random: np.random.Generator) -> Iterator[Day]:
    """A cloud of two inputs that walks through a question that stays."""
    place = random.normal(0, 1, 2)
    speed = random.uniform(0.02, 0.08)
    while True:
        place = place * 0.995 + random.normal(0, speed, 2)
        rows = place + random.normal(0, 0.5, (DAILY, 2))
        yield Day(rows, _wrong(np.sin(2 * rows[:, 0]) + np.cos(2 * rows[:, 1]) > 0, random))


SIMULATED: dict[str, Callable[[np.random.Generator], Iterator[Day]]] = {
    "plane": _plane, "thresholds": _thresholds, "circles": _circles, "inputs": _inputs,
}  # fmt: skip


def simulated(name: str, seed: int) -> list[Day]:
    """The days of a simulated drift, those before the first model included."""
    days = SIMULATED[name](np.random.default_rng([seed, *name.encode()]))
    return [next(days) for _ in range(FIRST + LENGTH)]


def flights() -> list[Day]:
    """The flights of 2013 by day: what is known beforehand, and whether they were more than 15 minutes late."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "flights"))
    from lake import _opened

    with _opened("flights") as stream:
        content = stream.read().encode()
    missing = pyarrow.csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    table = pyarrow.csv.read_csv(pyarrow.BufferReader(content), convert_options=missing)
    table = table.filter(pc.is_valid(table["arr_delay"]))
    coded = {name: pc.rank(table[name], tiebreaker="dense") for name in ("carrier", "origin", "dest")}
    date = [table[name].to_numpy() for name in ("year", "month", "day")]
    dates = np.array([f"{y}-{m:02}-{d:02}" for y, m, d in zip(*date, strict=True)], dtype="datetime64[D]")
    day = (dates - dates.min()).astype(np.int64)
    rows = np.column_stack(
        [
            *(each.to_numpy() for each in coded.values()),
            *(table[name].to_numpy() for name in ("hour", "minute", "distance")),
            (day + 1) % 7,
        ]
    ).astype(np.float64)
    late = (table["arr_delay"].to_numpy() > 15).astype(np.int64)
    return [Day(rows[day == each], late[day == each]) for each in range(day.max() + 1)]


def measured(name: str, days: list[Day]) -> World:
    """Train a model each week, and measure the loss of each on every later day."""
    later = days[FIRST:]
    length = len(later) // STEP * STEP
    loss, moved = np.zeros((length, length)), np.zeros((length, length))
    judged, errors = np.zeros(length), []
    rows, labels = np.concatenate([each.rows for each in later]), np.concatenate([each.labels for each in later])
    ends = np.cumsum([len(each.labels) for each in later])[:-1]
    for turn in range(0, length, STEP):
        known = days[turn : turn + LEARNS]
        had, told = np.concatenate([each.rows for each in known]), np.concatenate([each.labels for each in known])
        test = np.arange(len(told)) % HELD_OUT == 0
        model = HistGradientBoostingClassifier(random_state=0, early_stopping=False, max_iter=60, max_leaf_nodes=15)
        model.fit(had[~test], told[~test])
        judging = _losses(model, had[test], told[test])
        judged[turn] = judging.mean()
        first = 0 if not turn else ends[turn - 1]
        each = np.split(_losses(model, rows[first:], labels[first:]), ends[turn:] - first)
        loss[turn, turn:] = [day.mean() for day in each[: length - turn]]
        week = np.concatenate(each[:STEP])
        errors.append(np.sqrt(week.var() / len(week) + judging.var() / len(judging)))
        moved[turn, turn:] = _moved(had, later[turn:length])
    return World(name, loss, judged, float(np.mean(errors)), drawn=False, moved=moved)


def _losses(model: HistGradientBoostingClassifier, rows: Floats, labels: NDArray[np.int64]) -> Floats:
    said = np.clip(model.predict_proba(rows)[:, 1], _LEAST, 1 - _LEAST)
    losses: Floats = -np.log(np.where(labels == 1, said, 1 - said))
    return losses


def _moved(had: Floats, later: list[Day]) -> Floats:
    """The stability index of the input that moved most, by week, as a part of what is an alarm; for each day."""
    found = np.zeros(len(later))
    for begin in range(0, len(later), STEP):
        week = np.concatenate([each.rows for each in later[begin : begin + STEP]])
        found[begin : begin + STEP] = (
            max(_stability(had[:, column], week[:, column]) for column in range(had.shape[1])) / ALARM
        )
    return found


def _stability(before: Floats, after: Floats) -> float:
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    shares = [
        np.maximum(np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) / len(each), _LEAST)
        for each in (before, after)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def least(given: World) -> World:
    """The same without what the best of the models that were there lost in each week."""
    weeks = given.loss[::STEP].reshape(given.days // STEP, -1, STEP).mean(axis=2)
    there = np.triu(np.ones_like(weeks)) > 0
    floor = np.repeat(np.where(there, weeks, np.inf).min(axis=0), STEP)
    return replace(given, loss=given.loss - floor)


POLICIES = ("cost", "drift", "worse")


def told(given: World, price: float, seed: int) -> dict[str, float]:
    """What each way to choose costs."""
    found = {each: total(given, by_sluice(given, spec_of(each, price), seed), price) for each in POLICIES}
    found |= {f"{every} d": total(given, scheduled(given, every), price) for every in SCHEDULES}
    return {"hindsight": hindsight(given, price), **found, "never": total(given, [], price)}


def main() -> None:
    """Print both tables: of all that is lost, and without what no run can take away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=5)
    parser.add_argument("--first", type=int, default=8000)
    parser.add_argument("--stream", choices=["flights", *SIMULATED])
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.streams)
    for name in [options.stream] if options.stream else ["flights", *SIMULATED]:
        drawn = [flights()] if name == "flights" else (simulated(name, seed) for seed in seeds)
        worlds = [measured(name, days) for days in drawn]
        for price in PRICES:
            both = [(told(each, price, 7), least(each)) for each in worlds]
            floors = [total(each, [], 0) - total(bare, [], 0) for each, (_, bare) in zip(worlds, both, strict=True)]
            sums = {key: sum(each[key] for each, _ in both) for key in both[0][0]}
            base, floor = sums["hindsight"], sum(floors)
            if price == PRICES[0]:
                print(f"{name:11}{'run':>6}{'hindsight':>11}" + "".join(f"{key:>7}" for key in list(sums)[1:]))
            for kind, off in (("all", 0.0), ("beyond", floor)):
                shown = "".join(f"{(sums[key] - off) / (base - off):7.3f}" for key in list(sums)[1:])
                print(f"{kind:11}{price:6.0f}{(base - off) / len(worlds):11.1f}{shown}", flush=True)


if __name__ == "__main__":
    main()

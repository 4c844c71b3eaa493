"""What training costs by policy, held to the best that hindsight could do: `policy: cost`, a schedule, a drift trigger.

    .venv/bin/python tests/benchmarks/retraining_policies.py [--worlds 40] [--scenario NAME]

A world is a year of days in which what is to be learned moves. A model that is trained on day s knows what the labelled
rows of the days before s - delay said; its excess loss on day t is how far the world is from that. A run has a price, a
row's excess loss has one, and the year costs both. Policies see the champion's windows, a week each, with noise, and
their labels after the delay; the policies of Sluice are `decide` itself, on evidence as a monitor gives it. Hindsight
knows every loss, without noise, and finds by dynamic programming the days on which to train; nobody can be better.

The worlds are drawn from seeds that were not looked at while `policy: cost` was made: those were 0 to 119 and 7,000 to
7,209, these begin at 7,300. What nobody can do who does not know the future: retraining_bound.py; what he would do who
is told the laws of each world: retraining_known_laws.py.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.operator import evidence as seen
from sluice.operator.deciding import decide
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import State
from sluice.operator.worlds import Subject

Floats = NDArray[np.float64]
DAYS, STEP, DELAY = 364, 7, 14
PRICE, ROWS, UNIT = 40.0, 10_000, 0.01
"""Money: a run costs 40, a row costs 0.01 for each unit of loss: a loss that is worse by 0.01 costs 1 a day."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECT = Subject("benchmark", "world", "uid")


@dataclass(frozen=True)
class World:
    """Days, and the loss of models on them.

    Attributes:
        name: For people.
        loss: On each day (columns) of a model trained on each day (rows), whatever no training takes away left out or
            not.
        judged: The loss that each model was judged by when it was trained; shape (days,).
        noise: The standard error of what a week's window says.
        drawn: Whether that noise has yet to be added to the loss.
        moved: How far inputs are from those that a model learned from, as a part of what is an alarm; as `loss`.
    """

    name: str
    loss: Floats
    judged: Floats
    noise: float
    drawn: bool
    moved: Floats

    @property
    def days(self) -> int:
        """How many."""
        return len(self.loss)


def world(name: str, seed: int) -> World:
    """A world by its name and seed."""
    random = np.random.default_rng([seed, *name.encode()])
    history = 60
    place = SCENARIOS[name](random, DAYS + history)
    learned = learned_in(place, random)
    days = np.arange(history, DAYS + history)
    loss = np.triu(((place[None, days, :] - learned[days, None, :]) ** 2).sum(axis=2))
    alarm = 0.05  # at a distance that costs 5 a day
    return World(name, loss, np.zeros(DAYS), noise=0.15 * 0.05, drawn=True, moved=loss / alarm)


def learned_in(place: Floats, random: np.random.Generator) -> Floats:
    """What a model knows that is trained on each day: the mean of the 28 days whose labels are there, with an error."""
    window = 28
    sums = np.vstack([np.zeros((1, place.shape[1])), np.cumsum(place, axis=0)])
    known = np.zeros_like(place)
    for day in range(len(place)):
        end = max(day - DELAY, 1)
        start = max(end - window, 0)
        known[day] = (sums[end] - sums[start]) / (end - start)
    return known + random.normal(0, 0.01, place.shape)


def _still(random: np.random.Generator, days: int) -> Floats:
    return np.zeros((days, 2)) + random.normal(0, 0.002, (days, 2))


def _gradual(random: np.random.Generator, days: int) -> Floats:
    speed = random.uniform(0.001, 0.004)
    return np.outer(np.arange(days) * speed, [1.0, 0.5])


def _walk(random: np.random.Generator, days: int) -> Floats:
    return np.cumsum(random.normal(0, random.uniform(0.008, 0.02), (days, 2)), axis=0)


def _breaks(random: np.random.Generator, days: int) -> Floats:
    jumps = np.zeros((days, 2))
    for day in random.choice(np.arange(80, days - 30), random.integers(1, 4), replace=False):
        jumps[day] = random.normal(0, 0.25, 2)
    return np.cumsum(jumps, axis=0)


def _season(random: np.random.Generator, days: int) -> Floats:
    phase, size = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.25)
    angle = 2 * np.pi * np.arange(days) / 180 + phase
    return size * np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _mixed(random: np.random.Generator, days: int) -> Floats:
    return _walk(random, days) * 0.5 + _breaks(random, days) + _gradual(random, days) * 0.5


SCENARIOS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "still": _still, "gradual": _gradual, "walk": _walk, "breaks": _breaks, "season": _season, "mixed": _mixed,
}  # fmt: skip


def total(given: World, trained: list[int], price: float = PRICE) -> float:
    """What all days cost with runs on these; the model of day 0 is there already."""
    cost, turns = price * len(trained), [0, *sorted(trained), given.days]
    for begin, end in pairwise(turns):
        cost += float(given.loss[begin, begin:end].sum()) * UNIT * ROWS
    return cost


def hindsight(given: World, price: float = PRICE) -> float:
    """The least that all days can cost, with runs on any days at which policies may train, too."""
    ahead = np.cumsum(given.loss, axis=1) * UNIT * ROWS
    best = np.full(given.days + 1, np.inf)
    best[0] = 0.0
    turns = list(range(0, given.days, STEP))
    for begin in turns:
        before = ahead[begin, begin - 1] if begin else 0.0
        for end in [*[t for t in turns if t > begin], given.days]:
            value = best[begin] + ahead[begin, end - 1] - before + (price if end < given.days else 0.0)
            best[end] = min(best[end], value)
    return float(best[given.days])


def scheduled(given: World, every: int) -> list[int]:
    """Runs every so many days."""
    return list(range(every, given.days, every))


def by_sluice(given: World, spec: ContinuousTrainingSpec, seed: int) -> list[int]:
    """The days on which `decide` begins runs; each ends at once, and its version reigns."""
    random = np.random.default_rng([seed, 7])
    state, champion, trained = State(), 0, list[int]()
    windows: list[seen.WindowSeen] = []
    runs: tuple[seen.RunSeen, ...] = ()
    noises = random.normal(0, given.noise, (given.days // STEP + 1,)) * given.drawn
    for day in range(STEP, given.days, STEP):
        start = max(day - STEP, champion)
        windows.append(_window(given, champion, start, day, noises[day // STEP]))
        current = [_as_seen(each, day) for each in windows]
        version = seen.VersionSeen(
            model="m", version=str(champion), digest=str(champion), since=_at(champion), trained=_at(champion)
        )
        lake = seen.LakeSeen(name="lake", dataset=f"day-{day}", rows=day, labelled=day, arrived=_at(day))
        evidence = seen.Evidence(
            code="c", lakes=(lake,), windows=tuple(current[-120:]), champion=version, runs=runs, rows_per_day=ROWS
        )
        outcome = decide(SUBJECT, spec, state, evidence, _at(day))
        state = outcome.state
        if state.open:
            trained.append(day)
            champion = day
            run = seen.RunSeen(
                key=state.open[0].key, id=str(day), state="succeeded", version=str(day), passed=True, promoted=True
            )
            version = version.model_copy(
                update={"version": str(day), "digest": str(day), "since": _at(day), "trained": _at(day)}
            )
            evidence = evidence.model_copy(update={"runs": (run,), "champion": version})
            state = decide(SUBJECT, spec, state, evidence, _at(day)).state
    return trained


def _at(day: int) -> datetime:
    return BEGIN + timedelta(days=day)


def _window(given: World, champion: int, start: int, end: int, noise: float) -> seen.WindowSeen:
    told = float(given.loss[champion, start:end].mean()) + noise * float(np.sqrt(STEP / (end - start)))
    judged = float(given.judged[champion])
    sd = given.noise * float(np.sqrt(STEP / (end - start)))
    metric = seen.MetricSeen(
        metric="log_loss", by="labels", value=told, low=told - 2 * sd, high=told + 2 * sd,
        reference=judged, worse=told - judged, noise=sd, rows=ROWS * (end - start),
    )  # fmt: skip
    return seen.WindowSeen(
        id=f"{champion}-{end}", version=str(champion), start=_at(start), end=_at(end), rows=ROWS * (end - start),
        metrics=(metric,), inputs=float(given.moved[champion, start:end].mean()),
    )  # fmt: skip


def _as_seen(window: seen.WindowSeen, day: int) -> seen.WindowSeen:
    """A window without its metrics while its labels are not there."""
    if (_at(day) - window.end).days >= DELAY:
        return window.model_copy(update={"settled": True})
    return window.model_copy(update={"metrics": ()})


def spec_of(policy: str, price: float = PRICE) -> ContinuousTrainingSpec:
    """The specification of a policy: by cost, by an alarm about inputs, or by how much the model is surely worse."""
    given: dict[str, Any] = {"project": "p", "model": "m", "budget": {"runsPerDay": 10}, "labelDelay": f"{DELAY}d"}
    if policy == "cost":
        given |= {
            "policy": "cost",
            "cost": {"perRun": price, "perUnitLoss": UNIT, "horizon": "91d", "learnsFrom": "28d"},
            "triggers": [{"name": "any", "data": {}}],
        }
    elif policy == "drift":
        given |= {"triggers": [{"name": "moved", "drift": {}}]}
    else:
        worse = {"metric": "log_loss", "by": "labels", "worse": WORSE}
        given |= {"triggers": [{"name": "worse", "performance": worse}]}
    return ContinuousTrainingSpec.model_validate(given)


WORSE = 0.02
SCHEDULES = (7, 14, 21, 28, 42, 56, 91, 182)


def main() -> None:
    """Run it and print a table: what a year costs by policy, as a multiple of hindsight's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=7300)
    parser.add_argument("--scenario", choices=list(SCENARIOS))
    options = parser.parse_args()
    names = [options.scenario] if options.scenario else list(SCENARIOS)
    policies = ["cost", "drift", *(f"{every} d" for every in SCHEDULES), "never"]
    print(f"{'':8}{'hindsight':>10}" + "".join(f"{name:>8}" for name in policies) + "    runs by cost", flush=True)
    sums = dict.fromkeys(["hindsight", *policies], 0.0)
    for name in names:
        costs: dict[str, list[float]] = {each: [] for each in sums}
        runs = []
        for seed in range(options.first, options.first + options.worlds):
            given = world(name, seed)
            costs["hindsight"].append(hindsight(given))
            days = by_sluice(given, spec_of("cost"), seed)
            runs.append(len(days))
            costs["cost"].append(total(given, days))
            costs["drift"].append(total(given, by_sluice(given, spec_of("drift"), seed)))
            for every in SCHEDULES:
                costs[f"{every} d"].append(total(given, scheduled(given, every)))
            costs["never"].append(total(given, []))
        for each in sums:
            sums[each] += sum(costs[each])
        base = sum(costs["hindsight"])
        shown = "".join(f"{sum(costs[each]) / base:8.2f}" for each in policies)
        print(f"{name:8}{base / options.worlds:10.1f}{shown}{np.mean(runs):8.1f}", flush=True)
    shown = "".join(f"{sums[each] / sums['hindsight']:8.3f}" for each in policies)
    print(f"{'all':8}{sums['hindsight'] / options.worlds / len(names):10.1f}{shown}")


if __name__ == "__main__":
    main()

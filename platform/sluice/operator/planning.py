"""When to train, out of a forecast: all plans of runs within a horizon, compared by dynamic programming.

The comparison is of two prices: that of the best plan which begins with a run now, and that of the best one which does
not. A model that is about to know more of a break is worth waiting for, and one that will have to be trained again soon
anyway is worth less: both are in the forecast. (The same trade as in CARA, arXiv 2310.04216, and in "When to retrain",
ICML 2025, with the runs to come planned, too.)

Who waits decides again when there is another window, and better. A plan for all worlds at once, which is fixed now,
costs more than that: what waiting is worth is not in it. Plans that are made for each world by itself cost less: they
know which one it is (hindsight optimization; E. Chong, R. Givan and H. Chang, *A framework for simulation-based network
control via hindsight optimization*, 2000). A price is taken to be in the middle of the two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.operator.possible_worlds import Forecast

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Plan:
    """What was compared; money over the horizon.

    Attributes:
        now: The best plan that begins with a run now, its price included.
        later: The best plan that does not.
        wait: In so many steps that plan's first run begins; None where it has none.
        never: What the champion as it is would cost.
        saved: What a run now would save of that, without its price and without other runs.
        step: What the champion costs beyond a new version in the step that begins now.
    """

    now: float
    later: float
    wait: int | None
    never: float
    saved: float
    step: float


def plan(found: Forecast, run: float, unit: float) -> Plan:
    """Compare.

    Args:
        found: By how much models will be worse.
        run: The price of a run.
        unit: What a step costs when the metric is worse by one.
    """
    champion, trained = found.champion * unit, found.trained * unit
    fixed = _plans(champion.mean(axis=-1, keepdims=True), trained.mean(axis=-1, keepdims=True), run)
    known = _plans(champion, trained, run)
    now, later = (
        (float(one.mean()) + float(other.mean())) / 2 for one, other in zip(fixed[:2], known[:2], strict=True)
    )
    wait = int(fixed[2][0]) + 1
    never, other = float(champion.sum(axis=0).mean()), float(trained[0].sum(axis=0).mean())
    first = float((champion[0] - trained[0, 0]).mean())
    return Plan(now, later, wait if wait < len(champion) else None, never, never - other, first)


def _plans(champion: Floats, trained: Floats, run: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """By world: the price of the best plan with a run now, of the best one without, and after which step that begins.

    Args:
        champion: What it costs in each step, shape (steps, worlds).
        trained: What versions cost, as in `Forecast`.
        run: The price of a run.
    """
    steps = len(champion)
    best = np.zeros((steps + 1, champion.shape[1]))  # with a run in this step, from there on
    for step in reversed(range(steps)):
        best[step] = run + _choices(trained[step, step:], best[step + 1 :]).min(axis=0)
    later = _choices(champion, best[1:])
    return best[0], later.min(axis=0), later.argmin(axis=0)


def _choices(costs: Floats, best: Floats) -> Floats:
    """What it costs to keep a version for one step, for two, …, and then go on with another; the last: for good.

    Args:
        costs: By step and world.
        best: What follows where another is trained after so many steps, from 1 on; at the end nothing does.
    """
    until = np.cumsum(costs, axis=0, dtype=np.float64)
    until[:-1] += best[: len(costs) - 1]
    return until

"""When to train, out of a forecast: all plans of runs within a horizon, compared by dynamic programming.

The comparison is of two prices: that of the best plan which begins with a run now, and that of the best one which does
not. A model that is about to know more of a break is worth waiting for, and one that will have to be trained again soon
anyway is worth less: both are in the forecast. (The same trade as in CARA, arXiv 2310.04216, and in "When to retrain",
ICML 2025, with the runs to come planned, too.)
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
    steps = len(champion)
    best = np.zeros(steps + 1)  # with a run in this step, from there on
    for step in reversed(range(steps)):
        best[step] = run + _cheapest(trained[step, step:], best[step + 1 :])[0]
    later, wait = _cheapest(champion, best[1:])
    saved = float(champion.sum() - trained[0].sum())
    first = float(champion[0] - trained[0, 0])
    return Plan(float(best[0]), later, wait, float(champion.sum()), saved, first)


def _cheapest(costs: Floats, best: Floats) -> tuple[float, int | None]:
    """The least that a version costs which runs on for some steps; in how many it is replaced, None for never.

    Args:
        costs: By step.
        best: What follows where another is trained after so many steps, from 1 on; at the end nothing does.
    """
    until = np.cumsum(costs)
    choices = until + np.append(best[: len(costs) - 1], 0.0)
    first = int(np.argmin(choices))
    return float(choices[first]), first + 1 if first + 1 < len(costs) else None

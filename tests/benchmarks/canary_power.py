"""How often a canary errs, and how many requests it takes: simulated traffic, from look to look to the end.

    python tests/benchmarks/canary_power.py [CANARIES]

Time has shocks that last over some blocks and meet both versions, groups of subjects differ, errors are rare, and of
what the challenger answered labels come at once, which the champion was asked about too (a shadow).
"""

import sys
from collections import Counter

import numpy as np

from tests.unit.canary_world import PLAN, World, ran

WORLDS = {
    "equal": World(),
    "equal, subjects differ more": World(subjects=0.15),
    "equal, no errors at all": World(errors=0.0),
    "1 % more errors": World(more_errors=0.01),
    "5 % more errors": World(more_errors=0.05),
    "25 % slower": World(slower=1.25),
    "twice as slow": World(slower=2.0),
    "2 % more loss": World(loss=1.02),
    "10 % more loss": World(loss=1.1),
}


def main(canaries: int) -> None:
    print(f"{'challenger':28} {'rolled back':>12} {'promoted':>9} {'requests: half':>15} {'nine in ten':>12}")
    for name, world in WORLDS.items():
        ends = [ran(world, seed, PLAN) for seed in range(canaries)]
        count = Counter(verdict.outcome for verdict, _, _ in ends)
        half, most = np.quantile([requests for _, requests, _ in ends], [0.5, 0.9])
        back, on = count["roll back"] / canaries, count["promote"] / canaries
        print(f"{name:28} {back:12.1%} {on:9.1%} {half:15,.0f} {most:12,.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

"""Canaries of simulated traffic: what a challenger does, and how the decision follows to its end."""

from dataclasses import dataclass, replace

import numpy as np

from sluice.serving.canary import Arms, Evidence, Plan, State, Verdict, decide

GROUPS, MOST_BLOCKS, FIRST = 64, 240, 5  # requests of the challenger in a block, at first


@dataclass(frozen=True)
class World:
    """What requests do.

    Attributes:
        errors: The champion's share of invalid answers.
        more_errors: How much more of them the challenger has.
        slower: By which factor the challenger takes longer.
        loss: By which factor its loss is greater.
        shocks: How much time varies from block to block, for both alike; it lasts over some blocks.
        subjects: How much groups of subjects differ, which only one arm meets.
    """

    errors: float = 0.002
    more_errors: float = 0.0
    slower: float = 1.0
    loss: float = 1.0
    shocks: float = 0.5
    subjects: float = 0.05


class Traffic:
    """Cells of one step, growing from look to look."""

    def __init__(self, world: World, weight: float, generator: np.random.Generator) -> None:
        self._world, self._weight, self._generator = world, weight, generator
        self._effects = generator.normal(0, world.subjects, (2, GROUPS))
        self._sizes = generator.dirichlet(np.full(GROUPS, 3.0), 2)
        self._table = np.zeros((0, GROUPS, 2, 5))  # by block of time, group, arm and measure
        self._size, self._last = FIRST, 0.0

    def grow(self, requests: int) -> None:
        """Until the challenger had so many more."""
        while len(self._table) + requests / self._size > MOST_BLOCKS:
            even = self._table[: len(self._table) // 2 * 2]
            self._table, self._size = even[::2] + even[1::2], 2 * self._size
        blocks = max(1, round(requests / self._size))
        sizes = self._size * np.array([(1 - self._weight) / self._weight, 1.0])
        counts = self._generator.poisson(np.broadcast_to(sizes * self._sizes.T[None], (blocks, GROUPS, 2)))
        world, shock = self._world, self._shocks(blocks)[:, None, None]
        effect = self._effects.T[None]
        bad = self._generator.binomial(counts, np.clip(world.errors * np.exp(effect) + [0, world.more_errors], 0, 1))
        time = counts * (shock + 0.3 * effect + [0, np.log(world.slower)])
        time = time + 0.6 * np.sqrt(counts) * self._generator.normal(size=counts.shape)
        rows = counts[..., 1:]  # labels have come of what the challenger answered, and the champion judged them too
        champion = rows * 0.4 + 0.5 * np.sqrt(rows) * self._generator.normal(size=rows.shape)
        apart = rows * 0.4 * (world.loss - 1) + 0.15 * np.sqrt(rows) * self._generator.normal(size=rows.shape)
        lost = np.concatenate([champion, champion + apart], axis=-1)
        both = np.broadcast_to(rows, counts.shape)
        self._table = np.concatenate([self._table, np.stack([counts, bad, time, both, lost], axis=-1)])

    def arms(self) -> dict[str, Arms]:
        found = {}
        for guard, places in {"errors": [0, 1], "latency": [0, 2], "loss": [3, 4]}.items():
            cells = self._table[..., places].reshape(-1, GROUPS, 4)
            found[guard] = Arms(cells.sum(axis=1), cells.sum(axis=0))
        return found

    def _shocks(self, blocks: int) -> np.ndarray:
        found = np.empty(blocks)
        for block in range(blocks):
            self._last = 0.7 * self._last + self._world.shocks * self._generator.normal()
            found[block] = self._last
        return found


PLAN = Plan(guards=("errors", "latency", "loss"))


def ran(world: World, seed: int, plan: Plan = PLAN, most: int = 200_000) -> tuple[Verdict, int, list[int]]:
    """A canary to its end: the last verdict, the challenger's requests, and those of each step."""
    generator = np.random.default_rng(seed)
    state, total = State("a", "b"), 0
    steps: list[int] = []
    traffic, seen = Traffic(world, plan.steps[0], generator), 0
    while True:
        due = state.next_look or plan.first_look
        traffic.grow(max(due - seen, 1))
        evidence = Evidence("a", "b", traffic.arms())
        total += evidence.requests - seen
        seen = evidence.requests
        verdict = decide(plan, state, evidence, 0.0)
        if verdict.outcome in ("roll back", "promote") or total > most:
            return verdict, total, [*steps, seen]
        if verdict.outcome == "advance":
            traffic, steps, seen = Traffic(world, verdict.weight, generator), [*steps, seen], 0
        state = verdict.state


def unknown(world: World) -> World:
    """The same without what differs between moments and subjects."""
    return replace(world, shocks=0.0, subjects=0.0)

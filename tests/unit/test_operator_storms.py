"""The operator in a world that kills it, loses answers, is away, turns the clock, and repeats and reorders events.

Whatever happens: a run at most once for a key, no more runs at once and a day than allowed, no automatic run on the
same data, code and parameters as another, nothing that was accepted is lost. `SLUICE_STORMS=1000` looks at more.
"""

import os
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sluice.core.errors import EnvironmentFault
from sluice.operator import evidence as seen
from sluice.operator.keys import event_mark, marks_of
from sluice.operator.reconciling import reconcile
from sluice.operator.state import State
from tests.unit.operator_worlds import KilledHere, MemoryWorld, training

CALLS = (
    "load", "gather", "save", "save done", "keep", "start_run", "start_run done", "promote", "promote done",
    "roll_back", "roll_back done", "answer", "ask_approval",
)  # fmt: skip
STORMS = int(os.environ.get("SLUICE_STORMS", "12"))
TRIGGERS = [
    {"name": "rows", "data": {"rows": 5}},
    {"name": "hourly", "schedule": {"cron": "0 * * * *", "missed": "one"}},
    {"name": "told", "event": {}},
    {"name": "worse", "performance": {"worse": 0.1}},
]


class Storm(RuleBasedStateMachine):
    """One ContinuousTraining, and everything that can happen to it."""

    world: MemoryWorld

    @initialize(
        concurrency=st.integers(1, 2),
        runs=st.integers(1, 5),
        approval=st.booleans(),
        cooldown=st.sampled_from(["0s", "90m"]),
        retries=st.integers(0, 2),
    )
    def begin(self, concurrency: int, runs: int, approval: bool, cooldown: str, retries: int) -> None:
        self.spec = training(
            triggers=TRIGGERS, concurrency=concurrency, cooldown=cooldown, retries=retries,
            budget={"runsPerDay": runs}, rollback={"performance": {"worse": 0.3}},
            promotion={"by": "approval" if approval else "automatic"},
        )  # fmt: skip
        self.world = MemoryWorld(self.spec)
        self.world.lake("d0", 0)
        self.accepted: set[str] = set()
        self.asked: set[str] = set()
        self.number = 0

    def look(self, call: str | None = None, nth: int = 1, conflict: bool = False) -> None:
        """Reconcile; be killed at the n-th time that a call is made, or let somebody save before."""
        left = Counter({call: nth} if call else {})

        def trouble(at: str) -> None:
            if at in left:
                left[at] -= 1
                if left[at] == 0:
                    if conflict:
                        self.world.version += 1  # somebody saved the same
                        return
                    raise KilledHere

        self.world.trouble = trouble
        with suppress(KilledHere, EnvironmentFault):
            reconcile(self.world, "team", "late")
        self.world.trouble = lambda _: None
        known = set(marks_of(self.world.state.events))
        self.accepted |= {event_mark(each) for each in self.world.events if event_mark(each) in known}
        self.world.events = [each for each in self.world.events if event_mark(each) not in known]

    @rule(call=st.sampled_from(CALLS), nth=st.integers(1, 3), conflict=st.booleans())
    def trouble(self, call: str, nth: int, conflict: bool) -> None:
        self.look(call, nth, conflict and call == "save")

    @rule()
    def quiet(self) -> None:
        self.look()

    @rule(minutes=st.integers(1, 2000))
    def time_passes(self, minutes: int) -> None:
        self.world.clock += timedelta(minutes=minutes)

    @rule(minutes=st.integers(1, 600))
    def clock_is_put_back(self, minutes: int) -> None:
        self.world.clock -= timedelta(minutes=minutes)

    @rule(dataset=st.integers(0, 9), rows=st.integers(0, 30))
    def data_arrive(self, dataset: int, rows: int) -> None:
        self.world.lake(f"d{dataset}", rows)

    @rule(numbers=st.lists(st.integers(0, 30), min_size=1, max_size=5))
    def events_arrive(self, numbers: list[int]) -> None:
        self.world.events += [seen.EventSeen(id=str(number), source="bucket") for number in numbers]

    @rule(action=st.sampled_from(["train", "approve", "refuse", "rollback", "promote"]), version=st.integers(1, 5))
    def somebody_asks(self, action: str, version: int) -> None:
        self.number += 1
        uid = f"uid-{self.number}"
        numbered = str(version) if action in {"approve", "promote"} else None
        self.world.requests[uid] = seen.RequestSeen(
            uid=uid, name=uid, action=action, by="ada", created=self.world.clock, version=numbered, reason="so"
        )  # type: ignore[arg-type]
        self.asked.add(uid)

    @precondition(lambda self: self.world.open)
    @rule(end=st.sampled_from(["succeeded", "succeeded", "failed", "cancelled"]), passed=st.booleans())
    def a_run_ends(self, end: seen.RunState, passed: bool) -> None:
        self.world.end(self.world.open[0], end, passed=passed)

    @precondition(lambda self: self.world.champions)
    @rule(worse=st.floats(0, 0.5))
    def a_window_is_judged(self, worse: float) -> None:
        self.world.window(worse)

    @rule(away=st.booleans())
    def kfp_is_away(self, away: bool) -> None:
        self.world.faults = (seen.Fault(part="runs", words="KFP is away"),) if away else ()

    @invariant()
    def no_more_at_once_than_allowed(self) -> None:
        assert len(self.world.open) <= self.spec.concurrency

    @invariant()
    def no_more_a_day_than_allowed(self) -> None:
        begun = Counter(f"{each.began:%Y-%m-%d}" for each in self.world.state.intents)
        assert all(count <= self.spec.budget.runs_per_day for count in begun.values())
        assert set(self.world.runs) <= {each.key for each in self.world.state.intents} or len(self.world.runs) > 39

    @invariant()
    def nothing_is_trained_twice_unasked(self) -> None:
        alone = [each for each in self.world.state.intents if not each.by and not each.attempt]
        fingerprints = Counter(each.trained for each in alone if each.trained)
        assert all(count == 1 for count in fingerprints.values())

    @invariant()
    def the_state_is_small_and_comes_back(self) -> None:
        state = self.world.state
        assert State.of_status(state.document()) == state
        assert len(state.model_dump_json()) < 150_000

    def teardown(self) -> None:
        """When all is calm again, everything that was accepted is dealt with, and looking again changes nothing."""
        if not hasattr(self, "spec"):
            return
        world, self.world.faults = self.world, ()
        self.look()
        for _ in range(3 + 2 * len(self.asked)):
            for key in world.open:
                world.end(key, "succeeded")
            world.clock = max(world.clock + timedelta(days=1), world.state.last_start or world.clock)
            self.look()
        for key in world.open:
            world.end(key, "succeeded")
        self.look()
        assert {each.uid for each in world.answers.values()} == self.asked
        assert not [each for each in world.state.pending if each.request or each.trigger == "told"]
        assert self.accepted <= set(marks_of(world.state.events))
        assert world.state.move is None
        before = world.state
        self.look()
        self.look()
        assert not world.state.open or world.state != before or world.open
        assert sorted(world.kept) == list(range(1, world.state.decided + 1))


TestStorm = Storm.TestCase
TestStorm.settings = settings(
    max_examples=STORMS,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="SLUICE_STORMS" not in os.environ,
)

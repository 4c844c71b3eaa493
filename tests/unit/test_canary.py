"""The decision about a canary: what it must never do, what it must find, and that its numbers are those of the gate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.evaluation.bootstrap import resample_weights
from sluice.evaluation.designs import Design
from sluice.serving.canary import Arms, Evidence, Plan, State, circular_error, decide, difference
from tests.unit.canary_world import PLAN, Traffic, World, ran

BEGUN = State("a", "b")


def arms(champion: np.ndarray, challenger: np.ndarray, counts: tuple[float, float] = (50, 50)) -> Arms:
    """Cells with a mean each, shape (blocks,)."""
    one, other = (np.full(len(champion), count) for count in counts)
    return Arms(np.column_stack([one, one * champion, other, other * challenger]))


def evidence(**given: Arms) -> Evidence:
    return Evidence("a", "b", given)


COUNTS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=60
)


@given(COUNTS, COUNTS, st.integers(0, 3), st.integers(0, 30), st.integers(0, 500))
@settings(max_examples=60)
def test_whatever_was_seen_the_verdict_is_one_that_may_be_carried_out(
    some: list[tuple[float, ...]], more: list[tuple[float, ...]], step: int, looks: int, due: int
) -> None:
    seen = {"latency": Arms(np.array(some, float)), "loss": Arms(np.array(more, float), np.array(some, float))}
    errors = np.array(some, float)
    seen["errors"] = Arms(np.abs(np.column_stack([errors[:, 0], errors[:, 0], errors[:, 1], 0 * errors[:, 1]])))
    state = replace(BEGUN, step=step, looks=looks, next_look=due)
    verdict = decide(PLAN, state, evidence(**seen), 0.0)
    assert verdict == decide(PLAN, state, evidence(**seen), 99.0)
    requests = int(errors[:, 1].sum())
    assert verdict.looked <= (requests >= (due or PLAN.first_look))
    if not verdict.looked:
        assert (verdict.outcome, verdict.state, verdict.weight) == ("hold", state, PLAN.steps[step])
        return
    assert verdict.weight == {"hold": PLAN.steps[step], "roll back": 0.0, "promote": 0.0}.get(
        verdict.outcome, PLAN.steps[min(step + 1, 3)]
    )
    assert (verdict.outcome == "promote") <= (step == 3)
    if verdict.outcome == "advance":
        assert (verdict.state.step, verdict.state.looks, verdict.state.next_look) == (step + 1, 0, 0)
    else:
        assert verdict.state.looks == looks + 1
        assert verdict.state.next_look > requests
    assert verdict.level < PLAN.alpha / len(PLAN.steps)


def test_all_looks_together_spend_no_more_than_alpha() -> None:
    plan = replace(PLAN, guards=("latency",))
    noise = np.random.default_rng(0).normal(size=60)
    seen = evidence(errors=arms(noise * 0, noise * 0), latency=arms(noise, noise[::-1]))
    spent = [decide(plan, replace(BEGUN, looks=look), seen, 0).level for look in range(400)]
    assert sum(spent) * len(plan.steps) == pytest.approx(plan.alpha, rel=0.01)
    assert sum(spent) * len(plan.steps) < plan.alpha


@pytest.mark.parametrize(("length", "dependent"), [(1, 0.0), (5, 0.9)])
def test_errors_are_those_of_the_gates_bootstrap(length: int, dependent: float) -> None:
    generator = np.random.default_rng(3)
    shocks = np.convolve(generator.normal(size=140), np.ones(8) / 3, "valid")[:120]
    counts = generator.poisson(30, (120, 2)) + 1.0
    means = dependent * shocks[:, None] * [1, 0.3] + generator.normal(size=(120, 2))
    cells = np.column_stack([counts[:, 0], counts[:, 0] * means[:, 0], counts[:, 1], counts[:, 1] * means[:, 1]])
    design = Design(np.ones(120), np.arange(120), ordered=True, block=length)
    drawn = np.concatenate(list(resample_weights(design, 6000, 5))[1:], axis=1)
    sums = cells.T @ drawn
    wanted = np.std(sums[3] / sums[2] - sums[1] / sums[0])
    total = cells.sum(axis=0)
    champion = (cells[:, 1] - total[1] / total[0] * cells[:, 0]) / total[0]
    residuals = (cells[:, 3] - total[3] / total[2] * cells[:, 2]) / total[2] - champion
    assert circular_error(residuals, length) == pytest.approx(wanted, rel=0.05)
    gap, _ = difference(Arms(cells))
    assert gap.value == pytest.approx(total[3] / total[2] - total[1] / total[0])
    assert gap.error is not None
    assert gap.error >= 0.9 * wanted


def test_one_subjects_bad_requests_tell_nothing_about_a_version() -> None:
    blocks = np.column_stack([np.full(100, 99.0), np.zeros(100), np.ones(100) * 4, np.ones(100) * 4])
    groups = np.zeros((64, 4))
    groups[:, 0], groups[5, 2:] = 9900 / 64, 400.0
    plan = replace(PLAN, guards=("errors",))
    held = decide(plan, BEGUN, evidence(errors=Arms(blocks, groups)), 0)
    assert held.outcome == "hold"
    assert "the requests are of 1 independent moments or subjects" in held.reason
    groups[:, 2:] = 400 / 64
    assert decide(plan, BEGUN, evidence(errors=Arms(blocks, groups)), 0).outcome == "roll back"


def test_few_requests_without_an_error_are_no_proof() -> None:
    plan = replace(PLAN, guards=("errors",))
    none = np.zeros(50)
    few, many = (evidence(errors=arms(none, none, (count, count))) for count in (4, 40))
    held = decide(plan, BEGUN, few, 0)
    assert held.outcome == "hold"
    assert held.findings[0].wanted is not None
    assert 400 < held.findings[0].wanted < 2500
    assert decide(plan, BEGUN, many, 0).outcome == "advance"


def test_a_difference_that_does_not_matter_is_no_reason_to_go_back() -> None:
    noise = np.random.default_rng(1).normal(scale=0.001, size=100)
    seen = evidence(errors=arms(noise * 0, noise * 0), latency=arms(noise, noise[::-1] + 0.02))
    verdict = decide(replace(PLAN, guards=("latency",)), BEGUN, seen, 0)
    assert verdict.findings[0].worse < 1e-6
    assert verdict.outcome == "advance"


def test_a_canary_ends_when_somebody_else_is_champion() -> None:
    for champion, challenger in (("c", "b"), ("a", "c"), ("", "b"), ("a", "")):
        verdict = decide(PLAN, BEGUN, Evidence(champion, challenger, {}), 0)
        assert (verdict.outcome, verdict.weight, verdict.looked) == ("roll back", 0.0, False)
        assert "another one than when the canary began" in verdict.reason


def test_a_guard_without_evidence_holds() -> None:
    none = np.zeros(50)
    verdict = decide(Plan(guards=("errors", "loss")), BEGUN, evidence(errors=arms(none, none, (90, 90))), 0)
    assert verdict.outcome == "hold"
    assert "loss: nothing was counted yet" in verdict.reason


WORLDS = {"errors": World(more_errors=0.01), "time": World(slower=1.25), "loss": World(loss=1.02)}


def test_equal_versions_are_promoted_and_a_planted_bad_one_is_found() -> None:
    """A few canaries from begin to end; `tests/benchmarks/canary_power.py` runs as many as the table in the docs."""
    ends = [ran(World(), seed)[0].outcome for seed in range(10)]
    assert ends.count("promote") >= 9
    for name, world in WORLDS.items():
        found = [ran(world, seed) for seed in range(5)]
        assert [verdict.outcome for verdict, _, _ in found].count("roll back") == 5, name
        assert any(name in verdict.reason for verdict, _, _ in found)
        assert max(requests for _, requests, _ in found) < 30_000


def test_steps_meet_other_requests() -> None:
    traffic = Traffic(World(), 0.05, np.random.default_rng(0))
    traffic.grow(200)
    first = traffic.arms()["errors"].blocks.sum(axis=0)
    assert first[0] / first[2] == pytest.approx(19, rel=0.3)

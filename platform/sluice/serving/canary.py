"""The decision about a canary: hold, advance, roll back or promote, by the gate's statistics; a pure function.

Subjects are divided at random, so at one weight champion and challenger meet the same world, and each step is judged by
the requests that came during it. Guards are compared, each a mean over requests or rows: errors, slow answers, time,
loss. A guard has a *harm*: the difference that must not pass.

- **Roll back** where the challenger is worse beyond noise, and by at least half of the harm. The tests of all guards
  share one chance of a false alarm (Holm), as do all looks at all steps: a step's first look may spend half of its
  share, its second a sixth, and so on (`significance.spent`), and the steps divide `alpha` among them. By Bonferroni's
  inequality it holds whatever depends on what.
- **Advance** where each guard proves that the harm is not there: the hypothesis that the difference is at least the
  harm is refused at a level of 1 - `power`, spent over the step's looks alike. So a challenger that is as bad as the
  harm passes a step with that chance at most. How many requests it takes follows from what was seen to vary.
- **Hold** in every other case, and where there are too few blocks of time or groups of subjects to say anything.

Errors of differences are those of the circular block bootstrap over blocks of time, whose length is chosen as in the
gate (`sluice.evaluation.blocks`), or those over groups of subjects, whichever are larger: in closed form, for a ratio
of sums, linearised. The tests compare them with resamples (`sluice.evaluation.bootstrap`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil, exp, isfinite, log, sqrt
from typing import Any, Literal

import numpy as np
from scipy import stats

from sluice.evaluation.blocks import LEAST_BLOCKS, block_length
from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.significance import ALPHA, holm, p_above, p_below, spent

Outcome = Literal["hold", "advance", "roll back", "promote"]
LOSSES = ("loss", "estimated loss")
SHARES = ("errors", "slow")
_FASTER, _SLOWER, _UNKNOWN = 1.5, 4.0, 2.0  # by how much requests grow until the next look: at least, at most, or so


@dataclass(frozen=True)
class Plan:
    """What a person wants of a canary.

    Attributes:
        steps: The challenger's weights, one after the other; after the last it is promoted.
        alpha: The chance of a false roll back, over all looks and guards.
        power: The chance that a harm is found before a step passes it.
        errors: The harm in the share of invalid answers and exceptions.
        slow: The harm in the share of slow answers.
        slow_seconds: From when on an answer is slow.
        latency: The harm in the typical time of an answer, as a share of the champion's.
        loss: The harm in the loss, as a share of the champion's.
        guards: Which are asked: a canary holds until each of them has spoken.
        first_look: Requests of the challenger, in a step, before anything is looked at.
    """

    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)
    alpha: float = ALPHA
    power: float = 0.9
    errors: float = 0.01
    slow: float = 0.01
    slow_seconds: float = 0.25
    latency: float = 0.25
    loss: float = 0.02
    guards: tuple[str, ...] = ("errors", "slow", "latency")
    first_look: int = 100


@dataclass(frozen=True)
class State:
    """Where a canary is.

    Attributes:
        champion: Its digest when the canary began.
        challenger: The digest of who is tried.
        step: Its place in `Plan.steps`.
        looks: How many looks this step had.
        next_look: At how many requests of the challenger, in this step, the next one is.
    """

    champion: str
    challenger: str
    step: int = 0
    looks: int = 0
    next_look: int = 0


@dataclass(frozen=True)
class Arms:
    """One measure of both versions, shape (cells, 4): champion's count and sum, challenger's count and sum.

    Attributes:
        blocks: By block of time, in its order.
        groups: By group of subjects; empty where nobody knows them.
    """

    blocks: np.ndarray
    groups: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass(frozen=True)
class Evidence:
    """What was seen during the present step.

    Attributes:
        champion: The digest of who is champion now; empty for nobody.
        challenger: The digest of who is challenger now; empty for nobody.
        arms: By guard.
    """

    champion: str
    challenger: str
    arms: Mapping[str, Arms]

    @property
    def requests(self) -> int:
        """The challenger's, in this step."""
        found = self.arms.get("errors")
        return int(found.blocks[:, 2].sum()) if found is not None and len(found.blocks) else 0


@dataclass(frozen=True)
class Finding:
    """What one guard says.

    Attributes:
        guard: Its name.
        counts: Requests or rows of champion and challenger.
        champion: The champion's mean.
        challenger: The challenger's.
        difference: Challenger less champion.
        error: Its standard error; None where it cannot be told.
        units: Independent draws behind it.
        harm: The difference that must not pass.
        worse: The p-value of `not worse`, adjusted for all guards.
        harmful: The p-value of `the harm is there`.
        wanted: Requests or rows of the challenger after which the harm would be found, by what was seen to vary.
        words: All of it for people.
    """

    guard: str
    counts: tuple[int, int]
    champion: float | None
    challenger: float | None
    difference: float | None
    error: float | None
    units: float
    harm: float
    worse: float
    harmful: float
    wanted: int | None
    words: str


@dataclass(frozen=True)
class Verdict:
    """What follows, and why.

    Attributes:
        outcome: What to do.
        reason: One sentence.
        state: Where the canary is afterwards.
        weight: The challenger's, afterwards.
        looked: Whether this was a look, which spends a part of alpha.
        level: What it could spend; 0 where it was none.
        findings: By guard.
    """

    outcome: Outcome
    reason: str
    state: State
    weight: float
    looked: bool = False
    level: float = 0.0
    findings: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def decide(plan: Plan, state: State, evidence: Evidence, now: float) -> Verdict:
    """What to do about a canary.

    Args:
        plan: What is wanted.
        state: Where it is.
        evidence: What was seen during the present step.
        now: Seconds since 1970; it decides nothing, and stands in the record.
    """
    del now
    weight = plan.steps[state.step]
    if changed := _changed(state, evidence):
        return Verdict("roll back", changed, state, 0.0)
    due = state.next_look or plan.first_look
    if evidence.requests < due:
        return Verdict("hold", f"{evidence.requests:,} of {due:,} requests until the next look", state, weight)
    look = state.looks + 1
    level = plan.alpha / ALPHA * spent(look) / len(plan.steps)
    passing = (1 - plan.power) / ALPHA * spent(look)
    findings = findings_of(plan, evidence, passing)
    if all(each.error is None for each in findings):  # nothing can be tested yet, so nothing is spent
        return Verdict("hold", "; ".join(each.words for each in findings), state, weight)
    looked = replace(state, looks=look, next_look=_next(evidence.requests, findings))
    harmed = [each for each in findings if _harmed(each, level)]
    if harmed:
        reason = f"the challenger is worse: {'; '.join(each.words for each in harmed)}"
        return Verdict("roll back", reason, looked, 0.0, True, level, findings)
    waiting = [each for each in findings if each.harmful > passing]
    if waiting:
        reason = f"not proven yet: {'; '.join(each.words for each in waiting)}"
        return Verdict("hold", reason, looked, weight, True, level, findings)
    proven = ", ".join(each.guard for each in findings)
    if state.step + 1 < len(plan.steps):
        after = replace(state, step=state.step + 1, looks=0, next_look=0)
        reason = f"no harm in {proven} at {weight:.3g} of the subjects"
        return Verdict("advance", reason, after, plan.steps[after.step], True, level, findings)
    # The alias does the rest: a weight that outlived it would undo a person's roll back.
    return Verdict("promote", f"no harm in {proven} at any step", looked, 0.0, True, level, findings)


def findings_of(plan: Plan, evidence: Evidence, passing: float) -> tuple[Finding, ...]:
    """What each guard of the plan says; passing: what a test of the harm may spend."""
    raw = [_finding(guard, evidence.arms.get(guard), plan, passing) for guard in plan.guards]
    adjusted = holm([each.worse for each in raw])
    return tuple(replace(each, worse=p) for each, p in zip(raw, adjusted, strict=True))


def difference(arms: Arms) -> tuple[Estimate, float]:
    """The challenger's mean less the champion's, and how many independent draws stand behind it.

    Undefined where an arm is empty, or where there are too few blocks or groups to tell an error by.
    """
    total = arms.blocks.sum(axis=0) if len(arms.blocks) else np.zeros(4)
    if min(total[0], total[2]) <= 0:
        return Estimate(None, None, None), 0.0
    means = total[1] / total[0], total[3] / total[2]
    residuals = _residuals(arms.blocks, total, means)
    length = block_length(residuals)
    cells, units = [_effective(arms.blocks)], _effective(arms.blocks) / length
    error = circular_error(residuals, length)
    if len(arms.groups):
        cells.append(_effective(arms.groups))
        error = max(error, circular_error(_residuals(arms.groups, total, means), 1))
        units = min(units, cells[1])
    known = min(cells) >= LEAST_BLOCKS  # `block_length` leaves as many blocks
    return Estimate(float(means[1] - means[0]), None, None, error if known else None), min(units, *cells)


def circular_error(residuals: np.ndarray, length: int) -> float:
    """The standard error of their sum under the circular block bootstrap, exactly.

    Args:
        residuals: What each cell adds to the difference, with the sum 0; shape (cells,).
        length: Of a block.
    """
    count = len(residuals)
    sums = np.convolve(np.concatenate([residuals, residuals[: length - 1]]), np.ones(length), "valid")
    correction = count / max(count - 1, 1)
    return float(sqrt(correction * (sums**2).mean() * count / length))


def _residuals(cells: np.ndarray, total: np.ndarray, means: tuple[float, float]) -> np.ndarray:
    champion = (cells[:, 1] - means[0] * cells[:, 0]) / total[0]
    return np.asarray((cells[:, 3] - means[1] * cells[:, 2]) / total[2] - champion)


def _effective(cells: np.ndarray) -> float:
    """How many cells of one size would tell as much: Kish's number, of the arm that has fewer."""
    squares = (cells[:, [0, 2]] ** 2).sum(axis=0)
    sums = cells[:, [0, 2]].sum(axis=0) ** 2
    return float(min(sums / squares))


def _finding(guard: str, arms: Arms | None, plan: Plan, passing: float) -> Finding:
    if arms is None or not len(arms.blocks):
        return _silent(guard, (0, 0), f"{guard}: nothing was counted yet")
    gap, units = difference(arms)
    total = arms.blocks.sum(axis=0)
    counts = int(total[0]), int(total[2])
    if gap.value is None or gap.error is None:
        return _silent(guard, counts, f"{guard}: the requests are of {units:.0f} independent moments or subjects; "
                                      f"{LEAST_BLOCKS} are wanted")  # fmt: skip
    champion, challenger = float(total[1] / total[0]), float(total[3] / total[2])
    harm = {"errors": plan.errors, "slow": plan.slow, "latency": log(1 + plan.latency)}.get(
        guard, plan.loss * abs(champion)
    )
    error = gap.error
    if guard in SHARES:  # few errors seen are no proof that few there are: what noise the harm itself would have
        error = max(error, _at_harm(champion, harm, counts))
    worse = p_above(gap, units)
    harmful = p_below(replace(gap, error=error), units, harm)
    wanted = _wanted(error, units, harm, counts[1], passing, plan.power)
    words = _told(guard, champion, challenger, gap.value, error, harm, counts, wanted)
    return Finding(guard, counts, champion, challenger, gap.value, error, units, harm, worse, harmful, wanted, words)


def _silent(guard: str, counts: tuple[int, int], words: str) -> Finding:
    return Finding(guard, counts, None, None, None, None, 0.0, 0.0, 1.0, 1.0, None, words)


def _at_harm(champion: float, harm: float, counts: tuple[int, int]) -> float:
    """The standard error of a difference of shares where it is the harm."""
    there = min(champion + harm, 1.0)
    return sqrt(champion * (1 - champion) / counts[0] + there * (1 - there) / counts[1])


def _harmed(found: Finding, level: float) -> bool:
    return found.worse <= level and found.difference is not None and found.difference >= found.harm / 2


def _wanted(error: float, units: float, harm: float, count: int, passing: float, power: float) -> int | None:
    """How many requests prove, in `power` of cases, that an equal challenger does not have the harm."""
    if harm <= 0 or not isfinite(error):
        return None
    freedom = max(units - 1, 1.0)
    needed = error * (stats.t.isf(passing, freedom) + stats.norm.isf(1 - power))
    return ceil(float(count * (needed / harm) ** 2))


def _next(requests: int, findings: tuple[Finding, ...]) -> int:
    """When to look again: when it may be enough, and not so often that each look can say little."""
    shares = [each.wanted / max(each.counts[1], 1) for each in findings if each.wanted is not None]
    growth = max(shares) if len(shares) == len(findings) and shares else _UNKNOWN
    return ceil(requests * min(max(growth, _FASTER), _SLOWER))


def _told(
    guard: str,
    champion: float,
    challenger: float,
    gap: float,
    error: float,
    harm: float,
    counts: tuple[int, int],
    wanted: int | None,
) -> str:
    rows = f"{counts[1]:,} against {counts[0]:,} {'rows' if guard in LOSSES else 'requests'}"
    about = f"; about {wanted:,} are wanted" if wanted is not None and wanted > counts[1] else ""
    if guard in SHARES:
        return f"{guard} {challenger:.2%} against {champion:.2%} (harm {harm:+.2%}, error {error:.2%}; {rows}{about})"
    if guard == "latency":
        return f"time {exp(gap) - 1:+.0%} (harm {exp(harm) - 1:+.0%}, error {error:.0%}; {rows}{about})"
    share = f"{gap / abs(champion):+.1%}" if champion else f"{gap:+.4g}"
    return (
        f"{guard} {challenger:.4g} against {champion:.4g}, {share} (harm {harm:+.4g}, error {error:.4g}; {rows}{about})"
    )


def _changed(state: State, evidence: Evidence) -> str:
    if evidence.champion != state.champion:
        return "the champion is another one than when the canary began"
    if evidence.challenger != state.challenger:
        return "the challenger is another one than when the canary began"
    return ""

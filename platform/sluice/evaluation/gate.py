"""The gate: what a model must show before it may become champion. Each check says what it saw and what it asked.

A check passes, fails, or says that it cannot tell. What is `undecided` keeps the champion as it is; what is
`not judged` was not asked for, or holds too few rows to say anything, and keeps nobody from anything - but is no pass.

Where the winner has to beat somebody, its log loss has to be less by more than `least_effect`, in a one-sided test
whose level shrinks with every look at the same test rows (`significance.spent`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sluice.evaluation.bootstrap import Estimate, Resamples
from sluice.evaluation.calibration import Calibration
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.evidence import Evidence
from sluice.evaluation.settings import Gate
from sluice.evaluation.significance import ALPHA, POWER, detectable, holm, p_above, p_below, spent
from sluice.evaluation.slices import Slice

LOSS = "log_loss"
Status = Literal["passed", "failed", "undecided", "not judged"]
Decision = Literal["promote", "refuse", "undecided", "unchanged"]


@dataclass(frozen=True)
class Check:
    """One question of the gate.

    Attributes:
        name: Its short name.
        status: The answer.
        value: What was seen.
        threshold: What it was compared with.
        message: Both in a sentence.
    """

    name: str
    status: Status
    value: float | None
    threshold: float | None
    message: str

    @property
    def passed(self) -> bool:
        """Whether the answer is yes."""
        return self.status == "passed"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "passed": self.passed}


def check_evidence(found: Evidence, gate: Gate) -> Check:
    """There are rows enough to decide by."""
    problem = found.problem(gate.min_effective_rows)
    status: Status = "undecided" if problem else "passed"
    message = f"{found.words()}{f': {problem}' if problem else ''}"
    return Check("evidence", status, found.effective_rows, float(gate.min_effective_rows), message)


def check_baselines(test: Resamples, winner: str, baselines: Sequence[str], gate: Gate, look: int) -> Check:
    """The winner's log loss is below every baseline's, by more than the least effect and beyond noise."""
    gaps = {name: test.difference(winner, name, LOSS) for name in baselines}
    tests = {name: p_below(gap, test.units, -gate.least_effect) for name, gap in gaps.items()}
    name = max(tests, key=lambda name: (tests[name], _number(gaps[name].value)))
    passed = tests[name] <= spent(look)
    verdict = f"beats every baseline, even {name}" if passed else f"does not beat the baseline {name} beyond doubt"
    message = f"{verdict}: {_gap(gaps[name])}; {_tested(tests[name], gate, look)}"
    return Check("baselines", "passed" if passed else "failed", tests[name], spent(look), message)


def check_calibration(found: Calibration, gate: Gate) -> Check:
    """The calibration error is small against the base rate, or no more than a perfect model would show."""
    limit = gate.max_calibration_error
    failed = found.relative > limit and found.p_value <= ALPHA
    size = (
        f"probabilities are off by {found.gap:.4f} on average, {found.relative:.0%} of the base rate {found.base:.2%}"
    )
    where = "above" if failed else "within" if found.relative <= limit else "not beyond noise above"
    message = f"{size}, {where} the limit {limit:.0%}; {found.words}"
    return Check("calibration", "failed" if failed else "passed", found.relative, limit, message)


def check_slices(found: Sequence[Slice], rivals: Sequence[str], gate: Gate) -> Check:
    """In no slice that can be judged is the winner worse than a rival, beyond tolerance and noise.

    Slices are many, so their tests share one chance of a false alarm (Holm).
    """
    judged = [entry for entry in found if entry.judged]
    asked = [(entry, rival) for entry in judged for rival in rivals if rival in entry.differences]
    count = f"{len(judged)} of {len(found)} slices judged"
    if not asked:
        why = "no slice has rows enough to be judged" if found else "the task names no slice columns"
        return Check("slices", "not judged", None, gate.slice_tolerance, why)
    gaps = [entry.differences[rival][LOSS] for entry, rival in asked]
    adjusted = holm([p_above(gap, entry.units[rival]) for gap, (entry, rival) in zip(gaps, asked, strict=True)])
    harmed = [
        f"{entry.column} {entry.group} ({rival}: {_number(gap.value):+.4f})"
        for (entry, rival), gap, p_value in zip(asked, gaps, adjusted, strict=True)
        if p_value <= ALPHA and _number(gap.value) > gate.slice_tolerance
    ]
    worst = max(_number(gap.value) for gap in gaps)
    where = f"worse in {', '.join(harmed)}" if harmed else f"no slice worse than {' or '.join(rivals)}"
    return Check("slices", "failed" if harmed else "passed", worst, gate.slice_tolerance, f"{where} ({count})")


@dataclass(frozen=True)
class Duel:
    """Winner and champion on the test rows that neither learned from.

    Attributes:
        measured: Both models' metrics there.
        evidence: How much those rows tell.
    """

    measured: Resamples
    evidence: Evidence


def check_champion(
    duel: Duel | None, winner: str, champion: Champion | None, digest: str, gate: Gate, look: int
) -> Check:
    """The winner's log loss is below the champion's on rows that neither learned from, as for the baselines.

    Args:
        duel: The comparison; None where there is nothing to compare on.
        winner: Its name.
        champion: The champion, if there is one.
        digest: The winner's model digest.
        gate: What is asked.
        look: Which look at these rows it is.
    """
    if champion is None:
        return Check("champion", "passed", None, None, "there is no champion yet")
    named = f"the champion, version {champion.version}"
    if champion.digest == digest:
        return Check("champion", "passed", None, None, f"the model is {named}")
    if champion.problem:
        return Check("champion", "failed", None, None, f"{named} cannot judge these rows: {champion.problem}")
    if champion.unseen is None:
        why = f"the rows that {named} learned from are not in this store, so which of these it has seen is not known"
        return Check("champion", "undecided", None, None, why)
    favour = f"; compared on the {1 - (champion.seen or 0):.0%} of the test rows that it did not learn from"
    problem = duel.evidence.problem(gate.min_effective_rows) if duel else "it learned from all of them"
    if duel is None or problem:
        return Check("champion", "undecided", None, None, f"not compared with {named}: {problem}{favour}")
    return _against_champion(duel.measured, winner, named, gate, look, favour if champion.seen else "")


def _against_champion(unseen: Resamples, winner: str, named: str, gate: Gate, look: int, favour: str) -> Check:
    gap, level = unseen.difference(winner, NAME, LOSS), spent(look)
    p_value = p_below(gap, unseen.units, -gate.least_effect)
    passed = p_value <= level
    worse = p_above(gap, unseen.units) <= ALPHA / 2
    verdict = "better than" if passed else "worse than" if worse else "no better, beyond doubt, than"
    power = gate.least_effect + detectable(gap.error or 0.0, unseen.units, level)
    seen = f"; a true difference of {power:.4f} would be found in {POWER:.0%} of cases"
    message = f"{verdict} {named}: {_gap(gap)}; {_tested(p_value, gate, look)}{seen}{favour}"
    return Check("champion", "passed" if passed else "failed", p_value, level, message)


def decide(winner: str, checks: Sequence[Check], champion: Champion | None, digest: str) -> tuple[Decision, str]:
    """What follows from the checks, and why, in one sentence."""
    if champion is not None and champion.digest == digest:
        return "unchanged", f"{winner} is the same model as the champion, version {champion.version}."
    for status, decision, verb in (
        ("failed", "refuse", "did not pass the gate"),
        ("undecided", "undecided", "stays a challenger, for the gate cannot tell"),
    ):
        found = [check for check in checks if check.status == status]
        if found:
            others = f" (also: {', '.join(check.name for check in found[1:])})" if found[1:] else ""
            return decision, f"{winner} {verb}: {found[0].message}{others}."  # type: ignore[return-value]
    rival = f"the champion, version {champion.version}," if champion else "every baseline"
    return "promote", f"{winner} passed the gate: it beats {rival} on the test rows, and no check failed."


def _number(value: float | None) -> float:
    """An undefined end of an interval proves nothing: neither below nor above zero."""
    return 0.0 if value is None else value


def _gap(gap: Estimate) -> str:
    return f"log loss differs by {_number(gap.value):+.4f} ({_number(gap.low):+.4f} to {_number(gap.high):+.4f})"


def _tested(p_value: float, gate: Gate, look: int) -> str:
    sign = "at most" if p_value <= spent(look) else "above"
    return (
        f"p {p_value:.2g} of less than {gate.least_effect:g} better is {sign} {spent(look):.2g}, "
        f"what look {look} at these rows may spend"
    )

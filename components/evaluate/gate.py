"""The gate: what a model must show before it may become champion. Each check says what it saw and what it asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.evaluate.bootstrap import Estimate, Resamples
from components.evaluate.champion import NAME, Champion
from components.evaluate.settings import Gate
from components.evaluate.slices import Slice

LOSS = "log_loss"
Decision = Literal["promote", "refuse", "unchanged"]


@dataclass(frozen=True)
class Check:
    """One question of the gate.

    Attributes:
        name: Its short name.
        passed: The answer.
        value: What was seen.
        threshold: What it was compared with.
        message: Both in a sentence.
    """

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    message: str


def check_baselines(test: Resamples, winner: str, baselines: Sequence[str]) -> Check:
    """The winner's log loss is below every baseline's; the paired intervals exclude zero."""
    gaps = {name: test.difference(winner, name, LOSS) for name in baselines}
    name, worst = max(gaps.items(), key=lambda item: _number(item[1].high))
    passed = _number(worst.high) < 0
    verdict = f"beats every baseline, even {name}" if passed else f"does not beat the baseline {name} beyond doubt"
    return Check("baselines", passed, worst.high, 0.0, f"{verdict}: {_gap(worst)}")


def check_calibration(error: Estimate, gate: Gate) -> Check:
    """The expected calibration error is small enough."""
    limit = gate.max_calibration_error
    passed = _number(error.value) <= limit
    message = f"expected calibration error {error.value:.4f}, {'within' if passed else 'above'} the limit {limit:g}"
    return Check("calibration", passed, error.value, limit, message)


def check_slices(found: Sequence[Slice], baseline: str, gate: Gate) -> Check:
    """In no slice that can be judged is the winner worse than the best baseline, beyond tolerance and noise."""
    judged = [entry for entry in found if entry.judged]
    if not judged:
        return Check("slices", True, None, gate.slice_tolerance, "no slice has rows enough to be judged")
    gaps = {f"{entry.column} {entry.group}": entry.differences[baseline][LOSS] for entry in judged}
    harmed = [n for n, gap in gaps.items() if _number(gap.low) > 0 and _number(gap.value) > gate.slice_tolerance]
    worst = max(_number(gap.value) for gap in gaps.values())
    where = f"worse than {baseline} in {', '.join(harmed)}" if harmed else f"no slice worse than {baseline}"
    return Check("slices", not harmed, worst, gate.slice_tolerance, f"{where} ({len(judged)} slices judged)")


def check_champion(test: Resamples, winner: str, champion: Champion | None, digest: str) -> Check:
    """The winner's log loss is below the champion's, and the paired interval excludes zero."""
    if champion is None:
        return Check("champion", True, None, None, "there is no champion yet")
    named = f"the champion, version {champion.version}"
    if champion.digest == digest:
        return Check("champion", True, None, None, f"the model is {named}")
    if champion.problem:
        return Check("champion", False, None, None, f"{named} cannot judge these rows: {champion.problem}")
    gap = test.difference(winner, NAME, LOSS)
    passed = _number(gap.high) < 0
    verdict = "better than" if passed else "worse than" if _number(gap.low) > 0 else "no better, beyond doubt, than"
    favour = f"; it learned from {champion.seen:.0%} of these rows, which favours it" if champion.seen else ""
    return Check("champion", passed, gap.high, 0.0, f"{verdict} {named}: {_gap(gap)}{favour}")


def decide(winner: str, checks: Sequence[Check], champion: Champion | None, digest: str) -> tuple[Decision, str]:
    """What follows from the checks, and why, in one sentence."""
    failed = [check for check in checks if not check.passed]
    if champion is not None and champion.digest == digest:
        return "unchanged", f"{winner} is the same model as the champion, version {champion.version}."
    if failed:
        others = f" (also failed: {', '.join(check.name for check in failed[1:])})" if failed[1:] else ""
        return "refuse", f"{winner} did not pass the gate: {failed[0].message}{others}."
    rival = f"the champion, version {champion.version}," if champion else "every baseline"
    return "promote", f"{winner} passed the gate: it beats {rival} on the test rows, and no check failed."


def _number(value: float | None) -> float:
    """An undefined end of an interval proves nothing: neither below nor above zero."""
    return 0.0 if value is None else value


def _gap(gap: Estimate) -> str:
    return f"log loss differs by {_number(gap.value):+.4f} ({_number(gap.low):+.4f} to {_number(gap.high):+.4f})"

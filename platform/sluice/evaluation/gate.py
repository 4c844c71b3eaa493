"""The gate: what a model must show before it may become champion. Each check says what it saw and what it asked.

A check passes, fails, or says that it cannot tell. What is `undecided` keeps the champion as it is; what is
`not judged` was not asked for, or holds too few rows to say anything, and keeps nobody from anything - but is no pass.

Where the winner has to beat somebody, the metric by which models are chosen (the log loss, or the RMSE of numbers) has
to be better by more than `least_effect`, in a one-sided test whose level shrinks with every look at the same test rows
(`significance.spent`). Of a metric in the label's unit, effect and tolerance are shares of the rival's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sluice.evaluation.bootstrap import Estimate, Resamples
from sluice.evaluation.calibration import Calibration
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.evaluation_settings import GateLimits
from sluice.evaluation.evidence import Evidence
from sluice.evaluation.residuals import Residuals
from sluice.evaluation.selection import gap
from sluice.evaluation.significance import ALPHA, POWER, detectable, holm, p_above, p_below, spent
from sluice.evaluation.slices import Slice
from sluice.extending.gate_checks import Status
from sluice.problems.losses import Loss
from sluice.problems.metrics import BUILT_IN, Metric

LOG_LOSS = BUILT_IN["log_loss"]
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
        origin: For one that is not Sluice's own: what brings it, such as `mine.py:margin`.
        settings: What the project has set about such a one.
    """

    name: str
    status: Status
    value: float | None
    threshold: float | None
    message: str
    origin: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the answer is yes."""
        return self.status == "passed"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "passed": self.passed}


def check_evidence(found: Evidence, gate: GateLimits, widening: float = 1.0) -> Check:
    """There are rows enough to decide by; widening: by how much errors exceed those that the rows alone give."""
    problem = found.problem(gate.min_effective_rows)
    status: Status = "undecided" if problem else "passed"
    wider = f"; as they are judged in folds, errors count {widening:.2f} times" if widening > 1 else ""
    message = f"{found.words()}{wider}{f': {problem}' if problem else ''}"
    return Check("evidence", status, found.effective_rows, float(gate.min_effective_rows), message)


def check_baselines(
    test: Resamples, winner: str, baselines: Sequence[str], gate: GateLimits, look: int, metric: Metric = LOG_LOSS
) -> Check:
    """The winner is better than every baseline, by more than the least effect and beyond noise."""
    tests = {name: _p_better(test, winner, name, gate, metric) for name in baselines}
    name = max(tests, key=lambda name: (tests[name], _number(gap(test, winner, name, metric).value)))
    passed = tests[name] <= spent(look)
    verdict = f"beats every baseline, even {name}" if passed else f"does not beat the baseline {name} beyond doubt"
    differs = _differs(test.difference(winner, name, metric.name), metric)
    message = f"{verdict}: {differs}; {_tested(tests[name], gate, look, metric)}"
    return Check("baselines", "passed" if passed else "failed", tests[name], spent(look), message)


def check_calibration(found: Calibration, gate: GateLimits) -> Check:
    """The calibration error is small against the base rate, or no more than a perfect model would show."""
    limit = gate.max_calibration_error
    failed = found.relative > limit and found.p_value <= ALPHA
    size = f"probabilities are off by {found.gap:.4f} on average, {found.relative:.0%} of {found.base_words}"
    where = "above" if failed else "within" if found.relative <= limit else "not beyond noise above"
    message = f"{size}, {where} the limit {limit:.0%}; {found.words}"
    return Check("calibration", "failed" if failed else "passed", found.relative, limit, message)


def check_bias(found: Residuals, gate: GateLimits, loss: Loss | None = None) -> Check:
    """Forecasts of numbers are right on average, or wrong by little against their mean absolute error.

    Of forecasts that are no means nobody asks that: half of all labels, or a tenth, are to be above them.
    """
    limit, unit = gate.max_calibration_error, BUILT_IN["mae"]
    if loss and not loss.of_mean:
        why = f"the problem's loss is {loss.words}, whose best forecasts are no means, so no bias is asked about"
        return Check("bias", "not judged", None, limit, why)
    failed = found.relative > limit and found.beyond_noise
    size = f"labels less forecasts are {unit.text(found.bias.value, '+')} on average, {found.relative:.0%} of the "
    where = "above" if failed else "within" if found.relative <= limit else "not beyond noise above"
    message = f"{size}mean absolute error {unit.text(found.error.value)}, {where} the limit {limit:.0%}; {found.words}"
    return Check("bias", "failed" if failed else "passed", found.relative, limit, message)


def check_slices(found: Sequence[Slice], rivals: Sequence[str], gate: GateLimits, metric: Metric = LOG_LOSS) -> Check:
    """In no slice that can be judged is the winner worse than a rival, beyond tolerance and noise.

    Slices are many, so their tests share one chance of a false alarm (Holm).
    """
    judged = [entry for entry in found if entry.judged]
    asked = [(entry, rival) for entry in judged for rival in rivals if rival in entry.differences]
    count = f"{len(judged)} of {len(found)} slices judged"
    if not asked:
        why = "no slice has rows enough to be judged" if found else "the task names no slice columns"
        return Check("slices", "not judged", None, gate.slice_tolerance, why)
    gaps = [_turned(entry.differences[rival][metric.name], metric) for entry, rival in asked]
    scales = [abs(_number(entry.metrics[r][metric.name].value)) if metric.in_label_units else 1.0 for entry, r in asked]
    adjusted = holm([p_above(gap, entry.units[rival]) for gap, (entry, rival) in zip(gaps, asked, strict=True)])
    harmed = [
        f"{entry.column} {entry.group} ({rival}: {metric.text(_number(gap.value) * metric.sign, '+')})"
        for (entry, rival), gap, scale, p_value in zip(asked, gaps, scales, adjusted, strict=True)
        if p_value <= ALPHA and _number(gap.value) > gate.slice_tolerance * scale
    ]
    worst = max(_number(gap.value) / scale if scale else 0.0 for gap, scale in zip(gaps, scales, strict=True))
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
    duel: Duel | None,
    winner: str,
    champion: Champion | None,
    digest: str,
    gate: GateLimits,
    look: int,
    metric: Metric = LOG_LOSS,
) -> Check:
    """The winner is better than the champion on rows that neither learned from, as for the baselines.

    Args:
        duel: The comparison; None where there is nothing to compare on.
        winner: Its name.
        champion: The champion, if there is one.
        digest: The winner's model digest.
        gate: What is asked.
        look: Which look at these rows it is.
        metric: What they are compared by.
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
    own = f"; {champion.own_folds:.0%} of the rows by its own models that were fitted without them"
    problem = duel.evidence.problem(gate.min_effective_rows) if duel else "it learned from all of them"
    if duel is None or problem:
        return Check("champion", "undecided", None, None, f"not compared with {named}: {problem}{favour}")
    told = (favour if champion.seen else "") + (own if champion.own_folds else "")
    return _against_champion(duel.measured, winner, named, gate, look, told, metric)


def _against_champion(
    unseen: Resamples, winner: str, named: str, gate: GateLimits, look: int, favour: str, metric: Metric
) -> Check:
    behind, level = gap(unseen, winner, NAME, metric), spent(look)
    p_value = _p_better(unseen, winner, NAME, gate, metric)
    passed = p_value <= level
    worse = p_above(behind, unseen.units) <= ALPHA / 2
    verdict = "better than" if passed else "worse than" if worse else "no better, beyond doubt, than"
    scale = abs(_number(unseen.estimate(NAME, metric.name).value)) if metric.in_label_units else 1.0
    power = gate.least_effect * scale + detectable(behind.error or 0.0, unseen.units, level)
    seen = f"; a true difference of {metric.text(power)} would be found in {POWER:.0%} of cases"
    differs = _differs(unseen.difference(winner, NAME, metric.name), metric)
    message = f"{verdict} {named}: {differs}; {_tested(p_value, gate, look, metric)}{seen}{favour}"
    return Check("champion", "passed" if passed else "failed", p_value, level, message)


def decide(
    winner: str, checks: Sequence[Check], champion: Champion | None, digest: str, rows: str = "on the test rows"
) -> tuple[Decision, str]:
    """What follows from the checks, and why, in one sentence; rows: which rows they are of, in words."""
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
    return "promote", f"{winner} passed the gate: it beats {rival} {rows}, and no check failed."


def _number(value: float | None) -> float:
    """An undefined end of an interval proves nothing: neither below nor above zero."""
    return 0.0 if value is None else value


def _p_better(measured: Resamples, winner: str, rival: str, gate: GateLimits, metric: Metric) -> float:
    """The p-value of the hypothesis that the winner is not better than a rival by more than the least effect."""
    if not metric.in_label_units:
        return p_below(gap(measured, winner, rival, metric), measured.units, -gate.least_effect)
    left = measured.contrast(winner, rival, metric.name, 1 - metric.sign * gate.least_effect)
    return p_below(_turned(left, metric), measured.units)


def _turned(gap: Estimate, metric: Metric) -> Estimate:
    """A difference turned round where more is better, so that below 0 is always better."""
    if metric.sign > 0 or gap.value is None or gap.low is None or gap.high is None:
        return gap
    return Estimate(-gap.value, -gap.high, -gap.low, gap.error)


def _differs(gap: Estimate, metric: Metric) -> str:
    value, low, high = (metric.text(_number(number), "+") for number in (gap.value, gap.low, gap.high))
    return f"{metric.words} differs by {value} ({low} to {high})"


def _tested(p_value: float, gate: GateLimits, look: int, metric: Metric) -> str:
    sign = "at most" if p_value <= spent(look) else "above"
    effect = f"{gate.least_effect:.2%}" if metric.in_label_units else f"{gate.least_effect:g}"
    return (
        f"p {p_value:.2g} of less than {effect} better is {sign} {spent(look):.2g}, "
        f"what look {look} at these rows may spend"
    )

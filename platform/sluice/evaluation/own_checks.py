"""The gate's further checks, those that a project or an installed package brings, asked of an evaluation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sluice.core.chosen import Chosen
from sluice.core.errors import BadInput, TimeIsUp
from sluice.core.extensions import Opened
from sluice.core.progress import progress
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.gate import Check, decide
from sluice.extending.gate_checks import Answer, GateCheck
from sluice.modeling.deadlines import ended_after


def ask(found: Evaluation, checks: Sequence[tuple[Chosen, Opened[GateCheck]]]) -> Evaluation:
    """The evaluation with the answers of further checks, and what follows from all.

    Args:
        found: The evaluation with Sluice's own answers.
        checks: Those of `Settings.checks`; they are asked in this order, and none sees the others' answers.

    Raises:
        BadInput: A check raised an error, gave no answer, or did not end in time.
    """
    if not checks:
        return found
    seconds = found.settings.seconds_per_check
    every = [*found.checks, *(_asked(each, check, found, seconds) for each, check in checks)]
    decision, reason = decide(found.winner, every, found.champion, found.digest)
    return replace(found, checks=every, decision=decision, reason=reason)


@contextmanager
def in_time(what: str, seconds: float) -> Iterator[None]:
    """Break off a check or a section that takes longer than it may; the clock is that of own candidates.

    Args:
        what: What it is and where it is defined, for the message.
        seconds: How long it may take.

    Raises:
        BadInput: It did not end in time.
    """
    try:
        with ended_after(seconds):
            yield
    except TimeIsUp:
        raise BadInput(
            f"{what}: it did not end within seconds_per_check, {seconds:g} s; have it do less, or write parameters: "
            "{seconds_per_check: …} into the project's file"
        ) from None


def _asked(each: Chosen, check: Opened[GateCheck], found: Evaluation, seconds: float) -> Check:
    with in_time(check.what, seconds), check.blamed():
        answer = check.thing(found.record())
    if not isinstance(answer, Answer):
        raise check.gave(answer, "give sluice.extending.gate_checks.Answer(status, reason)")
    progress(f"gate check {each.name}: {answer.status}, {answer.reason}")
    value, threshold = (None if n is None else float(n) for n in (answer.value, answer.threshold))
    return Check(each.short, answer.status, value, threshold, answer.reason, each.name, dict(each.settings))

"""The gate's further checks, those that a project or an installed package brings, asked of an evaluation."""

from collections.abc import Sequence
from dataclasses import replace

from sluice.core.chosen import Chosen
from sluice.core.extensions import Opened
from sluice.core.progress import progress
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.gate import Check, decide
from sluice.extending.gate_checks import Answer, GateCheck


def ask(found: Evaluation, checks: Sequence[tuple[Chosen, Opened[GateCheck]]]) -> Evaluation:
    """The evaluation with the answers of further checks, and what follows from all.

    Args:
        found: The evaluation with Sluice's own answers.
        checks: Those of `Settings.checks`; they are asked in this order, and none sees the others' answers.

    Raises:
        BadInput: A check raised an error, or gave no answer.
    """
    if not checks:
        return found
    every = [*found.checks, *(_asked(each, check, found) for each, check in checks)]
    decision, reason = decide(found.winner, every, found.champion, found.digest)
    return replace(found, checks=every, decision=decision, reason=reason)


def _asked(each: Chosen, check: Opened[GateCheck], found: Evaluation) -> Check:
    with check.blamed():
        answer = check.thing(found.record())
    if not isinstance(answer, Answer):
        raise check.gave(answer, "give sluice.extending.gate_checks.Answer(status, reason)")
    progress(f"gate check {each.name}: {answer.status}, {answer.reason}")
    value, threshold = (None if n is None else float(n) for n in (answer.value, answer.threshold))
    return Check(each.short, answer.status, value, threshold, answer.reason, each.name, dict(each.settings))

"""The pure heart of the operator: from a specification, what is remembered and what is seen to what is to be done."""

from datetime import datetime

from pydantic import JsonValue

from sluice.operator import champions
from sluice.operator.actions import Answer, CancelRun, Outcome
from sluice.operator.conditions import freshen, tell
from sluice.operator.draft import Draft
from sluice.operator.evidence import Evidence
from sluice.operator.noticing import notice
from sluice.operator.queueing import leave
from sluice.operator.requests import take_requests
from sluice.operator.settling import settle
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.starting import start_asked_for, start_by_itself
from sluice.operator.state import State
from sluice.operator.triggers import follow_lakes
from sluice.operator.worlds import Subject


def decide(
    subject: Subject,
    spec: ContinuousTrainingSpec,
    state: State,
    evidence: Evidence,
    now: datetime,
    *,
    deleted: bool = False,
) -> Outcome:
    """Decide; the same inputs give the same outcome, and nothing else is looked at.

    Once what it orders is done and seen, deciding again on the same evidence changes nothing.

    Args:
        subject: Whom it is about.
        spec: What is asked.
        state: What is remembered.
        evidence: What is seen.
        now: The moment, in UTC.
        deleted: Whether the resource is being deleted: then what runs is ended, and nothing begins.
    """
    draft = Draft(subject, spec, state, evidence, now)
    if deleted:
        return _end(draft)
    draft.change(observed_generation=subject.generation)
    settle(draft)
    champions.watch_champion(draft)
    follow_lakes(draft)
    freshen(draft)
    notice(draft)
    take_requests(draft)
    if start_asked_for(draft):
        start_by_itself(draft)
    champions.order_moves(draft)
    leave(draft)
    _answer(draft)
    tell(draft)
    return draft.outcome()


def _answer(draft: Draft) -> None:
    """Answer each Request that was answered, for as long as the world shows it as open."""
    shown = {each.uid for each in draft.evidence.requests}
    draft.actions += [Answer(each.uid, each.accepted, each.words) for each in draft.state.answers if each.uid in shown]


def _end(draft: Draft) -> Outcome:
    for intent in draft.state.open:
        draft.actions.append(CancelRun(intent.key, f"{draft.subject.name} was deleted"))
        inputs: dict[str, JsonValue] = {"run": intent.run}
        words = f"run {intent.run or intent.key[:12]} ends: {draft.subject.name} was deleted"
        draft.decided("cancel", "deleted", words, triggers=intent.triggers, inputs=inputs, key=intent.key)
    ended = tuple(each.model_copy(update={"state": "cancelled"}) if each.open else each for each in draft.state.intents)
    draft.change(intents=ended, pending=(), approval=None, move=None)
    leave(draft)
    return draft.outcome()

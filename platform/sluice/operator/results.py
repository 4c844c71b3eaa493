"""What came of actions, put into the state: pure, as deciding is."""

from datetime import datetime

from sluice.operator.actions import Queue, StartRun
from sluice.operator.state import MOST_ANSWERS, MOST_DECISIONS, Answered, Decision, State


def started(state: State, key: str, run: str, now: datetime) -> State:
    """The run of an intent has begun."""
    begun = {"state": "running", "run": run, "submitted": now, "place": None, "begins": None}
    intents = tuple(each.model_copy(update=begun) if each.key == key and each.open else each for each in state.intents)
    return state.model_copy(update={"intents": intents})


def not_started(state: State, order: StartRun | Queue, words: str, now: datetime) -> State:
    """The run of an intent is refused for good: its parameters are wrong, or there is no such pipeline."""
    triggers = next((each.triggers for each in state.intents if each.key == order.key), ())
    intents = tuple(
        each.model_copy(update={"state": "failed"}) if each.key == order.key else each for each in state.intents
    )
    trained = tuple(
        each.model_copy(update={"state": "failed", "at": now}) if each.key == order.key else each
        for each in state.trained
    )
    state = state.model_copy(update={"intents": intents, "trained": trained, "failures": state.failures + 1})
    return _decided(state, "refused", f"no run begins: {words}", order.key, triggers, now)


def not_moved(state: State, words: str, now: datetime) -> State:
    """The registry refuses the change of the champion; who asked for it is told so."""
    said = f"the champion stays: {words}"
    if state.move and state.move.request:
        answer = Answered(uid=state.move.request, accepted=False, words=said[:_LONGEST])
        state = state.model_copy(update={"answers": (*state.answers, answer)[-MOST_ANSWERS:]})
    return _decided(state.model_copy(update={"move": None}), "refused", said, "", (), now)


def asked(state: State, version: str) -> State:
    """People were told that a version waits."""
    approval = state.approval
    if approval is None or approval.version != version:
        return state
    return state.model_copy(update={"approval": approval.model_copy(update={"told": True})})


def _decided(state: State, rule: str, words: str, key: str, triggers: tuple[str, ...], now: datetime) -> State:
    decision = Decision(
        number=state.decided + 1, at=now, last=now, outcome="failed", rule=rule, words=words[:_LONGEST], key=key,
        triggers=triggers,
    )  # fmt: skip
    decisions = (*state.decisions, decision)[-MOST_DECISIONS:]
    return state.model_copy(update={"decided": state.decided + 1, "decisions": decisions})


_LONGEST = 600  # characters of words in a status

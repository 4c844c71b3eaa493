"""Whether a run begins, and which: what persons ask for first, then what triggers say, weighed and limited."""

from pydantic import JsonValue

from sluice.operator.costs import weigh
from sluice.operator.draft import Draft
from sluice.operator.keys import fingerprint, intent_key
from sluice.operator.limits import Limit, limit_for
from sluice.operator.noticing import COST
from sluice.operator.settling import add_intent
from sluice.operator.state import MOST_WINDOWS, CostEstimate, Intent, Pending
from sluice.operator.triggers import Heard, Spoken, learns, listen, upstream_of


def start_asked_for(draft: Draft) -> bool:
    """Begin what persons asked for, and again what failed; whether all of it could begin that is to begin now."""
    free = True
    for pending in draft.state.pending:
        if not pending.request and not pending.attempt:
            continue
        if pending.not_before and pending.not_before > draft.now:
            draft.wake(pending.not_before)
            continue
        if pending.attempt and not pending.by and not draft.state.failures:
            _drop(draft, pending)
            draft.decided("nothing", "no retry", "a run has succeeded since; what failed before is not begun again",
                          triggers=(pending.trigger,), inputs={"failed": pending.identity})  # fmt: skip
            continue
        free = _begin_asked_for(draft, pending) and free
    return free


def _begin_asked_for(draft: Draft, pending: Pending) -> bool:
    limit = limit_for(draft, person=True)
    who = f"asked for by {pending.by}" if pending.by else "begun again after a failure"
    if limit:
        _wait(draft, limit, (pending.trigger,), who)
        return False
    reason = who if not pending.attempt else f"attempt {pending.attempt + 1} after a failure"
    key = _begin(
        draft, pending.trigger, pending.identity, (pending.trigger,), reason,
        asked=pending, parameters={**draft.spec.parameters, **pending.parameters},
    )  # fmt: skip
    _drop(draft, pending)
    if pending.request:
        draft.answer(pending.request, f"a run begins, key {key[:12]}", accepted=True)
    return True


def start_by_itself(draft: Draft) -> None:
    """Begin what triggers ask for, if it is worth it and nothing keeps it from beginning."""
    heard = listen(draft)
    estimate = weigh(draft)
    firing = [each for each in heard.spoken if each.fires]
    weighs = draft.spec.policy == "cost" and draft.evidence.champion is not None
    if weighs:
        firing = [Spoken(COST, _weighed(draft), estimate.words, fires=True)] if estimate and estimate.train else []
    inputs = _inputs(draft)
    cost = estimate.cost if estimate else None
    if not firing:
        weighed = estimate.words if estimate else "no window tells what the model costs for being old"
        _nothing(draft, heard, inputs, cost, weighed if weighs else "")
        return
    triggers = tuple(each.trigger for each in firing)
    said = "; ".join(f"{each.trigger}: {each.words}" for each in firing)
    trained = fingerprint(draft.evidence.code or "", draft.spec.pipeline, dict(draft.spec.parameters), draft.evidence)
    before = next((each for each in reversed(draft.state.trained) if trained and each.fingerprint == trained), None)
    if before:
        _drop_spoken(draft, heard)
        draft.decided("nothing", "same data", f"{said}; but the same data, code and parameters are those of run "
                      f"{before.key[:12]}, which {_ENDS[before.state]}", triggers=triggers,
                      inputs=inputs | {"trained": before.key}, cost=cost)  # fmt: skip
        return
    limit = limit_for(draft, person=False)
    if limit:
        _wait(draft, limit, triggers, said, cost)
        return
    _begin(draft, firing[0].trigger, firing[0].identity, triggers, said, cost=cost)
    _consume(draft, heard)


_ENDS = {
    "pending": "is on its way", "running": "is on its way", "succeeded": "succeeded", "failed": "failed",
    "cancelled": "was cancelled",
}  # fmt: skip


def _begin(
    draft: Draft, trigger: str, identity: str, triggers: tuple[str, ...], reason: str, *, asked: Pending | None = None,
    parameters: dict[str, JsonValue] | None = None, cost: CostEstimate | None = None,
) -> str:  # fmt: skip
    """Decide on a run; its key. Where its key was decided on before, nothing more happens."""
    parameters = dict(draft.spec.parameters) if parameters is None else parameters
    hold, code = draft.spec.promotion.by == "approval", draft.evidence.code or ""
    gate = draft.spec.gate.document()
    what: dict[str, JsonValue] = {"parameters": parameters, "gate": gate, "hold": hold}
    attempt = asked.attempt if asked else 0
    key = intent_key(draft.subject, code, what, trigger, identity, attempt)
    if any(each.key == key for each in draft.state.intents):
        return key
    intent = Intent(
        key=key, triggers=triggers, reason=reason[:_LONGEST], parameters=parameters, hold=hold,
        gate=draft.spec.gate, began=draft.now,
        trained=fingerprint(code, draft.spec.pipeline, parameters, draft.evidence), attempt=attempt,
        learns={lake.name: learns(lake) for lake in draft.evidence.lakes},
        by=asked.by if asked else "", request=asked.request if asked else "",
    )  # fmt: skip
    rule = "retry" if attempt else "asked for" if intent.by else _rule(trigger)
    draft.decided("start", rule, f"a run begins: {reason}",
                  triggers=triggers, inputs=_inputs(draft), key=key, cost=cost, by=intent.by)  # fmt: skip
    add_intent(draft, intent)
    return key


_LONGEST = 600


def _rule(trigger: str) -> str:
    return "stale costs more" if trigger == COST else "trigger"


def _consume(draft: Draft, heard: Heard) -> None:
    """All that spoke is dealt with: reasons that waited, windows, upstream versions."""
    _drop_spoken(draft, heard)
    windows = [each.window for each in heard.spoken if each.window and each.window not in draft.state.windows]
    upstream = dict(draft.state.upstream)
    for trigger in draft.spec.triggers:
        found = upstream_of(draft.evidence.upstream, trigger.model) if trigger.model else None
        if found:
            upstream[trigger.name] = found.digest
    draft.change(windows=(*draft.state.windows, *windows)[-MOST_WINDOWS:], upstream=upstream)


def _drop_spoken(draft: Draft, heard: Heard) -> None:
    """Reasons that waited and spoke wait no longer."""
    spoken = [each.pending for each in heard.spoken if each.pending]
    if spoken:
        draft.change(pending=tuple(each for each in draft.state.pending if each not in spoken))


def _drop(draft: Draft, pending: Pending) -> None:
    draft.change(pending=tuple(each for each in draft.state.pending if each != pending))


def _wait(draft: Draft, limit: Limit, triggers: tuple[str, ...], said: str, cost: CostEstimate | None = None) -> None:
    until = f" until {limit.until:%Y-%m-%d %H:%M} UTC" if limit.until else ""
    draft.decided("wait", limit.rule, f"{said}; it waits{until}: {limit.words}", triggers=triggers, cost=cost,
                  inputs=_inputs(draft))  # fmt: skip
    if limit.until:
        draft.wake(limit.until)


def _nothing(draft: Draft, heard: Heard, inputs: dict[str, JsonValue], cost: CostEstimate | None, weighed: str) -> None:
    """Put on record that nothing begins, and why; what is evidence only was heard."""
    triggers = tuple(each.trigger for each in heard.spoken)
    told = [f"{each.trigger}: {each.words}" for each in heard.spoken]
    _drop_spoken(draft, heard)
    if weighed:
        draft.decided("nothing", "a run costs more", "; ".join([weighed, *told]), triggers=triggers, inputs=inputs,
                      cost=cost)  # fmt: skip
    elif heard.labels_until:
        draft.decided("wait", "labels", "; ".join([*told, *heard.silent]), triggers=triggers, inputs=inputs, cost=cost)
    else:
        words = "; ".join([*(f"{each} (evidence only)" for each in told), *heard.silent]) or "it has no triggers"
        draft.decided("nothing", "no trigger", words, triggers=triggers, inputs=inputs, cost=cost)


def _inputs(draft: Draft) -> dict[str, JsonValue]:
    """The identities of the evidence."""
    evidence = draft.evidence
    found: dict[str, JsonValue] = {"champion": evidence.champion.version} if evidence.champion else {}
    if evidence.lakes:
        found["lakes"] = {lake.name: lake.dataset for lake in evidence.lakes}
    if evidence.windows:
        found["window"] = evidence.windows[-1].id
    if evidence.code:
        found["code"] = evidence.code[:12]
    if evidence.faults:
        found["faults"] = [f"{each.part}: {each.words}" for each in evidence.faults[:5]]
    return found


def _weighed(draft: Draft) -> str:
    """The identity of what costs are weighed by: the newest window, and the lakes' datasets."""
    windows = draft.evidence.windows
    return " ".join([windows[-1].id if windows else "", *(each.dataset for each in draft.evidence.lakes)])

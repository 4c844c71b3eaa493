"""What a person sees of a ContinuousTraining at first sight: conditions, a phase, how fresh the model is."""

from collections.abc import Iterator
from typing import Literal

from sluice.operator.draft import Draft
from sluice.operator.evidence import LakeSeen
from sluice.operator.queueing import place_words, waiting
from sluice.operator.state import Condition, Freshness
from sluice.operator.triggers import new_rows

_Told = tuple[
    Literal["Ready", "Progressing", "Fresh", "Healthy", "AwaitingApproval", "Suspended", "Queued", "RowsCounted"],
    bool | None,
    str,
    str,
]
_STATUS: dict[bool | None, Literal["True", "False", "Unknown"]] = {True: "True", False: "False", None: "Unknown"}


def tell(draft: Draft) -> None:
    """Bring conditions and phase up to date."""
    held = {each.type: each for each in draft.state.conditions}
    conditions = []
    for kind, value, reason, message in _conditions(draft):
        status, before = _STATUS[value], held.get(kind)
        since = before.last_transition_time if before and before.status == status else draft.now
        conditions.append(
            Condition(type=kind, status=status, reason=reason, message=message[:_LONGEST], last_transition_time=since)
        )
    champion = draft.evidence.champion.version if draft.evidence.champion else ""
    told = {"conditions": tuple(conditions), "phase": _phase(draft), "champion": champion}
    if any(getattr(draft.state, name) != value for name, value in told.items()):
        draft.change(**told)


_LONGEST = 400


def _conditions(draft: Draft) -> Iterator[_Told]:
    state, evidence = draft.state, draft.evidence
    faults = "; ".join(f"{each.part}: {each.words}" for each in evidence.faults)
    if evidence.code is None:
        yield "Ready", False, "NoProject", faults or f"there is no project {draft.spec.project}"
    elif faults:
        yield "Ready", None, "NotAsked", faults
    elif state.failures > draft.spec.retries:
        failed = "the last run failed" if state.failures == 1 else f"the last {state.failures} runs failed"
        yield "Ready", False, "RunsFail", failed
    else:
        yield "Ready", True, "Deciding", state.decisions[-1].words if state.decisions else ""
    running = ", ".join(each.run or each.key[:12] for each in state.open)
    busy = "Queued" if _only_queued(draft) else "Training" if state.open else "Idle"
    yield "Progressing", bool(state.open), busy, running
    yield from _queued(draft)
    yield (
        "Fresh",
        state.freshness.stale_since is None,
        "Stale" if state.freshness.stale_since else "UpToDate",
        (state.freshness.words),
    )
    server = evidence.server
    if server:
        yield "Healthy", server.healthy, "Serving" if server.healthy else "NotServing", server.reason
    waits = state.approval
    yield (
        "AwaitingApproval",
        waits is not None,
        "Waiting" if waits else "NothingWaits",
        (f"version {waits.version} waits until {waits.deadline:%Y-%m-%d %H:%M} UTC" if waits else ""),
    )
    yield from _counted(draft)
    yield "Suspended", draft.spec.suspend, "Suspended" if draft.spec.suspend else "Active", ""


def _queued(draft: Draft) -> Iterator[_Told]:
    queue = draft.evidence.queue
    if queue is None or not queue.name:
        return
    tickets = list(waiting(draft))
    if queue.fault:
        yield "Queued", None, "NoQueue", queue.fault
    elif queue.tickets is None:
        yield "Queued", None, "NotAsked", f"the queue {queue.name} could not be asked"
    else:
        words = "; ".join(place_words(each) if each.place else f"waits in {each.queue}" for each in tickets)
        yield "Queued", bool(tickets), "Waiting" if tickets else "NothingWaits", words


def _only_queued(draft: Draft) -> bool:
    queue, intents = draft.evidence.queue, draft.state.open
    return bool(queue and queue.name and intents) and all(each.state == "ordered" for each in intents)


def _counted(draft: Draft) -> Iterator[_Told]:
    """Whether the lakes whose new rows a trigger waits for are counted: where not, it never fires, and says why."""
    asked = [each.data.lake for each in draft.spec.triggers if each.data and each.data.rows]
    lakes = [found for name in asked if (found := draft.evidence.lake(name))]
    why = "; ".join(f"lake {lake.name}: {lake.uncounted}" for lake in lakes if lake.uncounted)
    if why:
        yield "RowsCounted", False, "NotCounted", f"{why}; data.rows does not fire, data.age and data.partition do"
    elif any(lake.rows is not None for lake in lakes):
        yield (
            "RowsCounted",
            True,
            "Counted",
            ", ".join(f"lake {each.name}: {each.rows:,}" for each in lakes if each.rows),
        )


def _phase(draft: Draft) -> str:
    state = draft.state
    if draft.spec.suspend:
        return "Suspended"
    if _only_queued(draft):
        return "Queued"
    if state.open:
        return "Training"
    if state.approval:
        return "AwaitingApproval"
    if state.failures > draft.spec.retries:
        return "Failing"
    waits = state.pending or (state.decisions and state.decisions[-1].outcome == "wait")
    return "Waiting" if waits else "Idle"


def freshen(draft: Draft) -> None:
    """Bring up to date how old what the champion learned from is."""
    freshness = _freshness(draft)
    if freshness != draft.state.freshness:
        draft.change(freshness=freshness)


def _freshness(draft: Draft) -> Freshness:
    champion = draft.evidence.champion
    trained = (champion.trained or champion.since) if champion else None
    behind = [
        (held.behind, lake, held)
        for lake in draft.evidence.lakes
        if (held := draft.state.learned.get(lake.name)) and held.behind
    ]
    if champion is None:
        return Freshness(words="there is no champion")
    if not behind:
        return Freshness(trained=trained, words="nothing newer is there to learn from")
    since, lake, held = min(behind, key=lambda each: each[0])
    return Freshness(trained=trained, stale_since=since, words=_because(lake, new_rows(lake, held)))


def _because(lake: LakeSeen, new: int | None) -> str:
    what = "rows with a label" if lake.labelled is not None else "rows"
    return f"the lake {lake.name} has {f'{new:,} {what} more' if new else 'other data'} ({lake.dataset[:12]})"

"""Runs that wait for quota: each has a ticket in a queue, and begins once the ticket is admitted.

What the queue does is evidence, as everything else. A run whose quota is taken back is ended and waits again with the
same ticket; its successor has a key of its own, for at most one run exists for a key.
"""

from collections.abc import Iterable, Iterator, Mapping, Set

from pydantic import JsonValue

from sluice.core.digests import sha256_json
from sluice.operator.actions import CancelRun, Queue, StartRun
from sluice.operator.draft import Draft
from sluice.operator.evidence import ENDED, QueueSeen, RunSeen, Ticket
from sluice.operator.state import MOST_INTENTS, Intent


def order(draft: Draft, intent: Intent) -> None:
    """Begin an intent's run, or bring it one step on in its queue."""
    queue = draft.evidence.queue
    ticket = queue.ticket(intent.in_queue) if queue and queue.name else None
    waits = ticket if ticket and ticket.state == "waiting" else None
    _note(draft, intent, waits)
    draft.actions += steps(order_of(intent), intent.ticket, queue, {})
    if waits and waits.place:
        inputs: dict[str, JsonValue] = {"queue": waits.queue, "place": waits.place}
        draft.decided("wait", "queue", f"a run waits for quota: {place_words(waits)}", triggers=intent.triggers,
                      inputs=inputs, key=intent.key)  # fmt: skip


def steps(
    order: StartRun, ticket: str | None, queue: QueueSeen | None, seen: Mapping[str, RunSeen]
) -> list[StartRun | CancelRun | Queue]:
    """What is to be done next for a run: begin it, bring it one step on in its queue, or end it.

    Args:
        order: Begins it.
        ticket: Its ticket's name where that is not its key.
        queue: The queue that it has to pass; None for none.
        seen: Runs that have begun, by their keys.
    """
    name, run = ticket or order.key, seen.get(order.key)
    found = queue.ticket(name) if queue else None
    if run:
        return going_on(order.key, run, found)
    if queue is None or not queue.name:
        return [order]
    if found is None:
        able = queue.tickets is not None and not queue.fault  # else it enters as soon as it can
        return [Queue("enter", name, order.key)] if able else []
    if found.state == "admitted":
        return [order]
    if found.state == "evicted":
        return [Queue("again", name, order.key)]
    return [Queue("leave", name)] if found.queue != queue.name else []  # it enters the other one when it has left


def going_on(key: str, run: RunSeen, ticket: Ticket | None) -> list[StartRun | CancelRun | Queue]:
    """What is to be done for a run that has begun: it ends where its quota is taken back, else Kueue is told of it."""
    if ticket is None or run.state in ENDED:
        return []
    if ticket.state == "evicted":
        return [CancelRun(key, ticket.words)]
    return [Queue("begun", ticket.name, key)] if ticket.state == "admitted" and not ticket.begun else []


def order_of(intent: Intent) -> StartRun:
    """The action that begins an intent's run."""
    return StartRun(
        intent.key,
        dict(intent.parameters),
        intent.reason,
        hold=intent.hold,
        gate=intent.gate,
        triggers=intent.triggers,
        by=intent.by,
    )


def place_words(ticket: Ticket) -> str:
    """Where a ticket stands, and what is known of when its turn comes, in a clause."""
    words = f"place {ticket.place} of {ticket.waiting} in the queue {ticket.queue}"
    if ticket.begins:
        words += f"; by the length of earlier runs it begins about {ticket.begins:%Y-%m-%d %H:%M} UTC (an estimate)"
    else:
        words += "; nothing is known yet by which its begin could be estimated"
    return f"{words}. Kueue: {ticket.words}" if ticket.words else words


def ticket_of(draft: Draft, intent: Intent) -> Ticket | None:
    """An intent's ticket, where it has one."""
    queue = draft.evidence.queue
    return queue.ticket(intent.in_queue) if queue else None


def evicted(draft: Draft, intent: Intent) -> Ticket | None:
    """An intent's ticket, where its quota was taken back."""
    ticket = ticket_of(draft, intent)
    return ticket if ticket and ticket.state == "evicted" else None


def wait_again(draft: Draft, intent: Intent, run: RunSeen, ticket: Ticket) -> None:
    """The run of an evicted ticket has ended: its successor waits in its place. No budget is charged for it."""
    successor = intent.model_copy(
        update={"key": successor_key(intent.key), "state": "ordered", "run": "", "ticket": intent.in_queue}
        | {"submitted": None}
    )
    ended = intent.model_copy(update={"state": "cancelled", "run": run.id})
    kept = [ended if each.key == intent.key else each for each in draft.state.intents]
    trained = tuple(
        each.model_copy(update={"key": successor.key, "state": "pending"}) if each.key == intent.key else each
        for each in draft.state.trained
    )
    draft.change(intents=(*forgotten(kept), successor), trained=trained)
    words = f"run {run.id} was ended, for its quota is taken back: {ticket.words or 'Kueue does not say why'}"
    draft.decided("wait", "evicted", f"{words}; it waits in the queue {ticket.queue} again", triggers=intent.triggers,
                  inputs={"run": run.id}, key=intent.key)  # fmt: skip
    draft.actions.append(Queue("again", ticket.name, successor.key))


def successor_key(key: str) -> str:
    """The key of the run that takes the place of an evicted one."""
    return sha256_json([key, "evicted"])


def forgotten(intents: list[Intent]) -> list[Intent]:
    """The intents without the oldest that have ended, so that one more has its place."""
    kept = list(intents)
    while len(kept) >= MOST_INTENTS and (ended := next((each for each in kept if not each.open), None)):
        kept.remove(ended)
    return kept


def leave(draft: Draft) -> None:
    """Let tickets go whose runs have ended, or that no queue is named for any more."""
    draft.actions += leaving(draft.evidence.queue, {each.in_queue for each in draft.state.open})


def leaving(queue: QueueSeen | None, wanted: Set[str]) -> list[Queue]:
    """Let tickets go that nobody wants."""
    tickets = (queue.tickets or ()) if queue else ()
    named = bool(queue and queue.name)
    return [Queue("leave", each.name) for each in tickets if not named or each.name not in wanted]


def waiting(draft: Draft) -> Iterator[Ticket]:
    """The tickets of intents that wait, as they were seen."""
    for intent in draft.state.open:
        ticket = ticket_of(draft, intent) if intent.state == "ordered" else None
        if ticket and ticket.state != "admitted":
            yield ticket


def waiting_words(queue: QueueSeen | None, names: Iterable[str]) -> str:
    """What is said of runs that have not begun, after a sentence about all; empty where none waits."""
    if queue and queue.fault:
        return f"; {queue.fault}"
    found = [queue.ticket(name) for name in names] if queue else []
    return "".join(f"; waits: {place_words(each)}" for each in found if each and each.place)


def _note(draft: Draft, intent: Intent, ticket: Ticket | None) -> None:
    place, begins = (ticket.place, ticket.begins) if ticket else (None, None)
    if (intent.place, intent.begins) != (place, begins):
        noted = intent.model_copy(update={"place": place, "begins": begins})
        draft.change(intents=tuple(noted if each.key == intent.key else each for each in draft.state.intents))

"""What comes once is noticed once: events and the times of schedules become reasons that wait to be dealt with."""

from datetime import timedelta

from sluice.operator.crontab import latest_slots, next_slot
from sluice.operator.draft import Draft
from sluice.operator.evidence import EventSeen
from sluice.operator.keys import event_identity, event_mark, marks_of
from sluice.operator.specs import Event, Schedule, Trigger
from sluice.operator.state import EVENT_MARK, EVENTS_REMEMBERED, MOST_PENDING, MOST_SLOTS, Pending, Slots

GRACE = timedelta(minutes=10)
"""A time of a schedule that is looked at later than this was missed."""


def notice(draft: Draft) -> None:
    """Take up events and times that have come."""
    _events(draft)
    schedules = {each.name: each.schedule for each in draft.spec.triggers if each.schedule}
    slots = {name: held for name, held in draft.state.slots.items() if name in schedules}
    for name, schedule in schedules.items():
        slots[name] = _slots(draft, name, schedule, slots.get(name))
    if slots != draft.state.slots:
        draft.change(slots=slots)
    known = {each.name for each in draft.spec.triggers} | {REQUEST, COST}
    if any(each.trigger not in known for each in draft.state.pending):
        draft.change(pending=tuple(each for each in draft.state.pending if each.trigger in known))


REQUEST, COST = "request", "cost"
"""What stands for a trigger's name where a person asked, and where costs were weighed."""


def wait(draft: Draft, pending: Pending, *, together: bool) -> None:
    """Add a reason that waits; together with those of its trigger that wait already, or by itself."""
    others, same = list(draft.state.pending), None
    if together:
        same = next((p for p in others if p.trigger == pending.trigger and not p.attempt and not p.request), None)
    if same:
        others[others.index(same)] = pending.model_copy(update={"since": same.since, "count": same.count + 1})
    else:
        others.append(pending)
    draft.change(pending=tuple(others[-MOST_PENDING:]))


def _events(draft: Draft) -> None:
    marks, known = draft.state.events, set(marks_of(draft.state.events))
    added: list[str] = []
    dropped = draft.state.events_from
    for event in draft.evidence.events:
        mark = event_mark(event)
        if mark in known:
            continue
        known.add(mark)
        added.append(mark)
        _event(draft, event)
    if not added:
        return
    marks += "".join(added)
    if len(marks) > EVENTS_REMEMBERED * EVENT_MARK:
        # What is forgotten could not be told from something new: events from before now are refused from here on.
        marks, dropped = marks[-EVENTS_REMEMBERED // 2 * EVENT_MARK :], draft.now - _FORGIVEN
    draft.change(events=marks, events_from=dropped)


_FORGIVEN = timedelta(days=1)  # half of the marks are still there; so late an event is still taken


def _event(draft: Draft, event: EventSeen) -> None:
    old = draft.state.events_from
    if old and event.time and event.time < old:
        draft.decided("nothing", "too old an event", f"event {event.id} of {event.source} is from "
                      f"{event.time:%Y-%m-%d %H:%M} UTC; it cannot be told from one that was dealt with",
                      inputs={"event": event_identity(event)})  # fmt: skip
        return
    listening = [each for each in draft.spec.triggers if each.event and _is_meant(each.event, event)]
    for trigger in listening:
        wait(draft, Pending(trigger=trigger.name, identity=event_identity(event), since=draft.now), together=True)
    if not listening:
        draft.decided("nothing", "event for nobody", f"no trigger is for event {event.id} of {event.source}, type "
                      f"{event.type or 'none'}", inputs={"event": event_identity(event)})  # fmt: skip


def _is_meant(wanted: Event, event: EventSeen) -> bool:
    return (not wanted.type or event.type == wanted.type) and event.source.startswith(wanted.source)


def _slots(draft: Draft, name: str, schedule: Schedule, held: Slots | None) -> Slots:
    now = draft.now
    if held is None:
        held = Slots(until=now)  # times before the resource was there are nobody's
    elif held.until > now:
        # The clock was put back: times up to there come again, and those that were dealt with are in `done`.
        held = held.model_copy(update={"until": now})
    due = latest_slots(schedule.cron, schedule.time_zone, held.until, now, _MOST_AT_ONCE)
    fresh = [slot for slot in due if slot not in held.done]
    upcoming = next_slot(schedule.cron, schedule.time_zone, now)
    if upcoming:
        draft.wake(upcoming)
    if not due:
        return held
    missed = [slot for slot in fresh if now - slot > GRACE]
    kept = [slot for slot in fresh if slot not in missed] if schedule.missed == "skip" else fresh
    if missed and schedule.missed == "skip":
        draft.decided("nothing", "missed", f"{len(missed)} times of {name} passed while nobody looked, and are "
                      f"skipped; the last was {missed[-1]:%Y-%m-%d %H:%M} UTC", triggers=(name,),
                      inputs={"slot": missed[-1].isoformat()})  # fmt: skip
    for slot in kept if schedule.missed == "all" else kept[-1:]:
        pending = Pending(trigger=name, identity=slot.isoformat(), since=now)
        wait(draft, pending, together=schedule.missed != "all")
    return Slots(until=due[-1], done=(*held.done, *fresh)[-MOST_SLOTS:])


_MOST_AT_ONCE = 64


def speaks(trigger: Trigger, pending: Pending) -> str:
    """What a reason that waits is, in words."""
    more = f" and {pending.count - 1} before" if pending.count > 1 else ""
    if trigger.schedule:
        return f"the time {pending.identity[:16].replace('T', ' ')} UTC came{more}"
    return f"event {pending.identity} came{more}"

"""What keeps a run from beginning now: suspension, canary, cooldown, concurrency, budget."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.operator.draft import Draft
from sluice.operator.parts import span
from sluice.operator.state import Day


@dataclass(frozen=True)
class Limit:
    """Why a run has to wait: the rule, a clause, and until when, where that is known."""

    rule: str
    words: str
    until: datetime | None = None


def limit_for(draft: Draft, *, person: bool) -> Limit | None:
    """What a run that would begin now has to wait for; None for nothing.

    Args:
        draft: The decision.
        person: Whether a person asks: then neither a canary nor the cooldown is waited for.
    """
    checks: list[Callable[[Draft], Limit | None]] = [_suspended, _project]
    checks += [] if person else [_canary, _cooldown]
    found = (check(draft) for check in (*checks, _concurrency, _budget))
    return next((each for each in found if each), None)


def _suspended(draft: Draft) -> Limit | None:
    return Limit("suspended", "it is suspended") if draft.spec.suspend else None


def _project(draft: Draft) -> Limit | None:
    if draft.evidence.code is not None:
        return None
    why = next((each.words for each in draft.evidence.faults if each.part == "project"), "")
    return Limit("project", f"the project {draft.spec.project} is not there{': ' + why if why else ''}")


def _canary(draft: Draft) -> Limit | None:
    canary = draft.evidence.canary
    if canary is None:
        return None
    return Limit("canary", f"version {canary.version} is tried as a canary since {canary.since:%Y-%m-%d %H:%M} UTC")


def _cooldown(draft: Draft) -> Limit | None:
    last, pause = draft.state.last_start, span(draft.spec.cooldown)
    if last is None or not pause:
        return None
    if last > draft.now:  # the clock was put back: the pause counts from here on, once
        last = draft.now
        draft.change(last_start=last)
    until = last + pause
    return Limit("cooldown", f"a run began at {last:%Y-%m-%d %H:%M} UTC", until) if until > draft.now else None


def _concurrency(draft: Draft) -> Limit | None:
    on_their_way = len(draft.state.open)
    if on_their_way < draft.spec.concurrency:
        return None
    return Limit("concurrency", f"{on_their_way} run{'s are' if on_their_way > 1 else ' is'} on the way")


def _budget(draft: Draft) -> Limit | None:
    budget, now = draft.spec.budget, draft.now
    today = draft.state.days.get(f"{now:%Y-%m-%d}", Day())
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if today.runs >= budget.runs_per_day:
        words = f"{today.runs} runs began today, and the budget has {budget.runs_per_day} a day"
        return Limit("budget", words, midnight + timedelta(days=1))
    spent = sum(each.money for day, each in draft.state.days.items() if day.startswith(f"{now:%Y-%m}"))
    if budget.per_month is None or spent + draft.spec.cost.per_run <= budget.per_month:
        return None
    money = draft.spec.cost
    words = (
        f"{spent:.2f} {money.currency} of {budget.per_month:.2f} are spent this month, and a run costs "
        f"{money.per_run:.2f}"
    )
    return Limit("budget", words, (midnight.replace(day=1) + timedelta(days=32)).replace(day=1))

"""What became of the runs that were decided on."""

from datetime import timedelta

from sluice.operator.draft import Draft
from sluice.operator.evidence import RunSeen
from sluice.operator.parts import span
from sluice.operator.queueing import evicted, forgotten, going_on, order, ticket_of, wait_again
from sluice.operator.state import (
    MOST_DAYS,
    MOST_PENDING,
    MOST_TRAINED,
    Approval,
    Day,
    Intent,
    Pending,
    Trained,
)

_PAUSE = timedelta(minutes=10)
"""Before a run that failed is begun again; twice as long before each further time."""
_LATE = timedelta(minutes=15)


def settle(draft: Draft) -> None:
    """Hold every open intent against its run; order again what nobody has begun yet."""
    for intent in draft.state.open:
        run = draft.evidence.run(intent.key)
        if draft.evidence.runs is None:
            if intent.state == "ordered":
                order(draft, intent)
        elif run is None and intent.state == "ordered":
            order(draft, intent)
        elif run is None and draft.now - (began := intent.submitted or intent.began) < _LATE:
            draft.wake(began + _LATE)  # a list of runs may lag behind
        elif run is None:
            _failed(draft, intent, f"its run {intent.run} is gone")
        else:
            _settle(draft, intent, run)


def _settle(draft: Draft, intent: Intent, run: RunSeen) -> None:
    if run.state in {"pending", "running"}:
        if intent.state != "running" or intent.run != run.id:
            _replace(
                draft, intent.model_copy(update={"state": "running", "run": run.id, "place": None, "begins": None})
            )
        draft.actions += going_on(intent.key, run, ticket_of(draft, intent))
        return
    intent = intent.model_copy(update={"run": run.id})
    if run.cost is not None:
        _charge(draft, intent, run.cost)
    if run.state == "succeeded":
        _succeeded(draft, intent, run)
    elif run.state == "cancelled" and (ticket := evicted(draft, intent)):
        wait_again(draft, intent, run, ticket)
    elif run.state == "cancelled":
        _replace(draft, intent.model_copy(update={"state": "cancelled"}))
        _note(draft, intent, "cancelled")
        draft.decided("cancel", "run cancelled", f"run {run.id} was cancelled: {run.reason or 'by a person'}",
                      triggers=intent.triggers, inputs={"run": run.id}, key=intent.key)  # fmt: skip
    else:
        _failed(draft, intent, run.reason or "no reason is known")


def _charge(draft: Draft, intent: Intent, cost: float) -> None:
    """Put what a run did cost in the ledger's place of what it was taken to cost."""
    day = f"{intent.began:%Y-%m-%d}"
    ledger = dict(draft.state.days)
    held = ledger.get(day, Day())
    ledger[day] = held.model_copy(update={"money": max(held.money + cost - draft.spec.cost.per_run, 0.0)})
    draft.change(days=ledger)


def _succeeded(draft: Draft, intent: Intent, run: RunSeen) -> None:
    _replace(draft, intent.model_copy(update={"state": "succeeded"}))
    _note(draft, intent, "succeeded")
    draft.change(learned=dict(draft.state.learned) | intent.learns, failures=0)
    made = f"version {run.version}" if run.version else "no version"
    if run.promoted:
        end = "it is champion"
    elif run.passed is None:
        end = "nothing was judged"
    elif run.passed:
        end = "it passed the gate"
    else:
        end = f"the gate refused it: {run.reason}" if run.reason else "the gate refused it"
    draft.decided("finished", "run succeeded", f"run {run.id} made {made}; {end}", triggers=intent.triggers,
                  inputs={"run": run.id, "version": run.version, "passed": run.passed, "promoted": run.promoted},
                  key=intent.key)  # fmt: skip
    if intent.hold and run.passed and run.version and not run.promoted:
        _wait_for_approval(draft, intent, run)


def _wait_for_approval(draft: Draft, intent: Intent, run: RunSeen) -> None:
    before = draft.state.approval
    if before:
        draft.decided("refuse", "superseded", f"version {before.version} is refused: version {run.version} is newer",
                      inputs={"version": before.version}, key=before.key)  # fmt: skip
    version, deadline = run.version or "", draft.now + span(draft.spec.promotion.deadline)
    draft.change(
        approval=Approval(version=version, digest=run.digest or "", key=intent.key, since=draft.now, deadline=deadline)
    )
    draft.decided("ask", "approval", f"version {version} passed the gate and waits for a person until "
                  f"{deadline:%Y-%m-%d %H:%M} UTC; after that it is refused",
                  inputs={"version": version, "deadline": deadline.isoformat()}, key=intent.key)  # fmt: skip


def _failed(draft: Draft, intent: Intent, reason: str) -> None:
    _replace(draft, intent.model_copy(update={"state": "failed"}))
    _note(draft, intent, "failed")
    draft.change(failures=draft.state.failures + 1)
    again = intent.attempt < draft.spec.retries
    at = draft.now + _PAUSE * 2**intent.attempt
    end = (
        f"; it begins again after {at:%Y-%m-%d %H:%M} UTC" if again else "; it is not begun again on the same evidence"
    )
    draft.decided("failed", "run failed", f"run {intent.run or intent.key[:12]} failed: {reason}{end}",
                  triggers=intent.triggers, inputs={"run": intent.run, "attempt": intent.attempt},
                  key=intent.key)  # fmt: skip
    if again:
        # The last attempt's key is the identity: every failure has one successor.
        pending = Pending(
            trigger=intent.triggers[0], identity=intent.key, since=draft.now, by=intent.by,
            attempt=intent.attempt + 1, not_before=at, parameters=dict(intent.parameters) if intent.by else {},
        )  # fmt: skip
        draft.change(pending=(*draft.state.pending, pending)[-MOST_PENDING:])
        draft.wake(at)


def _note(draft: Draft, intent: Intent, state: str) -> None:
    """Remember how training on data, code and parameters ended."""
    trained = tuple(
        each.model_copy(update={"state": state, "at": draft.now}) if each.key == intent.key else each
        for each in draft.state.trained
    )
    draft.change(trained=trained)


def _replace(draft: Draft, intent: Intent) -> None:
    draft.change(intents=tuple(intent if each.key == intent.key else each for each in draft.state.intents))


def add_intent(draft: Draft, intent: Intent) -> None:
    """Keep an intent and all that follows from it, its price included, and order its run."""
    kept = forgotten(list(draft.state.intents))
    day = f"{draft.now:%Y-%m-%d}"
    ledger = dict(draft.state.days)
    held = ledger.get(day, Day())
    ledger[day] = Day(runs=held.runs + 1, money=held.money + draft.spec.cost.per_run)
    entry = Trained(fingerprint=intent.trained, key=intent.key, state="pending", at=draft.now)
    draft.change(
        intents=(*kept, intent),
        days=dict(sorted(ledger.items())[-MOST_DAYS:]),
        trained=(*draft.state.trained, entry)[-MOST_TRAINED:] if intent.trained else draft.state.trained,
        last_start=draft.now,
    )
    order(draft, intent)

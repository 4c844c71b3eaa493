"""A backfill: partitions of the past, trained on or judged in order, some at the same time, and taken up again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from pydantic import Field, JsonValue

from sluice.operator import queueing
from sluice.operator.actions import CancelRun, Queue, StartRun
from sluice.operator.evidence import QueueSeen, RunSeen
from sluice.operator.keys import intent_key
from sluice.operator.parts import Moment, Part
from sluice.operator.specs import BackfillSpec
from sluice.operator.worlds import Subject

Ended = Literal["succeeded", "failed", "cancelled"]
_MONTH = len("2013-01")
_MOST = 1000


class BackfillState(Part):
    """The status of a Backfill.

    Attributes:
        observed_generation: Of the specification that this follows from.
        partitions: How many there are.
        ended: How each partition's run ended, by partition.
        running: The key of each partition's run that has not ended.
        phase: Pending, Running, Suspended, Succeeded, Failed.
        words: A sentence for people.
        began: When the first run began.
        tickets: The ticket in the queue of each partition's run where it is not the run's key: that of the run before
            it, which was evicted.
    """

    observed_generation: int = 0
    partitions: int = 0
    ended: dict[str, Ended] = Field(default={})
    running: dict[str, str] = Field(default={})
    phase: Literal["Pending", "Running", "Suspended", "Succeeded", "Failed"] = "Pending"
    words: str = ""
    began: Moment | None = None
    tickets: dict[str, str] = Field(default={})


@dataclass(frozen=True)
class BackfillOutcome:
    """The state to be saved first, and what is to be done then, in order."""

    state: BackfillState
    actions: tuple[StartRun | CancelRun | Queue, ...] = ()


def partitions_of(spec: BackfillSpec) -> list[str]:
    """The partitions of a backfill in order.

    Raises:
        ValueError: A date does not exist, or they are more than 1,000.
    """
    found = list(spec.partitions) or list(_between(spec))
    if len(found) > _MOST:
        raise ValueError(f"{len(found):,} partitions; give at most {_MOST:,}, or several backfills")
    return found


def _between(spec: BackfillSpec) -> Iterator[str]:
    first, last = spec.first or "", spec.last or ""
    months = len(first) == _MONTH
    if months != (spec.every == "month"):
        raise ValueError(f"every: {spec.every} does not go with {first}; write a month as 2013-01, a day as 2013-01-31")
    day, end = _date(first, months=months), _date(last, months=months)
    while day <= end:
        yield f"{day:%Y-%m}" if months else f"{day:%Y-%m-%d}"
        day += timedelta(days={"day": 1, "week": 7, "month": 32}[spec.every])
        day = day.replace(day=1) if months else day


def _date(text: str, *, months: bool) -> date:
    try:
        return date.fromisoformat(f"{text}-01" if months else text)
    except ValueError:
        raise ValueError(f"{text!r} is no date; write a month as 2013-01, a day as 2013-01-31") from None


def advance(
    subject: Subject,
    spec: BackfillSpec,
    state: BackfillState,
    runs: Iterable[RunSeen] | None,
    code: str,
    now: datetime,
    *,
    queue: QueueSeen | None = None,
) -> BackfillOutcome:
    """What a backfill does next; pure. A partition's run exists at most once, as its key is the same each time.

    Args:
        subject: The Backfill.
        spec: What is asked.
        state: What is remembered.
        runs: Runs by the keys in `state.running`; None where they could not be asked.
        code: The digest of the project's code; empty where it is not there: then nothing begins.
        now: The moment.
        queue: The queue that runs have to pass; None for none.

    Raises:
        ValueError: As `partitions_of`.
    """
    partitions = partitions_of(spec)
    ended, running, tickets = dict(state.ended), dict(state.running), dict(state.tickets)
    seen = {each.key: each for each in runs or ()}
    _wait_again(running, tickets, seen, queue)
    _settle(ended, running, seen)
    tickets = {each: ticket for each, ticket in tickets.items() if each in running}
    failed = [each for each in partitions if ended.get(each) in {"failed", "cancelled"}]
    stopped = bool(failed) and spec.on_failure == "stop"
    waiting = [each for each in partitions if each not in ended and each not in running]
    free = 0 if spec.suspend or stopped or not code else max(spec.parallel - len(running), 0)
    for partition in waiting[:free]:
        running[partition] = _key(subject, spec, code, partition)
    phase = _phase(spec, partitions, ended, running, stopped=stopped)
    done = sum(each == "succeeded" for each in ended.values())
    words = f"{done} of {len(partitions)} partitions are done, {len(running)} on the way"
    words += queueing.waiting_words(queue, [tickets.get(each, key) for each, key in running.items() if key not in seen])
    words += f"; failed: {', '.join(failed[:5])}" if failed else ""
    began = state.began or (now if running else None)
    after = BackfillState(
        observed_generation=subject.generation, partitions=len(partitions), ended=ended, running=running, phase=phase,
        words=words, began=began, tickets=tickets,
    )  # fmt: skip
    actions = [
        action
        for each in partitions
        if each in running
        for action in queueing.steps(_order(spec, each, running[each]), tickets.get(each), queue, seen)
    ]
    wanted = {tickets.get(each, key) for each, key in running.items()}
    return BackfillOutcome(after, (*actions, *queueing.leaving(queue, wanted)))


def _settle(ended: dict[str, Ended], running: dict[str, str], seen: Mapping[str, RunSeen]) -> None:
    for partition, key in list(running.items()):
        run = seen.get(key)
        if run and run.state in {"succeeded", "failed", "cancelled"}:
            ended[partition] = run.state
            del running[partition]


def _wait_again(
    running: dict[str, str], tickets: dict[str, str], seen: Mapping[str, RunSeen], queue: QueueSeen | None
) -> None:
    """A partition whose run was ended because its quota was taken back has another run, at the same place."""
    for partition, key in list(running.items()):
        run, name = seen.get(key), tickets.get(partition, key)
        ticket = queue.ticket(name) if queue else None
        if run and run.state == "cancelled" and ticket and ticket.state == "evicted":
            running[partition], tickets[partition] = queueing.successor_key(key), name


def _phase(
    spec: BackfillSpec, partitions: list[str], ended: Mapping[str, Ended], running: Mapping[str, str], *, stopped: bool
) -> Literal["Pending", "Running", "Suspended", "Succeeded", "Failed"]:
    if running:
        return "Running"
    if stopped or len(ended) == len(partitions):
        return "Failed" if any(each != "succeeded" for each in ended.values()) else "Succeeded"
    return "Suspended" if spec.suspend else "Pending"


def _key(subject: Subject, spec: BackfillSpec, code: str, partition: str) -> str:
    return intent_key(subject, code, dict(spec.parameters), "backfill", partition)


def _order(spec: BackfillSpec, partition: str, key: str) -> StartRun:
    parameters: dict[str, JsonValue] = {**spec.parameters, spec.parameter: partition}
    return StartRun(key, dict(parameters), f"backfill of {partition}", triggers=("backfill",))

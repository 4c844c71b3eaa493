"""What a decision wants done. Each may be done twice without harm: the world looks first whether it was done."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sluice.operator.specs import Gate
from sluice.operator.state import Decision, State


@dataclass(frozen=True)
class StartRun:
    """Begin a run, unless one with this key is there already, whatever its state.

    Attributes:
        key: 64 characters; the world keeps it with the run (KFP: a label, and the name's end).
        parameters: Beside the project's own, by name.
        reason: One sentence, for the run's description.
        hold: Register the version as challenger alone: it waits for an approval (see `gates.gate_parameters`).
        gate: What it has to pass beside the project's own gate.
        triggers: Which triggers it answers.
        by: The person who asked; empty for none.
    """

    key: str
    parameters: dict[str, Any]
    reason: str
    hold: bool = False
    gate: Gate = field(default_factory=Gate)
    triggers: tuple[str, ...] = ()
    by: str = ""


@dataclass(frozen=True)
class CancelRun:
    """End the run with this key, if there is one."""

    key: str
    reason: str


@dataclass(frozen=True)
class Queue:
    """A step of a run's ticket in the queue of quotas.

    Attributes:
        step: Enter the queue; begun: tell it that the run goes on; again: give the quota back and wait once more, at
            the same place; leave it.
        ticket: Its name.
        key: Of the intent; empty where it leaves.
    """

    step: Literal["enter", "begun", "again", "leave"]
    ticket: str
    key: str = ""


@dataclass(frozen=True)
class AskApproval:
    """Tell people that a version waits for them."""

    version: str
    deadline: datetime
    reason: str


@dataclass(frozen=True)
class Promote:
    """Make a version champion, on record; `digest` is what was approved, where it is known."""

    version: str
    digest: str
    by: str
    reason: str


@dataclass(frozen=True)
class RollBack:
    """Let a champion of before reign again, on record; done already where `version` does not reign any more.

    Attributes:
        version: The champion that is taken back.
        to: The version that reigns again.
        reason: One sentence.
        by: The person who asked; empty for none.
    """

    version: str
    to: str
    reason: str
    by: str = ""


@dataclass(frozen=True)
class Answer:
    """Write into a Request's status how it was answered."""

    uid: str
    accepted: bool
    words: str


@dataclass(frozen=True)
class WakeAt:
    """Look again at this moment, though nothing happens until then."""

    at: datetime


Action = StartRun | CancelRun | Queue | AskApproval | Promote | RollBack | Answer | WakeAt


@dataclass(frozen=True)
class Outcome:
    """What `decide` gives: the state to be saved first, what is to be done then, and the decisions' records.

    Attributes:
        state: To be saved before any action is taken.
        actions: In the order in which they are to be done.
        decisions: Made now, for the lineage: those that were not made before, whole.
    """

    state: State
    actions: tuple[Action, ...] = ()
    decisions: tuple[Decision, ...] = field(default=())

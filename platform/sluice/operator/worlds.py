"""What reconciling needs of the world: a cluster, or files on a laptop.

`World.load` and `save` compare and swap: of two who decide at once one is refused and looks again. Whatever else is
asked may be done twice: the world looks first whether it was done.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sluice.core.errors import SluiceError
from sluice.operator.actions import Answer, AskApproval, CancelRun, Promote, Queue, RollBack, StartRun
from sluice.operator.evidence import Evidence
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import Decision, State


class Conflict(SluiceError):
    """Somebody else has saved in between: load again."""


@dataclass(frozen=True)
class Subject:
    """Whom a decision is about.

    Attributes:
        namespace: Of the resource.
        name: Of the resource.
        uid: Given to it when it was made: another of the same name has another.
        generation: Of the specification.
    """

    namespace: str
    name: str
    uid: str
    generation: int = 1


@dataclass(frozen=True)
class Loaded:
    """A ContinuousTraining as it was read.

    Attributes:
        subject: Whom it is about.
        spec: What is asked.
        state: What is remembered.
        token: What a save has to name, so that it overwrites nobody's (the resourceVersion).
        deleted: Whether it is being deleted: what runs is ended.
    """

    subject: Subject
    spec: ContinuousTrainingSpec
    state: State
    token: str
    deleted: bool = False

    def saved(self, state: State, token: str) -> "Loaded":
        """The same after a save."""
        return replace(self, state=state, token=token)


class World(Protocol):
    """Where ContinuousTrainings are, and what can be done there. Every method may raise EnvironmentFault."""

    def now(self) -> datetime:
        """The moment, in UTC: of a clock that can be driven."""

    def load(self, namespace: str, name: str) -> Loaded | None:
        """A ContinuousTraining; None where there is none (any more).

        Raises:
            BadInput: Its specification is wrong; the message is for its conditions.
        """

    def gather(self, loaded: Loaded) -> Evidence:
        """What the world says about it now; what cannot be asked becomes a fault in it."""

    def save(self, loaded: Loaded, state: State) -> Loaded:
        """Keep the state, if nobody has saved since it was loaded.

        Raises:
            Conflict: Somebody has.
        """

    def keep(self, loaded: Loaded, decisions: tuple[Decision, ...]) -> None:
        """Keep decisions in the lineage, by their number: one that is there already is left as it is.

        It is called at the begin of each reconciliation too: a world remembers which number it has kept last.
        """

    def start_run(self, loaded: Loaded, order: StartRun) -> str:
        """Begin a run unless one with its key is there; the run's id.

        Raises:
            BadInput: The pipeline refuses its parameters, or there is no such pipeline.
        """

    def cancel_run(self, loaded: Loaded, order: CancelRun) -> None:
        """End the run with a key, if there is one that has not ended."""

    def queue(self, loaded: Loaded, order: Queue) -> None:
        """Let a run enter the queue of quotas, wait in it once more, or leave it."""

    def ask_approval(self, loaded: Loaded, order: AskApproval) -> None:
        """Tell people that a version waits."""

    def promote(self, loaded: Loaded, order: Promote) -> None:
        """Make a version champion on record; raises BadInput where the registry refuses."""

    def roll_back(self, loaded: Loaded, order: RollBack) -> None:
        """Let a champion of before reign again, on record; raises BadInput where the registry refuses."""

    def answer(self, loaded: Loaded, order: Answer) -> None:
        """Write a Request's answer."""

    def wake_at(self, loaded: Loaded, at: datetime) -> None:
        """Reconcile at this moment; it replaces the moment named before."""

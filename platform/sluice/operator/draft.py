"""An outcome while it is being made: the state as it changes, the actions, the decisions, the moments to look again."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any

from pydantic import JsonValue

from sluice.operator.actions import Action, Outcome, WakeAt
from sluice.operator.evidence import Evidence
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import MOST_ANSWERS, MOST_DECISIONS, Answered, CostEstimate, Decision, State
from sluice.operator.state import Outcome as Decided
from sluice.operator.worlds import Subject

_REPEATED: tuple[Decided, ...] = ("wait", "nothing")


@dataclass
class Draft:
    """What `decide` works on; see there."""

    subject: Subject
    spec: ContinuousTrainingSpec
    state: State
    evidence: Evidence
    now: datetime
    actions: list[Action] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)

    def change(self, **fields: Any) -> None:  # noqa: ANN401 - fields of State
        """Give fields of the state other values."""
        self.state = self.state.model_copy(update=fields)

    def wake(self, at: datetime) -> None:
        """Look again at this moment, if it is to come."""
        if at > self.now:
            self.wakes.append(at)

    def decided(
        self,
        outcome: Decided,
        rule: str,
        words: str,
        *,
        triggers: tuple[str, ...] = (),
        inputs: dict[str, JsonValue] | None = None,
        key: str = "",
        cost: CostEstimate | None = None,
        by: str = "",
    ) -> None:
        """Put a decision on record.

        A "wait" or "nothing" by the same rule on the same inputs as one since anything else happened is that one. On
        other inputs it becomes one with it in the state, with a count, and is a record of its own in the lineage.
        """
        inputs = inputs or {}
        before = self._before((outcome, rule, triggers, key, by)) if outcome in _REPEATED else None
        if before and before.inputs == inputs:
            return
        number = self.state.decided + 1
        made = Decision(
            number=number, at=self.now, outcome=outcome, rule=rule, words=words[:_LONGEST], triggers=triggers,
            inputs=inputs, key=key, cost=cost, last=self.now, by=by, model=self.spec.model, stale=self.state.freshness,
        )  # fmt: skip
        self.decisions.append(made)
        kept = self.state.decisions
        if before:
            kept = tuple(each for each in kept if each is not before)
            made = made.model_copy(update={"at": before.at, "count": before.count + 1})
        self.change(decided=number, decisions=(*kept, made)[-MOST_DECISIONS:])

    def _before(self, what: tuple[str, str, tuple[str, ...], str, str]) -> Decision | None:
        """A decision of the same kind since anything else than waiting was decided."""
        latest = takewhile(lambda each: each.outcome in _REPEATED, reversed(self.state.decisions))
        same = (each for each in latest if (each.outcome, each.rule, each.triggers, each.key, each.by) == what)
        return next(same, None)

    def answer(self, uid: str, words: str, *, accepted: bool) -> None:
        """Answer a Request; the action is taken for as long as the world shows it as not answered."""
        answers = (*self.state.answers, Answered(uid=uid, accepted=accepted, words=words[:_LONGEST]))
        self.change(answers=answers[-MOST_ANSWERS:])

    def outcome(self) -> Outcome:
        """All of it."""
        wake = min(self.wakes, default=None)
        if wake != self.state.wake:
            self.change(wake=wake)
        waking = (WakeAt(wake),) if wake else ()
        return Outcome(self.state, (*self.actions, *waking), tuple(self.decisions))


_LONGEST = 600  # characters of words in a status

"""What the operator remembers of a ContinuousTraining: the status of the resource. All of it is bounded.

It is saved before anything is done, so that whoever is killed in between does the same thing once more, not another.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from sluice.operator.evidence import RunState
from sluice.operator.parts import Moment, Part
from sluice.operator.specs import Gate

MOST_DECISIONS = 10
MOST_INTENTS = 40
MOST_TRAINED = 50
MOST_SLOTS = 64
MOST_DAYS = 62
MOST_ANSWERS = 64
MOST_PARTITIONS = 1000
MOST_WINDOWS = 120
MOST_PENDING = 100
EVENTS_REMEMBERED = 4096
EVENT_MARK = 8
"""Characters by which an event is remembered: 48 bits of the SHA-256 of source and id, in base64."""

Outcome = Literal[
    "start", "wait", "nothing", "finished", "failed", "cancel", "ask", "promote", "refuse", "roll back", "answer"
]
IntentState = Literal["ordered", "running", "succeeded", "failed", "cancelled"]


class Freshness(Part):
    """How old what the champion learned from is.

    Attributes:
        trained: When the champion was trained; None where nobody knows.
        stale_since: Since when there is something newer to learn from; None while there is not.
        words: A sentence: "this model is 9 days stale, because …".
    """

    trained: Moment | None = None
    stale_since: Moment | None = None
    words: str = ""


class CostEstimate(Part):
    """What a decision cost or would save, in the currency of the specification.

    Attributes:
        run: The price of a run.
        stale: What the model as it is would cost over the horizon, beyond a fresh one.
        saved: What a run now would save of that.
        waiting: What waiting for one more window costs.
        currency: Of all of them.
        words: How that was found, in a sentence.
    """

    run: float
    stale: float = 0.0
    saved: float = 0.0
    waiting: float = 0.0
    currency: str = "EUR"
    words: str = ""


class Decision(Part):
    """One decision, "do nothing" included.

    Attributes:
        number: From 1; those that follow each other and say the same are one.
        at: When it was made first.
        outcome: What was decided.
        rule: The rule's name, such as `cooldown`; docs/operator-decisions.md lists them.
        words: One sentence for people.
        triggers: Which triggers spoke, by name.
        inputs: What it was made from: ids, numbers, versions.
        key: Of the intent that it is about; empty for none.
        cost: What it was weighed by; None where nothing was.
        count: How often it was made.
        last: When it was made last.
        by: The person who asked for it; empty for none.
        model: The registered model.
        stale: How old the model is, as `Freshness` says it.
    """

    number: Annotated[int, Field(ge=1)]
    at: Moment
    outcome: Outcome
    rule: str
    words: str
    triggers: tuple[str, ...] = ()
    inputs: dict[str, JsonValue] = Field(default={})
    key: str = ""
    cost: CostEstimate | None = None
    count: int = 1
    last: Moment
    by: str = ""
    model: str = ""
    stale: Freshness | None = None


class Pending(Part):
    """A reason to train that waits: it came once and would not be seen again by looking (an event, a slot, a request).

    Attributes:
        trigger: The trigger's name; `request` for a person.
        identity: What it is, such as a slot's time; with the rest of the key it makes the intent's key.
        since: When it came.
        count: How many came together.
        request: The uid of the Request; empty for none.
        by: Who asked; empty for none.
        parameters: What that person gave beside the specification's.
        attempt: From 1 on for what is begun again after a failure; `not_before` says when at the earliest.
        not_before: See there.
    """

    trigger: str
    identity: str
    since: Moment
    count: int = 1
    request: str = ""
    by: str = ""
    parameters: dict[str, JsonValue] = Field(default={})
    attempt: int = 0
    not_before: Moment | None = None


class Learned(Part):
    """What a run learns from of a lake.

    Attributes:
        dataset: The dataset id.
        rows: As in `LakeSeen`.
        labelled: As in `LakeSeen`.
        partitions: The newest MOST_PARTITIONS of them.
        behind: Since when the lake is another than this; None while it is not.
    """

    dataset: str
    rows: int | None = None
    labelled: int | None = None
    partitions: tuple[str, ...] = ()
    behind: Moment | None = None


class Intent(Part):
    """A run that was decided on. At most one run exists for its key, ever.

    Attributes:
        key: SHA-256, hexadecimal: see `deciding.intent_key`.
        state: `ordered` until a run with its key was seen.
        triggers: Which triggers it answers, by name.
        reason: One sentence.
        trained: The fingerprint of data, code and parameters; empty where the data are unknown.
        parameters: What the run is given, the partition of the data included.
        learns: What it learns from, by lake.
        hold: Whether the version has to wait for an approval.
        gate: What it has to pass beside the project's own gate.
        began: When it was ordered.
        attempt: 0, then 1, 2, … for what was begun again after a failure.
        run: The run's id, once it is known.
        by: Who asked; empty for none.
        request: The uid of the Request; empty for none.
        submitted: When its run was begun; None while it was not.
        ticket: Its ticket in the queue where it is not the key: that of the run before it, which was evicted.
        place: Its place in the queue, 1 for the next; None while it does not wait in one.
        begins: When it is likely to have quota: an estimate.
    """

    key: str
    state: IntentState = "ordered"
    triggers: tuple[str, ...]
    reason: str
    trained: str = ""
    parameters: dict[str, JsonValue] = Field(default={})
    learns: dict[str, Learned] = Field(default={})
    hold: bool = False
    gate: Gate = Gate()
    began: Moment
    attempt: int = 0
    run: str = ""
    by: str = ""
    request: str = ""
    submitted: Moment | None = None
    ticket: str = ""
    place: int | None = None
    begins: Moment | None = None

    @property
    def in_queue(self) -> str:
        """The name of its ticket."""
        return self.ticket or self.key

    @property
    def open(self) -> bool:
        """Whether its run has not ended."""
        return self.state in {"ordered", "running"}


class Trained(Part):
    """That data, code and parameters were trained on: by which intent, and how it ended."""

    fingerprint: str
    key: str
    state: RunState
    at: Moment


class Slots(Part):
    """What a schedule is done with: all times up to `until`, and those that had a run or were left out on purpose."""

    until: Moment
    done: tuple[Moment, ...] = ()


class Day(Part):
    """What a day of UTC took of the budget."""

    runs: int = 0
    money: float = 0.0


class Approval(Part):
    """A version that waits for a person."""

    version: str
    digest: str = ""
    key: str
    since: Moment
    deadline: Moment
    told: bool = False


class Move(Part):
    """A change of the champion that was decided on and is not seen to be done.

    Attributes:
        kind: Whether a version is promoted, or an earlier champion reigns again.
        version: The version that is to reign.
        digest: Its digest, where it is known.
        replaces: The champion then; empty for none.
        by: The person; empty for the operator.
        reason: One sentence.
        request: The uid of the Request, which is answered once the registry agrees; empty for none.
    """

    kind: Literal["promote", "roll back"]
    version: str
    digest: str = ""
    replaces: str = ""
    by: str = ""
    reason: str
    request: str = ""


class Condition(Part):
    """As Kubernetes has conditions."""

    type: Literal["Ready", "Progressing", "Fresh", "Healthy", "AwaitingApproval", "Suspended", "Queued", "RowsCounted"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: Moment


class Answered(Part):
    """A Request that was answered: it is told again until the world shows it as answered."""

    uid: str
    accepted: bool
    words: str


class State(Part):
    """The status of a ContinuousTraining.

    Attributes:
        observed_generation: Of the specification that this follows from.
        intents: Newest last; open ones are never forgotten.
        pending: Reasons that wait.
        trained: What was trained on, newest last.
        learned: What the newest successful run learned from, by lake.
        upstream: Digest of each upstream model that was taken into account, by trigger.
        slots: What each schedule is done with, by trigger.
        days: The ledger of the budget, by day of UTC.
        events: Marks of the events that came, EVENT_MARK characters each, newest last.
        events_from: Older events than this may have been forgotten, and are refused.
        answers: Requests that were answered, newest last.
        approval: The version that waits.
        move: The change of the champion that is on its way.
        withdrawn: Digests of versions that were rolled back or refused: none of them is gone back to.
        windows: Ids of windows that were acted on, newest last.
        last_start: When the newest run began.
        failures: Runs that failed one after the other, up to now.
        freshness: How old what the champion learned from is.
        conditions: For people and machines.
        decisions: The last MOST_DECISIONS, newest last.
        decided: The number of the newest decision.
        phase: One word for a column: Idle, Training, Queued, Waiting, AwaitingApproval, Suspended, Failing.
        champion: The champion's version, for a column.
        wake: When it has to be looked at again without being asked.
    """

    observed_generation: int = 0
    intents: tuple[Intent, ...] = ()
    pending: tuple[Pending, ...] = ()
    trained: tuple[Trained, ...] = ()
    learned: dict[str, Learned] = Field(default={})
    upstream: dict[str, str] = Field(default={})
    slots: dict[str, Slots] = Field(default={})
    days: dict[str, Day] = Field(default={})
    events: str = ""
    events_from: Moment | None = None
    answers: tuple[Answered, ...] = ()
    approval: Approval | None = None
    move: Move | None = None
    withdrawn: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    last_start: Moment | None = None
    failures: int = 0
    freshness: Freshness = Freshness()
    conditions: tuple[Condition, ...] = ()
    decisions: tuple[Decision, ...] = ()
    decided: int = 0
    phase: str = "Idle"
    champion: str = ""
    wake: Moment | None = None

    @property
    def open(self) -> tuple[Intent, ...]:
        """Intents whose run has not ended."""
        return tuple(each for each in self.intents if each.open)

    @classmethod
    def of_status(cls, status: dict[str, Any]) -> "State":
        """The state in a resource's status.

        Names that this Sluice does not know, such as those of a later version, are left out.

        Raises:
            ValueError: A value is not what it should be.
        """
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return cls.model_validate({name: value for name, value in status.items() if name in known})

"""What the world says when a decision is made: plain facts, gathered before, each with an identity of its own.

What could not be asked is None or stands in `faults`; it is unknown then, and never taken for "there is nothing".
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from sluice.operator.parts import Moment, Part

RunState = Literal["pending", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[RunState, ...] = ("succeeded", "failed", "cancelled")


class LakeSeen(Part):
    """A lake as it is now.

    Attributes:
        name: As the Project calls it.
        dataset: The dataset id: of the content, so that a touched file changes nothing.
        rows: Rows in it, where that is known.
        uncounted: Why they are not, where somebody wants to know.
        labelled: Rows whose label is known by now; None where nobody can tell, and the specification's label delay
            stands for it.
        arrived: When this dataset was seen first.
        partitions: The values of the column of partitions that a trigger names; each with its rows.
        until: The newest row's time, where rows have one.
    """

    name: str
    dataset: str
    rows: int | None = None
    uncounted: str = ""
    labelled: int | None = None
    arrived: Moment
    partitions: dict[str, int] = Field(default={})
    until: Moment | None = None


class MetricSeen(Part):
    """A metric of a window: `worse` is how much worse it is than on the version's test rows, positive is worse.

    Attributes:
        metric: Its name.
        by: By labels, or estimated without them.
        value: In the window.
        low: The interval's lower end.
        high: The interval's upper end.
        reference: On the rows that the version was judged by.
        worse: By how much worse, in the metric's unit.
        noise: The standard error of `worse`.
        rows: Rows it rests on.
        enough: Whether the monitor says that they are enough to tell by; else costs alone weigh it, by its noise.
    """

    metric: str
    by: Literal["labels", "estimated"]
    value: float
    low: float
    high: float
    reference: float
    worse: float
    noise: Annotated[float, Field(ge=0)]
    rows: int
    enough: bool = True


class WindowSeen(Part):
    """A window of what a version said, as the monitor judged it.

    Attributes:
        id: The monitor's record, by its digest or dataset id.
        version: The version that answered.
        start: Its begin.
        end: Its end.
        rows: Rows answered in it.
        settled: Whether its labels are there as far as they will come.
        metrics: Metrics by labels and estimated; empty where the monitor refused to tell.
        inputs: How far the evidence of moved inputs is along its limit; from 1 on it is an alarm.
        outputs: The same of forecasts.
        alarms: Titles of the alarms that were new.
    """

    id: str
    version: str
    start: Moment
    end: Moment
    rows: int
    settled: bool = False
    metrics: tuple[MetricSeen, ...] = ()
    inputs: float = 0.0
    outputs: float = 0.0
    alarms: tuple[str, ...] = ()


class VersionSeen(Part):
    """A registered version.

    Attributes:
        model: The registered model.
        version: Its number.
        digest: SHA-256 of its files.
        since: When it became champion, or was registered.
        alias: By which it was found.
        trained: When it was trained.
    """

    model: str
    version: str
    digest: str
    since: Moment
    alias: str = "champion"
    trained: Moment | None = None


class EventSeen(Part):
    """A CloudEvent or the notification of a bucket; `source` and `id` together are its identity."""

    id: str
    source: str
    type: str = ""
    time: Moment | None = None
    subject: str = ""


class RequestSeen(Part):
    """A Request that nobody has answered yet; fields as in `RequestSpec`."""

    uid: str
    name: str
    action: Literal["train", "approve", "refuse", "rollback", "promote"]
    by: str
    created: Moment
    version: str | None = None
    parameters: dict[str, JsonValue] = Field(default={})
    reason: str = ""


class RunSeen(Part):
    """A run of ours, found by its key.

    Attributes:
        key: Of the intent that it was started for.
        id: Of the run.
        state: Where it is.
        started: When it began.
        ended: When it ended.
        version: The version that it registered; None for none.
        digest: That version's digest.
        passed: Whether that version passed the gate; None where it was not judged.
        promoted: Whether it is champion by the run itself.
        reason: What the gate or the failure said.
        cost: What it cost, where that is known.
    """

    key: str
    id: str
    state: RunState
    started: Moment | None = None
    ended: Moment | None = None
    version: str | None = None
    digest: str | None = None
    passed: bool | None = None
    promoted: bool = False
    reason: str = ""
    cost: float | None = None


class ServerSeen(Part):
    """The servers of the model, as far as they answer.

    Attributes:
        version: What they serve.
        healthy: Whether they answer.
        since: Since when that is so.
        reason: Why not.
    """

    version: str
    healthy: bool
    since: Moment
    reason: str = ""


class Ticket(Part):
    """A run's place in a queue: what Kueue calls a Workload.

    Attributes:
        name: The key of the intent that entered the queue; one that was evicted keeps it for the run after.
        state: It waits; it has quota, and its run may begin; or the quota is taken back, and its run has to end.
        queue: The queue that it is in.
        place: 1 for the next one of this queue; None where it does not wait.
        waiting: How many wait in this queue.
        begins: When quota is likely to come: an estimate from earlier runs; None where there is nothing to go by.
        begun: Whether Kueue was told that its run has begun.
        words: What Kueue says of it.
    """

    name: str
    state: Literal["waiting", "admitted", "evicted"]
    queue: str
    place: int | None = None
    waiting: int = 0
    begins: Moment | None = None
    begun: bool = False
    words: str = ""


class QueueSeen(Part):
    """The queue of quotas that runs have to pass.

    Attributes:
        name: Its name; empty where none is named any more, but tickets are left from before.
        fault: Why no run can pass it, and the way out: there is no Kueue, or no such queue.
        tickets: The tickets of the resource's runs; None where they could not be asked.
    """

    name: str
    fault: str = ""
    tickets: tuple[Ticket, ...] | None = ()

    def ticket(self, name: str) -> Ticket | None:
        """The ticket of that name."""
        return next((each for each in self.tickets or () if each.name == name), None)


class CanarySeen(Part):
    """A version that is tried on a part of the traffic now."""

    version: str
    since: Moment


class Fault(Part):
    """A part of the world that could not be asked: `runs`, `lakes`, `windows`, `registry`, `server`, `project`."""

    part: str
    words: str


class Evidence(Part):
    """All that a decision about one ContinuousTraining is made from, beside its specification and its state.

    Attributes:
        code: The digest of the project's code; None where there is no such Project (a fault says why).
        lakes: Its lakes.
        windows: Windows of the model's versions, oldest first; at most the last 120.
        upstream: The versions that the triggers' upstream models have.
        champion: The champion; None where there is none.
        good: Versions that were champion before, may be so again and are still there, newest first.
        canary: What is tried.
        server: How the servers are.
        events: Events that came and are not answered yet, oldest first, at most 1,000 at once; the rest come after.
        requests: Requests that are not answered yet.
        queue: The queue of quotas that runs have to pass; None where they need none.
        runs: Runs of ours by the keys that the state has open; None where the runs could not be asked.
        rows_per_day: Rows that are forecast a day, where they are counted.
        faults: What could not be asked.
    """

    code: str | None = None
    lakes: tuple[LakeSeen, ...] = ()
    windows: tuple[WindowSeen, ...] = ()
    upstream: tuple[VersionSeen, ...] = ()
    champion: VersionSeen | None = None
    good: tuple[VersionSeen, ...] = ()
    canary: CanarySeen | None = None
    server: ServerSeen | None = None
    events: tuple[EventSeen, ...] = ()
    requests: tuple[RequestSeen, ...] = ()
    queue: QueueSeen | None = None
    runs: tuple[RunSeen, ...] | None = ()
    rows_per_day: float | None = None
    faults: tuple[Fault, ...] = ()

    def run(self, key: str) -> RunSeen | None:
        """The run of that key, where it was found."""
        return next((each for each in self.runs or () if each.key == key), None)

    def lake(self, name: str) -> LakeSeen | None:
        """A lake by its name; the only one for no name."""
        if not name:
            return self.lakes[0] if len(self.lakes) == 1 else None
        return next((each for each in self.lakes if each.name == name), None)

    def asked(self, part: str) -> bool:
        """Whether a part of the world could be asked."""
        return all(each.part != part for each in self.faults)

"""What a person asks of the operator: the specifications of the five kinds of the group `sluice.dev`.

The custom resource definitions are made of these models (`python -m sluice.operator.custom_resources`), and the files
of `sluice operate` are read by them: the same words on a cluster and on a laptop.
"""

from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, JsonValue, model_validator

from sluice.cluster.model_server_spec import ModelServerSpec as ModelServerSpec
from sluice.operator.crontab import check_cron
from sluice.operator.parts import Count, Digest, Duration, ModelName, Money, Name, Part

Parameters = Annotated[
    dict[str, JsonValue], Field(description="Parameters of the pipeline by name; the project's own stand for the rest.")
]
PipelineName = Annotated[
    str, Field(pattern=r"^\S{1,200}$", description="A pipeline of Sluice, of the project (FILE.py:NAME) or in KFP.")
]
Queue = Annotated[str, Field(max_length=63, pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Version = Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]
TRIGGER_KINDS = ("schedule", "data", "drift", "performance", "model", "event")


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:60]!r} is no time zone; write one such as Europe/Berlin or UTC") from None
    return name


def _cron(text: str) -> str:
    check_cron(text)
    return text


class Schedule(Part):
    """At times of the clock."""

    cron: Annotated[str, Field(min_length=9, max_length=200), AfterValidator(_cron)] = Field(
        description="Minute, hour, day of the month, month and day of the week: `0 3 * * 1` is Mondays at three."
    )
    time_zone: Annotated[str, Field(max_length=60), AfterValidator(_time_zone)] = Field(
        default="UTC", description="The time zone of the clock, such as Europe/Berlin."
    )
    missed: Literal["skip", "one", "all"] = Field(
        default="one",
        description="What times that passed while nobody looked are worth: nothing, one run, or one run each.",
    )


class NewData(Part):
    """When a lake has become another dataset: a new id, not a touched file."""

    lake: Annotated[str, Field(max_length=200)] = Field(
        default="", description="The lake's name in the Project; empty for its only one."
    )
    rows: Count = Field(default=0, description="So many rows with a known label have to be new; 0 for any change.")
    age: Duration | None = Field(
        default=None, description="Train on what is new after this long, however few rows they are."
    )
    partition: Annotated[str, Field(max_length=200)] = Field(
        default="", description="A new value of this column of partitions is enough, such as month."
    )


class Drift(Part):
    """When the inputs or forecasts of the served model have moved beyond what the watch's false alarms explain."""

    of: Literal["inputs", "outputs", "any"] = Field(default="any", description="What has to have moved.")
    windows: Annotated[int, Field(ge=1, le=60)] = Field(
        default=1, description="In so many windows one after the other."
    )


class Performance(Part):
    """When the champion is worse than it was when it was judged."""

    metric: Annotated[str, Field(max_length=100)] = Field(
        default="", description="The metric; empty for the one that the model is watched by."
    )
    by: Literal["labels", "estimated", "either"] = Field(
        default="either", description="By labels that came, by the estimate without them, or by whichever tells first."
    )
    worse: Annotated[float, Field(gt=0)] = Field(
        description="By so much worse than on its test rows, in the metric's unit, with the interval beyond it."
    )
    windows: Annotated[int, Field(ge=1, le=60)] = Field(
        default=1, description="In so many windows one after the other."
    )


class Upstream(Part):
    """When another model, whose forecasts this one learns from, has another version."""

    name: ModelName = Field(description="The registered model.")
    alias: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] = Field(
        default="champion", description="The alias that is followed."
    )


class Event(Part):
    """When somebody sends a CloudEvent, or a bucket tells of a new object."""

    type: Annotated[str, Field(max_length=200)] = Field(default="", description="Its type; empty for any.")
    source: Annotated[str, Field(max_length=400)] = Field(
        default="", description="What its source begins with; empty for any."
    )


class Trigger(Part):
    """A reason to train: exactly one of schedule, data, drift, performance, model and event."""

    name: Name = Field(description="What people call it; records say it.")
    schedule: Schedule | None = Field(default=None, description=Schedule.__doc__)
    data: NewData | None = Field(default=None, description=NewData.__doc__)
    drift: Drift | None = Field(default=None, description=Drift.__doc__)
    performance: Performance | None = Field(default=None, description=Performance.__doc__)
    model: Upstream | None = Field(default=None, description=Upstream.__doc__)
    event: Event | None = Field(default=None, description=Event.__doc__)
    evidence_only: bool = Field(
        default=False, description="Tell it in the records and weigh it under `policy: cost`, and never train for it."
    )

    @property
    def kind(self) -> str:
        """Which of TRIGGER_KINDS it is."""
        return next(each for each in TRIGGER_KINDS if getattr(self, each) is not None)

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [each for each in TRIGGER_KINDS if getattr(self, each) is not None]
        if len(given) != 1:
            said = f"both {' and '.join(given)}" if given else "nothing"
            raise ValueError(f"trigger {self.name} has {said}; give exactly one of {', '.join(TRIGGER_KINDS)}")
        return self


class Cost(Part):
    """What `policy: cost` weighs: a run's price against what a stale model costs."""

    currency: Annotated[str, Field(pattern=r"^[A-Za-z€$£¥]{1,8}$")] = Field(
        default="EUR", description="Of all prices here and of the budget."
    )
    per_run: Money = Field(default=0, description="The price of a run.")
    per_unit_loss: Money = Field(
        default=0, description="What a row costs when the metric is worse by one, such as one more wrong answer."
    )
    rows_per_day: Money = Field(default=0, description="Rows that are forecast a day; 0 for as many as are watched.")
    horizon: Duration = Field(default="30d", description="How far ahead costs are weighed.")
    learns_from: Duration = Field(
        default="30d",
        description="How far back the rows go that a run learns from; so long after a break a new "
        "version still knows what was before.",
    )


class Budget(Part):
    """What may be spent, whatever triggers say. Days and months are those of UTC."""

    runs_per_day: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=4, description="Runs that may begin in a day; those that a person asks for count."
    )
    per_month: Money | None = Field(
        default=None, description="Money that runs may cost in a month, by `cost.perRun` or what they did cost."
    )


class Gate(Part):
    """What a version has to pass beside the project's own gate."""

    checks: tuple[JsonValue, ...] = Field(
        default=(), description="Checks of the gate beside the project's, as in its file: `mine.py:margin`."
    )
    slices: tuple[str, ...] = Field(default=(), description="Columns whose groups may not become worse.")


class Promotion(Part):
    """How a version that passed the gate becomes champion."""

    by: Literal["automatic", "approval"] = Field(
        default="automatic", description="Automatic: it is champion at once. Approval: a person has to approve it."
    )
    deadline: Duration = Field(
        default="7d", description="So long an approval is waited for; after it the version is refused."
    )


class Rollback(Part):
    """When the last good champion reigns again by itself. A person may always ask for it."""

    unhealthy: Duration | None = Field(
        default=None, description="After the champion's servers could not answer for so long; left out: never."
    )
    performance: Performance | None = Field(
        default=None, description="After it turned out so much worse than it was judged; left out: never."
    )
    within: Duration = Field(
        default="30d", description="Only a champion that reigns for less than this; an older one is retrained instead."
    )


class ContinuousTrainingSpec(Part):
    """A model that is kept trained: what starts a run, what it may cost, and how its version becomes champion."""

    project: Name = Field(description="The Project whose code is run.")
    pipeline: PipelineName | None = Field(default=None, description="The pipeline; left out: the project's own.")
    parameters: Parameters = Field(default={})
    model: ModelName = Field(description="The registered model that runs train.")
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=20)] = Field(
        default=(), description="What starts a run by itself; a person may always ask for one."
    )
    policy: Literal["trigger", "cost"] = Field(
        default="trigger",
        description="Trigger: a trigger trains. Cost: triggers are evidence, and a run begins when a stale model "
        "would cost more than the run.",
    )
    cost: Cost = Field(default=Cost(), description="Prices.")
    label_delay: Duration = Field(
        default="0s", description="How long labels take to come: younger rows teach nothing, and judge nobody."
    )
    cooldown: Duration = Field(default="0s", description="So long after a run began no trigger starts another.")
    concurrency: Annotated[int, Field(ge=1, le=20)] = Field(
        default=1, description="Runs that may be on their way at the same time."
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=1, description="How often a run that failed is begun again on the same evidence."
    )
    budget: Budget = Field(default=Budget(), description=Budget.__doc__)
    gate: Gate = Field(default=Gate(), description=Gate.__doc__)
    promotion: Promotion = Field(default=Promotion(), description=Promotion.__doc__)
    rollback: Rollback = Field(default=Rollback(), description=Rollback.__doc__)
    queue: Queue = Field(
        default="",
        description="The LocalQueue of Kueue in this namespace that its runs wait in, each as a whole, until there is "
        "quota for it; empty: the Project's, then that of the chart (operator.queue).",
    )
    suspend: bool = Field(default=False, description="Start nothing new; what runs, runs on, and requests wait.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [each.name for each in self.triggers]
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice:
            raise ValueError(f"two triggers are named {twice}; give each a name of its own")
        if self.policy == "cost" and not (self.cost.per_run and self.cost.per_unit_loss):
            raise ValueError("policy cost without prices; give cost.perRun and cost.perUnitLoss")
        if self.budget.per_month is not None and not self.cost.per_run:
            raise ValueError("budget.perMonth without a price; give cost.perRun")
        return self

    def trigger(self, name: str) -> Trigger | None:
        """The trigger of that name."""
        return next((each for each in self.triggers if each.name == name), None)


class Lake(Part):
    """A lake of a project."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = Field(
        default="lake", description="What triggers call it."
    )
    address: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="Where it is: a folder or s3://BUCKET/PREFIX."
    )
    parameter: Annotated[str, Field(max_length=100)] = Field(
        default="lake", description="The pipeline's parameter that takes the address."
    )


class ProjectPipeline(Part):
    """A pipeline of a project that stands in KFP."""

    name: PipelineName
    parameters: Parameters = Field(default={})


class Members(Part):
    """Who may do what; the chart's roles are bound to them."""

    viewers: tuple[str, ...] = Field(default=(), description="Who may read.")
    runners: tuple[str, ...] = Field(default=(), description="Who may train and fill back.")
    approvers: tuple[str, ...] = Field(default=(), description="Who may approve, refuse, promote and roll back.")


class ProjectSpec(Part):
    """A project by the digest of its code: what GitOps moves from one environment to the next."""

    code: Digest = Field(description="SHA-256 of the code archive in the store, as `sluice bundle` tells it.")
    source: Annotated[str, Field(max_length=400)] = Field(
        default="", description="Where the code comes from, for people: a repository and a commit."
    )
    pipelines: Annotated[tuple[ProjectPipeline, ...], Field(min_length=1, max_length=50)] = Field(
        description="Its pipelines with the parameters that the project gives them; the first is its own."
    )
    lakes: Annotated[tuple[Lake, ...], Field(max_length=50)] = Field(default=(), description="Its lakes.")
    members: Members = Field(default=Members(), description=Members.__doc__)
    queue: Queue = Field(
        default="", description="The LocalQueue of Kueue that its runs wait in; empty: that of the chart."
    )


class BackfillSpec(Part):
    """Partitions of the past that are trained on or judged one after the other."""

    project: Name = Field(description="The Project whose code is run.")
    pipeline: PipelineName | None = Field(default=None, description="The pipeline; left out: the project's own.")
    parameters: Parameters = Field(default={})
    parameter: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="The pipeline's parameter that takes a partition."
    )
    partitions: Annotated[tuple[str, ...], Field(max_length=1000)] = Field(
        default=(), description="The partitions in order; or give from, to and every."
    )
    first: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$")] | None = Field(
        default=None, description="The first partition: a day (2013-01-31), a week's first day or a month (2013-01)."
    )
    last: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$")] | None = Field(
        default=None, description="The last partition, of the same form."
    )
    every: Literal["day", "week", "month"] = Field(default="month", description="What lies between two partitions.")
    parallel: Annotated[int, Field(ge=1, le=20)] = Field(
        default=1, description="Runs that may be on their way at the same time; they begin in order."
    )
    on_failure: Literal["stop", "go on"] = Field(
        default="stop", description="What happens after a partition's run failed."
    )
    queue: Queue = Field(default="", description="The LocalQueue of Kueue that its runs wait in; empty: the Project's.")
    suspend: bool = Field(default=False, description="Start nothing new; what runs, runs on.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.partitions) == bool(self.first or self.last) or bool(self.first) != bool(self.last):
            raise ValueError("give either partitions, or both first and last")
        if self.first and self.last and (len(self.first) != len(self.last) or self.first > self.last):
            raise ValueError(f"first {self.first} and last {self.last} are no range; write both alike, the older first")
        return self


class RequestSpec(Part):
    """What a person or a program asks for; it cannot be changed, and who may make one is RBAC's."""

    action: Literal["train", "approve", "refuse", "rollback", "promote"] = Field(
        description="Train: begin a run. Approve or refuse: the version that waits. Rollback: to the last good "
        "champion. Promote: make a version champion past the gate."
    )
    target: Name = Field(description="The ContinuousTraining.")
    version: Version | None = Field(default=None, description="The version that is approved, refused or promoted.")
    parameters: Parameters = Field(default={})
    reason: Annotated[str, Field(max_length=1000)] = Field(default="", description="Why; it stands in the record.")
    by: Annotated[str, Field(max_length=400)] = Field(
        default="", description="Who asks; admission holds it to the user that made the request."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action in {"approve", "promote"} and not self.version:
            raise ValueError(f"{self.action} without a version; give the number that is meant")
        if self.action == "promote" and not self.reason.strip():
            raise ValueError("promote without a reason; say why the gate is passed by")
        if self.parameters and self.action != "train":
            raise ValueError(f"{self.action} takes no parameters; only train does")
        return self


SPECS: dict[str, type[Any]] = {
    "Project": ProjectSpec,
    "ContinuousTraining": ContinuousTrainingSpec,
    "ModelServer": ModelServerSpec,
    "Backfill": BackfillSpec,
    "Request": RequestSpec,
}
"""The specification of each kind."""

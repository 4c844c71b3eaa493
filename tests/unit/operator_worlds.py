"""A world in memory for the operator: it can be killed, lose answers, be away, and lets somebody else save first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sluice.core.errors import EnvironmentFault
from sluice.operator import evidence as seen
from sluice.operator.actions import Answer, AskApproval, CancelRun, Promote, Queue, RollBack, StartRun
from sluice.operator.deciding import decide
from sluice.operator.specs import ContinuousTrainingSpec
from sluice.operator.state import Decision, State
from sluice.operator.worlds import Conflict, Loaded, Subject

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
SUBJECT = Subject("team", "late", "uid-1")


class KilledHere(BaseException):
    """As SIGKILL would: nothing after it is done."""


@dataclass
class MemoryWorld:
    """One ContinuousTraining and what is around it.

    Attributes:
        trouble: Asked with the name of each call, before and after it (`start_run`, `start_run done`); it may raise.
    """

    spec: ContinuousTrainingSpec
    clock: datetime = BEGIN
    state: State = field(default_factory=State)
    version: int = 0
    deleted: bool = False
    code: str | None = "c" * 64
    lakes: dict[str, seen.LakeSeen] = field(default_factory=dict)
    windows: list[seen.WindowSeen] = field(default_factory=list)
    champions: list[seen.VersionSeen] = field(default_factory=list)
    events: list[seen.EventSeen] = field(default_factory=list)
    requests: dict[str, seen.RequestSeen] = field(default_factory=dict)
    runs: dict[str, seen.RunSeen] = field(default_factory=dict)
    orders: dict[str, StartRun] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    kept: dict[int, Decision] = field(default_factory=dict)
    asked: list[AskApproval] = field(default_factory=list)
    canary: seen.CanarySeen | None = None
    server: seen.ServerSeen | None = None
    upstream: tuple[seen.VersionSeen, ...] = ()
    queued: seen.QueueSeen | None = None
    faults: tuple[seen.Fault, ...] = ()
    woken: datetime | None = None
    trouble: Callable[[str], None] = lambda _: None

    def now(self) -> datetime:
        return self.clock

    def load(self, namespace: str, name: str) -> Loaded | None:
        self.trouble("load")
        return Loaded(SUBJECT, self.spec, State.of_status(self.state.document()), str(self.version), self.deleted)

    def gather(self, loaded: Loaded) -> seen.Evidence:
        self.trouble("gather")
        away = any(each.part == "runs" for each in self.faults)
        champion, *good = self.champions[::-1] or [None]
        return seen.Evidence(
            code=self.code, lakes=tuple(self.lakes.values()), windows=tuple(self.windows), upstream=self.upstream,
            champion=champion, good=tuple(each for each in good if each is not None), canary=self.canary,
            server=self.server, queue=self.queued, events=tuple(self.events), requests=tuple(self.requests.values()),
            runs=None if away else tuple(self.runs[i.key] for i in loaded.state.open if i.key in self.runs),
            faults=self.faults,
        )  # fmt: skip

    def save(self, loaded: Loaded, state: State) -> Loaded:
        self.trouble("save")
        if loaded.token != str(self.version):
            raise Conflict("somebody saved in between")
        self.state, self.version = State.of_status(state.document()), self.version + 1
        self.trouble("save done")
        return loaded.saved(state, str(self.version))

    def keep(self, loaded: Loaded, decisions: tuple[Decision, ...]) -> None:
        self.trouble("keep")
        for each in decisions:
            self.kept.setdefault(each.number, each)

    def start_run(self, loaded: Loaded, order: StartRun) -> str:
        self.trouble("start_run")
        if any(each.part == "runs" for each in self.faults):
            raise EnvironmentFault("KFP is away")
        if order.key not in self.runs:
            self.orders[order.key] = order
            self.runs[order.key] = seen.RunSeen(
                key=order.key, id=f"run-{len(self.runs)}", state="running", started=self.clock
            )
        self.trouble("start_run done")
        return self.runs[order.key].id

    def cancel_run(self, loaded: Loaded, order: CancelRun) -> None:
        self.trouble("cancel_run")
        if order.key in self.runs:
            self.end(order.key, "cancelled")

    def queue(self, loaded: Loaded, order: Queue) -> None:
        self.trouble("queue")
        assert self.queued
        tickets = {each.name: each for each in self.queued.tickets or ()}
        if order.step == "leave":
            tickets.pop(order.ticket, None)
        elif order.step == "begun":
            tickets[order.ticket] = tickets[order.ticket].model_copy(update={"begun": True})
        elif order.step == "enter" or tickets[order.ticket].state == "evicted":
            tickets[order.ticket] = seen.Ticket(
                name=order.ticket, state="waiting", queue=self.queued.name, place=1, waiting=1
            )
        self.queued = self.queued.model_copy(update={"tickets": tuple(tickets.values())})
        self.trouble("queue done")

    def tell(self, **changes: object) -> None:
        """Change what is seen of the only ticket."""
        assert self.queued
        [ticket] = self.queued.tickets or ()
        changed = seen.Ticket.model_validate({**ticket.model_dump(), "place": None, "begun": False, **changes})
        self.queued = self.queued.model_copy(update={"tickets": (changed,)})

    def ask_approval(self, loaded: Loaded, order: AskApproval) -> None:
        self.trouble("ask_approval")
        self.asked.append(order)

    def promote(self, loaded: Loaded, order: Promote) -> None:
        self.trouble("promote")
        if not self.champions or self.champions[-1].version != order.version:
            self.crown(order.version)
        self.trouble("promote done")

    def roll_back(self, loaded: Loaded, order: RollBack) -> None:
        self.trouble("roll_back")
        if self.champions[-1].version == order.version:
            self.crown(order.to)
        self.trouble("roll_back done")

    def answer(self, loaded: Loaded, order: Answer) -> None:
        self.trouble("answer")
        self.answers[order.uid] = order
        self.requests.pop(order.uid, None)

    def wake_at(self, loaded: Loaded, at: datetime) -> None:
        self.woken = at

    def crown(self, version: str) -> None:
        """Let a version reign from now on."""
        self.champions = [each for each in self.champions if each.version != version]
        self.champions.append(
            seen.VersionSeen(model="late", version=version, digest=f"digest-{version}", since=self.clock)
        )

    def lake(self, dataset: str, rows: int | None = None, labelled: int | None = None, **partitions: int) -> None:
        """Make the lake another dataset."""
        self.lakes["lake"] = seen.LakeSeen(
            name="lake", dataset=dataset, rows=rows, labelled=labelled, arrived=self.clock, partitions=partitions
        )

    def end(self, key: str, state: seen.RunState, *, passed: bool = True) -> None:
        """End a run; one that succeeds registers a version, which reigns unless it is held."""
        version = str(len(self.runs)) if state == "succeeded" else None
        reigns = bool(version and passed and not self.orders[key].hold)
        self.runs[key] = self.runs[key].model_copy(
            update={"state": state, "ended": self.clock, "version": version, "promoted": reigns,
                    "digest": f"digest-{version}" if version else None, "passed": passed if version else None}
        )  # fmt: skip
        if version and reigns:
            self.crown(version)

    def window(self, worse: float, *, by: str = "labels", noise: float = 0.001, settled: bool = True) -> None:
        """Add a window of the champion that ends now."""
        metric = seen.MetricSeen(
            metric="log_loss", by=by, value=0.5 + worse, low=0.5 + worse - noise, high=0.5 + worse + noise,
            reference=0.5, worse=worse, noise=noise, rows=1000,
        )  # fmt: skip
        self.windows.append(
            seen.WindowSeen(
                id=f"window-{len(self.windows)}", version=self.champions[-1].version,
                start=self.clock - timedelta(days=1), end=self.clock, rows=1000, settled=settled, metrics=(metric,),
            )
        )  # fmt: skip

    @property
    def open(self) -> list[str]:
        """Keys of runs that have not ended."""
        return [key for key, run in self.runs.items() if run.state == "running"]


def training(**fields: object) -> ContinuousTrainingSpec:
    """A specification."""
    return ContinuousTrainingSpec.model_validate({"project": "flights", "model": "late"} | fields)


def lived_state() -> State:
    """The state after a run, an event and a request for approval."""
    spec = training(
        triggers=[
            {"name": "new", "data": {}}, {"name": "told", "event": {}}, {"name": "n", "schedule": {"cron": "0 3 * * *"}}
        ],
        promotion={"by": "approval"},
    )  # fmt: skip
    lake = seen.LakeSeen(name="lake", dataset="d" * 64, rows=10, arrived=BEGIN, partitions={"2013-01": 10})
    event = seen.EventSeen(id="1", source="bucket")
    evidence = seen.Evidence(code="c" * 64, lakes=(lake,), events=(event,))
    first = decide(SUBJECT, spec, State(), evidence, BEGIN).state
    run = seen.RunSeen(key=first.intents[0].key, id="r", state="succeeded", version="1", digest="e" * 64, passed=True)
    return decide(SUBJECT, spec, first, evidence.model_copy(update={"runs": (run,)}), BEGIN + timedelta(hours=1)).state

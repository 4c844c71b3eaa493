"""The world of a cluster: resources of the Kubernetes API, runs of KFP, records of the store.

What others ask often (lakes, champions, windows) comes from the watchers, each of which asks once for all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from sluice.cluster.run_requests import run_requests
from sluice.core.digests import canonical_json
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.operator.actions import Answer, AskApproval, CancelRun, Promote, Queue, RollBack, StartRun
from sluice.operator.evidence import EventSeen, Evidence, Fault, LakeSeen, QueueSeen, RequestSeen, RunSeen
from sluice.operator.gates import gate_parameters
from sluice.operator.on_cluster.announcing import Announcer
from sluice.operator.on_cluster.event_inbox import EventInbox
from sluice.operator.on_cluster.kfp_runs import KfpRuns, Order, described
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi, resource
from sluice.operator.on_cluster.outcomes import Outcomes
from sluice.operator.on_cluster.pipelines_there import PipelinesThere
from sluice.operator.on_cluster.registry_seen import Standing
from sluice.operator.on_cluster.registry_work import RegistryWork
from sluice.operator.on_cluster.resource_index import Known, ResourceIndex
from sluice.operator.on_cluster.run_queues import RunQueues
from sluice.operator.on_cluster.tickets import Owner
from sluice.operator.on_cluster.watchers import Watchers
from sluice.operator.on_cluster.work_queue import Key, WorkQueue
from sluice.operator.parts import API_VERSION
from sluice.operator.specs import ContinuousTrainingSpec, ProjectSpec, RequestSpec
from sluice.operator.state import Decision, State
from sluice.operator.worlds import Loaded, Subject
from sluice.storage.stores import Store

Json = dict[str, Any]
KIND = "ContinuousTraining"
RUN_SECONDS = 4.0
"""How old what is known of a run may be in a decision; a run that has just ended is told by the watcher of runs."""


@dataclass(frozen=True)
class Parts:
    """What a `ClusterWorld` works with.

    Attributes:
        api: Kubernetes'.
        runs: KFP's.
        index: What is there.
        inbox: Events.
        queue: For what has to be looked at later.
        watchers: Lakes, champions, windows, servers.
        store: Where decisions are kept and runs' results are; opened when it is needed.
        held: Whether this process may act.
        decided: Counts decisions by outcome.
        queues: Kueue's.
        default_queue: The queue of runs for which nobody names another; empty for none.
    """

    api: KubernetesApi
    runs: KfpRuns
    index: ResourceIndex
    inbox: EventInbox
    queue: WorkQueue
    watchers: Watchers
    store: Callable[[], Store]
    held: Callable[[], bool]
    decided: Callable[[str], None]
    queues: RunQueues
    default_queue: str = ""


class ClusterWorld:
    """See `sluice.operator.worlds.World`."""

    def __init__(self, namespace: str, parts: Parts) -> None:
        """Nothing is asked yet."""
        self._namespace, self._parts = namespace, parts
        self.runs = parts.runs
        self._pipelines = PipelinesThere(parts.runs.api, parts.index)
        self._outcomes = Outcomes(parts.store, parts.runs.api)
        self._registry = RegistryWork()
        self._announcer = Announcer(parts.api, namespace)
        self._gathered: dict[str, tuple[EventSeen, ...]] = {}
        self._kept: dict[str, tuple[str, int]] = {}  # by name: the uid, and the number of the newest decision kept

    def now(self) -> datetime:
        """The moment."""
        return datetime.now(UTC)

    def load(self, namespace: str, name: str) -> Loaded | None:
        """See `World.load`."""
        found = self._parts.api.get(resource(KIND, namespace, name))
        if found is None:
            self._parts.inbox.drop(name)
            return None
        head = found["metadata"]
        subject = Subject(namespace, name, head["uid"], int(head["generation"]))
        try:
            spec = ContinuousTrainingSpec.model_validate(found.get("spec", {}))
        except ValidationError as error:
            raise BadInput(_first(error)) from None
        try:
            state = State.of_status(found.get("status") or {})
        except ValueError as error:
            raise BadInput(f"the status is none of this Sluice's ({str(error).splitlines()[0]}); remove it") from None
        return Loaded(subject, spec, state, head["resourceVersion"], bool(head.get("deletionTimestamp")))

    def gather(self, loaded: Loaded) -> Evidence:
        """See `World.gather`."""
        name, spec = loaded.subject.name, loaded.spec
        faults: list[Fault] = []
        project = self._project(spec.project, faults)
        runs = self._runs(loaded, faults)
        events = self._parts.inbox.of(name)
        self._gathered[name] = events
        watchers = self._parts.watchers
        standing = watchers.registry.standing(spec.model, faults)
        lakes = self._lakes(project, spec, standing, faults) if project else ()
        return Evidence(
            code=project.code if project else None,
            lakes=lakes,
            windows=watchers.windows.seen(spec, standing, faults),
            upstream=watchers.registry.upstream(spec, faults),
            champion=standing.champion,
            good=standing.good,
            canary=standing.canary,
            server=watchers.servers.seen(spec.model, standing),
            events=events,
            requests=tuple(self._requests(name)),
            queue=self.queue_seen(_owner(loaded), self.queue_of(spec.queue, project), faults),
            runs=runs,
            faults=tuple(faults),
        )

    def save(self, loaded: Loaded, state: State) -> Loaded:
        """See `World.save`."""
        self._may_act()
        subject = loaded.subject
        written = self._status(KIND, subject.name, state.document(), loaded.token, subject.uid)
        self._parts.inbox.saved(subject.name, self._gathered.pop(subject.name, ()))
        return loaded.saved(state, written["metadata"]["resourceVersion"])

    def keep(self, loaded: Loaded, decisions: tuple[Decision, ...]) -> None:
        """See `World.keep`."""
        subject = loaded.subject
        kept = self._kept.get(subject.name, ("", 0))
        newest = kept[1] if kept[0] == subject.uid else 0
        for decision in sorted(decisions, key=lambda each: each.number):
            if decision.number > newest:
                self._keep(subject, decision)
                self._kept[subject.name] = (subject.uid, decision.number)

    def _keep(self, subject: Subject, decision: Decision) -> None:
        place = f"decisions/{self._namespace}/{subject.name}/{subject.uid[:8]}-{decision.number:08d}.json"
        document = {"schema": 1, "namespace": self._namespace, "name": subject.name, **decision.document()}
        if self._parts.store().put_if_absent(place, canonical_json(document)):
            self._parts.decided(decision.outcome)
            self._announcer.decided(subject, decision)

    def start_run(self, loaded: Loaded, order: StartRun) -> str:
        """See `World.start_run`."""
        spec = loaded.spec
        return self.begin(loaded.subject.name, spec.project, spec.pipeline, order)

    def begin(self, name: str, project: str, pipeline: str | None, order: StartRun) -> str:
        """Begin a run for a resource unless one with its key is there; raises as `World.start_run`."""
        self._may_act()
        spec = self.known_project(project)
        there, own = self._pipelines.find(project, spec, pipeline)
        lakes = {lake.parameter: lake.address for lake in spec.lakes}
        parameters = gate_parameters({**lakes, **own}, order)
        asked = f" Asked for by {order.by}." if order.by else ""
        words = described(f"{order.reason}{asked}", self._namespace, name, order.key)
        return self.runs.begin(Order(name, order.key, there, parameters, words))

    def cancel_run(self, loaded: Loaded, order: CancelRun) -> None:
        """See `World.cancel_run`."""
        self.end_run(loaded.subject.name, order.key)

    def end_run(self, name: str, key: str) -> None:
        """End the run of a resource and a key, if there is one that has not ended."""
        self._may_act()
        self._parts.runs.cancel(name, key)

    def queue(self, loaded: Loaded, order: Queue) -> None:
        """See `World.queue`."""
        spec = loaded.spec
        self.queue_step(_owner(loaded), spec.queue, spec.project, spec.pipeline, order)

    def queue_of(self, named: str, project: ProjectSpec | None) -> str:
        """The queue of a resource's runs; empty for none."""
        return named or (project.queue if project else "") or self._parts.default_queue

    def queue_seen(self, owner: Owner, queue: str, faults: list[Fault]) -> QueueSeen | None:
        """A queue with a resource's tickets; None where its runs have to pass none."""
        try:
            return self._parts.queues.seen(owner, queue)
        except SluiceError as error:
            faults.append(Fault(part="queue", words=str(error)))
            return QueueSeen(name=queue, tickets=None) if queue else None

    def queue_step(self, owner: Owner, named: str, project: str, pipeline: str | None, order: Queue) -> None:
        """Do what is ordered about a ticket; raises BadInput where the run could not begin either."""
        self._may_act()
        queues = self._parts.queues
        if order.step == "leave":
            queues.leave(owner, order.ticket)
        elif order.step == "again":
            queues.again(owner, order.ticket)
        elif order.step == "begun":
            queues.begun(owner, order.ticket)
        else:
            spec = self.known_project(project)
            (pipeline_id, version), _ = self._pipelines.find(project, spec, pipeline)
            requests = run_requests(self.runs.spec(pipeline_id, version))
            queue = self.queue_of(named, spec)
            queues.enter(owner, queue, order.ticket, requests, self.runs.usual_seconds(owner.name))

    def ask_approval(self, loaded: Loaded, order: AskApproval) -> None:
        """See `World.ask_approval`."""
        self._announcer.waits(loaded.subject, order)

    def promote(self, loaded: Loaded, order: Promote) -> None:
        """See `World.promote`."""
        self._may_act()
        self._registry.promote(loaded.spec.model, order)
        self._parts.watchers.registry.forget(loaded.spec.model)

    def roll_back(self, loaded: Loaded, order: RollBack) -> None:
        """See `World.roll_back`."""
        self._may_act()
        self._registry.roll_back(loaded.spec.model, order)
        self._parts.watchers.registry.forget(loaded.spec.model)

    def answer(self, loaded: Loaded, order: Answer) -> None:  # noqa: ARG002 - a Request is known by its uid
        """See `World.answer`."""
        known = next((each for each in self._parts.index.of_kind("Request") if each.uid == order.uid), None)
        if known is None:
            return  # it was removed meanwhile
        self._answer(known, order.words, accepted=order.accepted)

    def wake_at(self, loaded: Loaded, at: datetime) -> None:
        """See `World.wake_at`."""
        self._parts.queue.add(Key(KIND, loaded.subject.name), max(0.0, (at - self.now()).total_seconds()))

    def over(self, name: str) -> None:
        """A reconciliation ended well: what it gathered is in the status, or was there before."""
        self._parts.inbox.saved(name, self._gathered.pop(name, ()))

    def refuse(self, name: str, words: str) -> None:
        """Say in its conditions why a ContinuousTraining cannot be worked with; what is remembered stays."""
        found = self._parts.api.get(resource(KIND, self._namespace, name))
        if found is None:
            return
        status = dict(found.get("status") or {})
        ready = {"type": "Ready", "status": "False", "reason": "NotValid", "message": words[:1000]}
        before: Json = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
        if {**before, **ready} == before:
            return
        ready["lastTransitionTime"] = self.now().isoformat(timespec="seconds").replace("+00:00", "Z")
        rest = [each for each in status.get("conditions", ()) if each["type"] != "Ready"]
        status |= {"conditions": [ready, *rest], "phase": "Failing"}
        self._status(KIND, name, status, found["metadata"]["resourceVersion"], found["metadata"]["uid"])

    def document(self, kind: str, name: str) -> Json | None:
        """A resource as it is now."""
        return self._parts.api.get(resource(kind, self._namespace, name))

    def write_status(self, kind: str, name: str, status: Json, head: Json) -> None:
        """Save a status, if nobody has saved since the document of this head was read; raises Conflict."""
        self._may_act()
        self._status(kind, name, status, head["resourceVersion"], head["uid"])

    def _status(self, kind: str, name: str, status: Json, token: str, uid: str) -> Json:
        metadata = {"name": name, "namespace": self._namespace, "uid": uid}
        metadata |= {"resourceVersion": token} if token else {}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status}
        return self._parts.api.apply(resource(kind, self._namespace, name, "status"), body)

    def _answer(self, known: Known, words: str, *, accepted: bool) -> None:
        at = self.now().isoformat(timespec="seconds").replace("+00:00", "Z")
        phase = "Accepted" if accepted else "Refused"
        status = {"accepted": accepted, "phase": phase, "words": words, "answeredAt": at}
        self._status("Request", known.name, status, "", known.uid)

    def _may_act(self) -> None:
        if not self._parts.held():
            raise EnvironmentFault("this operator does not hold the Lease: another one works")

    def _lakes(
        self, project: ProjectSpec, spec: ContinuousTrainingSpec, standing: Standing, faults: list[Fault]
    ) -> tuple[LakeSeen, ...]:
        watchers, champion = self._parts.watchers, standing.champion
        counted = champion is not None and any(each.data and each.data.rows for each in spec.triggers)
        ingested = watchers.registry.ingested(spec.model, champion.version) if counted and champion else ""
        return watchers.lakes.seen(project, spec, faults, ingested)

    def _project(self, name: str, faults: list[Fault]) -> ProjectSpec | None:
        try:
            return self.known_project(name)
        except BadInput as error:
            faults.append(Fault(part="project", words=str(error)))
            return None

    def known_project(self, name: str) -> ProjectSpec:
        """What a Project says.

        Raises:
            BadInput: There is none, or it is wrong.
        """
        known = self._parts.index.get("Project", name)
        if known is None:
            raise BadInput(
                f"there is no Project {name} in namespace {self._namespace}; make it, or correct spec.project"
            )
        try:
            return ProjectSpec.model_validate(known.spec)
        except ValidationError as error:
            raise BadInput(f"Project {name}: {_first(error)}") from None

    def _runs(self, loaded: Loaded, faults: list[Fault]) -> tuple[RunSeen, ...] | None:
        name, found = loaded.subject.name, list[RunSeen]()
        try:
            for intent in loaded.state.open:
                if run := self._parts.runs.seen(name, intent.key, RUN_SECONDS):
                    found.append(self._outcomes.told(run))
        except SluiceError as error:
            faults.append(Fault(part="runs", words=str(error)))
            return None
        return tuple(found)

    def _requests(self, name: str) -> list[RequestSeen]:
        found = []
        for known in self._parts.index.requests(name):
            try:
                spec = RequestSpec.model_validate(known.spec)
            except ValidationError as error:
                self._answer(known, _first(error), accepted=False)
                continue
            told = spec.model_dump(include={"action", "by", "version", "parameters", "reason"})
            whole = {"uid": known.uid, "name": known.name, "created": known.created, **told}
            found.append(RequestSeen.model_validate(whole))
        return found


def _owner(loaded: Loaded) -> Owner:
    return Owner(KIND, loaded.subject.name, loaded.subject.uid)


def _first(error: ValidationError) -> str:
    told = error.errors()[0]
    place = ".".join(map(str, told["loc"]))
    return f"spec{'.' if place else ''}{place}: {json.dumps(str(told['msg']))[1:-1]}"

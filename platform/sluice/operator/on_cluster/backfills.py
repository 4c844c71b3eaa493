"""Backfill: partitions of the past in order, each by a run of its own; the state is saved before runs begin."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sluice.core.errors import BadInput
from sluice.operator.actions import CancelRun, Queue, StartRun
from sluice.operator.backfilling import BackfillState, advance
from sluice.operator.evidence import RunSeen
from sluice.operator.on_cluster.cluster_world import RUN_SECONDS, ClusterWorld
from sluice.operator.on_cluster.tickets import Owner
from sluice.operator.specs import BackfillSpec
from sluice.operator.worlds import Subject

Json = dict[str, Any]
KIND = "Backfill"
_AGAIN = timedelta(seconds=30)


class Backfills:
    """Reconciles Backfills."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world

    def reconcile(self, name: str) -> datetime | None:
        """Begin what may begin; when to look again.

        Raises:
            EnvironmentFault: A part of the world is away; doing it again is harmless.
            Conflict: Somebody else saved.
        """
        found = self._world.document(KIND, name)
        if found is None:
            return None
        head = found["metadata"]
        subject = Subject(head["namespace"], name, head["uid"], int(head["generation"]))
        status = dict(found.get("status") or {})
        if head.get("deletionTimestamp"):
            return None
        try:
            spec = BackfillSpec.model_validate(found.get("spec", {}))
            state = BackfillState.model_validate({k: v for k, v in status.items() if k != "conditions"})
            project = self._world.known_project(spec.project)
            runs = self._runs(name, state)
            owner = Owner(KIND, name, head["uid"])
            queue = self._world.queue_seen(owner, self._world.queue_of(spec.queue, project), [])
            outcome = advance(subject, spec, state, runs, project.code, self._world.now(), queue=queue)
        except (BadInput, ValueError) as error:
            words = _words(error)
            if status.get("words") != words:
                self._world.write_status(KIND, name, {**status, "phase": "Failed", "words": words}, head)
            return None
        if outcome.state != state:
            self._world.write_status(KIND, name, outcome.state.document(), head)
        for order in outcome.actions:
            self._do(owner, spec, order)
        return datetime.now(UTC) + _AGAIN if outcome.state.running else None

    def _runs(self, name: str, state: BackfillState) -> list[RunSeen]:
        runs = self._world.runs
        seen = (runs.seen(name, key, RUN_SECONDS) for key in state.running.values())
        return [each for each in seen if each]

    def _do(self, owner: Owner, spec: BackfillSpec, order: StartRun | CancelRun | Queue) -> None:
        if isinstance(order, StartRun):
            self._world.begin(owner.name, spec.project, spec.pipeline, order)
        elif isinstance(order, CancelRun):
            self._world.end_run(owner.name, order.key)
        else:
            self._world.queue_step(owner, spec.queue, spec.project, spec.pipeline, order)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        told = error.errors()[0]
        return f"spec.{'.'.join(map(str, told['loc']))}: {told['msg']}"
    return str(error)

"""Project: whether its code and its pipelines stand where runs look for them, and which versions they run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sluice.cluster.kfp_api import KfpApi
from sluice.core.errors import EnvironmentFault
from sluice.operator.on_cluster.conditions import ready
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi, resource
from sluice.operator.parts import API_VERSION
from sluice.operator.specs import ProjectSpec

Json = dict[str, Any]
KIND = "Project"
_AGAIN = timedelta(seconds=30)


class Projects:
    """Reconciles Projects: nothing is made, for a project's code is never run in this process."""

    def __init__(self, api: KubernetesApi, namespace: str, kfp: KfpApi, held: Callable[[], bool]) -> None:
        self._api, self._namespace, self._kfp, self._held = api, namespace, kfp, held

    def reconcile(self, name: str) -> datetime | None:
        """Say what stands; when to look again."""
        found = self._api.get(resource(KIND, self._namespace, name))
        if found is None:
            return None
        if not self._held():
            raise EnvironmentFault("this operator does not hold the Lease: another one works")
        status = dict(found.get("status") or {})
        try:
            spec = ProjectSpec.model_validate(found.get("spec", {}))
        except ValidationError as error:
            told = error.errors()[0]
            words = f"spec.{'.'.join(map(str, told['loc']))}: {told['msg']}"
            self._tell(found, status, {"conditions": ready(status, "NotValid", words, holds=False)})
            return None
        standing, lacking = self._standing(spec)
        words = f"KFP has no pipeline {', '.join(lacking)}; put it there" if lacking else "all pipelines stand in KFP"
        conditions = ready(status, "PipelinesLacking" if lacking else "Stands", words, holds=not lacking)
        self._tell(found, status, {"pipelines": len(standing), "standing": standing, "conditions": conditions})
        return datetime.now(UTC) + _AGAIN if lacking else None

    def _standing(self, spec: ProjectSpec) -> tuple[list[Json], list[str]]:
        """Pipelines with the ids of their newest versions, and the names of those that KFP does not have."""
        standing, lacking = list[Json](), list[str]()
        for each in spec.pipelines:
            pipeline = self._kfp.pipeline(each.name)
            version = self._kfp.newest_version(pipeline) if pipeline else None
            if pipeline and version:
                standing.append({"name": each.name, "id": pipeline, "version": version})
            else:
                lacking.append(each.name)
        return standing, lacking

    def _tell(self, found: Json, before: Json, told: Json) -> None:
        head = found["metadata"]
        status = {**told, "observedGeneration": head["generation"]}
        if status == before:
            return
        metadata = {"name": head["name"], "namespace": self._namespace, "uid": head["uid"]}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        self._api.apply(resource(KIND, self._namespace, head["name"], "status"), body)

"""ModelServer: the objects that `sluice.cluster.model_server` builds, applied, owned by the resource, and told of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sluice.cluster.model_server import build_all, object_name
from sluice.cluster.model_server_site import Site
from sluice.cluster.model_server_spec import ModelServerSpec
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator.evidence import Fault
from sluice.operator.on_cluster.conditions import ready
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi, resource
from sluice.operator.on_cluster.watchers import RegistryWatcher
from sluice.operator.parts import API_VERSION

Json = dict[str, Any]
KIND = "ModelServer"
OWNER_LABEL = "sluice.dev/model-server-resource"
_PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Service": "services",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "NetworkPolicy": "networkpolicies",
    "CronJob": "cronjobs",
}
_SOON = timedelta(seconds=5)


class ModelServers:
    """Reconciles ModelServers.

    Args:
        api: Kubernetes'.
        site: Where servers run; None where this operator makes none.
        registry: Says which version an alias points to.
        held: Whether this process may act.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str, site: Site | None, registry: RegistryWatcher, held: Callable[[], bool]
    ) -> None:
        self._api, self._namespace, self._site = api, namespace, site
        self._registry, self._held = registry, held
        self._applied: dict[str, tuple[str, int]] = {}

    def reconcile(self, name: str) -> datetime | None:
        """Bring a server's objects to what is asked; when to look again."""
        found = self._api.get(resource(KIND, self._namespace, name))
        if found is None or found["metadata"].get("deletionTimestamp"):
            self._applied.pop(name, None)  # what it owns goes with it
            return None
        if not self._held():
            raise EnvironmentFault("this operator does not hold the Lease: another one works")
        head, status = found["metadata"], dict(found.get("status") or {})
        try:
            spec = self._spec(found)
            self._make(name, spec, head)
        except BadInput as error:
            self._tell(found, status, {"conditions": ready(status, "NotValid", str(error), holds=False)})
            return None
        told = self._seen(name, spec)
        conditions = ready(status, told.pop("reason"), told.pop("message"), holds=told.pop("holds"))
        self._tell(found, status, {**told, "conditions": conditions})
        return None if conditions[0]["status"] == "True" else datetime.now(UTC) + _SOON

    def _spec(self, found: Json) -> ModelServerSpec:
        if self._site is None:
            raise BadInput("this operator makes no servers of models: operator.modelServers is false")
        try:
            return ModelServerSpec.model_validate(found.get("spec", {}))
        except ValidationError as error:
            told = error.errors()[0]
            raise BadInput(f"spec.{'.'.join(map(str, told['loc']))}: {told['msg']}") from None

    def _make(self, name: str, spec: ModelServerSpec, head: Json) -> None:
        """Apply all objects, once for each specification, and remove those that are not wanted any more."""
        mark = (head["uid"], int(head["generation"]))
        if self._applied.get(name) == mark and self._api.get(self._path("Deployment", "apps/v1", object_name(name))):
            return
        assert self._site is not None  # noqa: S101 - see `_spec`
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": head["uid"], "controller": True}
        wanted = set()
        for each in build_all(name, spec, self._site):
            path = self._path(each["kind"], each["apiVersion"], each["metadata"]["name"])
            self._require_ours(path, each, head["uid"])
            each["metadata"]["labels"] = {**each["metadata"]["labels"], OWNER_LABEL: name}
            each["metadata"]["ownerReferences"] = [owner]
            self._api.apply(path, each)
            wanted.add(path)
        self._remove_others(name, wanted)
        self._applied[name] = mark

    def _require_ours(self, path: str, body: Json, uid: str) -> None:
        there = self._api.get(path)
        owners = (there or {}).get("metadata", {}).get("ownerReferences", ())
        if there and not any(each.get("uid") == uid for each in owners):
            where = f"{body['kind']} {body['metadata']['name']}"
            raise BadInput(f"{where} is there and not this ModelServer's (the chart's, by modelServers?); rename one")

    def _remove_others(self, name: str, wanted: set[str]) -> None:
        for kind, version in (
            ("PodDisruptionBudget", "policy/v1"),
            ("HorizontalPodAutoscaler", "autoscaling/v2"),
            ("NetworkPolicy", "networking.k8s.io/v1"),
            ("CronJob", "batch/v1"),
            ("Deployment", "apps/v1"),
        ):
            for each in self._api.items(self._path(kind, version), labelSelector=f"{OWNER_LABEL}={name}"):
                path = self._path(kind, version, each["metadata"]["name"])
                if path not in wanted:
                    self._api.delete(path)

    def _path(self, kind: str, version: str, name: str = "") -> str:
        if kind not in _PLURALS:
            raise BadInput(f"this operator makes no {kind}; use the chart's modelServers for it")
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        return f"{root}/namespaces/{self._namespace}/{_PLURALS[kind]}{'/' if name else ''}{name}"

    def _seen(self, name: str, spec: ModelServerSpec) -> Json:
        """Version and pods of a server, and whether it answers."""
        deployment = self._api.get(self._path("Deployment", "apps/v1", object_name(name))) or {}
        status = deployment.get("status", {})
        wanted = int(deployment.get("spec", {}).get("replicas", spec.replicas))
        there = int(status.get("readyReplicas", 0))
        faults: list[Fault] = []
        model, _, alias = spec.model.partition("@")
        version = self._registry.alias(model, alias or "champion", faults)
        told = {"ready": f"{there}/{wanted}", "version": version.version if version else ""}
        if there:
            return told | {"holds": True, "reason": "Answers", "message": f"{there} of {wanted} pods answer"}
        tokens = spec.tokens.existing_secret or f"{object_name(name)}-tokens"
        why = faults[0].words if faults else "" if version else f"model {model} has no version {alias or 'champion'}"
        said = why or f"no pod answers yet; its Secret {tokens} must have the key tokens"
        return told | {"holds": False, "reason": "NoPodAnswers", "message": said}

    def _tell(self, found: Json, before: Json, told: Json) -> None:
        head = found["metadata"]
        status = {**told, "observedGeneration": head["generation"]}
        if status == before:
            return
        metadata = {"name": head["name"], "namespace": self._namespace, "uid": head["uid"]}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        self._api.apply(resource(KIND, self._namespace, head["name"], "status"), body)

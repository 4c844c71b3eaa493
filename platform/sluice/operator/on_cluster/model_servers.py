"""ModelServer: the objects that `sluice.cluster.model_server` builds, applied, owned by the resource, and told of."""

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sluice.cluster.model_server import build_all, object_name
from sluice.cluster.model_server_site import Site
from sluice.cluster.model_server_spec import ModelServerSpec
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator.evidence import Fault
from sluice.operator.on_cluster.conditions import NO_POD, condition, ready
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi, resource
from sluice.operator.on_cluster.watchers import RegistryWatcher
from sluice.operator.parts import API_VERSION
from sluice.operator.worlds import Conflict

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
    "Secret": "secrets",
    "ScaledObject": "scaledobjects",
    "HTTPRoute": "httproutes",
    "PodMonitor": "podmonitors",
}
GUESTS = {
    "ScaledObject": "install KEDA, or set autoscaling.by to cpu",
    "HTTPRoute": "install the Gateway API, or set route.enabled to false",
    "PodMonitor": "install the Prometheus Operator, or set podMonitor.enabled to false",
}
"""Kinds that not every cluster has, with what to do where one lacks."""
_SOON = timedelta(seconds=5)
_APPLIED_SECONDS = 1800.0


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
        self._applied: dict[str, tuple[str, int, float]] = {}
        self._lacking: dict[str, tuple[str, ...]] = {}

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
        told = self._seen(name, spec, answered=bool(status.get("answered")))
        if not told["holds"]:
            self._make_tokens(name, spec, head)  # somebody may have removed them
        conditions = ready(status, told.pop("reason"), told.pop("message"), holds=told.pop("holds"))
        conditions = self._complete({"conditions": conditions}, name)
        self._tell(found, status, {**told, "conditions": conditions})
        return None if all(each["status"] == "True" for each in conditions) else datetime.now(UTC) + _SOON

    def _complete(self, status: Json, name: str) -> list[Json]:
        """Whether all that was asked for could be made."""
        lacking = self._lacking.get(name, ())
        words = "; ".join(f"the cluster has no {kind}: {GUESTS[kind]}" for kind in lacking)
        said = words or "all that is asked for is made"
        return condition(status, "Complete", "Lacking" if lacking else "Made", said, holds=not lacking)

    def _spec(self, found: Json) -> ModelServerSpec:
        if self._site is None:
            raise BadInput("this operator makes no servers of models: operator.modelServers is false")
        try:
            return ModelServerSpec.model_validate(found.get("spec", {}))
        except ValidationError as error:
            told = error.errors()[0]
            raise BadInput(f"spec.{'.'.join(map(str, told['loc']))}: {told['msg']}") from None

    def _make(self, name: str, spec: ModelServerSpec, head: Json) -> None:
        """Apply all objects, once for each specification and in a while; remove those that nobody wants any more."""
        mark = (head["uid"], int(head["generation"]))
        if self._holds(name, mark) and self._api.get(self._path("Deployment", "apps/v1", object_name(name))):
            return
        assert self._site is not None  # noqa: S101 - see `_spec`
        self._make_tokens(name, spec, head)
        wanted, lacking = set[str](), list[str]()
        for each in build_all(name, spec, self._site):
            path = self._path(each["kind"], each["apiVersion"], each["metadata"]["name"])
            if each["kind"] in GUESTS and not self._served(each["apiVersion"], each["kind"]):
                lacking.append(each["kind"])
                continue
            self._require_ours(path, each, head["uid"])
            self._api.apply(path, self._owned(each, name, head))
            wanted.add(path)
        self._remove_others(name, wanted)
        self._lacking[name] = tuple(lacking)
        if lacking:
            self._applied.pop(name, None)  # who installs it later finds it used
        else:
            self._applied[name] = (*mark, time.monotonic())

    def _holds(self, name: str, mark: tuple[str, int]) -> bool:
        held = self._applied.get(name)
        return held is not None and held[:2] == mark and time.monotonic() - held[2] < _APPLIED_SECONDS

    def _owned(self, body: Json, name: str, head: Json) -> Json:
        """The same object, which goes with its ModelServer."""
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": head["uid"], "controller": True}
        labels = {**body["metadata"]["labels"], OWNER_LABEL: name}
        return body | {"metadata": {**body["metadata"], "labels": labels, "ownerReferences": [owner]}}

    def _make_tokens(self, name: str, spec: ModelServerSpec, head: Json) -> None:
        """Make the Secret with a token unless it is there: this account may make Secrets, not read or change one."""
        if spec.tokens.existing_secret or self._site is None:
            return
        token = base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
        body = self._site.head("v1", "Secret", f"{object_name(name)}-tokens") | {"data": {"tokens": token}}
        with suppress(Conflict):
            self._api.create(self._path("Secret", "v1"), self._owned(body, name, head))

    def _served(self, version: str, kind: str) -> bool:
        """Whether this cluster has a kind; every account may ask that."""
        found = self._api.get(f"/apis/{version}") or {}
        return any(each.get("kind") == kind for each in found.get("resources", ()))

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
            ("ScaledObject", "keda.sh/v1alpha1"),
            ("HTTPRoute", "gateway.networking.k8s.io/v1"),
            ("PodMonitor", "monitoring.coreos.com/v1"),
        ):
            for each in self._api.items(self._path(kind, version), labelSelector=f"{OWNER_LABEL}={name}"):
                path = self._path(kind, version, each["metadata"]["name"])
                if path not in wanted:
                    self._api.delete(path)

    def _path(self, kind: str, version: str, name: str = "") -> str:
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        return f"{root}/namespaces/{self._namespace}/{_PLURALS[kind]}{'/' if name else ''}{name}"

    def _seen(self, name: str, spec: ModelServerSpec, *, answered: bool) -> Json:
        """Version and pods of a server, whether it answers, and whether it ever did (`answered`: up to now)."""
        deployment = self._api.get(self._path("Deployment", "apps/v1", object_name(name))) or {}
        status = deployment.get("status", {})
        wanted = int(deployment.get("spec", {}).get("replicas", spec.replicas))
        there = int(status.get("readyReplicas", 0))
        faults: list[Fault] = []
        model, _, alias = spec.model.partition("@")
        version = self._registry.alias(model, alias or "champion", faults)
        told = {"ready": f"{there}/{wanted}", "version": version.version if version else "", "answered": answered}
        if there:
            return told | {
                "answered": True,
                "holds": True,
                "reason": "Answers",
                "message": f"{there} of {wanted} pods answer",
            }
        if not version:
            reason = "RegistryAway" if faults else "NoVersion"
            why = faults[0].words if faults else f"model {model} has no version {alias or 'champion'}"
            return told | {"holds": False, "reason": reason, "message": why}
        own = spec.tokens.existing_secret
        said = f"no pod answers{f' (the Secret {own} must be there, with the key tokens)' if own else ''}"
        return told | {"holds": False, "reason": NO_POD, "message": said}

    def _tell(self, found: Json, before: Json, told: Json) -> None:
        head = found["metadata"]
        status = {**told, "observedGeneration": head["generation"]}
        if status == before:
            return
        metadata = {"name": head["name"], "namespace": self._namespace, "uid": head["uid"]}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        self._api.apply(resource(KIND, self._namespace, head["name"], "status"), body)

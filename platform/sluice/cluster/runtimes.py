"""Applies the TrainingRuntimes that the chart keeps in a ConfigMap.

They cannot be templates of the chart: Trainer's webhook must answer before one is accepted, and it starts with them.
Owned by the ConfigMap, they go when the release goes.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import yaml

from sluice.cluster.access import TIMEOUT, Kubernetes
from sluice.cluster.waiting import wait_for
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.core.settings import settings

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainingruntimes"
FIELD_MANAGER = "sluice-setup"
REFUSED = (400, 403, 404, 422)  # what waiting does not mend; a webhook that is not up answers 500


def apply_runtimes(kubernetes: Kubernetes, config_map: str, seconds: float) -> list[str]:
    """Apply every TrainingRuntime of a ConfigMap's values; their names.

    Args:
        kubernetes: The cluster.
        config_map: Whose values are YAML documents.
        seconds: The longest to wait for Trainer's webhook.

    Raises:
        BadInput: A value is no TrainingRuntime, or the cluster refuses it.
        EnvironmentFault: The webhook did not answer in time.
    """
    with kubernetes.answers(f"ConfigMap {config_map}"):
        found = kubernetes.core.read_namespaced_config_map(
            config_map, kubernetes.target.namespace, _request_timeout=TIMEOUT
        )
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": config_map, "uid": found.metadata.uid}
    names = []
    for body in documents(found.data or {}, config_map):
        body["metadata"]["namespace"] = kubernetes.target.namespace
        body["metadata"]["ownerReferences"] = [owner]
        name = body["metadata"]["name"]
        wait_for(f"Trainer's webhook to take TrainingRuntime {name}", seconds, partial(_apply, kubernetes, body))
        progress(f"TrainingRuntime {name} stands")
        names.append(name)
    return names


def documents(data: dict[str, str], config_map: str) -> Iterator[dict[str, Any]]:
    """The TrainingRuntimes in a ConfigMap's values, sorted by key.

    Raises:
        BadInput: A document is something else.
    """
    for key, text in sorted(data.items()):
        try:
            found = [document for document in yaml.safe_load_all(text) if document]
        except yaml.YAMLError as error:
            raise BadInput(f"ConfigMap {config_map}, {key}: no YAML ({error})") from None
        for document in found:
            kind = document.get("kind") if isinstance(document, dict) else type(document).__name__
            if kind != "TrainingRuntime" or not document.get("metadata", {}).get("name"):
                raise BadInput(f"ConfigMap {config_map}, {key}: {kind} where a TrainingRuntime with a name is wanted")
            yield document


def _apply(kubernetes: Kubernetes, body: dict[str, Any]) -> None:
    """Server-side apply. Source: Kubernetes documentation, "Server-Side Apply"."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
    try:
        kubernetes.client.call_api(
            path,
            "PATCH",
            query_params=[("fieldManager", FIELD_MANAGER), ("force", "true")],
            header_params={"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            response_type="object",
            _request_timeout=TIMEOUT,
        )
    except ApiException as error:
        said = _message(error)
        if error.status in REFUSED and "webhook" not in said:
            raise BadInput(f"TrainingRuntime {name} is refused: {said}") from None
        raise EnvironmentFault(f"TrainingRuntime {name}: HTTP status {error.status}: {said}") from None
    except HTTPError as error:
        raise EnvironmentFault(f"TrainingRuntime {name}: {error}") from None


def _message(error: Any) -> str:  # noqa: ANN401 - the client's ApiException
    try:
        return str(json.loads(error.body)["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def named() -> str:
    """The ConfigMap that SLUICE_SETUP_RUNTIMES names, or empty."""
    return settings().jobs.runtimes

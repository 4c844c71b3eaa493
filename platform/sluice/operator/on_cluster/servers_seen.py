"""Whether the servers of a model answer, by their Deployment's state: Kubernetes asks each pod every two seconds."""

from datetime import UTC, datetime
from typing import Any

from sluice.operator.evidence import ServerSeen
from sluice.operator.on_cluster.conditions import NO_POD
from sluice.operator.on_cluster.registry_seen import Standing
from sluice.operator.on_cluster.resource_index import ResourceIndex


class ServersSeen:
    """By model, from the status of ModelServers."""

    def __init__(self, index: ResourceIndex) -> None:
        self._index = index

    def seen(self, model: str, standing: Standing) -> ServerSeen | None:
        """The worst of a model's ModelServers; None where it has none."""
        found = [
            told
            for known in self._index.of_kind("ModelServer")
            if str(known.spec.get("model", "")).partition("@")[0] == model
            and (told := _seen(known.status, standing)) is not None
        ]
        return min(found, key=lambda each: (each.healthy, each.since)) if found else None


def _seen(status: dict[str, Any], standing: Standing) -> ServerSeen | None:
    ready = next((each for each in status.get("conditions", ()) if each.get("type") == "Ready"), None)
    if ready is None or standing.champion is None:
        return None
    if ready.get("status") != "True" and not (ready.get("reason") == NO_POD and status.get("answered")):
        return None  # a specification that is wrong, or pods that begin for the first time, say nothing of the champion
    return ServerSeen(
        version=standing.champion.version,
        healthy=ready.get("status") == "True",
        since=datetime.fromisoformat(ready["lastTransitionTime"]).astimezone(UTC),
        reason=str(ready.get("message", "")),
    )

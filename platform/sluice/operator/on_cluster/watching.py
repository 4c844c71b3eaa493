"""kopf, as a watcher of resources and nothing more."""

import asyncio
import datetime
import sys
from collections.abc import Callable
from typing import Any

# kopf takes the official client's models in where the client is installed: 40 MiB that nothing here uses.
sys.modules.setdefault("kubernetes", None)  # type: ignore[arg-type]
import kopf  # noqa: E402 - see above

from sluice.operator.on_cluster.kubernetes_api import PLURALS, KubernetesApi  # noqa: E402
from sluice.operator.on_cluster.model_servers import OWNER_LABEL  # noqa: E402
from sluice.operator.on_cluster.process_settings import ProcessSettings  # noqa: E402
from sluice.operator.parts import GROUP, VERSION  # noqa: E402

Seen = Callable[[str, str | None, dict[str, Any]], None]
_WATCH_SECONDS = 300  # that one watch lasts: a connection that died in silence is noticed then
_TOKEN_SECONDS = 60


async def watch(
    settings: ProcessSettings, api: KubernetesApi, seen: Seen, served: Callable[[str], None], stopped: asyncio.Event
) -> None:
    """Watch all kinds in the namespace until SIGTERM, SIGINT or `stopped`.

    Args:
        settings: The namespace, and the API's address.
        api: Knows the token.
        seen: Is given kind, event (None for what was there in the beginning) and document; from this thread.
        served: Is given the name of a ModelServer whose Deployment has changed.
        stopped: Ends it.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401 - kopf's
        place = settings.kubernetes
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=_TOKEN_SECONDS)
        return kopf.ConnectionInfo(
            server=place.server, ca_path=place.ca_file or None, scheme="Bearer", token=api.token(), expiration=until
        )

    for kind, plural in PLURALS.items():
        kopf.on.event(GROUP, VERSION, plural, registry=registry, id=kind)(_handler(kind, seen))
    if settings.site:
        marked = {OWNER_LABEL: kopf.PRESENT}
        kopf.on.event("apps", "v1", "deployments", registry=registry, labels=marked)(_deployment(served))
    ours = kopf.OperatorSettings()
    ours.scanning.disabled = True  # neither namespaces nor definitions are looked at: that would take a ClusterRole
    ours.posting.enabled = False
    ours.watching.server_timeout = _WATCH_SECONDS
    ours.watching.client_timeout = _WATCH_SECONDS + 30
    ours.process.ultimate_exiting_timeout = 60
    await kopf.operator(
        registry=registry, settings=ours, standalone=True, namespaces=[settings.namespace], stop_flag=stopped
    )


def _handler(kind: str, seen: Seen) -> Callable[..., Any]:
    async def handle(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002, ANN401 - kopf's names
        seen(kind, type, dict(body))

    return handle


def _deployment(served: Callable[[str], None]) -> Callable[..., Any]:
    async def handle(labels: kopf.Labels, **_: Any) -> None:  # noqa: ANN401 - kopf's names
        served(labels[OWNER_LABEL])

    return handle

"""The way to a cluster's KFP, MLflow and object store, from wherever the command is typed.

With SLUICE_KFP set everything comes from the environment: in a pod, in CI, behind an ingress. Without it, or with a
context that is named, the kubeconfig leads there: what the release keeps for its steps says where the stores are, its
Secret sluice-people who may use them, and Services inside the cluster are reached through forwarded ports. Where they
speak TLS, a ConfigMap of the release holds whom to trust.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sluice.cluster.access import Kubernetes, Target
from sluice.cluster.forwarding import MEND_SECONDS, Forward, forwarded
from sluice.cluster.step_environment import DIRECT, DIRECT_TRACKING, NAME, PEOPLE, RUNS_NAMESPACE
from sluice.core.addresses import shown
from sluice.core.authorities import CA_FILE
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.step_images import step_images
from sluice.core.variable_groups.cluster import ClusterVariables, ImageVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.storage.s3 import ENDPOINTS

KFP = ClusterVariables.kfp.name
KFP_SERVICE, KFP_PORT = "ml-pipeline", 8888
OBJECT_STORE, TRACKING = ENDPOINTS[1], TrackingVariables.uri.name
ADDRESSES = (OBJECT_STORE, TRACKING)
# With these MLflow would answer with addresses that only pods can reach.
PODS_ONLY = (TrackingVariables.direct_upload.name, TrackingVariables.direct_download.name)
AUTHORITY, AUTHORITY_KEY = ClusterVariables.authority.name, "ca.crt"  # names the ConfigMap, and its key
TRACKING_AUTHORITY = ClusterVariables.tracking_authority.name  # MLflow's own, for its server alone


@dataclass(frozen=True)
class Cluster:
    """A cluster that can be talked to.

    Attributes:
        kfp: The URL of KFP's API, with the login where one was given: never to be shown.
        variables: What steps and commands need in their environment to use its stores; never shown.
        images: The step images that it has.
        kubernetes: Its API, or None where only KFP's is known.
    """

    kfp: str = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    images: Mapping[str, str]
    kubernetes: Kubernetes | None
    _forwards: Mapping[str, Forward] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self.kubernetes.target) if self.kubernetes else shown(self.kfp)

    @property
    def runs(self) -> str:
        """The namespace of runs' pods; empty where only KFP's API is known."""
        return self.variables.get(RUNS_NAMESPACE) or (self.kubernetes.target.namespace if self.kubernetes else "")

    def mend(self, name: str, seconds: float = MEND_SECONDS) -> None:
        """Open a way again that a restarted pod has closed; nothing to do where none is forwarded.

        Args:
            name: The variable of its address: SLUICE_KFP, AWS_ENDPOINT_URL, MLFLOW_TRACKING_URI.
            seconds: The longest to try; 0 tries once.

        Raises:
            EnvironmentFault: It did not come to stand in time.
        """
        if name in self._forwards:
            self._forwards[name].mend(seconds)


@contextmanager
def connected(
    target: Target,
    needs: Collection[str] = ADDRESSES,
    *,
    kfp: bool = True,
    seconds: float = 0.0,
    accounts: str = PEOPLE,
) -> Iterator[Cluster]:
    """A connection for the time of the `with` block.

    Args:
        target: Where.
        needs: The stores that are wanted beside KFP, by the variables of their addresses. With none, neither a store
            nor what the release keeps for its steps is asked for.
        kfp: Whether KFP is wanted; its address is empty where it is not.
        seconds: How long to try to reach each of them; 0 tries once.
        accounts: The Secret with the accounts to use there; to promote takes those of the register step.

    Raises:
        BadInput: SLUICE_KFP is no address; there is no kubeconfig, no such context, or no release of Sluice in the
            namespace.
        EnvironmentFault: The cluster does not answer, denies access, or kubectl is missing.
    """
    given = settings().cluster.kfp
    if given and not target.context:
        yield Cluster(given, {}, step_images(settings().images), None)
        return
    kubernetes = Kubernetes(target)
    config, secret = kubernetes.settings(NAME, accounts) if needs else ({}, {})
    for store, past in ((OBJECT_STORE, DIRECT), (TRACKING, DIRECT_TRACKING)):
        if direct := config.pop(past, ""):
            config[store] = direct
    with ExitStack() as stack:
        forwards = {KFP: stack.enter_context(forwarded(target, KFP_SERVICE, KFP_PORT, seconds))} if kfp else {}
        for name in needs:
            place = inside(config.get(name, ""), target.namespace)
            if place:
                there = replace(target, namespace=place.namespace)
                scheme = urlsplit(config[name]).scheme
                way = forwarded(there, place.name, place.port, seconds, secure=scheme == "https")
                forwards[name] = stack.enter_context(way)
                config[name] = f"{scheme}://127.0.0.1:{forwards[name].local}"
        if named := config.pop(AUTHORITY, ""):
            config |= _trust(stack.enter_context(tempfile.TemporaryDirectory()), kubernetes, named)
            if TRACKING in forwards:
                config[TRACKING_AUTHORITY] = config[CA_FILE]
        url = f"http://127.0.0.1:{forwards[KFP].local}" if kfp else ""
        own = settings().images.texts(*ImageVariables.fields())
        images = step_images(ImageVariables(config | own))
        found = {**config, **secret, **images, **dict.fromkeys(PODS_ONLY, "false"), KFP: url}
        yield Cluster(url, found, images, kubernetes, forwards)


def _trust(folder: str, kubernetes: Kubernetes, name: str) -> dict[str, str]:
    """The variable of a file in `folder` with the authority of the release's servers.

    Raises:
        BadInput: The ConfigMap is not there, or has no such key.
        EnvironmentFault: The cluster does not answer or denies access.
    """
    found = kubernetes.config_map(name).get(AUTHORITY_KEY)
    if not found:
        lacks = f"{kubernetes.target}: ConfigMap {name} has no key {AUTHORITY_KEY}"
        raise BadInput(f"{lacks}; upgrade the release, or add the authority of its servers there")
    file = Path(folder, AUTHORITY_KEY)
    file.write_text(found, encoding="utf-8")
    return {CA_FILE: str(file)}


class ServicePort(NamedTuple):
    """A port of a Service of a cluster."""

    namespace: str
    name: str
    port: int


def inside(address: str, namespace: str) -> ServicePort | None:
    """The Service that an address means to pods of a namespace; None for an address of the world outside.

    `http://mlflow:5000`, `http://mlflow.sluice:5000` and `http://mlflow.sluice.svc.cluster.local:5000` are all the
    Service `mlflow` of the namespace `sluice`. One of another namespace is known by `.svc`: without it, it looks like
    any host of the world.
    """
    url = urlsplit(address)
    name, *rest = (url.hostname or "").split(".")
    place = rest[0] if rest else namespace
    if not name or (rest[1:2] != ["svc"] if len(rest) > 1 else place != namespace):
        return None
    return ServicePort(place, name, url.port or (443 if url.scheme == "https" else 80))

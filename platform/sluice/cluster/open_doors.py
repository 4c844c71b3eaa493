"""What of a release is open: doors to outside, traffic that anybody on the way can read, accounts that parts share.

For `sluice doctor --cluster`. Nothing here is broken, so each finding is a warning: who installed it may mean it so.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sluice.cluster.access import TIMEOUT, Kubernetes
from sluice.cluster.step_environment import DIRECT, DIRECT_TRACKING, NAME, REGISTER
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.running.doctor import DoctorFinding
from sluice.storage.s3 import ENDPOINTS, KEYS

PART_OF = "app.kubernetes.io/part-of=sluice"
WITHOUT_LOGIN = {"ml-pipeline": "KFP's API", "ml-pipeline-ui": "KFP's pages, and its API behind them"}
LOGIN = "sluice.dev/login"  # an Ingress says itself who asks for one: the chart writes `ingress.login` there
_TRACKING = TrackingVariables.uri.name
TLS_BY_ADDRESS = {"minio-service": ENDPOINTS[1], "mlflow": _TRACKING}  # Services whose address says it
ADDRESSES = {ENDPOINTS[1]: "the object store", _TRACKING: "MLflow"}
USERNAME = TrackingVariables.username.name


def open_doors(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    """Each door to outside, and each address that is http.

    Raises:
        BadInput: No release is installed in the namespace.
        EnvironmentFault: The cluster does not answer or denies access.
    """
    from kubernetes import client

    space = kubernetes.target.namespace
    with kubernetes.answers("Services"):
        services = kubernetes.core.list_namespaced_service(space, label_selector=PART_OF, _request_timeout=TIMEOUT)
    with kubernetes.answers("Ingresses"):
        listed = client.NetworkingV1Api(kubernetes.client).list_namespaced_ingress(space, _request_timeout=TIMEOUT)
    with kubernetes.answers(f"ConfigMap {NAME}"):
        config = kubernetes.core.read_namespaced_config_map(NAME, space, _request_timeout=TIMEOUT).data or {}
    doors = (_service(service, config) for service in services.items)
    found = [*filter(None, doors), *filter(None, map(_ingress, listed.items)), *_clear(config)]
    for said in found:
        yield DoctorFinding("open", "warning", said)
    if not found:
        yield DoctorFinding("open", "ok", "no part is reached from outside, and none over http")


def shared_accounts(secrets: Mapping[str, Mapping[str, str]]) -> Iterator[DoctorFinding]:
    """Whether every step may do what only the register step should.

    Args:
        secrets: The Secrets' decoded values, by their names.
    """
    steps, register = secrets[NAME], secrets[REGISTER]
    if steps.get(KEYS[0]) and steps.get(KEYS[0]) == register.get(KEYS[0]):
        way_out = "name Secrets of accounts of their own in objectStore.accounts (docs/security.md)"
        yield DoctorFinding("accounts", "warning", f"every step may rewrite promotions in the object store; {way_out}")
    if steps.get(USERNAME) and steps.get(USERNAME) == register.get(USERNAME):
        way_out = "give MLflow's Secret the keys register-username and register-password"
        yield DoctorFinding("accounts", "warning", f"every step may move aliases in MLflow; {way_out}")


def _service(service: Any, config: Mapping[str, str]) -> str:  # noqa: ANN401 - a V1Service
    """What a Service opens; empty where it does not, or where it speaks TLS and asks for a login."""
    name, kind = service.metadata.name, service.spec.type
    if kind not in ("NodePort", "LoadBalancer"):
        return ""
    ports = ", ".join(str(port.node_port or port.port) for port in service.spec.ports)
    where = f"Service {name} answers outside the cluster ({kind}, port {ports})"
    if name in WITHOUT_LOGIN:
        return f"{where}: {WITHOUT_LOGIN[name]}, without a login; make it ClusterIP behind a login (docs/security.md)"
    if urlsplit(config.get(TLS_BY_ADDRESS.get(name, ""), "")).scheme == "https":
        return ""
    return f"{where} over http: whoever is on the way reads passwords and data; make it ClusterIP behind TLS"


def _ingress(ingress: Any) -> str:  # noqa: ANN401 - a V1Ingress
    name, hosts = ingress.metadata.name, ", ".join(rule.host or "any host" for rule in ingress.spec.rules or [])
    services = {path.backend.service.name for rule in ingress.spec.rules or [] if rule.http for path in rule.http.paths}
    open_pages = services & set(WITHOUT_LOGIN)
    if open_pages and (ingress.metadata.annotations or {}).get(LOGIN) not in ("annotations", "proxy"):
        said = ", ".join(sorted(WITHOUT_LOGIN[service] for service in open_pages))
        return f"Ingress {name} ({hosts}) leads to {said}, without a login; put one before it (docs/security.md)"
    if not ingress.spec.tls:
        return f"Ingress {name} ({hosts}) has no TLS of its own; see that something before it does"
    return ""


def _clear(config: Mapping[str, str]) -> Iterator[str]:
    for variable, what in ADDRESSES.items():
        if urlsplit(config.get(variable, "")).scheme == "http":
            way_out = "set tls.enabled=true in the chart's values, or give it an https address (docs/security.md)"
            yield f"{what} is called over http ({variable}): what travels between pods is not encrypted; {way_out}"
    if config.get(DIRECT) and config[DIRECT] == config.get(ENDPOINTS[1]):
        yield "no gateway stands before the object store: a step may overwrite files of other runs (docs/security.md)"
    if config.get(DIRECT_TRACKING) and config[DIRECT_TRACKING] == config.get(_TRACKING):
        yield "no gateway stands before MLflow: a step may write into MLflow's runs of other runs (docs/security.md)"

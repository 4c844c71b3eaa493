"""Network policies: everything closed, each client's arrow open at both ends, and only there."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.rendering import CASES, Manifest, case, manifests, of_kind, pods

STEP = {"pipelines.kubeflow.org/v2_component": "true"}
WORKER = {"sluice.dev/training-worker": "true"}


def policies(objects: tuple[Manifest, ...], labels: dict[str, str], direction: str) -> Iterator[Manifest]:
    """The policies that select a pod with these labels, in one direction."""
    for item in of_kind(objects, "NetworkPolicy"):
        chosen = item["spec"]["podSelector"].get("matchLabels", {})
        if chosen.items() <= labels.items() and direction in item["spec"]["policyTypes"]:
            yield item


def matches(peer: Manifest, labels: dict[str, str]) -> bool:
    chosen: dict[str, str] = peer.get("podSelector", {"matchLabels": {"": ""}}).get("matchLabels", {})
    return chosen.items() <= labels.items()


def covers(rule: Manifest, port: int) -> bool:
    """Whether a rule is about this port, or a range that holds it."""
    return any(p["port"] <= port <= p.get("endPort", p["port"]) for p in rule.get("ports", []))


def allowed(objects: tuple[Manifest, ...], client: dict[str, str], server: dict[str, str], port: int) -> bool:
    """Whether both ends let a client's pod call a server's on a port."""
    out = any(
        covers(rule, port) and ("to" not in rule or any(matches(peer, server) for peer in rule["to"]))
        for policy in policies(objects, client, "Egress")
        for rule in policy["spec"].get("egress", [])
    )
    into = any(
        covers(rule, port) and any(matches(peer, client) for peer in rule.get("from", []))
        for policy in policies(objects, server, "Ingress")
        for rule in policy["spec"].get("ingress", [])
    )
    return out and into


def labels_of(objects: tuple[Manifest, ...], name: str) -> dict[str, str]:
    if name in ("step", "worker"):
        return STEP if name == "step" else WORKER
    return next(t["metadata"]["labels"] for full, t in pods(objects) if full.split()[1] == name)


ARROWS = {
    ("ml-pipeline", "mysql", 3306): True,
    ("metadata-grpc", "mysql", 3306): True,
    ("ml-pipeline", "minio", 9000): True,
    ("mlflow", "minio", 9000): True,
    ("sluice-setup", "minio", 9000): True,
    ("sluice-setup", "ml-pipeline", 8888): True,
    ("sluice-check", "ml-pipeline", 8888): True,
    ("ml-pipeline", "mlflow", 5000): True,
    ("ml-pipeline-ui", "ml-pipeline", 8888): True,
    ("ml-pipeline-ui", "minio", 9000): True,
    ("ml-pipeline-ui", "metadata-envoy", 9090): True,
    ("metadata-envoy", "metadata-grpc", 8080): True,
    ("ml-pipeline-persistenceagent", "ml-pipeline", 8887): True,
    ("ml-pipeline-scheduledworkflow", "ml-pipeline", 8887): True,
    ("run-gateway", "minio", 9000): True,
    ("run-gateway", "ml-pipeline", 8887): True,
    ("ml-pipeline-ui", "run-gateway", 9000): True,
    ("step", "run-gateway", 9000): True,
    ("step", "run-gateway", 8887): True,
    ("step", "metadata-grpc", 8080): True,
    ("step", "run-gateway", 5000): True,
    ("run-gateway", "mlflow", 5000): True,
    ("ml-pipeline", "run-gateway", 5000): True,
    ("worker", "run-gateway", 9000): True,
    ("worker", "worker", 29500): True,
    # What must stay shut.
    ("step", "minio", 9000): False,
    ("step", "ml-pipeline", 8887): False,
    ("step", "run-gateway", 8081): False,
    ("worker", "minio", 9000): False,
    ("worker", "run-gateway", 8887): False,
    ("mlflow", "run-gateway", 9000): False,
    ("run-gateway", "ml-pipeline", 8888): False,
    ("step", "mlflow", 5000): False,
    ("worker", "run-gateway", 5000): False,
    ("ml-pipeline-ui", "run-gateway", 5000): False,
    ("step", "ml-pipeline", 8888): False,
    ("step", "mysql", 3306): False,
    ("step", "postgresql", 5432): False,
    ("step", "ml-pipeline-ui", 3000): False,
    ("step", "step", 8080): False,
    ("worker", "mlflow", 5000): False,
    ("worker", "ml-pipeline", 8888): False,
    ("mlflow", "mysql", 3306): False,
    ("minio", "mysql", 3306): False,
    ("ml-pipeline-ui", "mysql", 3306): False,
    ("workflow-controller", "minio", 9000): False,
    ("ml-pipeline-ui", "metadata-grpc", 8080): False,
}


@pytest.mark.parametrize(("arrow", "open_"), ARROWS.items(), ids=lambda value: str(value))
def test_arrows(arrow: tuple[str, str, int], open_: bool) -> None:
    objects = manifests()
    client, server, port = arrow
    assert allowed(objects, labels_of(objects, client), labels_of(objects, server), port) is open_


def test_everything_is_closed_that_is_not_opened(rendered: tuple[Manifest, ...]) -> None:
    found = list(of_kind(rendered, "NetworkPolicy"))
    if not found:
        assert rendered == case("no-policies")
        return
    deny = next(item for item in found if item["metadata"]["name"] == "default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_pod_has_a_policy_of_its_own(rendered: tuple[Manifest, ...]) -> None:
    """Not only the one that closes everything: what calls or is called says so."""
    if rendered == case("no-policies"):
        return
    for name, template in pods(rendered):
        labels = template["metadata"]["labels"]
        own = [p for d in ("Ingress", "Egress") for p in policies(rendered, labels, d) if p["spec"]["podSelector"]]
        assert own, name


def test_no_arrow_is_open_to_all_ports(rendered: tuple[Manifest, ...]) -> None:
    for item in of_kind(rendered, "NetworkPolicy"):
        for rule in [*(item["spec"].get("ingress") or []), *(item["spec"].get("egress") or [])]:
            assert rule.get("ports"), item["metadata"]["name"]


def test_what_is_not_exposed_is_closed_to_the_world() -> None:
    for name in ("ml-pipeline", "ml-pipeline-ui", "minio", "mysql"):
        (policy,) = [p for p in of_kind(manifests(), "NetworkPolicy") if p["metadata"]["name"] == name]
        peers = [peer for rule in policy["spec"]["ingress"] for peer in rule.get("from", [])]
        assert not [peer for peer in peers if "ipBlock" in peer], name


def test_without_the_gateway_steps_reach_the_store_and_kfps_cache_themselves() -> None:
    objects = manifests(settings=("objectStore.gateway.enabled=false",))
    ways = ((STEP, "minio", 9000), (WORKER, "minio", 9000), (STEP, "ml-pipeline", 8887), (STEP, "mlflow", 5000))
    for client, server, port in ways:
        assert allowed(objects, client, labels_of(objects, server), port), server
    assert not allowed(objects, WORKER, labels_of(objects, "mlflow"), 5000)


def test_kfps_api_server_reaches_the_gateway_for_its_plugin_alone() -> None:
    objects = case("hermetic")
    assert not allowed(objects, labels_of(objects, "ml-pipeline"), labels_of(objects, "run-gateway"), 5000)


def test_an_mlflow_of_your_own_is_reached_past_the_gateway() -> None:
    foreign = ("mlflow.enabled=false", "postgresql.enabled=false", "mlflow.externalUrl=https://mlflow.example.org:8443")
    objects = manifests(settings=foreign)
    assert world(objects, STEP) == [8443]
    assert not allowed(objects, STEP, labels_of(objects, "run-gateway"), 5000)


def test_without_its_cache_no_step_reaches_kfp() -> None:
    objects = manifests(settings=("kfp.apiServer.cache=false",))
    for port in (8887, 8888):
        for server in ("ml-pipeline", "run-gateway"):
            assert not allowed(objects, STEP, labels_of(objects, server), port)


def world(objects: tuple[Manifest, ...], labels: dict[str, str]) -> list[Any]:
    """The ports on which a pod may call any address of the world."""
    return [
        port["port"]
        for policy in policies(objects, labels, "Egress")
        for rule in policy["spec"].get("egress", [])
        if "to" not in rule or any(peer.get("ipBlock", {}).get("cidr", "").endswith("/0") for peer in rule["to"])
        for port in rule["ports"]
        if port["port"] != 53
    ]


def test_no_pod_calls_the_world_by_default() -> None:
    """Neither the Kubernetes API's ports nor the object store's lead out: data that a step read stay inside."""
    for name in ("default", "small", "hermetic"):
        for label, template in [*pods(case(name)), ("step", {"metadata": {"labels": STEP}})]:
            assert world(case(name), template["metadata"]["labels"]) == [], (name, label)


def test_with_an_s3_of_your_own_steps_reach_it_and_where_it_is_named_no_more() -> None:
    foreign = ("minio.enabled=false", "objectStore.host=s3", "objectStore.existingSecret=x", "steps.createSecret=false")
    assert world(manifests(settings=foreign), STEP) == [443]
    named_ = (*foreign, "networkPolicy.objectStoreCidrs={203.0.113.0/24}")
    assert world(manifests(settings=named_), STEP) == []
    egress = [r for p in policies(manifests(settings=named_), STEP, "Egress") for r in p["spec"].get("egress", [])]
    assert [{"ipBlock": {"cidr": "203.0.113.0/24"}}] in [rule.get("to") for rule in egress]


def test_people_reach_kfp_through_who_asks_for_a_login_alone() -> None:
    objects, proxy = case("ingress"), {"sluice.dev/login-proxy": "true"}
    for name, port in (("ml-pipeline-ui", 3000), ("ml-pipeline", 8888), ("mlflow", 5000)):
        assert allowed(objects, proxy, labels_of(objects, name), port)
        assert not allowed(manifests(), proxy, labels_of(objects, name), port), "nobody said that there is a proxy"
        into = [
            rule
            for p in policies(objects, labels_of(objects, name), "Ingress")
            for rule in p["spec"].get("ingress") or []
        ]
        assert not [peer for rule in into for peer in rule["from"] if "ipBlock" in peer], name
    ingress = next(of_kind(objects, "Ingress"))
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "oauth2-proxy", "port": {"number": 4180}}
    assert ingress["metadata"]["annotations"]["sluice.dev/login"] == "proxy"


def test_entry_points_bound_who_reaches_what_is_exposed() -> None:
    (policy,) = [p for p in of_kind(case("production"), "NetworkPolicy") if p["metadata"]["name"] == "ml-pipeline-ui"]
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
    ]


def test_on_kind_only_what_lies_outside_the_pods_network_enters_through_the_nodes_ports() -> None:
    """So that the tests on kind would miss an arrow between pods."""
    outside = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}
    exposed = {
        policy["metadata"]["name"]
        for policy in of_kind(case("kind"), "NetworkPolicy")
        for rule in policy["spec"].get("ingress") or []
        if outside in rule.get("from", [])
    }
    assert exposed == {"ml-pipeline", "ml-pipeline-ui", "minio", "mlflow"}


@pytest.mark.parametrize("name", CASES)
def test_servers_outside_the_chart_can_be_called(name: str) -> None:
    objects = case(name)
    if any(item["metadata"]["name"] == "mysql" for item in of_kind(objects, "Deployment")):
        return
    rules = [
        rule
        for policy in policies(objects, labels_of(objects, "ml-pipeline"), "Egress")
        for rule in policy["spec"].get("egress", [])
    ]
    open_ports = {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
    assert {3306, 443, 53} <= open_ports

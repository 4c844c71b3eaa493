"""How the kind tests turn NetworkPolicies into iptables rules."""

from typing import Any

from tests.kind.network_policies import Pod, read_pods, rules, selects

NAMESPACES = {"ours": {"team": "sluice"}, "other": {"team": "other"}}
STEP = Pod("ours", "step", "10.0.0.1", {"kind": "step"})
STORE = Pod("ours", "store", "10.0.0.2", {"app": "store"}, {("http", "TCP"): 9000})
STRANGER = Pod("other", "stranger", "10.0.0.3", {"kind": "step"})
PODS = [STEP, STORE, STRANGER]


def policy(selector: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ours"}, "spec": {"podSelector": {"matchLabels": selector}, **spec}}


def lines(*policies: dict[str, Any]) -> list[str]:
    return [line for line in rules(PODS, NAMESPACES, policies).splitlines() if line.startswith("-A")][2:]


def test_no_policy_restricts_nobody() -> None:
    assert lines() == []


def test_a_default_deny_drops_all_of_its_namespace_and_nothing_else() -> None:
    found = lines(policy({}, policyTypes=["Ingress", "Egress"]))
    assert sorted(found) == sorted(
        [
            "-A SLUICE-POLICY -s 10.0.0.1/32 -j SLUICE-POLICY-E0",
            "-A SLUICE-POLICY -d 10.0.0.1/32 -j SLUICE-POLICY-I0",
            "-A SLUICE-POLICY -s 10.0.0.2/32 -j SLUICE-POLICY-E1",
            "-A SLUICE-POLICY -d 10.0.0.2/32 -j SLUICE-POLICY-I1",
            '-A SLUICE-POLICY-E0 -m comment --comment "Egress of step" -j DROP',
            '-A SLUICE-POLICY-I0 -m comment --comment "Ingress of step" -j DROP',
            '-A SLUICE-POLICY-E1 -m comment --comment "Egress of store" -j DROP',
            '-A SLUICE-POLICY-I1 -m comment --comment "Ingress of store" -j DROP',
        ]
    )


def test_a_pod_selector_means_pods_of_the_same_namespace() -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"kind": "step"}}}], "ports": [{"port": 9000}]}
    found = lines(policy({"app": "store"}, policyTypes=["Ingress"], ingress=[rule]))
    allowed = [line for line in found if line.endswith("RETURN")]
    assert allowed == ["-A SLUICE-POLICY-I1 -s 10.0.0.1/32 -p tcp --dport 9000:9000 -j RETURN"]
    assert found[-1].endswith("DROP")


def test_a_namespace_selector_reaches_other_namespaces() -> None:
    rule = {"from": [{"namespaceSelector": {"matchLabels": {"team": "other"}}, "podSelector": {}}]}
    found = lines(policy({"app": "store"}, policyTypes=["Ingress"], ingress=[rule]))
    assert "-A SLUICE-POLICY-I1 -s 10.0.0.3/32 -j RETURN" in found


def test_a_port_without_peers_is_open_to_everybody() -> None:
    rule = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 100, "endPort": 200}]}
    found = lines(policy({"kind": "step"}, policyTypes=["Egress"], egress=[rule]))
    assert "-A SLUICE-POLICY-E0 -p udp --dport 53:53 -j RETURN" in found
    assert "-A SLUICE-POLICY-E0 -p tcp --dport 100:200 -j RETURN" in found


def test_a_named_port_is_the_called_pods() -> None:
    to_store = {"to": [{"podSelector": {"matchLabels": {"app": "store"}}}], "ports": [{"port": "http"}]}
    found = lines(policy({"kind": "step"}, policyTypes=["Egress"], egress=[to_store]))
    assert "-A SLUICE-POLICY-E0 -d 10.0.0.2/32 -p tcp --dport 9000 -j RETURN" in found
    from_all = {"ports": [{"port": "http"}]}
    found = lines(policy({"app": "store"}, policyTypes=["Ingress"], ingress=[from_all]))
    assert "-A SLUICE-POLICY-I1 -p tcp --dport 9000 -j RETURN" in found


def test_a_block_is_open_but_for_its_exceptions() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.0/30", "except": ["10.0.0.1/32"]}}, {"ipBlock": {"cidr": "::/0"}}]}
    found = lines(policy({"kind": "step"}, policyTypes=["Egress"], egress=[rule]))
    blocks = {line.split(" -d ")[1].split()[0] for line in found if " -d " in line and line.endswith("RETURN")}
    assert blocks == {"10.0.0.0/32", "10.0.0.2/31"}


def test_expressions_select_as_kubernetes_says() -> None:
    for operator, values, expected in (
        ("In", ["step"], True),
        ("NotIn", ["step"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ):
        selector = {"matchExpressions": [{"key": "kind", "operator": operator, "values": values}]}
        assert selects(selector, STEP.labels) is expected, operator


def test_pods_on_their_nodes_network_or_without_address_are_left_out() -> None:
    item: dict[str, Any] = {
        "metadata": {"namespace": "ours", "name": "store"},
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 9000}]}]},
        "status": {"podIP": "10.0.0.2"},
    }
    assert read_pods([item]) == [Pod("ours", "store", "10.0.0.2", {}, {("http", "TCP"): 9000})]
    assert read_pods([item | {"status": {}}, item | {"spec": item["spec"] | {"hostNetwork": True}}]) == []

"""NetworkPolicies, enforced by iptables rules on nodes whose pod network does not: those of platform/hermetic.

kind's own nodes enforce them by themselves. A policy means what Kubernetes' documentation says ("Network Policies", API
networking.k8s.io/v1): a pod that a policy selects talks only as some policy that selects it allows, and both ends must
allow it; replies, and what a node says to its own pods, always pass.
"""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.watch.watch import iter_resp_lines

CHAIN = "SLUICE-POLICY"
SERVICES = "10.96.0.0/16"  # kind's; what still goes to a Service here has no pod behind it, and kube-proxy refuses it
WATCH_SECONDS = 60  # of one request
AGAIN_SECONDS = 0.5
TOGETHER_SECONDS = 0.1  # what changes within them makes one set of rules
ALIVE = "status.phase!=Succeeded,status.phase!=Failed"
Json = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod with an address of its own; `ports` are the numbers of its named ones, by name and protocol."""

    namespace: str
    name: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)


def read_pods(items: Iterable[Json]) -> list[Pod]:
    """The pods that policies can be about: with an address, and not on their node's network."""
    return [
        Pod(
            item["metadata"]["namespace"],
            item["metadata"]["name"],
            item["status"]["podIP"],
            item["metadata"].get("labels", {}),
            {
                (port["name"], port.get("protocol", "TCP")): port["containerPort"]
                for container in item["spec"]["containers"]
                for port in container.get("ports", [])
                if "name" in port
            },
        )
        for item in items
        if item["status"].get("podIP") and not item["spec"].get("hostNetwork")
    ]


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; an empty one selects all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for want in selector.get("matchExpressions", []):
        key, values = want["key"], want.get("values", [])
        if not {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[want["operator"]]:
            return False
    return True


def rules(pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]], policies: Sequence[Json]) -> str:
    """What iptables-restore --noflush takes: the policies as chains, one for each pod and direction that they restrict.

    Args:
        pods: all pods of the cluster that have an address of their own.
        namespaces: the labels of each namespace.
        policies: all NetworkPolicies of the cluster.
    """
    chains, jumps, lines = [f":{CHAIN} - [0:0]"], [], []
    for number, pod in enumerate(sorted(pods, key=lambda each: each.address)):
        for direction, flag, other in (("Egress", "-s", "-d"), ("Ingress", "-d", "-s")):
            chosen = [policy["spec"] for policy in policies if _concerns(policy, pod, direction)]
            if not chosen:
                continue
            chain = f"{CHAIN}-{direction[0]}{number}"
            chains.append(f":{chain} - [0:0]")
            jumps.append(f"-A {CHAIN} {flag} {pod.address}/32 -j {chain}")
            allowed = {
                f"-A {chain}{match} -j RETURN"
                for spec in chosen
                for rule in spec.get(direction.lower()) or []
                for match in _matches(rule, direction, other, pod, pods, namespaces)
            }
            lines += sorted(allowed)
            lines.append(f'-A {chain} -m comment --comment "{direction} of {pod.name}" -j DROP')
    replies = f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    return "\n".join(["*filter", *chains, replies, f"-A {CHAIN} -d {SERVICES} -j RETURN", *jumps, *lines, "COMMIT", ""])


def _concerns(policy: Json, pod: Pod, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    inside = policy["metadata"]["namespace"] == pod.namespace
    return inside and direction in types and selects(spec.get("podSelector"), pod.labels)


def _matches(
    rule: Json,
    direction: str,
    other: str,
    pod: Pod,
    pods: Sequence[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """What iptables matches for one rule of a policy: one for each peer and port."""
    peers = rule.get("to" if direction == "Egress" else "from")
    for address, peer in _peers(peers, pod.namespace, pods, namespaces):
        where = f" {other} {address}" if address else ""
        # a port's name is the one of the pod that is called
        called = [pod] if direction == "Ingress" else [peer] if peer else pods
        for port in rule.get("ports") or [{}]:
            protocol, number = port.get("protocol", "TCP"), port.get("port")
            if not port:
                yield where
            elif number is None:
                yield f"{where} -p {protocol.lower()}"
            elif isinstance(number, int):
                yield f"{where} -p {protocol.lower()} --dport {number}:{port.get('endPort', number)}"
            else:
                for each in called:
                    if (number, protocol) in each.ports:
                        to = f" -d {each.address}/32" if direction == "Egress" and not where else where
                        yield f"{to} -p {protocol.lower()} --dport {each.ports[number, protocol]}"


def _peers(
    peers: Sequence[Json] | None, namespace: str, pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, Pod | None]]:
    """The addresses of a rule's peers, with the pod where it is one; an empty address is any."""
    if not peers:
        yield "", None
    for peer in peers or []:
        if "ipBlock" in peer:
            for network in _without(peer["ipBlock"]["cidr"], peer["ipBlock"].get("except", [])):
                yield str(network), None
            continue
        for pod in pods:
            near = (
                selects(peer["namespaceSelector"], namespaces.get(pod.namespace, {}))
                if "namespaceSelector" in peer
                else pod.namespace == namespace
            )
            if near and selects(peer.get("podSelector"), pod.labels):
                yield f"{pod.address}/32", pod


def _without(cidr: str, holes: Iterable[str]) -> list[IPv4Network]:
    if ":" in cidr:  # the nodes' pods have IPv4 addresses
        return []
    found = [IPv4Network(cidr)]
    for hole in map(IPv4Network, holes):
        found = [
            part
            for network in found
            for part in (network.address_exclude(hole) if hole.subnet_of(network) else [network])
        ]
    return found


class Watched(threading.Thread):
    """Objects of one kind, as the API server has them: listed once and then watched.

    Args:
        ask: A method of the generated client that lists them.
        changed: Set whenever they changed.
        ended: Set by whoever needs them no more.
    """

    def __init__(self, ask: Callable[..., Any], changed: threading.Event, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._ask, self._changed, self._ended = ask, changed, ended
        self.objects: dict[str, Json] | None = None  # by UID; None where the API server did not answer

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except (client.ApiException, urllib3.exceptions.HTTPError, ValueError):  # of a cluster that restarts
                self.objects = None
                self._changed.set()
                self._ended.wait(AGAIN_SECONDS)

    def _follow(self) -> None:
        listed = json.loads(self._ask(_preload_content=False, _request_timeout=10).data)
        self._put({item["metadata"]["uid"]: item for item in listed["items"]})
        version = listed["metadata"]["resourceVersion"]
        while not self._ended.is_set():
            words: Json = {"watch": True, "resource_version": version, "timeout_seconds": WATCH_SECONDS}
            answer = self._ask(**words, _preload_content=False, _request_timeout=WATCH_SECONDS + 10)
            for line in iter_resp_lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ValueError(event["object"].get("message"))
                found = event["object"]
                uid, version = found["metadata"]["uid"], found["metadata"]["resourceVersion"]
                others = {key: item for key, item in (self.objects or {}).items() if key != uid}
                self._put(others if event["type"] == "DELETED" else others | {uid: found})

    def _put(self, objects: dict[str, Json]) -> None:
        self.objects = objects
        self._changed.set()


class Enforcement(threading.Thread):
    """Keeps the policies of a kind cluster as rules on its nodes, from `start` to `stop`.

    A new pod is open until its address is known, half a second or so: while its first init container runs.
    """

    def __init__(self, context: str, nodes: Sequence[str]) -> None:
        super().__init__(name="network policies", daemon=True)
        core = client.CoreV1Api(config.new_client_from_config(context=context))
        network = client.NetworkingV1Api(core.api_client)
        self._nodes, self._applied = list(nodes), ""
        self._changed, self._ended = threading.Event(), threading.Event()
        self._dropped: Counter[str] = Counter()  # by rules that were replaced since
        listing = (
            partial(core.list_pod_for_all_namespaces, field_selector=ALIVE),
            core.list_namespace,
            network.list_network_policy_for_all_namespaces,
        )
        self._watched = [Watched(ask, self._changed, self._ended) for ask in listing]

    def dropped(self) -> Counter[str]:
        """How many packets the policies have dropped until now, by direction and pod."""
        return sum((self._counted(node) for node in self._nodes), self._dropped.copy())

    def run(self) -> None:
        for each in self._watched:
            each.start()
        while not self._ended.is_set():
            self._changed.wait()
            self._ended.wait(TOGETHER_SECONDS)
            self._changed.clear()
            found = [each.objects for each in self._watched]
            if any(objects is None for objects in found):
                self._applied = ""  # once the cluster answers again, its nodes have no rules
                continue
            try:
                self._keep(*([item for _, item in sorted((objects or {}).items())] for objects in found))
            except subprocess.SubprocessError:
                self._applied = ""
                self._ended.wait(AGAIN_SECONDS)
                self._changed.set()

    def stop(self) -> None:
        """End, and leave the nodes as they were."""
        self._ended.set()
        self._changed.set()
        self.join()
        self._apply(f"*filter\n:{CHAIN} - [0:0]\nCOMMIT\n")

    def _keep(self, pods: list[Json], namespaces: list[Json], policies: list[Json]) -> None:
        labels = {item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in namespaces}
        wanted = rules(read_pods(pods), labels, policies)
        if wanted != self._applied:
            self._apply(wanted)
            self._applied = wanted

    def _apply(self, wanted: str) -> None:
        # same-node traffic crosses a bridge, which asks iptables only where it is told to
        script = f"""set -e
        sysctl -qw net.bridge.bridge-nf-call-iptables=1
        iptables-restore --noflush
        for from in FORWARD INPUT; do iptables -C $from -j {CHAIN} 2> /dev/null || iptables -I $from -j {CHAIN}; done"""
        for node in self._nodes:
            self._dropped += self._counted(node)
            _on(node, script, wanted)

    def _counted(self, node: str) -> Counter[str]:
        """The packets that the present rules of a node have dropped."""
        found: Counter[str] = Counter()
        for line in _on(node, "iptables-save -c -t filter").splitlines():
            if f" -A {CHAIN}-" in line and line.endswith("-j DROP"):
                found[line.split('"')[1]] += int(line[1:].partition(":")[0])
        return +found  # without the zeros


def _on(node: str, script: str, given: str = "") -> str:
    """What a script says on a node, with the text `given` as its input."""
    command = ["docker", "exec", "-i", node, "bash", "-c", script]
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True, timeout=60).stdout

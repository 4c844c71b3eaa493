"""Whose pod has an address: asked of the Kubernetes API, and followed from owner to owner up to the run's Workflow.

A pod cannot send from another's address without NET_RAW, which no pod of a run has, nor share its node's (admission).
An answer holds for two seconds: an address is given to another pod only after its pod has ended.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError

from sluice.core.errors import EnvironmentFault
from sluice.core.settings import settings
from sluice.run_gateway.requests import Refused
from sluice.run_gateway.rules import Caller

KNOWN_SECONDS = 2.0
UNKNOWN_SECONDS = 0.3  # a pod that has just started: its address is told a moment later
MOST_KNOWN = 4096
RUN_LABEL = "pipeline/runid"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT = urllib3.Timeout(connect=2, read=3)
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"  # a Workflow can be a megabyte
_WORKFLOW = ("argoproj.io", "Workflow")
_NO_RUN = Caller("", "", "")
# Who stands between a pod and its Workflow: workers of a TrainJob, which belongs to the budget of the run's pods.
_OWNERS = {
    _WORKFLOW: "workflows",
    ("batch", "Job"): "jobs",
    ("jobset.x-k8s.io", "JobSet"): "jobsets",
    ("trainer.kubeflow.org", "TrainJob"): "trainjobs",
    ("policy", "PodDisruptionBudget"): "poddisruptionbudgets",
}
_LONGEST_CHAIN = 6

Object = Mapping[str, Any]


class Away(Exception):
    """It cannot be told now; the client tries again."""


class Api(Protocol):
    """What is asked of Kubernetes."""

    def get(self, path: str, *, metadata: bool = False) -> Object | None:
        """An object, or None where there is none.

        Raises:
            Away: The API does not answer, or refuses.
        """
        ...


class Pods:
    """The pods of one namespace by their addresses; safe to share between threads."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        clock: Callable[[], float] = time.monotonic,
        platform: tuple[str, str] | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            api: Kubernetes.
            namespace: Where runs are.
            clock: Seconds.
            platform: Namespace and service account of the one program that tells MLflow of all runs: KFP's API server.
                No pod of a run can have that account (admission). None where there is no such program.
        """
        self._api, self._namespace, self._clock, self._platform = api, namespace, clock, platform
        self._known: OrderedDict[str, tuple[float, Caller | Refused | Away]] = OrderedDict()
        self._lock = threading.Lock()
        self._asking = tuple(threading.Lock() for _ in range(32))  # one question at a time for an address

    def look(self) -> None:
        """Ask for a pod, whichever.

        Raises:
            Away: The API does not answer, or refuses.
        """
        self._api.get(f"/api/v1/namespaces/{self._namespace}/pods?limit=1")

    def caller(self, address: str) -> Caller:
        """Whose pod has an address.

        Raises:
            Refused: It is of no run.
            Away: No pod has it yet, or several have; the API does not answer.
        """
        return self._told(address, address, self._found)

    def run(self, address: str) -> str:
        """Of which run a pod is that calls MLflow; empty for the program that tells of all.

        Raises:
            Refused: It is of no run.
            Away: See `caller`.
        """
        try:
            return self.caller(address).run
        except (Refused, Away):
            if self._platform and self._is_platform(address):
                return ""
            raise

    def _is_platform(self, address: str) -> bool:
        try:
            self._told(f"platform {address}", address, self._found_platform)
        except Refused:
            return False
        return True

    def _told(self, key: str, address: str, find: Callable[[str], Caller | Refused | Away]) -> Caller:
        with self._asking[hash(key) % len(self._asking)]:
            found = self._remembered(key)
            if found is None:
                found = find(address)
                seconds = UNKNOWN_SECONDS if isinstance(found, Away) else KNOWN_SECONDS
                self._remember(key, found, seconds)
        if isinstance(found, Exception):
            raise found
        return found

    def _remembered(self, address: str) -> Caller | Refused | Away | None:
        with self._lock:
            until, found = self._known.get(address, (0.0, None))
        return found if until > self._clock() else None

    def _remember(self, address: str, found: Caller | Refused | Away, seconds: float) -> None:
        with self._lock:
            self._known[address] = (self._clock() + seconds, found)
            self._known.move_to_end(address)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def _found_platform(self, address: str) -> Caller | Refused | Away:
        namespace, account = self._platform or ("", "")
        try:
            accounts = {pod["spec"].get("serviceAccountName") for pod in self._at(address, namespace)}
        except Away as error:
            return error
        return _NO_RUN if accounts == {account} else Refused(f"{address} is none of account {account}'s")

    def _found(self, address: str) -> Caller | Refused | Away:
        try:
            pods = self._at(address, self._namespace)
            callers = {self._run_of(pod) for pod in pods}
        except (Refused, Away) as error:
            return error
        if len(callers) != 1:
            return Away(f"{len(pods)} pods of runs have the address {address}; one is waited for")
        return callers.pop()

    def _at(self, address: str, namespace: str) -> list[Object]:
        place = str(ip_address(address))
        alive = f"status.podIP={place},status.phase!=Succeeded,status.phase!=Failed"
        listed = self._api.get(f"/api/v1/namespaces/{namespace}/pods?fieldSelector={quote(alive)}") or {}
        return [pod for pod in listed.get("items", []) if not pod["spec"].get("hostNetwork")]

    def _run_of(self, pod: Object) -> Caller:
        name, meta = pod["metadata"]["name"], pod["metadata"]
        for _ in range(_LONGEST_CHAIN):
            reference = _owner(meta)
            group = reference["apiVersion"].rpartition("/")[0] if reference else ""
            kind = (group, reference["kind"]) if reference else ("", "")
            if reference is None or kind not in _OWNERS:
                raise Refused(f"pod {name} is of no run")
            meta = self._metadata(reference, _OWNERS[kind], name)
            if kind == _WORKFLOW:
                return self._caller(meta, name)
        raise Refused(f"pod {name} has too many owners above it")

    def _metadata(self, reference: Object, kind: str, pod: str) -> Object:
        path = f"/apis/{reference['apiVersion']}/namespaces/{self._namespace}/{kind}/{quote(reference['name'])}"
        found = self._api.get(path, metadata=True)
        if found is None or found["metadata"]["uid"] != reference["uid"]:
            raise Refused(f"pod {pod}: its owner, {kind} {reference['name']}, is not there any more")
        owner: Object = found["metadata"]
        return owner

    def _caller(self, workflow: Object, pod: str) -> Caller:
        run = workflow.get("labels", {}).get(RUN_LABEL, "")
        if not run or run in (".", ".."):
            raise Refused(f"pod {pod}: workflow {workflow['name']} is no run of KFP's (label {RUN_LABEL})")
        return Caller(run, workflow["name"], self._namespace)


def _owner(meta: Object) -> Object | None:
    owners = meta.get("ownerReferences") or []
    if len(owners) > 1:
        owners = [owner for owner in owners if owner.get("controller")]
    return owners[0] if len(owners) == 1 else None


class Cluster:
    """The API of the cluster that this runs in, with the account of its own pod."""

    def __init__(self) -> None:
        """Read where it is.

        Raises:
            EnvironmentFault: This runs in no pod, or one without a token.
        """
        host, port = settings().system.kubernetes_host, settings().system.kubernetes_port
        if not host or not (_ACCOUNT / "ca.crt").is_file():
            raise EnvironmentFault("no Kubernetes API: the gateway runs in a pod with a token of its account")
        self._url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._http = urllib3.PoolManager(ca_certs=str(_ACCOUNT / "ca.crt"), timeout=_TIMEOUT, retries=False, maxsize=8)

    def get(self, path: str, *, metadata: bool = False) -> Object | None:
        """See `Api.get`."""
        token = (_ACCOUNT / "token").read_text(encoding="ascii")  # Kubernetes renews it
        accepted = _METADATA if metadata else "application/json"
        headers = {"Authorization": f"Bearer {token}", "Accept": accepted}
        try:
            answer = self._http.request("GET", f"{self._url}{path}", headers=headers)
        except HTTPError as error:
            raise Away(f"the Kubernetes API does not answer ({type(error).__name__})") from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Away(f"the Kubernetes API answers {answer.status} to a question for {path.partition('?')[0]}")
        found: Object = json.loads(answer.data)
        return found

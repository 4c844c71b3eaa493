"""Kueue's manager beside a real API server, as a process: what it admits, evicts and queues, it does on a cluster, too.

Its webhooks for its own resources refuse and default as on a cluster; the API server asks them at the process's port,
where a cluster has a Service.
"""

import base64
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.charts.api_server import NAMESPACE, START_SECONDS, ApiServer, assets, free_ports

Json = dict[str, Any]
SYSTEM = NAMESPACE  # its own Secret is there, too
_CONVERTED = ("localqueues", "clusterqueues", "workloads", "cohorts", "multikueueclusters")
_API = "kueue.x-k8s.io/v1beta2"
HOOKS = "kueue-of-the-test"  # another name than Kueue's own, whose certificates it would change


@contextmanager
def kueue_running(api: ApiServer, home: Path, ready_within: str = "") -> Iterator[None]:
    """Kueue with its definitions, and nothing to hand out yet.

    Args:
        api: The server.
        home: For its files.
        ready_within: So long it waits for somebody to say that a workload's pods are ready (`waitForPodsReady`).
    """
    [program] = assets("kueue")
    definitions = [
        yaml.safe_load(path.read_text()) for path in sorted(Path(program).resolve().parent.glob("kueue-crds/*.yaml"))
    ]
    assert definitions, f"no kueue-crds beside {program}"
    api.apply([_converted(each) for each in definitions])
    secret = {"name": "kueue-webhook-server-cert", "namespace": SYSTEM}
    api.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": secret}])
    webhook, probes = free_ports(2)
    (home / "webhook").mkdir()
    for name, source in (("tls.crt", "apiserver.crt"), ("tls.key", "apiserver.key")):
        shutil.copy(api.home / "certs" / source, home / "webhook" / name)
    settings = _settings(home, webhook, probes)
    if ready_within:
        settings["waitForPodsReady"] = {"timeout": ready_within}
    (home / "kueue.yaml").write_text(yaml.safe_dump(settings))
    (home / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(api)))
    command = [program, f"--config={home}/kueue.yaml", f"--kubeconfig={home}/kubeconfig"]
    # Its server of places keeps its certificates at a path of the pod's own.
    command += ["--feature-gates=VisibilityOnDemand=false"]
    with (home / "kueue.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)
    try:
        end = time.monotonic() + 2 * START_SECONDS
        while not _ready(probes):
            assert process.poll() is None, (home / "kueue.log").read_text(errors="replace")[-3000:]
            assert time.monotonic() < end, (home / "kueue.log").read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        certificate = base64.b64encode((home / "webhook/tls.crt").read_bytes()).decode()
        api.apply([_asked(kind, f"https://127.0.0.1:{webhook}", certificate) for kind in ("Mutating", "Validating")])
        yield
    finally:
        api.kubectl("delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations", HOOKS)
        process.terminate()
        process.wait(60)


def quota(api: ApiServer, cpu: str, memory: str = "64Gi") -> None:
    """So much is handed out at once, by the LocalQueue `runs`."""
    flavor = {
        "name": "any",
        "resources": [{"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": memory}],
    }
    covered = {"coveredResources": ["cpu", "memory"], "flavors": [flavor]}
    everybody: Json = {"namespaceSelector": {}, "resourceGroups": [covered], "queueingStrategy": "BestEffortFIFO"}
    everybody["preemption"] = {"withinClusterQueue": "LowerPriority"}
    local = {"name": "runs", "namespace": NAMESPACE}
    api.apply(
        [
            {"apiVersion": _API, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
            {"apiVersion": _API, "kind": "ClusterQueue", "metadata": {"name": "all"}, "spec": everybody},
            {"apiVersion": _API, "kind": "LocalQueue", "metadata": local, "spec": {"clusterQueue": "all"}},
        ]
    )


def workload(name: str, cpu: str, priority: int = 0) -> Json:
    """Somebody else's, in the same queue."""
    container = {"name": "main", "image": "any", "resources": {"requests": {"cpu": cpu}}}
    pods = {"name": "main", "count": 1, "template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}
    spec = {"queueName": "runs", "priority": priority, "podSets": [pods]}
    return {"apiVersion": _API, "kind": "Workload", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def workloads(api: ApiServer) -> list[Json]:
    """All of the namespace."""
    done = api.kubectl("get", "workloads.kueue.x-k8s.io", "--output=yaml")
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load(done.stdout)["items"])


def _converted(definition: Json) -> Json:
    """With the place of a certificate where Kueue writes one; nothing is ever converted."""
    if definition["spec"]["names"]["plural"] in _CONVERTED:
        service = {"namespace": SYSTEM, "name": "kueue-webhook-service", "path": "/convert"}
        webhook = {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}
        definition["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    return definition


def _asked(kind: str, address: str, certificate: str) -> Json:
    """The webhooks of one kind for Kueue's own resources, as its release has them (config/components/webhook)."""
    verb, end = ("mutate", "m") if kind == "Mutating" else ("validate", "v")
    hooks = [
        {
            "name": f"{end}{singular}.kb.io",
            "clientConfig": {
                "url": f"{address}/{verb}-kueue-x-k8s-io-v1beta2-{singular}",
                "caBundle": certificate,
            },
            "rules": [
                {
                    "apiGroups": ["kueue.x-k8s.io"],
                    "apiVersions": ["v1beta2"],
                    "operations": ["CREATE"] if kind == "Mutating" else ["CREATE", "UPDATE"],
                    "resources": [f"{singular}s", *([f"{singular}s/status"] if with_status else [])],
                }
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for singular, with_status in (
            ("clusterqueue", False),
            ("resourceflavor", False),
            ("workload", kind == "Validating"),
        )
    ]
    made = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration"}
    return made | {"metadata": {"name": HOOKS}, "webhooks": hooks}


def _settings(home: Path, webhook: int, probes: int) -> Json:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": SYSTEM,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{probes}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(home / "webhook")},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": True},
        "integrations": {"frameworks": ["batch/job"]},
    }


def _kubeconfig(api: ApiServer) -> Json:
    cluster = {"server": f"https://127.0.0.1:{api.port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": api.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def _ready(probes: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{probes}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False

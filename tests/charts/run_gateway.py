"""The gateway of runs' pods on this machine: a real nginx with the chart's configuration, and the program beside it.

Pods are addresses of the loopback network, and a made-up Kubernetes API knows of which run each is.
"""

import http.client
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import urllib3
from minio import Minio

from sluice.run_gateway.pods import Away, Object, Pods
from sluice.run_gateway.rules import Buckets
from sluice.run_gateway.serving import RequestGate, Server
from tests.charts.rendering import manifests, named
from tests.conftest import free_port

NAMESPACE = "sluice"
OURS, THEIRS, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.9"  # a client binds to none by default: it is of our run
KFP = "127.0.0.5"  # its API server's
RUNS = {OURS: "run-ours", THEIRS: "run-theirs"}
START_SECONDS = 20


class Kubernetes:
    """A made-up API: each address is that of a pod of a workflow of its run."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []

    def get(self, path: str, *, metadata: bool = False) -> Object | None:
        """See `sluice.run_gateway.pods.Api`."""
        self.asked.append(path)
        if self.away:
            raise Away("the Kubernetes API does not answer")
        if "/pods" in path:
            found = re.search(r"status.podIP%3D([0-9.]+)", path)
            run = RUNS.get(found[1]) if found else None
            if found and found[1] == KFP:
                return {"items": [{"metadata": {"name": "kfp"}, "spec": {"serviceAccountName": "ml-pipeline"}}]}
            return {"items": [pod(run)] if run else []}
        run = path.rpartition("/")[2].removeprefix("flow-")
        return {"metadata": {"name": f"flow-{run}", "uid": f"uid-{run}", "labels": {"pipeline/runid": run}}}


def pod(run: str) -> dict[str, Any]:
    """A pod of a run."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": f"flow-{run}", "uid": f"uid-{run}"}
    return {"metadata": {"name": f"pod-{run}", "ownerReferences": [{**owner, "controller": True}]}, "spec": {}}


class Listening(Protocol):
    """A server of this machine."""

    port: int


class Gateway:
    """A running gateway before a MinIO.

    Attributes:
        endpoint: Where it answers S3.
        tracking: Where it answers for MLflow.
        kubernetes: What it asks.
    """

    def __init__(self, server: Listening, folder: Path, mlflow: int = 0) -> None:
        """Nothing runs yet.

        Args:
            server: A MinIO.
            folder: For its files.
            mlflow: The port of an MLflow; 0 where there is none.
        """
        self.kubernetes = Kubernetes()
        self._mlflow_port, self.tracking_port = mlflow or free_port(), free_port()
        self.tracking = f"http://127.0.0.1:{self.tracking_port}"
        self.port, self.cache_port, self.probes, self._kfp_port = (free_port() for _ in range(4))
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._server, self._folder = server, folder
        self.socket = folder / "authorizer.sock"

    def decide(self) -> Server:
        """The program beside nginx, as a thread."""
        pods = Pods(self.kubernetes, NAMESPACE, platform=(NAMESPACE, "ml-pipeline"))
        buckets = Buckets("mlpipeline", "sluice", "mlflow", ("own/",))
        beside = Server(self.socket, RequestGate(buckets, pods.caller, pods.look, pods.run))
        threading.Thread(target=beside.serve_forever, daemon=True).start()
        return beside

    @contextmanager
    def running(self) -> Iterator["Gateway"]:
        """Run both."""
        (self._folder / "nginx.conf").write_text(self._configuration())
        beside = self.decide()
        command = [nginx(), "-e", str(self._folder / "log"), "-c", str(self._folder / "nginx.conf")]
        user = " user root;" if os.getuid() == 0 else ""
        process = subprocess.Popen([*command, "-g", f"daemon off;{user}"], cwd=self._folder)
        try:
            self._wait(process)
            yield self
        finally:
            process.terminate()
            process.wait(timeout=10)
            beside.shutdown()
            beside.server_close()

    def client(self, keys: tuple[str, str], address: str = OURS) -> Minio:
        """The SDK's client, calling from the address of a pod."""
        http_client = urllib3.PoolManager(source_address=(address, 0), retries=False, timeout=30)
        return Minio(f"127.0.0.1:{self.port}", *keys, secure=False, region="us-east-1", http_client=http_client)

    def _configuration(self) -> str:
        text: str = named(manifests(settings=("tls.enabled=false",)), "ConfigMap", "run-gateway")["data"]["nginx.conf"]
        for there, here in {
            "/tmp/": f"{self._folder}/",
            "/run/run-gateway/authorizer.sock": str(self.socket),
            "minio-service.sluice.svc.cluster.local:9000": f"127.0.0.1:{self._server.port}",
            "ml-pipeline.sluice.svc.cluster.local:8887": f"127.0.0.1:{self._kfp_port}",
            "mlflow.sluice.svc.cluster.local:5000": f"127.0.0.1:{self._mlflow_port}",
            "listen 5000;": f"listen 127.0.0.1:{self.tracking_port};",
            "listen 9000;": f"listen 127.0.0.1:{self.port};",
            "listen 8887 ": f"listen 127.0.0.1:{self.cache_port} ",
            "listen 8081;": f"listen 127.0.0.1:{self.probes};",
            "/dev/stderr": f"{self._folder}/log",
        }.items():
            assert there in text, there
            text = text.replace(there, here)
        return text

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while probe(self, "/ready") != 204:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"nginx did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)


def nginx() -> str:
    """The path of nginx; skip the test where there is none."""
    found = os.environ.get("SLUICE_NGINX") or shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        pytest.skip("no nginx: install it (Debian: apt-get install nginx-light), or name one in SLUICE_NGINX")
    return found


def probe(gateway: Gateway, path: str) -> int:
    """The status that the kubelet would see; 0 where nobody answers."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.probes, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0


def random_bytes(size: int) -> bytes:
    """Bytes of no pattern."""
    return secrets.token_bytes(size)

"""A kind cluster with a release of the chart, seen from outside: kubectl, KFP's API, MLflow's API, the object store."""

import base64
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kfp
import pytest
from kubernetes import client, config

from tests.kind.network_policies import Enforcement

ROOT = Path(__file__).parents[2]
FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
POLL_SECONDS = 1.0
REQUEST_SECONDS = (5, 30)  # to connect, to answer


class Cluster:
    """One release in one namespace of the kind cluster that `make kind` brings up."""

    def __init__(self, name: str = "sluice", namespace: str = "sluice") -> None:
        self.name, self.namespace, self.context = name, namespace, f"kind-{name}"
        config.load_kube_config(context=self.context)
        self.core, self.apps, self.custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
        self.kfp = kfp.Client(host="http://127.0.0.1:8888")
        for api in (self.core, self.apps, self.custom, self.kfp._pipelines_api):
            give_up(api.api_client.rest_client)
        self.enforcement: Enforcement | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-kind-")

    @staticmethod
    def exists(name: str = "sluice") -> bool:
        """Whether the cluster is there and answers."""
        command = ["kubectl", "--context", f"kind-{name}", "get", "--raw", "/readyz"]
        return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0

    def beside(self, namespace: str) -> "Cluster":
        """Another namespace, new and restricted; one of an earlier test may still be ending."""
        self.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=180s")
        modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": modes}}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(body))
        return Cluster(self.name, namespace)

    def enforce_network_policies(self) -> None:
        """See to it that the cluster enforces NetworkPolicies; kind's own nodes do, hermetic ones are made to."""
        names = [item.metadata.name for item in self.apps.list_namespaced_daemon_set("kube-system").items]
        if "pod-network" in names:
            nodes = [node.metadata.name for node in self.core.list_node().items]
            self.enforcement = Enforcement(self.context, nodes)
            self.enforcement.start()

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl in the release's namespace; its standard output."""
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin, timeout=300)
        if check and done.returncode:
            pytest.fail(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """An address of this machine that leads to a port of the target, such as `service/x`; empty where none does."""
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace]
        command += ["port-forward", "--address=127.0.0.1", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout
            try:
                found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
                yield f"http://{found[0]}" if found else ""
            finally:
                process.kill()

    def sluice(self, *arguments: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run the `sluice` command against this cluster."""
        place = ["--namespace", self.namespace, "--context", self.context]
        command = [str(ROOT / ".venv/bin/sluice"), *arguments, *place]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            pytest.fail(f"sluice {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def submit(
        self, pipeline: str, parameters: Mapping[str, Any] | None = None, *, options: tuple[str, ...] = ()
    ) -> str:
        """Submit a pipeline and do not wait; the id of the run."""
        words = [word for key, value in (parameters or {}).items() for word in ("-p", f"{key}={_text(value)}")]
        done = self.sluice("submit", pipeline, "--no-wait", "--json", *words, *options)
        return str(json.loads(done.stdout)["run"])

    def wait(self, run: str, deadline: float = 600) -> str:
        """Wait for a run's end; its state, e.g. SUCCEEDED."""
        found = self.until(
            lambda: (state := self.state(run)) in FINAL and state,
            deadline,
            lambda: f"run {run} to end: {self.tasks(run)}",
        )
        return str(found)

    def state(self, run: str) -> str:
        """A run's present state."""
        return str(self.kfp.get_run(run).state)

    def tasks(self, run: str) -> dict[str, str]:
        """The state of each task of a run, by display name; drivers are left out."""
        details = self.kfp.get_run(run).run_details
        found = (details.task_details if details else None) or []
        return {str(t.display_name): str(t.state) for t in found if t.state}

    def run_logs(self, run: str) -> str:
        """What the steps of a run printed, pod by pod."""
        names = self.kubectl("get", "pods", "--selector", f"pipeline/runid={run}", "--output", "name").split()
        return "".join(self.kubectl("logs", name, "--container", "main", check=False) for name in names)

    def until(self, check: Callable[[], Any], deadline: float, what: str | Callable[[], str]) -> Any:
        """Poll until `check` gives something true; fail with what was waited for, as it is then."""
        end = time.monotonic() + deadline
        while True:
            found = check()
            if found:
                return found
            if time.monotonic() > end:
                pytest.fail(f"waited {deadline:.0f} s for {what if isinstance(what, str) else what()}")
            time.sleep(POLL_SECONDS)

    def ready(self, deadline: float = 300) -> None:
        """Wait until every Deployment and StatefulSet of the release is Ready."""
        self.until(lambda: not self.unready(), deadline, lambda: f"all workloads to be Ready: {self.unready()}")

    def unready(self) -> list[str]:
        """The workloads that are not Ready, with what they have and want."""
        found = []
        for kind in (self.apps.list_namespaced_deployment, self.apps.list_namespaced_stateful_set):
            for item in kind(self.namespace).items:
                have, want = item.status.ready_replicas or 0, item.spec.replicas
                if have < want or (item.status.observed_generation or 0) < item.metadata.generation:
                    found.append(f"{item.metadata.name} {have}/{want}")
        return found

    def secret(self, name: str) -> dict[str, str]:
        """The decoded values of a Secret."""
        data = self.core.read_namespaced_secret(name, self.namespace).data or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def step_image(self) -> str:
        """The image of the steps on tables that this release uses."""
        job = client.BatchV1Api().read_namespaced_job("sluice-setup", self.namespace)
        env = {e.name: e.value for e in job.spec.template.spec.containers[0].env if e.value}
        return f"{env['SLUICE_IMAGES']}/python-tabular:{env['SLUICE_IMAGE_TAG']}"

    def access(self, account: str = "sluice-people") -> dict[str, str]:
        """The variables that lead Sluice on this machine to the cluster's MLflow and object store, as an account."""
        return self.secret(account) | {
            "AWS_ENDPOINT_URL": "https://127.0.0.1:9000",
            "AWS_REGION": "us-east-1",
            "MLFLOW_TRACKING_URI": "https://127.0.0.1:5000",
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.authority()),
            "SLUICE_CA_FILE": str(self.authority()),
            "SLUICE_STORE": "s3://sluice",
        }

    def authority(self) -> Path:
        """A file with the authority of the release's servers, as it is now."""
        found = self.core.read_namespaced_config_map("sluice-ca", self.namespace).data["ca.crt"]
        file = Path(self._folder.name, "ca.crt")
        file.write_text(found)
        return file

    def explain(self, folder: Path) -> None:
        """Write what is needed to understand a failure: pods, events, logs."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, words in {
            "pods.txt": ("get", "pods", "--output", "wide"),
            "events.txt": ("get", "events", "--sort-by", ".lastTimestamp"),
            "workflows.yaml": ("get", "workflows", "--output", "yaml"),
        }.items():
            (folder / name).write_text(self.kubectl(*words, check=False))
        for pod in self.core.list_namespaced_pod(self.namespace).items:
            logs = self.kubectl("logs", pod.metadata.name, "--all-containers", "--prefix", "--tail=500", check=False)
            (folder / f"{pod.metadata.name}.log").write_text(logs)


def give_up(rest: Any) -> None:
    """Let a generated client's requests end: by themselves they wait for ever, such as for a pod that is gone."""
    send = rest.request

    def request(*words: Any, _request_timeout: Any = None, **more: Any) -> Any:
        return send(*words, _request_timeout=_request_timeout or REQUEST_SECONDS, **more)

    rest.request = request


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

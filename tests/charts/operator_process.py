"""The operator's process beside a real API server: began, killed, asked, as a pod would be."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.charts.api_server import NAMESPACE, ApiServer, free_ports

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
TOKEN = "a-token-of-the-tests"
CODE = "a" * 64
SERVICE_ACCOUNT = "operator"


@dataclass
class Operator:
    """Settings and the process that was begun with them."""

    home: Path
    settings: Json
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self.settings["port"])

    def start(self, failpoint: str = "") -> None:
        """Begin it, perhaps to be killed at a failpoint."""
        path = self.home / f"settings-{self.port}.json"
        path.write_text(json.dumps(self.settings))
        own = {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "SLUICE_FAILPOINT": failpoint, **self.variables}
        with (self.home / f"operator-{self.port}.log").open("ab") as log:
            command = [sys.executable, "-m", "sluice.operator", str(path)]
            # With bytecode: without it each beginning compiles all libraries anew.
            env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | own
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def log(self) -> str:
        return (self.home / f"operator-{self.port}.log").read_text(errors="replace")[-4000:]

    def ready(self, seconds: float = 240) -> None:
        """Until it works."""
        self.until(lambda: self.probe("/readyz") == 200, "the operator to work", seconds)

    def probe(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.settings['metricsPort']}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)
        except OSError:
            return 0

    def metrics(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.settings['metricsPort']}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def until(self, check: Callable[[], Any], what: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}\n{self.log()}"
            time.sleep(0.1)

    def ended(self, seconds: float = 60) -> int:
        """Until it has ended by itself; its exit code."""
        assert self.process
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
                return
            self.kill()

    def send(self, body: Any, headers: dict[str, str] | None = None, token: str = TOKEN) -> int:
        """POST to /events; the status, 0 where nobody answers."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Content-Type": "application/cloudevents+json", "Authorization": f"Bearer {token}", **(headers or {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/events", data=data, headers=own)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)
        except OSError:
            return 0


def account(api: ApiServer, home: Path) -> tuple[str, Path]:
    """The operator's account with the rights that the chart gives it; its token in a file."""
    from tests.charts.rendering import manifests, of_kind

    whole = manifests(settings=("operator.enabled=true", "operator.kueue.enabled=true"))
    wanted = [
        each
        for each in of_kind(whole, "ServiceAccount", "Role", "RoleBinding")
        if each["metadata"]["name"].startswith("sluice-operator")
    ]
    api.apply(wanted)
    done = api.kubectl("create", "token", "sluice-operator", "--duration=8h")
    assert done.returncode == 0, done.stderr
    path = home / "operator-token"
    path.write_text(done.stdout.strip())
    return done.stdout.strip(), path


def empty_registry(folder: Path) -> Path:
    """MLflow's own database in a folder, with no model in it."""
    folder.mkdir(exist_ok=True)
    path = folder / "mlflow.db"
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return path


@contextmanager
def operators(api: ApiServer, home: Path, kfp: str) -> Iterator[Callable[..., Operator]]:
    """A function that makes operators; all are ended in the end."""
    made: list[Operator] = []
    (home / "tokens").write_text(TOKEN)
    _, token = account(api, home)

    def make(**changes: Any) -> Operator:
        port, metrics = free_ports(2)
        settings = {
            "namespace": NAMESPACE,
            "kubernetes": {
                "server": f"https://127.0.0.1:{api.port}",
                "tokenFile": str(token),
                "caFile": str(home / "certs/apiserver.crt"),
            },
            "kfp": kfp,
            "host": "127.0.0.1",
            "port": port,
            "metricsPort": metrics,
            "tokenFiles": [str(home / "tokens")],
            "lease": {"name": "sluice-operator", "seconds": 3},
            "pauses": {"runs": 0.5, "lakes": 2, "registry": 5, "windows": 5},
            **changes,
        }
        variables = {"SLUICE_HOME": str(home / "sluice"), "SLUICE_STORE": str(home / "store")}
        (home / "sluice").mkdir(exist_ok=True)
        found = Operator(home, settings, variables)
        made.append(found)
        return found

    try:
        yield make
    finally:
        for each in made:
            each.kill()


def status(api: ApiServer, name: str, kind: str = "continuoustraining") -> Json:
    done = api.kubectl("get", kind, name, "--output=yaml")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout).get("status") or {})


def project(name: str = "flights", lakes: list[Json] | None = None) -> Json:
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Project",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"code": CODE, "pipelines": [{"name": "supervised"}], "lakes": lakes or []},
    }


def training(name: str, **spec: Any) -> Json:
    whole = {"project": "flights", "model": "late", "budget": {"runsPerDay": 1000}, **spec}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ContinuousTraining",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": whole,
    }


def request(name: str, target: str, **spec: Any) -> Json:
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Request",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"action": "train", "target": target, "by": "alice", **spec},
    }


def event(number: int, kind: str = "com.example.arrived", source: str = "/tests") -> Json:
    return {"specversion": "1.0", "id": f"e{number}", "source": source, "type": kind}

"""A Kubernetes API server with its etcd, alone on this machine: what it admits, it admits on a cluster, too.

The programs are those that platform/hermetic builds, or of a folder that KUBEBUILDER_ASSETS names (as envtest's are).
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Json = dict[str, Any]
START_SECONDS = 300
NAMESPACE = "sluice"
PEOPLE = ("alice", "bob", "vera", "mallory", "oscar", "victor")
"""Users with a token, and no right of their own."""


def programs(*names: str) -> list[str | None]:
    """The paths of programs, None for one that is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice/hermetic/bin"
    given = os.environ.get("KUBEBUILDER_ASSETS", "")
    folders = [Path(given)] if given else sorted(each for each in cache.glob("*") if each.suffix != ".partial")
    return [next((str(f / name) for f in folders if (f / name).is_file()), shutil.which(name)) for name in names]


def assets(*names: str) -> list[str]:
    """The paths of programs; skip the test where one is not there."""
    found = programs(*names)
    for name, path in zip(names, found, strict=True):
        if not path:
            pytest.skip(
                f"no `{name}`: `make {'fuzz' if name == 'kueue' else 'kind HERMETIC=1'}` builds it, or name envtest's "
                "folder in KUBEBUILDER_ASSETS"
            )
    return [str(path) for path in found]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


class ApiServer:
    """Talks to the server as its administrator, or as an account of the namespace."""

    def __init__(self, kubectl: str, port: int, token: str, home: Path) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.port, self.home, self.token = port, home, token
        self._command = [kubectl, f"--server=https://127.0.0.1:{port}", f"--token={token}", f"--cache-dir={home}/cache"]
        self._command += ["--insecure-skip-tls-verify", f"--namespace={NAMESPACE}"]

    def kubectl(self, *words: str, given: Any = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl, with objects on its standard input."""
        text = yaml.safe_dump_all(given) if given is not None else None
        command = [*self._command, *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=120)

    def apply(self, objects: list[Json], namespace: str = NAMESPACE) -> None:
        """Make objects as the administrator."""
        words = ("apply", f"--namespace={namespace}", "--server-side", "--force-conflicts", "--filename=-")
        done = self.kubectl(*words, given=objects)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """The server ends; what it knows is etcd's."""
        assert self.process
        self.process.terminate()
        self.process.wait(60)

    def start(self) -> None:
        """The same server begins again."""
        assert self.process
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(self.process.args, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while self.kubectl("get", "--raw=/readyz").returncode:
            assert time.monotonic() < end, (self.home / "log").read_text(errors="replace")[-2000:]
            time.sleep(0.5)

    def kubeconfig(self, user: str, namespace: str = NAMESPACE) -> Path:
        """A file by which one of PEOPLE is who asks."""
        path = self.home / f"{user}.kubeconfig"
        server = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        context = {"cluster": "here", "user": user, "namespace": namespace}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": server}],
            "contexts": [{"name": "here", "context": context}],
            "users": [{"name": user, "user": {"token": f"{self.token}-{user}"}}],
        }
        path.write_text(yaml.safe_dump(body))
        return path

    def ask(self, user: str, verb: str, *words: str, body: Json | None = None, pod: str = "") -> str:
        """What a user is told who makes an object or changes one, as a dry run; empty where it is admitted.

        With `pod`, the user's token is bound to that pod.
        """
        given = [body] if body else None
        file = ("--filename=-",) if body else ()
        bound = (f"--as-user-extra=authentication.kubernetes.io/pod-name={pod}",) if pod else ()
        done = self.kubectl(verb, *words, *file, f"--as={user}", *bound, "--dry-run=server", given=given)
        return done.stderr if done.returncode else ""


@contextmanager
def running(home: Path) -> Iterator[ApiServer]:
    """An API server with RBAC that knows nothing yet but the namespace of the chart."""
    etcd, server, kubectl = assets("etcd", "kube-apiserver", "kubectl")
    client, peer, port = free_ports(3)
    token, key = secrets.token_hex(16), home / "accounts.pem"
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(own.private_bytes(*pem))
    people = "".join(f"{token}-{user},{user},{user}\n" for user in PEOPLE)
    (home / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n{people}')
    store, talk = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    commands = [
        [etcd, f"--data-dir={home}/etcd", f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
         f"--listen-peer-urls={talk}", f"--initial-advertise-peer-urls={talk}", f"--initial-cluster=default={talk}",
         "--unsafe-no-fsync", "--log-level=error"],
        [server, f"--etcd-servers={store}", f"--secure-port={port}", "--bind-address=127.0.0.1",
         f"--cert-dir={home}/certs",
         f"--token-auth-file={home}/tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
         f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
         "--service-account-issuer=https://tests.example.org", "--advertise-address=127.0.0.1",
         "--allow-privileged"],
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    api = ApiServer(kubectl, port, token, home)
    api.process = processes[1]
    try:
        wait(api, home)
        yield api
    finally:
        for process in (api.process, processes[0]):
            process.terminate()
            process.wait(30)


def wait(api: ApiServer, home: Path) -> None:
    """Until it answers and has the namespace, with the account that every namespace has."""
    end = time.monotonic() + START_SECONDS
    while api.kubectl("get", "--raw=/readyz").returncode:
        assert time.monotonic() < end, (home / "log").read_text(errors="replace")[-2000:]
        time.sleep(0.5)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}])
    api.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}}])


def until(check: Any, what: str, seconds: float = 60) -> None:
    """Poll until a check holds."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)

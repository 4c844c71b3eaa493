"""The way to a cluster: what is inside it, and what a person is told who cannot reach it."""

import base64
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from sluice.cluster.access import Kubernetes, Target
from sluice.cluster.connection import connected, inside
from sluice.cluster.forwarding import Forward, forwarded
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput, EnvironmentFault
from tests.certificates import self_signed
from tests.unit.api_server import Server

pytestmark = pytest.mark.usefixtures("no_cluster")


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("http://mlflow:5000", ("sluice", "mlflow", 5000)),
        ("http://mlflow.sluice:5000", ("sluice", "mlflow", 5000)),
        ("http://minio-service.sluice.svc.cluster.local:9000", ("sluice", "minio-service", 9000)),
        ("https://mlflow.sluice.svc", ("sluice", "mlflow", 443)),
        ("http://minio.storage.svc:9000", ("storage", "minio", 9000)),
        ("http://minio.storage.svc.cluster.local", ("storage", "minio", 80)),
        ("http://minio.storage:9000", None),
        ("http://minio.sluice.example", None),
        ("https://s3.eu-central-1.amazonaws.com", None),
        ("", None),
    ],
)
def test_a_service_of_the_cluster_is_told_from_the_world_outside(address: str, service: Any) -> None:
    assert inside(address, "sluice") == service


def test_a_kfp_that_is_named_needs_no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KFP", "http://kfp.example:8888/")
    with connected(Target()) as cluster:
        assert cluster.kfp == "http://kfp.example:8888"
        assert cluster.kubernetes is None


def test_a_context_that_is_named_overrides_it(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KFP", "http://kfp.example:8888/")
    with pytest.raises(BadInput, match="elsewhere"), connected(Target(context="elsewhere")):
        pass


def test_without_a_kubeconfig_the_ways_out_are_named() -> None:
    with pytest.raises(BadInput, match=r"no cluster is configured.*KUBECONFIG.*SLUICE_KFP"), connected(Target()):
        pass


def test_an_unknown_context_is_told_with_the_known_ones(kubeconfig: Path) -> None:
    with pytest.raises(BadInput, match="no context 'there'; it has here"), connected(Target(context="there")):
        pass


def test_a_namespace_without_sluice_is_named(kubeconfig: Path) -> None:
    with pytest.raises(BadInput, match=r"namespace other has no ConfigMap sluice-steps.*helm install"):
        Kubernetes(Target("other")).settings("sluice-steps", "sluice-people")


def test_denied_access_names_what_was_asked_for(kubeconfig: Path, server: Server) -> None:
    place = "/api/v1/namespaces/sluice"
    server.answers[f"{place}/configmaps/sluice-steps"] = (200, {"data": {"SLUICE_STORE": "sluice+s3://sluice"}})
    server.answers[f"{place}/secrets/sluice-people"] = (403, {"message": "forbidden"})
    with pytest.raises(EnvironmentFault, match="denies access to Secret sluice-people"):
        Kubernetes(Target()).settings("sluice-steps", "sluice-people")


def test_a_cluster_that_is_gone_is_named_by_its_address(kubeconfig: Path, server: Server) -> None:
    server.close()
    with pytest.raises(EnvironmentFault, match=rf"the cluster at {server.url} does not answer \(.*refused"):
        Kubernetes(Target()).settings("sluice-steps", "sluice-people")


def test_what_steps_know_is_read_and_never_shown(
    kubeconfig: Path, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = "/api/v1/namespaces/sluice"
    config = {"SLUICE_STORE": "sluice+s3://sluice", "AWS_ENDPOINT_URL": "http://minio-service:9000"}
    config |= {"MLFLOW_TRACKING_URI": "https://run-gateway:5000", "SLUICE_TORCH_IMAGE": "mirror/torch:1"}
    config |= {"SLUICE_MLFLOW_ENDPOINT": "https://mlflow.example"}  # past the gateway, which is for pods of runs
    secret = {"AWS_SECRET_ACCESS_KEY": base64.b64encode(b"hidden-key").decode()}
    server.answers[f"{place}/configmaps/sluice-steps"] = (200, {"data": config})
    server.answers[f"{place}/secrets/sluice-people"] = (200, {"data": secret})
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'Forwarding from 127.0.0.1:4711 -> 1'\nexec sleep 60\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with connected(Target()) as cluster, changed_variables(cluster.variables):
        assert cluster.variables["AWS_SECRET_ACCESS_KEY"] == "hidden-key"
        assert cluster.variables["AWS_ENDPOINT_URL"] == cluster.kfp == "http://127.0.0.1:4711"
        assert cluster.variables["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
        assert cluster.images["SLUICE_TORCH_IMAGE"] == "mirror/torch:1"
        assert "hidden-key" not in repr(cluster)


@pytest.fixture
def encrypted(kubeconfig: Path, server: Server, pod: Path) -> Server:
    """A release whose servers speak TLS."""
    place = "/api/v1/namespaces/sluice"
    config = {"MLFLOW_TRACKING_URI": "https://mlflow:5000", "SLUICE_CA_CONFIGMAP": "sluice-ca"}
    server.answers[f"{place}/configmaps/sluice-steps"] = (200, {"data": config})
    server.answers[f"{place}/secrets/sluice-people"] = (200, {"data": {}})
    server.answers[f"{place}/configmaps/sluice-ca"] = (200, {"data": {"ca.crt": "its certificate"}})
    return server


def test_the_authority_of_a_release_is_trusted_while_it_is_talked_to(encrypted: Server) -> None:
    with connected(Target(), ("MLFLOW_TRACKING_URI",), kfp=False) as cluster:
        assert cluster.variables["MLFLOW_TRACKING_URI"].startswith("https://127.0.0.1:")
        file = Path(cluster.variables["SLUICE_CA_FILE"])
        assert file.read_text() == "its certificate"
        assert cluster.variables["MLFLOW_TRACKING_SERVER_CERT_PATH"] == str(file)
        assert cluster._forwards["MLFLOW_TRACKING_URI"].secure
    assert not file.exists()


def test_a_release_without_its_authority_is_told(encrypted: Server) -> None:
    encrypted.answers["/api/v1/namespaces/sluice/configmaps/sluice-ca"] = (200, {"data": {}})
    with pytest.raises(BadInput, match=r"ConfigMap sluice-ca has no key ca\.crt"), connected(Target(), kfp=False):
        pass


@pytest.mark.parametrize("secure", [True, False])
def test_a_server_that_speaks_tls_is_seen_to_answer(secure: bool, tmp_path: Path) -> None:
    """One that says nothing to a request without TLS, as MLflow's."""
    key, certificate = self_signed(x509.DNSName("mlflow"))
    for name, content in (("key", key), ("certificate", certificate)):
        (tmp_path / name).write_bytes(content)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet, args=(listener, trust), daemon=True).start()
        way = Forward(Target(), "mlflow", 5000, listener.getsockname()[1], secure=secure)
        assert way._answers() is secure


def _greet(listener: socket.socket, trust: ssl.SSLContext) -> None:
    """Take one caller, who gets nothing where the handshake fails."""
    caller, _ = listener.accept()
    with caller:
        if caller.recv(1, socket.MSG_PEEK) == b"\x16":
            trust.wrap_socket(caller, server_side=True).close()


# Listens for a pod as kubectl does: hangs up on every caller as long as the file `dead` is there, else answers.
KUBECTL = """#!{python}
import pathlib, socket, sys
local = int(sys.argv[-1].partition(":")[0] or 0)
dead = pathlib.Path(sys.argv[0]).with_name("dead")
gone = dead.exists()
with socket.create_server(("127.0.0.1", local)) as server:
    print(f"Forwarding from 127.0.0.1:{{server.getsockname()[1]}} -> 9000", flush=True)
    while True:
        caller, _ = server.accept()
        print("Handling connection for 9000" + " " * 4000, flush=True)
        with caller:
            gone = gone or dead.exists()  # for good: this is another pod's way
            if not gone:
                caller.recv(100)
                caller.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
"""


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose presence says that the pod behind the forwarded port is gone."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "dead"


def test_a_port_that_listens_for_a_pod_that_is_gone_is_opened_again(pod: Path) -> None:
    with forwarded(Target(), "minio-service", 9000) as forward:
        first, process = forward.local, forward._process
        forward.mend()
        assert forward._process is process, "what stands is left alone"
        pod.touch()
        threading.Timer(0.3, pod.unlink).start()
        forward.mend()
        assert forward.local == first, "whoever has the address keeps it"
        assert forward._process is not process
        assert forward._answers()


def test_a_pod_that_does_not_come_back_is_told_in_time(pod: Path) -> None:
    with forwarded(Target(), "minio-service", 9000) as forward:
        pod.touch()
        with pytest.raises(EnvironmentFault, match="nothing answers at Service minio-service in namespace sluice"):
            forward.mend(0)


def test_what_kubectl_says_of_each_connection_is_read(pod: Path) -> None:
    """Unread, 64 KiB of it stop it for good."""
    with forwarded(Target(), "minio-service", 9000) as forward:
        assert all(forward._answers() for _ in range(20))


def test_who_needs_kfp_alone_asks_for_nothing_else(kubeconfig: Path, server: Server, pod: Path) -> None:
    """`sluice cancel` works while the stores are down, and for who may not read what steps know."""
    with connected(Target(), ()) as cluster:
        assert cluster.kfp.startswith("http://127.0.0.1:")
        assert list(cluster._forwards) == ["SLUICE_KFP"]
    assert not server.asked


def test_a_missing_kubectl_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="kubectl is not on the PATH"):
        Forward(Target(), "mlflow", 5000).open()


def test_a_forward_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "Error from server (NotFound): services \\"mlflow\\" not found"\nexit 1\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(EnvironmentFault, match=r"no way to Service mlflow in namespace sluice.*NotFound"):
        Forward(Target(), "mlflow", 5000).open()

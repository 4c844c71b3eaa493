"""MLflow behind the gateway of runs' pods: a real nginx with the chart's configuration, before an MLflow.

A made-up one shows what nginx hands on; MLflow's own shows that its client works, and that no run reaches another's.
"""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.charts.rendering import CASES, manifests, named
from tests.charts.run_gateway import KFP, NOBODY, OURS, THEIRS, Gateway
from tests.conftest import free_port
from tests.unit.test_mlflow_server import STEPS, migrated_once, server, serving

__all__ = ["migrated_once", "server", "serving"]  # fixtures of that module
CREATE = "/api/2.0/mlflow/runs/create"


class Seen(BaseHTTPRequestHandler):
    """Answers with what it was told."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        runs = self.headers.get_all("X-Sluice-Run") or []
        told = {"path": self.path, "runs": runs, "host": self.headers["Host"], "size": len(body)}
        told["ours"] = [name for name in self.headers if "sluice" in name.lower() and name != "X-Sluice-Run"]
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


class NoStore:
    """A MinIO that nobody asks."""

    def __init__(self) -> None:
        self.port = free_port()


@contextmanager
def made_up() -> Iterator[int]:
    """The port of an MLflow that answers with what it was told."""
    found = ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield found.server_port
    finally:
        found.shutdown()
        found.server_close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        made_up() as port,
        Gateway(NoStore(), tmp_path_factory.mktemp("gateway"), port).running() as found,
    ):
        yield found


def told(
    gateway: Gateway, method: str = "POST", path: str = CREATE, address: str = OURS, body: bytes = b"{}", **more: str
) -> tuple[int, dict[str, Any]]:
    """The status of a request from a pod's address, whose path is sent as it stands, and what MLflow saw."""
    way = http.client.HTTPConnection("127.0.0.1", gateway.tracking_port, timeout=20, source_address=(address, 0))
    way.request(method, path, body, {name.replace("_", "-"): value for name, value in more.items()})
    answer = way.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_mlflow_is_told_whose_a_write_is(gateway: Gateway, method: str) -> None:
    for address, run in ((OURS, ["run-ours"]), (THEIRS, ["run-theirs"]), (KFP, [])):
        status, seen = told(gateway, method, address=address)
        assert (status, seen["runs"], seen["ours"]) == (200, run, []), address


def test_no_client_says_itself_whose_it_is(gateway: Gateway) -> None:
    for name in ("X-Sluice-Run", "x-sluice-run", "X-SLUICE-RUN"):
        for address, run in ((OURS, ["run-ours"]), (KFP, [])):
            assert told(gateway, address=address, **{name: "run-theirs"})[1]["runs"] == run
        assert told(gateway, "GET", **{name: "run-theirs"})[1]["runs"] == []
    way = http.client.HTTPConnection("127.0.0.1", gateway.tracking_port, timeout=20)
    way.putrequest("POST", CREATE)
    for name in ("X-Sluice-Run", "X_Sluice_Run", "X-Sluice-Run", "X-Sluice-Address"):
        way.putheader(name, "run-theirs" if name != "X-Sluice-Address" else THEIRS)
    way.putheader("Content-Length", "0")
    way.endheaders()
    assert json.loads(way.getresponse().read())["runs"] == ["run-ours"]


def test_who_is_of_no_run_writes_nothing(gateway: Gateway) -> None:
    status, said = told(gateway, address=NOBODY)
    assert (status, said["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert said["message"].startswith("run gateway: 0 pods")
    assert told(gateway, "GET", "/version", NOBODY)[0] == 200


def test_nobody_asks_the_program_beside_it(gateway: Gateway) -> None:
    for path in ("/.whose", "/.authorize"):
        way = http.client.HTTPConnection("127.0.0.1", gateway.tracking_port, timeout=20)
        way.request("GET", path, headers={"X-Sluice-Address": THEIRS})
        assert not way.getresponse().getheader("X-Sluice-Run"), path


def test_path_and_body_go_on_as_they_came(gateway: Gateway) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/1//x/%2e%2e/%C3%A4%2520?a=%20b"
    status, seen = told(gateway, "PUT", path, body=bytes(3 << 20))
    assert (status, seen["path"], seen["size"]) == (200, path, 3 << 20)
    assert seen["host"] == f"127.0.0.1:{gateway._mlflow_port}", "MLflow answers to its own names alone"


def test_without_the_kubernetes_api_reads_pass_and_writes_wait(tmp_path: Path) -> None:
    with made_up() as port, Gateway(NoStore(), tmp_path, port).running() as gateway:
        gateway.kubernetes.away = True
        assert told(gateway, "GET")[0] == 200
        assert told(gateway)[0] == 503


def test_without_mlflow_a_client_is_told_to_come_again_at_its_own_pace(tmp_path: Path) -> None:
    """A step's client tries for two minutes; with Retry-After it would try eight times in eight seconds."""
    with Gateway(NoStore(), tmp_path).running() as gateway:
        for address in (OURS, NOBODY):
            way = http.client.HTTPConnection(
                "127.0.0.1", gateway.tracking_port, timeout=20, source_address=(address, 0)
            )
            way.request("POST", CREATE, b"{}")
            answer = way.getresponse()
            assert (answer.status, answer.getheader("Retry-After")) == (503, None)
            assert json.loads(answer.read())["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_mlflows_own_client_works_and_reaches_no_other_run(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    port = urlsplit(server).port
    assert port
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", STEPS[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", STEPS[1])
    with Gateway(NoStore(), tmp_path, port).running() as gateway:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", gateway.tracking)
        client = mlflow.MlflowClient(gateway.tracking)
        experiment = client.create_experiment("behind-the-gateway")
        with mlflow.start_run(experiment_id=experiment) as run:
            mlflow.log_metric("loss", 0.5)
            mlflow.log_text("kept", "note.txt")
        own = run.info.run_id
        assert client.get_run(own).data.tags["sluice.run"] == "run-ours"
        assert Path(client.download_artifacts(own, "note.txt", str(tmp_path))).read_text() == "kept"
        header = requests.auth._basic_auth_str(*STEPS)
        for path, method, body in (
            ("/api/2.0/mlflow/runs/set-tag", "POST", {"run_id": own, "key": "x", "value": "forged"}),
            (f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{own}/artifacts/note.txt", "PUT", {}),
        ):
            sent = json.dumps(body).encode()
            status, said = told(
                gateway, method, path, THEIRS, sent, Authorization=header, Content_Type="application/json"
            )
            assert (status, said["error_code"]) == (403, "PERMISSION_DENIED")
            assert "belongs to run run-ours; this is pipeline run run-theirs" in said["message"]
        with pytest.raises(mlflow.MlflowException, match=r"may not change the tag sluice\.run"):
            client.set_tag(own, "sluice.run", "run-theirs")


@pytest.mark.parametrize("name", CASES)
def test_pods_of_runs_find_mlflow_there_and_others_past_it(name: str) -> None:
    """KFP has one address of MLflow, for its API server and for pods of runs."""
    objects = manifests(CASES[name])
    config = named(objects, "ConfigMap", "sluice-steps")["data"]
    place, direct = (urlsplit(config[key]) for key in ("MLFLOW_TRACKING_URI", "SLUICE_MLFLOW_ENDPOINT"))
    gateways = [i for i in objects if (i["kind"], i["metadata"]["name"]) == ("Deployment", "run-gateway")]
    inside = direct.hostname == "mlflow.sluice.svc.cluster.local"
    assert place.hostname == ("run-gateway.sluice.svc.cluster.local" if gateways and inside else direct.hostname)
    assert place.scheme == direct.scheme
    for item in objects:
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "ml-pipeline-config":
            plugins = json.loads(item["data"]["config.json"]).get("plugins", {})
            assert {each["endpoint"] for each in plugins.values()} <= {place.geturl()}
        if item["kind"] == "Job" and item["metadata"]["name"] == "sluice-check":
            (container,) = item["spec"]["template"]["spec"]["containers"]
            variables = {each["name"]: each.get("value") for each in container["env"]}
            assert variables["MLFLOW_TRACKING_URI"] == direct.geturl()


def test_its_tls_is_the_gateway_s_and_mlflow_s_is_checked() -> None:
    text = named(manifests(), "ConfigMap", "run-gateway")["data"]["nginx.conf"]
    block = text.partition("# MLflow.")[2].partition("# KFP's cache, which")[0]
    for line in (
        "listen 5000 ssl;",
        "proxy_ssl_verify on;",
        "proxy_ssl_name mlflow.sluice.svc.cluster.local;",
        "proxy_pass https://tracking;",
    ):
        assert line in block, line

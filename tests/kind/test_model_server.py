"""Model servers on a real cluster: two models in one release, asked from outside while things move and break.

`iris` has two versions, trained from here with the cluster's stores, on the lean image; `late` is the champion that the
cluster's own run trained, whose features a project's code makes. The upgrade that brings the servers and the rollback
that takes them are the tests' upgrade and rollback of the release, too.
"""

import csv
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from sluice.predictions.reader import read_predictions
from sluice.registry.mlflow_access import mlflow_module
from sluice.serving.traffic_records import TrafficRecords
from sluice.storage.stores import Store, open_store
from tests.kind.cluster import Cluster
from tests.kind.served_models import MODEL, plant, promote, served, sluice, trained
from tests.kind.test_network_policies import PROBE
from tests.kind.test_platform_faults import last_a_while, outage
from tests.kind.test_release import helm, state

PORT, LATE_PORT = 30085, 30086
LONG = os.environ.get("SLUICE_LONG") == "1"
REQUESTS, PAUSE = (100_000, 0.0) if LONG else (8_000, 0.05)  # seconds after each answer
MOVED_WITHIN = 10.0
"""Seconds after which no pod answers by the version that an alias left."""
LATE = "flights-late"


@dataclass
class Servers:
    """The servers, as who may ask knows them.

    Attributes:
        cluster: Where they are.
        host: The address of a node.
        tokens: By name.
        project: The folder of the project behind `iris`.
    """

    cluster: Cluster
    host: str
    tokens: dict[str, str]
    project: Path

    def ask(self, name: str, body: Any = None, *, path: str = "/v1/predict", token: str | None = None) -> Any:
        """The JSON of one answer."""
        port = PORT if name == MODEL else LATE_PORT
        headers = {"content-type": "application/json", "authorization": f"Bearer {token or self.tokens[name]}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.host}:{port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    @contextmanager
    def asked(self, requests: int = 0, *, processes: int = 2, pause: float = 0.0) -> Iterator[dict[str, Any]]:
        """Callers beside the block; what came is in the dictionary after it."""
        row = {"sepal_length": 7.7, "sepal_width": 3.0, "petal_length": 6.1, "petal_width": 2.3}
        given = {
            "headers": {"authorization": f"Bearer {self.tokens[MODEL]}"},
            "body": json.dumps({"rows": [row]}),
            "connections": 8,
            "requests": requests // processes,
            "pause": pause,
        }
        program = Path(__file__).with_name("model_callers.py")
        command = [sys.executable, str(program), self.host, str(PORT)]
        started = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        found: dict[str, Any] = {"digests": {}, "retried": [], "failed": []}
        try:
            for process in started:
                assert process.stdin
                process.stdin.write(json.dumps(given) + "\n")
                process.stdin.flush()
            yield found
            for process in started:
                told = json.loads(process.communicate(timeout=600)[0])
                for digest, (count, first, last) in told["digests"].items():
                    seen = found["digests"].setdefault(digest, [0, first, last])
                    seen[:] = [seen[0] + count, min(seen[1], first), max(seen[2], last)]
                found["retried"] += told["retried"]
                found["failed"] += told["failed"]
        finally:
            for process in started:
                process.kill()

    def pods(self) -> list[str]:
        """The names of the pods of `iris` that do not end."""
        listed = self.cluster.core.list_namespaced_pod(
            self.cluster.namespace, label_selector=f"app.kubernetes.io/name=model-{MODEL}"
        )
        return [pod.metadata.name for pod in listed.items if pod.metadata.deletion_timestamp is None]

    def inside(self, pod: str, program: str, *words: str) -> str:
        """What a program of Python prints in a pod."""
        said: list[str] = []

        def tried() -> bool:  # the runtime of a busy node refuses a second process now and then
            said.append(self.cluster.kubectl("exec", pod, "--", "python", "-c", program, *words, check=False))
            return bool(said[-1])

        self.cluster.until(tried, 60, f"a program in {pod} to print")
        return said[-1]

    def champions(self) -> set[str]:
        """What each pod says that it answers by."""
        program = (
            "import json, urllib.request\n"
            "told = json.load(urllib.request.urlopen('http://127.0.0.1:9090/readyz'))\n"
            "print(told['versions']['champion'])"
        )
        return {self.inside(pod, program).strip() for pod in self.pods()}


@pytest.fixture(scope="module")
def registry(cluster: Cluster) -> Iterator[Any]:
    """A client of the cluster's MLflow, as who may register."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.access("sluice-register").items():
            patch.setenv(name, value)
        yield mlflow_module().MlflowClient(tracking_uri=cluster.access()["MLFLOW_TRACKING_URI"])


@pytest.fixture(scope="module")
def servers(cluster: Cluster, registry: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The release with two servers; without them again afterwards, and with all else as it was."""
    folder = tmp_path_factory.mktemp("models")
    project = trained(cluster, registry, folder)
    later = (datetime.now(UTC) + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    iris = {
        "model": MODEL,
        "service": {"type": "NodePort", "nodePort": PORT},
        "log": {"seconds": 5},
        "canary": {"watch": True},
    }
    late = {
        "model": LATE,
        "image": "tabular",
        "replicas": 1,
        "log": {"seconds": 5},
        "service": {"type": "NodePort", "nodePort": LATE_PORT},
        # The present hour is over for it; nobody waits for an hour in a test.
        "monitor": {"enabled": True, "schedule": "0 0 1 1 *", "arguments": ["--windows", "hour", "--until", later]},
        "resources": {"limits": {"memory": "1536Mi"}},
    }
    before, values = state(cluster), folder / "servers.json"
    values.write_text(json.dumps({"modelServers": {MODEL: iris, "late": late}}))
    words = ("--reuse-values", "--values", str(values), "--wait", "--wait-for-jobs", "--timeout", "8m")
    helm(cluster, "upgrade", "sluice", "charts/sluice", *words)
    changed, versions = state(cluster)
    assert all(changed[name].items() >= known.items() for name, known in before[0].items()), "a Secret changed"
    assert versions == before[1], "a pipeline was uploaded twice"
    (node,) = [
        each.address
        for each in cluster.core.read_node(f"{cluster.name}-control-plane").status.addresses
        if each.type == "InternalIP"
    ]
    tokens = {name: cluster.secret(f"model-{name}-tokens")["tokens"] for name in (MODEL, "late")}
    yield Servers(cluster, node, tokens, project)
    helm(cluster, "rollback", "sluice", "--wait", "--timeout", "5m")
    cluster.ready()
    assert state(cluster) == before


def test_answers_are_those_of_sluice_predict(servers: Servers, tmp_path: Path) -> None:
    for name, model in ((MODEL, MODEL), ("late", LATE)):
        told = servers.ask(name, path="/v1/model")
        rows = flowers(servers.project) if name == MODEL else [told["example"]]
        asked, said = tmp_path / f"{name}.csv", tmp_path / f"{name}-forecasts.csv"
        with asked.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        done = sluice(servers.cluster, tmp_path, "predict", model, str(asked), "-o", str(said), inside=tmp_path)
        assert done.returncode == 0, done.stderr
        forecasts = servers.ask(name, {"rows": rows})["forecasts"]
        with said.open() as file:
            expected = list(csv.DictReader(file))
        assert [each["prediction"] for each in forecasts] == [each["prediction"] for each in expected]
        for mine, other in zip(forecasts, expected, strict=True):
            for called, chance in mine["probabilities"].items():
                assert chance == pytest.approx(float(other[f"probability_{called}"]), abs=1e-6)


def flowers(project: Path) -> list[dict[str, Any]]:
    with (project / "data/flowers.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items() if name.startswith(("sepal", "petal"))} for row in rows]


def test_without_a_token_nobody_is_answered(servers: Servers) -> None:
    for token in ("wrong-but-long-enough", "Bearer"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            servers.ask(MODEL, {"rows": []}, token=token)
        assert refused.value.code == 401


WANTED = {
    "minio-service:9000": "open",
    "mlflow:5000": "open",
    "ml-pipeline:8888": "closed",
    "mysql:3306": "closed",
    "postgresql:5432": "closed",
    "run-gateway:9000": "closed",
    "kubernetes.default:443": "closed",
}


def test_a_server_reaches_the_store_and_the_registry_alone_and_no_stranger_reaches_it(servers: Servers) -> None:
    pod = servers.pods()[0]
    assert json.loads(servers.inside(pod, PROBE, json.dumps(WANTED))) == WANTED
    stranger = {f"model-{MODEL}:80": "closed"}
    assert json.loads(servers.inside("deployment/mlflow", PROBE, json.dumps(stranger))) == stranger
    listed = servers.cluster.kubectl("exec", pod, "--", "sh", check=False)
    assert listed == "", "the image has no shell"


def test_requests_pass_an_alias_that_moves_and_a_pod_that_is_killed(servers: Servers, mlflow_client: Any) -> None:
    """Before the kill no request is even sent twice; after it a client that tries once more gets its answer."""
    settle(servers, "1")
    with servers.asked(REQUESTS, pause=PAUSE) as found:
        promote(servers.cluster, servers.project, "2")
        moved = time.time()
        time.sleep(max(0.0, moved + MOVED_WITHIN - time.time()))
        assert servers.champions() == {f"{MODEL}/2"}
        killed = time.time()
        servers.cluster.kubectl("delete", "pod", servers.pods()[0], "--grace-period=0", "--force")
        servers.cluster.until(lambda: not servers.cluster.unready(), 120, "another pod to be ready")
    assert found["failed"] == []
    assert [moment for moment in found["retried"] if moment < killed] == []
    answers = {digest: count for digest, (count, _, _) in found["digests"].items()}
    assert sum(answers.values()) >= REQUESTS
    first, second = (mlflow_client.get_model_version(MODEL, each).tags["sluice.model_digest"] for each in "12")
    assert set(answers) == {first, second}
    assert found["digests"][first][2] <= moved + MOVED_WITHIN


def test_serving_goes_on_without_store_and_registry_and_no_row_of_the_log_is_lost(
    servers: Servers, store: Store
) -> None:
    # A pod that was killed before is replaced: one that starts now would wait for the registry.
    servers.cluster.kubectl("rollout", "status", f"deployment/model-{MODEL}", "--timeout=180s")
    begun = datetime.now(UTC)
    with servers.asked(processes=1, pause=0.2) as found, outage(servers.cluster, "minio", "mlflow"):
        last_a_while(servers.cluster)
        assert len(servers.champions()) == 1
    assert (found["failed"], found["retried"]) == ([], [])
    answered = sum(count for count, _, _ in found["digests"].values())
    assert answered > (500 if LONG else 100)

    def logged() -> int:
        rows = read_predictions(store, MODEL, begun, datetime.now(UTC) + timedelta(seconds=1))
        assert rows.lost == 0, rows.losses
        return sum(batch.column("sluice_role").to_pylist().count("champion") for batch in rows.batches(["sluice_role"]))

    servers.cluster.until(lambda: logged() >= answered, 120, lambda: f"{logged()} of {answered} rows to be logged")


def test_a_version_whose_files_were_changed_is_refused_and_the_old_one_goes_on(
    servers: Servers, store: Store, mlflow_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(servers, "2")
    folder = served(store, mlflow_client, "1").uri.removeprefix(f"{store.uri}/")
    key = f"{folder}/model.onnx"
    before = store.get_bytes(key)
    with as_root(servers, store, monkeypatch) as changing:
        changing.put_bytes(key, before + b"\0")
        try:
            promote(servers.cluster, servers.project, "1")
            servers.cluster.until(lambda: refusals(servers) == [1, 1], 30, "both pods to refuse it")
            assert servers.champions() == {f"{MODEL}/2"}
            assert servers.ask(MODEL, {"rows": flowers(servers.project)[:1]})["model"] == f"{MODEL}/2"
        finally:
            changing.put_bytes(key, before)
    servers.cluster.until(lambda: servers.champions() == {f"{MODEL}/1"}, 60, "the restored version to answer")


@contextmanager
def as_root(servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store as somebody who may change and remove everything."""
    root = servers.cluster.secret("mlpipeline-minio-artifact")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", root["accesskey"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", root["secretkey"])
        yield open_store(store.uri)


def settle(servers: Servers, number: str) -> None:
    """See to it that all pods answer by this version."""
    if servers.champions() != {f"{MODEL}/{number}"}:
        promote(servers.cluster, servers.project, number)
        servers.cluster.until(lambda: servers.champions() == {f"{MODEL}/{number}"}, 60, f"{number} to answer")


def refusals(servers: Servers) -> list[int]:
    """In how many lines each pod says that it refuses version 1."""
    logs = [servers.cluster.kubectl("logs", pod) for pod in servers.pods()]
    return [min(1, log.count(f"refused {MODEL}/1: ")) for log in logs]


def test_a_canary_of_a_bad_version_is_rolled_back_by_itself(servers: Servers, registry: Any, cluster: Cluster) -> None:
    store = open_store("s3://sluice")  # as who may register: of another account than the fixture of this name
    words = ("canary", f"{MODEL}/{plant(store, registry, '2')}", "--reason", "planted", "--steps", "50")
    done = sluice(cluster, servers.project.parent, *words, inside=servers.project)
    assert done.returncode == 0, done.stderr
    records = TrafficRecords(store, MODEL)
    with servers.asked(processes=1, pause=0.05) as found:
        cluster.until(lambda: not records.refresh().running, 120, lambda: f"a decision after {records.last}")  # type: ignore[union-attr]
        time.sleep(MOVED_WITHIN + 2)
    assert records.last is not None
    assert (records.last.event, records.last.weight) == ("roll back", 0.0)
    assert "errors" in records.last.reason
    bad = records.last.challenger.digest
    assert found["digests"][bad][2] <= records.last.moment + MOVED_WITHIN


def test_the_monitor_s_cron_job_alarms_on_a_planted_shift(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand flights of a carrier that nobody ever saw, all from one airport and at one moment."""
    with as_root(servers, store, monkeypatch) as changing:
        for key in list(changing.keys(f"monitoring/{LATE}/")):  # it judges a window once, so this would run but once
            changing.delete(key)
    begun = datetime.now(UTC)
    flight = servers.ask("late", path="/v1/model")["example"]
    assert "arr_delay" not in flight, "nobody knows it when the question is asked"
    for part in range(4):
        rows = [flight | {"flight": 500 * part + number} for number in range(1, 501)]
        assert len(servers.ask("late", {"rows": rows})["forecasts"]) == len(rows)

    def logged() -> int:
        found = read_predictions(store, LATE, begun, datetime.now(UTC) + timedelta(seconds=1))
        return sum(len(batch) for batch in found.batches(["sluice_role"]))

    servers.cluster.until(lambda: logged() >= 2_000, 60, "the rows to be logged")
    job = "model-late-monitor-now"
    servers.cluster.kubectl("delete", "job", job, "--ignore-not-found", "--wait")
    servers.cluster.kubectl("create", "job", job, "--from=cronjob/model-late-monitor")
    jobs = client.BatchV1Api()

    def ended() -> Any:
        return jobs.read_namespaced_job(job, servers.cluster.namespace).status.conditions

    (first, *_) = servers.cluster.until(ended, 240, f"{job} to end")
    said = servers.cluster.kubectl("logs", f"job/{job}")
    assert first.type in ("Complete", "SuccessCriteriaMet"), said
    assert "ALARM (page)" in said, said
    assert list(store.keys(f"monitoring/{LATE}/"))

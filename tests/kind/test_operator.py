"""The operator on a real cluster, with KFP and MLflow themselves: asked by persons, events, a bucket and the clock.

Runs are those of the project `iris`, all steps in one pod. Nobody waits here for what tests/charts sees faster on an
API server alone: failpoints, lost answers, two operators.
"""

import io
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp
import pytest
import yaml
from kfp import dsl

from sluice.artifacts.run_results import RESULT, results_key
from sluice.core.variable_groups.operating import OperatorVariables
from sluice.modeling.model_digests import DIGEST
from sluice.operator.failpoints import POINTS
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.pipeline_runs import ERROR_TAG, KFP_TAG
from sluice.registry.promotions import promotions
from sluice.storage.stores import Store
from tests.foreign_projects import laid_out
from tests.kind.cluster import FINAL, Cluster
from tests.kind.test_accounts import client as store_client

NAME, SERVER_PORT = "iris", 30087
ROLLED_BACK_WITHIN = 60.0
"""Seconds, on a machine that does much else; what was seen is in docs/operator.md."""
KILLS = int(os.environ.get("SLUICE_OPERATOR_KILLS", "1"))
Json = dict[str, Any]


@dataclass
class Trained:
    """A ContinuousTraining of the project `iris`, and how to ask for it."""

    cluster: Cluster
    resources: list[Json]
    host: str
    token: str
    since: datetime

    def make(self, name: str, **spec: Any) -> str:
        """Another ContinuousTraining of the same project."""
        body = json.loads(json.dumps(self.resources[1]))
        body["metadata"]["name"] = name
        body["spec"] |= {"budget": {"runsPerDay": 100}, **spec}
        self.cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))
        return name

    def status(self, name: str, kind: str = "continuoustraining") -> Json:
        found = json.loads(self.cluster.kubectl("get", kind, name, "--output", "json"))
        return dict(found.get("status") or {})

    def runs(self, name: str) -> list[Any]:
        """KFP's runs of a ContinuousTraining, newest first, but for those of an earlier session."""
        found = self.cluster.kfp.list_runs(page_size=200, sort_by="created_at desc").runs or []
        return [
            run
            for run in found
            if run.display_name.startswith(f"{name}-")
            and len(run.display_name) == len(name) + 17
            and run.created_at >= self.since
        ]

    def going_on(self, name: str) -> int:
        """How many of its runs have not ended."""
        return sum(run.state not in FINAL for run in self.runs(name))

    def ask(self, name: str, action: str, **spec: Any) -> str:
        """Make a Request, as who this kubeconfig is of; its name."""
        me = json.loads(self.cluster.kubectl("auth", "whoami", "--output", "json"))["status"]["userInfo"]["username"]
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Request",
            "metadata": {"generateName": f"{action}-"},
            "spec": {"action": action, "target": name, "by": me, **spec},
        }
        made = self.cluster.kubectl("create", "--filename", "-", "--output", "name", stdin=json.dumps(body))
        return made.strip().rpartition("/")[2]

    def send(self, number: int, kind: str = "com.example.arrived") -> int:
        event = {"specversion": "1.0", "id": f"kind-{number}", "source": "/tests/kind", "type": kind}
        headers = {"Content-Type": "application/cloudevents+json", "Authorization": f"Bearer {self.token}"}
        with self.cluster.forwarded("service/sluice-operator", 80) as address:
            if not address:
                return 0
            request = urllib.request.Request(f"{address}/events", json.dumps(event).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return int(error.code)
            except OSError:
                return 0

    def kill(self) -> None:
        """The operator's process is killed, as by a node that fails."""
        self.cluster.kubectl(
            "delete", "pod", "--selector", "app.kubernetes.io/name=sluice-operator", "--grace-period=0", "--force"
        )

    def killed_at(self, point: str) -> bool:
        """Whether the operator that is told to be killed there was killed."""
        words = ("get", "pods", "--selector", "app.kubernetes.io/name=sluice-operator", "--output", "json")
        for pod in json.loads(self.cluster.kubectl(*words))["items"]:
            told = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0].get("env", [])}
            if told.get(OperatorVariables.failpoint.name) == point:
                states = [
                    s for each in pod["status"].get("containerStatuses", []) for s in (each["state"], each["lastState"])
                ]
                return any(state.get("terminated", {}).get("exitCode") == 128 + signal.SIGKILL for state in states)
        return False


@pytest.fixture(scope="module")
def trained(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The project in the cluster, handed over by the command that users type; its resources go in the end."""
    cluster.ready()
    began = datetime.now(UTC)
    project = laid_out(NAME, tmp_path_factory.mktemp("project"))
    quick = ("-p", "max_rounds=2", "-p", "resamples=50", "-p", "candidates=zero-rule,heuristic,logistic-regression")
    printed = cluster.sluice("resources", str(project), *quick).stdout
    resources = list(yaml.safe_load_all(printed))
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all(resources))
    node = next(each for each in cluster.core.list_node().items if each.metadata.name.endswith("control-plane"))
    host = next(each.address for each in node.status.addresses if each.type == "InternalIP")
    token = cluster.secret("sluice-operator-tokens")["tokens"]
    yield Trained(cluster, resources, host, token, began)
    cluster.kubectl("delete", "continuoustrainings,requests,backfills,modelservers,projects", "--all", "--wait=false")


def test_a_person_asks_and_the_model_is_trained(trained: Trained, store: Store) -> None:
    """From a Request to a registered version, its decisions in the resource, as Events and in the store."""
    cluster = trained.cluster
    cluster.until(lambda: trained.status(NAME, "project").get("pipelines") == 1, 60, "the Project's pipeline to stand")
    asked = trained.ask(NAME, "train")
    run = cluster.until(lambda: trained.runs(NAME), 60, lambda: f"a run: {trained.status(NAME)}")[0]
    told = cluster.until(
        lambda: "accepted" in (found := trained.status(asked, "requests.sluice.dev")) and found, 60, "an answer"
    )
    assert told["accepted"] is True, told
    assert cluster.wait(run.run_id) == "SUCCEEDED"
    state = cluster.until(
        lambda: (found := trained.status(NAME))["intents"][-1].get("state") == "succeeded" and found,
        60,
        lambda: f"the end to be seen: {trained.status(NAME)}",
    )
    assert state["champion"], state
    events = cluster.kubectl("get", "events", "--output", "json")
    reasons = {each["reason"] for each in json.loads(events)["items"] if each["involvedObject"]["name"] == NAME}
    assert "Start" in reasons, reasons
    kept = list(store.keys(f"decisions/{cluster.namespace}/{NAME}/"))
    assert len(kept) >= 2


def test_an_event_that_comes_thrice_and_a_killed_operator_begin_one_run(trained: Trained) -> None:
    cluster = trained.cluster
    name = trained.make("on-events", triggers=[{"name": "arrived", "event": {"type": "com.example.arrived"}}])
    cluster.until(lambda: trained.status(name).get("decisions"), 60, "the resource to be looked at")
    for _ in range(3):
        cluster.until(lambda: trained.send(1) == 202, 60, "the event to be taken")
    trained.kill()
    cluster.until(lambda: trained.send(1) == 202, 120, "the event to be taken after the operator was killed")
    cluster.until(lambda: trained.runs(name), 60, "a run")
    cluster.until(lambda: trained.status(name)["intents"][-1].get("run"), 60, "the run's id")
    assert len(trained.runs(name)) == 1
    cluster.kfp._run_api.run_service_terminate_run(trained.runs(name)[0].run_id)


def test_the_clock_begins_a_run_and_a_deleted_resource_ends_it(trained: Trained) -> None:
    cluster = trained.cluster
    name = trained.make("each-minute", triggers=[{"name": "minute", "schedule": {"cron": "* * * * *"}}])
    run = cluster.until(lambda: trained.runs(name), 120, lambda: f"a run: {trained.status(name)}")[0]
    assert run.state not in FINAL or run.state == "SUCCEEDED"
    trained.make(name, triggers=[{"name": "minute", "schedule": {"cron": "* * * * *"}}], suspend=True)
    cluster.until(lambda: trained.status(name).get("phase") == "Suspended", 60, "it to be suspended")
    cluster.kubectl("delete", "continuoustraining", name)
    cluster.until(lambda: cluster.state(run.run_id) in FINAL, 120, "the run of a resource that is gone to end")


@pytest.fixture(scope="module")
def tiny(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Project whose pipeline is one step that waits: what the operator does around a run, without its price."""
    cluster, name = trained.cluster, f"tiny-{secrets.token_hex(3)}"
    image = cluster.step_image()

    @dsl.container_component
    def wait(seconds: int) -> dsl.ContainerSpec:
        program = "import sys, time; time.sleep(int(sys.argv[1]))"
        return dsl.ContainerSpec(image=image, command=["python", "-c", program], args=[seconds])

    @dsl.pipeline(name=name)
    def pipeline(seconds: int = 1, month: str = "", promotion: str = "gate") -> None:
        wait(seconds=seconds).set_caching_options(False)

    file = tmp_path_factory.mktemp("tiny") / "pipeline.yaml"
    kfp.compiler.Compiler().compile(pipeline, str(file))
    made = cluster.kfp.upload_pipeline(str(file), pipeline_name=name)
    body = json.loads(json.dumps(trained.resources[0]))
    body["metadata"]["name"] = name
    body["spec"] = {"code": body["spec"]["code"], "pipelines": [{"name": name}]}
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))
    yield name
    for version in cluster.kfp.list_pipeline_versions(made.pipeline_id).pipeline_versions or []:
        cluster.kfp.delete_pipeline_version(made.pipeline_id, version.pipeline_version_id)
    cluster.kfp.delete_pipeline(made.pipeline_id)


def registering(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the cluster's MLflow that may register."""
    access = cluster.access("sluice-register")
    for name, value in access.items():
        monkeypatch.setenv(name, value)
    return mlflow_module().MlflowClient(tracking_uri=access["MLFLOW_TRACKING_URI"])


def test_a_version_waits_for_a_person_who_is_named_and_taken_back(
    trained: Trained, tiny: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is a copy of the champion's, and the run's result says that it waits: the gate has its own tests."""
    cluster = trained.cluster
    client = registering(cluster, monkeypatch)
    before = client.get_model_version_by_alias(NAME, "champion")
    copied = client.create_model_version(
        NAME, before.source, before.run_id, dict(before.tags), model_id=before.source.removeprefix("models:/")
    )
    version, digest = str(copied.version), before.tags[DIGEST]
    name = trained.make(
        "held", project=tiny, promotion={"by": "approval", "deadline": "1h"}, rollback={}, parameters={"seconds": 15}
    )
    trained.ask(name, "train")
    run = cluster.until(lambda: trained.runs(name), 60, lambda: f"a run: {trained.status(name)}")[0]
    result = {"decision": "waits", "version": version, "model_digest": digest, "passed": True, "reason": "by hand"}
    data = json.dumps(result).encode()
    root = store_client(cluster, "mlpipeline-minio-artifact")
    root.put_object("sluice", results_key(run.run_id, RESULT), io.BytesIO(data), len(data))
    approval = cluster.until(
        lambda: trained.status(name).get("approval"),
        120,
        lambda: f"an approval to be asked for; run {cluster.state(run.run_id)}: {trained.status(name)}",
    )
    assert approval["version"] == version
    assert str(client.get_model_version_by_alias(NAME, "champion").version) == str(before.version)
    words = ("--cluster", "--target", name, "--json", "--wait", "90")
    told = json.loads(cluster.sluice("approve", f"{NAME}/{version}", "--reason", "seen on kind", *words).stdout)
    me = told["spec"]["by"]
    assert told["status"]["words"] == f"version {version} is champion: approved by {me}: seen on kind", told
    assert str(client.get_model_version_by_alias(NAME, "champion").version) == version
    record = promotions(store, NAME)[-1]
    assert (record.version, me in record.reason) == (version, True), record
    began = time.monotonic()
    # Both have one digest, so `rollback` would take neither for good: tests/charts/test_operator_champions_server.py.
    told = json.loads(cluster.sluice("promote", f"{NAME}/{before.version}", "--reason", "complaints", *words).stdout)
    seconds = time.monotonic() - began
    assert told["status"]["accepted"] is True, told
    assert str(client.get_model_version_by_alias(NAME, "champion").version) == str(before.version)
    last = promotions(store, NAME)[-1]
    assert (last.decision, last.version) == ("restored", str(before.version)), last
    recorded = (datetime.fromisoformat(last.when) - created(cluster, told["request"])).total_seconds()
    print(f"taken back on record {recorded:.0f} s after it was asked for; the command took {seconds:.1f} s")
    assert recorded <= ROLLED_BACK_WITHIN, (recorded, seconds)


def created(cluster: Cluster, request: str) -> datetime:
    """When a Request was made."""
    found = json.loads(cluster.kubectl("get", "requests.sluice.dev", request, "--output", "json"))
    return datetime.fromisoformat(found["metadata"]["creationTimestamp"])


def test_a_backfill_runs_its_partitions(trained: Trained, tiny: str) -> None:
    cluster = trained.cluster
    body = json.loads(json.dumps(trained.resources[0]))
    body |= {"kind": "Backfill", "metadata": {"name": "past", "namespace": cluster.namespace}}
    body["spec"] = {"project": tiny, "parameter": "month", "first": "2013-01", "last": "2013-02", "parallel": 2}
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))
    status = cluster.until(
        lambda: (found := trained.status("past", "backfill")).get("phase") in ("Succeeded", "Failed") and found,
        180,
        lambda: f"the backfill to end: {trained.status('past', 'backfill')}; {said(cluster)}",
    )
    assert status["phase"] == "Succeeded", f"{status}; {said(cluster)}"
    assert status["ended"] == {"2013-01": "succeeded", "2013-02": "succeeded"}
    asked = [cluster.kfp.get_run(run.run_id).runtime_config.parameters["month"] for run in trained.runs("past")]
    assert sorted(asked) == ["2013-01", "2013-02"]  # one run each


def said(cluster: Cluster) -> str:
    """The last lines of the operator's log."""
    return cluster.kubectl("logs", "deployment/sluice-operator", "--tail=15", check=False)


@pytest.mark.long  # tests/charts/test_operator_process_server.py has the same with a stand-in for KFP
@pytest.mark.timeout(1200 + 600 * KILLS)
def test_who_is_killed_at_each_failpoint_begins_one_run_in_kfp_for_each_event(trained: Trained, tiny: str) -> None:
    """The Deployment is told to kill its process at one place after the other, each time with an event on its way.

    SLUICE_OPERATOR_KILLS says how often at each place.
    """
    cluster, deployment = trained.cluster, "deployment/sluice-operator"
    triggers = [{"name": "arrived", "event": {"type": "com.example.killed"}}]
    name = trained.make("killed", project=tiny, triggers=triggers, concurrency=20, budget={"runsPerDay": 1000})
    session = secrets.randbelow(10**6) * 1000  # an event of an earlier session would be known already
    points = [f"{point}:1" for _ in range(KILLS) for point in POINTS]
    try:
        for number, point in enumerate(points):
            cluster.kubectl("set", "env", deployment, f"{OperatorVariables.failpoint.name}={point}")
            end = time.monotonic() + 180
            while not trained.killed_at(point):
                assert time.monotonic() < end, f"the operator was not killed at {point}: {said(cluster)}"
                trained.send(session + number, "com.example.killed")  # its sender sends again until it is taken
    finally:
        cluster.kubectl("set", "env", deployment, f"{OperatorVariables.failpoint.name}-")
        cluster.kubectl("rollout", "status", deployment, "--timeout=180s")
    for number in range(len(points)):
        # 20 may go on at once, and events that wait together are answered by one run
        cluster.until(lambda: trained.going_on(name) < 10, 300, "runs to end")
        end = time.monotonic() + 120
        while trained.send(session + number, "com.example.killed") != 202:
            assert time.monotonic() < end, f"event {number} is not taken: {said(cluster)}"
    cluster.until(
        lambda: len(trained.runs(name)) >= len(points),
        300,
        lambda: f"{len(points)} runs, {len(trained.runs(name))} are there: {said(cluster)}",
    )
    cluster.until(
        lambda: all(run.state in FINAL for run in trained.runs(name)),
        900,
        lambda: f"the runs to end: {[run.state for run in trained.runs(name)]}",
    )
    lived = [run.display_name for run in trained.runs(name) if run.state not in ("CANCELED", "CANCELING")]
    assert len(lived) == len(set(lived)) == len(points), sorted(lived)


def test_a_run_that_is_cancelled_ends_in_mlflow(trained: Trained, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was killed too fast to say so leaves a run that seems to run for ever; the operator ends it.

    Argo ends a cancelled workflow as failed, and KFP 2.14 takes that over: MLflow has it as KFP has.
    """
    cluster = trained.cluster
    client = registering(cluster, monkeypatch)
    name = trained.make("cut-off", project=tiny, parameters={"seconds": 600})
    trained.ask(name, "train")
    run = cluster.until(lambda: trained.runs(name), 60, lambda: f"a run: {trained.status(name)}")[0]
    there = client.get_experiment_by_name(name)
    experiment = there.experiment_id if there else client.create_experiment(name)
    minute_ago = int((time.time() - 60) * 1000)  # younger ones are looked at later: they may end by themselves
    tracked = client.create_run(experiment, start_time=minute_ago, tags={KFP_TAG: run.run_id}).info.run_id
    cluster.kfp._run_api.run_service_terminate_run(run.run_id)

    def ended() -> str:
        return str(client.get_run(tracked).info.status)

    cluster.until(
        lambda: ended() in ("KILLED", "FAILED"),
        90,
        lambda: f"the MLflow run to end: {ended()}; KFP's is {cluster.state(run.run_id)}; {said(cluster)}",
    )
    why = "was cancelled" if ended() == "KILLED" else "failed, and its step could not say why"
    assert why in client.get_run(tracked).data.tags[ERROR_TAG]
    cluster.until(
        lambda: trained.status(name)["intents"][-1].get("state") in ("cancelled", "failed"),
        60,
        lambda: f"the intent to end: {trained.status(name)}",
    )


def test_a_model_server_that_is_a_resource_answers_and_goes(trained: Trained) -> None:
    cluster, name = trained.cluster, "by-resource"
    objects = ("deployment", "service", "configmap", "networkpolicy")
    body = json.loads(json.dumps(trained.resources[0]))
    body |= {"kind": "ModelServer", "metadata": {"name": name, "namespace": cluster.namespace}}
    body["spec"] = {"model": NAME, "replicas": 1, "service": {"type": "NodePort", "nodePort": SERVER_PORT}}
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))
    try:
        cluster.until(
            lambda: trained.status(name, "modelserver").get("ready") == "1/1",
            180,
            lambda: f"a pod to answer: {trained.status(name, 'modelserver')}; {pods(cluster, name)}; {said(cluster)}",
        )
        token = cluster.secret(f"model-{name}-tokens")["tokens"]  # made by the operator, which cannot read it
        assert token not in cluster.kubectl("get", "modelserver", name, "--output", "yaml") + said(cluster)
        row = {"sepal_length": 7.7, "sepal_width": 3.0, "petal_length": 6.1, "petal_width": 2.3}
        url = f"http://{trained.host}:{SERVER_PORT}/v1/predict"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, json.dumps({"rows": [row]}).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.loads(answer.read())
        version = trained.status(name, "modelserver")["version"]
        assert told["model"] == f"{NAME}/{version}", told
        assert len(told["forecasts"]) == 1
    finally:
        cluster.kubectl("delete", "modelserver", name, "--wait=true")

    def left() -> list[str]:
        names = [
            cluster.kubectl("get", kind, f"model-{name}", "--output=name", check=False).strip() for kind in objects
        ]
        secret = cluster.kubectl("get", "secret", f"model-{name}-tokens", "--output=name", check=False).strip()
        return [each for each in (*names, secret) if each]

    cluster.until(lambda: not left(), 90, lambda: f"all that was made for it to go: {left()}")


def pods(cluster: Cluster, server: str) -> str:
    """What Kubernetes says of a server's pods."""
    which = ("--selector", f"app.kubernetes.io/name=model-{server}")
    log = cluster.kubectl("logs", f"deployment/model-{server}", "--tail=5", check=False)
    return cluster.kubectl("get", "pods", *which, "--output=wide", check=False) + log


def test_rights(trained: Trained) -> None:
    """A viewer may not ask, a runner may not approve, and nobody asks in another one's name."""
    cluster = trained.cluster
    for role, user in (("runner", "rita"), ("viewer", "vera")):
        cluster.kubectl(
            "create", "rolebinding", f"{user}-{role}", f"--role=sluice-{role}", f"--user={user}", check=False
        )
    words = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, "create", "--filename", "-"]

    def told(user: str, **spec: str) -> str:
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Request",
            "metadata": {"generateName": "t-"},
            "spec": {"target": "nobody", **spec},
        }
        done = subprocess.run(
            [*words, f"--as={user}", "--dry-run=server"],
            input=json.dumps(body),
            text=True,
            capture_output=True,
            check=False,
        )
        return done.stderr if done.returncode else ""

    assert not told("rita", action="train", by="rita")
    assert "may not ask for approve" in told("rita", action="approve", version="1", by="rita")
    assert "must be who makes" in told("rita", action="train", by="bob")
    assert "forbidden" in told("vera", action="train", by="vera")


def test_what_a_project_lacks_is_said(trained: Trained, tmp_path: Path) -> None:
    cluster = trained.cluster
    body = json.loads(json.dumps(trained.resources[0]))
    body["metadata"]["name"], body["spec"]["pipelines"] = "lacking", [{"name": "no-such-pipeline"}]
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))

    def ready() -> Json | None:
        found = trained.status("lacking", "project").get("conditions", ())
        return next((each for each in found if each["type"] == "Ready"), None)

    told = cluster.until(ready, 60, "a condition")
    assert told["status"] == "False"
    assert "no-such-pipeline" in told["message"]

"""The operator on a real cluster, with KFP and MLflow themselves: asked by persons, events, a bucket and the clock.

Runs are those of the project `iris`, all steps in one pod. Nobody waits here for what tests/charts sees faster on an
API server alone: failpoints, lost answers, two operators.
"""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.storage.stores import Store
from tests.foreign_projects import laid_out
from tests.kind.cluster import FINAL, Cluster

NAME, PORT = "iris", 30700
Json = dict[str, Any]


@dataclass
class Trained:
    """A ContinuousTraining of the project `iris`, and how to ask for it."""

    cluster: Cluster
    resources: list[Json]
    host: str
    token: str

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
        """KFP's runs of a ContinuousTraining, newest first."""
        found = self.cluster.kfp.list_runs(page_size=100, sort_by="created_at desc").runs or []
        return [
            run for run in found if run.display_name.startswith(f"{name}-") and len(run.display_name) == len(name) + 17
        ]

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
        request = urllib.request.Request(f"http://{self.host}:{PORT}/events", json.dumps(event).encode(), headers)
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


@pytest.fixture(scope="module")
def trained(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The project in the cluster, handed over by the command that users type; its resources go in the end."""
    cluster.ready()
    project = laid_out(NAME, tmp_path_factory.mktemp("project"))
    quick = ("-p", "max_rounds=2", "-p", "resamples=50", "-p", "candidates=zero-rule,heuristic,logistic-regression")
    printed = cluster.sluice("resources", str(project), *quick).stdout
    resources = list(yaml.safe_load_all(printed))
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all(resources))
    node = next(each for each in cluster.core.list_node().items if each.metadata.name.endswith("control-plane"))
    host = next(each.address for each in node.status.addresses if each.type == "InternalIP")
    token = cluster.secret("sluice-operator-tokens")["tokens"]
    yield Trained(cluster, resources, host, token)
    cluster.kubectl("delete", "continuoustrainings,requests,backfills,projects", "--all", "--wait=false")


def test_a_person_asks_and_the_model_is_trained(trained: Trained, store: Store) -> None:
    """From a Request to a registered version, its decisions in the resource, as Events and in the store."""
    cluster = trained.cluster
    cluster.until(lambda: trained.status(NAME, "project").get("pipelines") == 1, 60, "the Project's pipeline to stand")
    asked = trained.ask(NAME, "train")
    began = time.monotonic()
    run = cluster.until(lambda: trained.runs(NAME), 60, lambda: f"a run: {trained.status(NAME)}")[0]
    assert time.monotonic() - began < 30
    assert trained.status(asked, "requests.sluice.dev")["accepted"] is True
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


@pytest.mark.long  # the gate seldom lets a second version through: not seen yet
def test_a_version_waits_for_a_person(trained: Trained, mlflow_client: Any) -> None:
    """Approval: the version is challenger until a person approves it, who stands in the record."""
    cluster = trained.cluster
    name = trained.make("held", promotion={"by": "approval", "deadline": "1h"}, parameters={"seed": 7})
    trained.ask(name, "train", parameters={"seed": 11})
    run = cluster.until(lambda: trained.runs(name), 60, "a run")[0]
    assert cluster.wait(run.run_id) == "SUCCEEDED"
    state = cluster.until(
        lambda: (found := trained.status(name)).get("intents", [{}])[-1].get("state") == "succeeded" and found,
        60,
        "end",
    )
    if not state.get("approval"):
        pytest.skip("the gate refused the version, so there is nothing to approve")
    version = state["approval"]["version"]
    assert str(mlflow_client.get_model_version_by_alias(NAME, "champion").version) != version
    trained.ask(name, "approve", version=version)
    cluster.until(
        lambda: str(mlflow_client.get_model_version_by_alias(NAME, "champion").version) == version, 60, "the alias"
    )


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

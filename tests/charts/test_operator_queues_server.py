"""Quotas: the operator's process and Kueue's manager on a real API server, with the rights of the chart.

Quota is for one run at a time, and KFP is the stand-in of the other tests of the process.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.api_server import NAMESPACE, ApiServer, running, until
from tests.charts.kfp_stand_in import StandIn
from tests.charts.kueue_process import kueue_running, quota, workload, workloads
from tests.charts.operator_process import ROOT, Operator, event, operators, project, status, training

Make = Callable[..., Operator]
ON_EVENTS = [{"name": "arrived", "event": {"type": "com.example.arrived"}}]
SETTINGS = {"kueue": {"enabled": True}, "lease": {"name": "sluice-operator", "seconds": 30}}
# One server and one Kueue for all; building it takes minutes; tests/unit/test_operator_queues.py sees decisions.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("queues")]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with our definitions, and without Kueue."""
    with running(tmp_path_factory.mktemp("api")) as server:
        crds = [
            yaml.safe_load(path.read_text()) for path in sorted((ROOT / "manifests/crds").glob("*.sluice.dev.yaml"))
        ]
        server.apply(crds)
        until(lambda: server.kubectl("get", "requests.sluice.dev").returncode == 0, "the definitions")
        yield server


@pytest.fixture
def make(bare: ApiServer, kfp: StandIn, registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes operators; each test begins with no resource but the Project, and with nothing in a queue."""
    home = tmp_path_factory.mktemp("operator")
    (home / "sluice").mkdir()
    shutil.copy(registry, home / "sluice")
    (home / "certs").symlink_to(bare.home / "certs")
    bare.kubectl("delete", "continuoustrainings,requests,backfills", "--all", "--wait=true")
    bare.kubectl("delete", "workloads.kueue.x-k8s.io", "--all")
    bare.kubectl("delete", "lease", "sluice-operator")
    bare.apply([project()])
    with operators(bare, home, kfp.url) as made:
        yield lambda **changes: made(**SETTINGS, **changes)


@pytest.fixture(scope="module")
def api(
    bare: ApiServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ApiServer]:
    """The same server with Kueue, and quota for one run; a parameter is for how long Kueue waits for pods."""
    with kueue_running(bare, tmp_path_factory.mktemp("kueue"), getattr(request, "param", "")):
        quota(bare, cpu="1500m")
        yield bare


def queued(api: ApiServer, name: str) -> dict[str, Any]:
    """The condition Queued."""
    found = (each for each in status(api, name).get("conditions", []) if each["type"] == "Queued")
    return next(found, {"status": "", "reason": "", "message": ""})


def live(kfp: StandIn, name: str) -> list[str]:
    """The runs of a resource that go on."""
    return [
        e["display_name"] for e in kfp.begun() if e["display_name"].startswith(f"{name}-") and e["state"] == "RUNNING"
    ]


def test_a_queue_without_kueue_is_told_with_the_way_out(bare: ApiServer, kfp: StandIn, make: Make) -> None:
    """It runs first: Kueue is not there yet."""
    operator = make()
    bare.apply([training("late", queue="runs", triggers=ON_EVENTS), training("plain", triggers=ON_EVENTS)])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: queued(bare, "late")["reason"] == "NoQueue", "the condition")
    assert "Kueue is not installed: install it, or name no queue" in queued(bare, "late")["message"]
    operator.until(lambda: live(kfp, "plain"), "the run that needs no queue")
    assert not live(kfp, "late")


def test_of_two_runs_one_waits_with_its_place_and_an_estimate(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training(name, queue="runs", triggers=ON_EVENTS) for name in ("first", "late", "missing")])
    api.apply([training("missing", queue="nowhere", triggers=ON_EVENTS)])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: len(kfp.begun()) == 1, "one run")
    [begun] = kfp.begun()
    one = begun["display_name"].rpartition("-")[0]
    other = "late" if one == "first" else "first"
    operator.until(lambda: "place 1 of 1 in the queue runs" in queued(api, other)["message"], "its place")
    documented = '{.status.conditions[?(@.type=="Queued")].message}'
    assert "place 1 of 1" in api.kubectl("get", "ct", other, "-o", f"jsonpath={documented}").stdout
    assert "Kueue: couldn't assign flavors" in queued(api, other)["message"]
    assert queued(api, one)["status"] == "False"
    assert status(api, other)["phase"] == "Queued"
    operator.until(lambda: queued(api, "missing")["reason"] == "NoQueue", "the queue that is not there")
    assert queued(api, "missing")["message"] == (
        f"there is no LocalQueue nowhere in namespace {NAMESPACE}: make it, or name another queue"
    )
    kfp.finish()
    operator.until(lambda: live(kfp, other), "the other one")
    assert len(kfp.begun()) == 2
    operator.until(lambda: len(workloads(api)) == 1, "the first one's ticket to go")
    # Both know by now how long a run takes.
    kfp.finish()
    operator.until(lambda: not workloads(api), "no ticket to be left")
    assert operator.send(event(2)) == 202
    operator.until(lambda: len(kfp.begun()) == 3, "one run")
    one, other = sorted(("first", "late"), key=lambda name: not live(kfp, name))
    operator.until(lambda: "UTC (an estimate)" in queued(api, other)["message"], "an estimate")
    [intent] = [each for each in status(api, other)["intents"] if each.get("state", "ordered") == "ordered"]
    assert intent["place"] == 1
    assert intent["begins"]
    assert any(each["rule"] == "queue" for each in status(api, other)["decisions"])
    assert all(each.get("state") != "failed" for name in (one, other) for each in status(api, name)["intents"])


def test_the_documented_queues_are_kueues(api: ApiServer) -> None:
    text = (ROOT / "docs/operator.md").read_text()
    given = list(yaml.safe_load_all(text.partition("<<END\n")[2].partition("\nEND\n")[0]))
    assert [each["kind"] for each in given] == ["ResourceFlavor", "ClusterQueue", "LocalQueue"]
    for each in given:
        each["metadata"]["name"] += "-documented"  # those of the tests are there already
    done = api.kubectl("create", "--dry-run=server", "--filename=-", given=given)
    assert done.returncode == 0, done.stderr


def test_a_full_cluster_never_fails_a_run(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    names = [f"t{number}" for number in range(6)]
    api.apply([training(name, queue="runs", triggers=ON_EVENTS) for name in names])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    for done in range(1, len(names) + 1):
        operator.until(lambda done=done: len(kfp.begun()) == done, f"run {done}")  # type: ignore[misc]
        assert len([each for each in kfp.begun() if each["state"] == "RUNNING"]) == 1
        kfp.finish()
    operator.until(lambda: not workloads(api), "no ticket to be left")
    assert {each["state"] for each in kfp.begun()} == {"SUCCEEDED"}
    assert set(kfp.live().values()) == {1}
    order = [each["display_name"].rpartition("-")[0] for each in kfp.begun()]
    assert sorted(order) == names


def test_partitions_of_a_backfill_wait_too(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    spec = {"project": "flights", "parameter": "month", "first": "2013-01", "last": "2013-02", "parallel": 2}
    head = {"name": "past", "namespace": NAMESPACE}
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Backfill",
        "metadata": head,
        "spec": {**spec, "queue": "runs"},
    }
    api.apply([body])
    operator.start()
    operator.ready()
    operator.until(lambda: len(kfp.begun()) == 1, "one run")
    operator.until(lambda: "place 1 of 1" in status(api, "past", "backfill").get("words", ""), "the other's place")
    kfp.finish()
    operator.until(lambda: len(kfp.begun()) == 2, "the other run")
    months = [each["runtime_config"]["parameters"]["month"] for each in kfp.begun()]
    assert months == ["2013-01", "2013-02"]
    kfp.finish()
    operator.until(lambda: status(api, "past", "backfill").get("phase") == "Succeeded", "its end")
    operator.until(lambda: not workloads(api), "no ticket to be left")


def test_what_is_deleted_in_the_queue_leaves_no_ticket(api: ApiServer, kfp: StandIn, make: Make) -> None:
    """Also where nobody worked when it was deleted."""
    operator = make()
    api.apply([workload("somebody", "1")])
    api.apply([training(name, queue="runs", triggers=ON_EVENTS) for name in ("late", "early")])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: len(workloads(api)) == 3, "two tickets")
    operator.until(lambda: {queued(api, name)["status"] for name in ("late", "early")} == {"True"}, "both to wait")
    owner = next(each for each in workloads(api) if "ownerReferences" in each["metadata"])["metadata"][
        "ownerReferences"
    ]
    assert [(each["kind"], each["apiVersion"]) for each in owner] == [("ContinuousTraining", "sluice.dev/v1alpha1")]
    assert api.kubectl("delete", "continuoustraining", "late").returncode == 0
    operator.until(lambda: len(workloads(api)) == 2, "its ticket to go")
    operator.stop()
    assert api.kubectl("delete", "continuoustraining", "early").returncode == 0
    operator.start()
    operator.until(lambda: [w["metadata"]["name"] for w in workloads(api)] == ["somebody"], "the other one's, too")
    assert not kfp.begun()


def test_a_run_whose_quota_is_taken_back_is_ended_and_runs_again(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training("late", queue="runs", triggers=ON_EVENTS)])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: live(kfp, "late"), "a run")
    [first] = live(kfp, "late")
    [ticket] = [each["metadata"]["uid"] for each in workloads(api)]
    api.apply([workload("urgent", "1", priority=100)])
    operator.until(lambda: not live(kfp, "late"), "the run to be ended")
    operator.until(lambda: queued(api, "late")["status"] == "True", "it to wait again")
    found = {each["metadata"]["name"]: each for each in workloads(api)}
    until(lambda: admitted(api, "urgent"), "the urgent one to have the quota")
    assert ticket in [each["metadata"]["uid"] for each in found.values()]  # the place is kept
    assert any(each["rule"] == "evicted" for each in status(api, "late")["decisions"])
    api.kubectl("delete", "workloads.kueue.x-k8s.io", "urgent")
    operator.until(lambda: live(kfp, "late"), "a run again")
    assert live(kfp, "late") != [first]
    kfp.finish()
    operator.until(lambda: status(api, "late")["intents"][-1].get("state") == "succeeded", "its end to be seen")
    operator.until(lambda: not workloads(api), "no ticket to be left")
    assert len(kfp.begun()) == 2
    assert status(api, "late").get("failures", 0) == 0


def admitted(api: ApiServer, name: str) -> bool:
    [found] = [each for each in workloads(api) if each["metadata"]["name"] == name]
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Admitted" and each["status"] == "True" for each in conditions)


@pytest.mark.parametrize("point", ["before-action:2", "after-action:2"])
def test_who_is_killed_between_admission_and_run_begins_one(
    api: ApiServer, kfp: StandIn, make: Make, point: str
) -> None:
    operator = make()
    api.apply([training("late", queue="runs", triggers=ON_EVENTS)])
    operator.start(point)
    operator.until(lambda: operator.send(event(1)) in (202, 0) and killed(operator), "it to be killed")
    [ticket] = workloads(api)
    assert admitted(api, ticket["metadata"]["name"])
    assert len(kfp.begun()) == (point == "after-action:2")
    api.kubectl("delete", "lease", "sluice-operator")  # as if its time was over
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: live(kfp, "late"), "a run")
    kfp.finish()
    operator.until(lambda: status(api, "late")["intents"][-1].get("state") == "succeeded", "its end to be seen")
    operator.until(lambda: not workloads(api), "no ticket to be left")
    assert list(kfp.live().values()) == [1]


def killed(operator: Operator) -> bool:
    return operator.process is not None and operator.process.poll() == -9


@pytest.mark.parametrize("api", ["15s"], indirect=True)
def test_a_run_that_goes_on_keeps_its_quota_where_kueue_waits_for_pods(
    api: ApiServer, kfp: StandIn, make: Make
) -> None:
    """Kueue sees no pod of a run: whoever says nothing loses its quota, as somebody else's workload shows."""
    operator = make()
    api.apply([training("late", queue="runs", triggers=ON_EVENTS)])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: live(kfp, "late"), "the run")
    [ours] = [each["metadata"]["name"] for each in workloads(api)]
    operator.until(lambda: condition(api, ours, "PodsReady")["status"] == "True", "what Kueue is told")
    api.apply([workload("silent", cpu="100m")])
    operator.until(lambda: condition(api, "silent", "Evicted")["reason"] == "PodsReadyTimeout", "the silent one")
    assert condition(api, ours, "Evicted")["status"] != "True"
    assert len(live(kfp, "late")) == len(kfp.begun()) == 1


@pytest.mark.usefixtures("api")
def test_kueue_is_asked_before_anything_of_its_own_is_made(bare: ApiServer) -> None:
    """What the tests above saw, they saw with Kueue's webhooks: one refuses what is wrong."""
    wrong = workload("wrong", cpu="1")
    pods = wrong["spec"]["podSets"][0] | {"count": 2, "minCount": 1}
    wrong["spec"]["podSets"] = [pods | {"name": "one"}, pods | {"name": "two"}]  # at most one may be of any size
    refused = bare.kubectl("create", "--filename=-", given=[wrong])
    assert refused.returncode
    assert "vworkload.kb.io" in refused.stderr, refused.stderr


def condition(api: ApiServer, name: str, kind: str) -> dict[str, Any]:
    """A Workload's condition."""
    found = (each for each in workloads(api) if each["metadata"]["name"] == name)
    told = (each for one in found for each in one.get("status", {}).get("conditions", []) if each["type"] == kind)
    return next(told, {"status": "", "reason": ""})

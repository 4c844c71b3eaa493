"""The operator's process on a real API server, with the rights and policies of the chart: nothing lost, nothing double.

KFP is a stand-in that loses answers, doubles them and goes away (kfp_stand_in); tests/kind/test_operator.py has KFP
itself. SLUICE_OPERATOR_KILLS=20 kills at each failpoint so many times (`make fuzz`).
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.operator.failpoints import POINTS
from tests.charts.api_server import NAMESPACE, ApiServer, running, until
from tests.charts.kfp_stand_in import StandIn
from tests.charts.operator_process import ROOT, Operator, event, operators, project, request, status, training
from tests.charts.rendering import manifests, of_kind

KILLS = int(os.environ.get("SLUICE_OPERATOR_KILLS", "1"))
Make = Callable[..., Operator]
ON_EVENTS = [{"name": "arrived", "event": {"type": "com.example.arrived"}}]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with our definitions and the policy on Requests."""
    with running(tmp_path_factory.mktemp("api")) as server:
        crds = [
            yaml.safe_load(path.read_text()) for path in sorted((ROOT / "manifests/crds").glob("*.sluice.dev.yaml"))
        ]
        server.apply(crds)
        whole = manifests(settings=("operator.enabled=true",))
        policies = of_kind(whole, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        server.apply([each for each in policies if each["metadata"]["name"].endswith("-requests")])
        roles = [each for each in of_kind(whole, "Role") if each["metadata"]["name"].startswith("sluice-")]
        server.apply(
            [each for each in roles if "runner" in each["metadata"]["name"] or "approver" in each["metadata"]["name"]]
        )
        until(lambda: server.kubectl("get", "requests.sluice.dev").returncode == 0, "the definitions")
        server.apply([bound("runner", "alice"), bound("approver", "bob")])
        yield server


def bound(role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}", "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"sluice-{role}"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


@pytest.fixture
def make(api: ApiServer, kfp: StandIn, registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes operators; each test begins with no resource but the Project."""
    home = tmp_path_factory.mktemp("operator")
    (home / "sluice").mkdir()
    shutil.copy(registry, home / "sluice")
    (home / "certs").symlink_to(api.home / "certs")
    api.kubectl("delete", "continuoustrainings,requests,backfills", "--all", "--wait=true")
    api.kubectl("delete", "lease", "sluice-operator")
    api.apply([project()])
    with operators(api, home, kfp.url) as made:
        yield made


def open_intents(api: ApiServer, name: str) -> list[dict[str, Any]]:
    intents = status(api, name).get("intents", [])
    return [each for each in intents if each.get("state", "ordered") in ("ordered", "running")]


def ask(api: ApiServer, body: dict[str, Any], user: str = "alice") -> str:
    """Make an object as a person; what was refused, or nothing."""
    done = api.kubectl("create", "--filename=-", f"--as={user}", given=[body])
    return done.stderr if done.returncode else ""


def test_an_event_that_comes_thrice_begins_one_run(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    operator.start()
    operator.ready()
    api.apply([training("late", triggers=ON_EVENTS)])
    operator.until(lambda: operator.metrics()["sluice_operator_continuoustrainings"] == 1, "the resource to be seen")
    assert [operator.send(event(1)) for _ in range(3)] == [202, 202, 202]
    operator.until(lambda: len(kfp.begun()) == 1, "a run")
    assert operator.send(event(1)) == 202
    assert operator.send({"specversion": "1.0"}) == 400
    assert operator.send(event(2), token="no") == 401
    kfp.finish()
    operator.until(lambda: status(api, "late")["intents"][-1]["state"] == "succeeded", "the end to be seen")
    assert list(kfp.live().values()) == [1]
    assert "failed" not in api.kubectl("get", "events").stdout


@pytest.mark.long  # tests/kind/test_operator.py has it
def test_a_person_asks_and_is_answered(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training("late")])
    operator.start()
    operator.ready()
    assert not ask(api, request("one", "late"))
    operator.until(lambda: len(kfp.begun()) == 1, "a run")
    operator.until(lambda: status(api, "one", "requests.sluice.dev").get("accepted") is True, "the answer")
    said = kfp.begun()[0]["description"]
    assert "alice" in said, said
    assert "must be who makes the request" in ask(api, request("two", "late", by="bob"))
    assert "may not ask for promote" in ask(api, request("three", "late", action="promote", version="1", reason="x"))
    assert "forbidden" in ask(api, request("four", "late", by="eve"), "eve")
    told = request("five", "late", by="bob", action="promote", version="1", reason="x")
    assert not ask(api, told, "bob")
    operator.until(lambda: "no version that Sluice registered" in str(status(api, "late")["decisions"]), "the refusal")
    answer = status(api, "five", "requests.sluice.dev")  # it was bob's to ask, and the registry's to say
    assert (answer["phase"], answer["accepted"]) == ("Refused", False)
    assert "no version that Sluice registered" in answer["words"]


@pytest.mark.parametrize("point", POINTS)
def test_who_is_killed_at_a_failpoint_loses_nothing_and_doubles_nothing(
    api: ApiServer, kfp: StandIn, make: Make, point: str
) -> None:
    operator = make()
    api.apply([training("late", triggers=ON_EVENTS, concurrency=20)])
    for kill in range(KILLS):
        # An event is one action: a second one is not sure to come.
        operator.start(point if "action" in point else f"{point}:{kill % 3 + 1}")
        end = time.monotonic() + 240
        while operator.process and operator.process.poll() is None and time.monotonic() < end:
            operator.send(event(kill))  # its sender sends again until it is taken
            time.sleep(0.1)
        assert operator.ended(10) == -9, operator.log()
    operator.start()
    operator.ready()
    for kill in range(KILLS):
        assert operator.send(event(kill)) == 202
    operator.until(lambda: len(kfp.live()) == KILLS, f"{KILLS} runs")
    kfp.finish()
    operator.until(lambda: not open_intents(api, "late"), "the ends to be seen")
    assert set(kfp.live().values()) == {1}, kfp.live()


def test_kfp_that_loses_doubles_and_is_away(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training("late", triggers=ON_EVENTS, concurrency=20)])
    operator.start()
    operator.ready()
    kfp.double = 1
    assert operator.send(event(1)) == 202
    operator.until(lambda: len(kfp.begun()) == 2, "a doubled run")
    operator.until(lambda: kfp.live() and set(kfp.live().values()) == {1}, "the double to be ended")
    kfp.lose = 1
    assert operator.send(event(2)) == 202
    operator.until(lambda: len(kfp.live()) == 2 and set(kfp.live().values()) == {1}, "the lost answer to be found")
    kfp.away = True
    assert operator.send(event(3)) == 202
    kfp.away = False
    operator.until(lambda: len(kfp.live()) == 3, "the run after KFP came back")
    assert set(kfp.live().values()) == {1}


def test_of_two_operators_one_works(api: ApiServer, kfp: StandIn, make: Make) -> None:
    first, second = make(), make()
    api.apply([training("late", triggers=ON_EVENTS, concurrency=20)])
    first.start()
    first.ready()
    second.start()
    second.until(lambda: second.probe("/healthz") == 200, "the second one to live")
    assert second.send(event(1)) in (0, 503)
    threads = [threading.Thread(target=first.send, args=(event(n),)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    first.kill()
    second.ready()
    for n in range(5):
        assert second.send(event(n)) == 202
    second.until(lambda: len(kfp.live()) >= 1, "runs")
    kfp.finish()
    assert set(kfp.live().values()) == {1}
    first.start()
    first.until(lambda: first.probe("/healthz") == 200, "the first one to live again")
    second.stop()
    first.ready()


def test_nothing_is_left_on_a_resource_that_git_would_see(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training("late", triggers=ON_EVENTS)])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: len(kfp.begun()) == 1, "a run")
    found = yaml.safe_load(api.kubectl("get", "continuoustraining", "late", "--output=yaml").stdout)
    assert "annotations" not in found["metadata"]
    assert "finalizers" not in found["metadata"]
    spec = found["spec"]
    assert spec == training("late", triggers=ON_EVENTS)["spec"] | {
        name: value for name, value in spec.items() if name not in training("late")["spec"]
    }


def test_a_resource_that_is_deleted_has_its_runs_ended(api: ApiServer, kfp: StandIn, make: Make) -> None:
    """Also where nobody worked when it was deleted."""
    operator = make()
    api.apply([training(name, triggers=ON_EVENTS) for name in ("late", "early")])
    operator.start()
    operator.ready()
    assert operator.send(event(1)) == 202
    operator.until(lambda: len(kfp.begun()) == 2, "a run for each")
    kfp.create({"display_name": "a-person-s", "description": "not the operator's"})
    assert api.kubectl("delete", "continuoustraining", "late").returncode == 0
    operator.until(lambda: [each["state"] for each in kfp.begun()].count("CANCELED") == 1, "its run to be ended")
    operator.stop()
    assert api.kubectl("delete", "continuoustraining", "early").returncode == 0
    operator.start()
    operator.until(lambda: [each["state"] for each in kfp.begun()].count("CANCELED") == 2, "the other one, too")
    assert list(kfp.live()) == ["a-person-s"]


def test_a_specification_that_is_wrong_is_told(api: ApiServer, kfp: StandIn, make: Make) -> None:
    operator = make()
    api.apply([training("late", triggers=[{"name": "nightly", "schedule": {"cron": "0 3 31 2 *"}}])])
    operator.start()
    operator.ready()
    operator.until(lambda: status(api, "late").get("conditions"), "a condition")
    ready = next(each for each in status(api, "late")["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NotValid")
    assert "'0 3 31 2 *' is no schedule" in ready["message"]

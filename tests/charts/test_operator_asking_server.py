"""`sluice train`, `approve`, `refuse`, `promote`, `rollback` with `--cluster`, on an API server with the chart's roles.

Two tenants share the server, each with the roles of its own release in its own namespace. The answers, the operator's
part, are written by the tests here; tests/charts/test_operator_process_server.py has the operator itself.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput, SluiceError
from tests.charts.api_server import NAMESPACE, ApiServer, until
from tests.charts.rendering import helm

pytestmark = pytest.mark.xdist_group("api_server")
Json = dict[str, Any]
OTHER = "sluice-other"
ROLES = {NAMESPACE: {"runner": "alice", "approver": "bob", "viewer": "vera"}, OTHER: {"runner": "oscar"}}
"""Who has which role, by namespace; mallory is a user of the cluster with none."""
OPERATOR = f"system:serviceaccount:{NAMESPACE}:sluice-operator"


@pytest.fixture(scope="module")
def api(operator_api: ApiServer) -> Iterator[ApiServer]:
    """Two tenants, each with a model that is kept trained; the policies go in the end: others use the server, too."""
    for namespace, roles in ROLES.items():
        operator_api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
        operator_api.apply(release(namespace), namespace)
        operator_api.apply([bound(namespace, role, user) for role, user in roles.items()], namespace)
        operator_api.apply([training(namespace, f"kept-{namespace}", f"model-of-{namespace}")], namespace)
    forged = request(NAMESPACE, "train", by="nobody")
    until(lambda: "must be who makes" in operator_api.ask("alice", "create", body=forged), "the policy")
    yield operator_api
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        for namespace in ROLES:
            operator_api.kubectl("delete", kind, f"{namespace}-sluice-requests")
    operator_api.kubectl("delete", "continuoustrainings", "--all")
    words = ("create", "--filename=-", "--dry-run=server")
    until(lambda: not operator_api.kubectl(*words, given=[forged]).stderr, "the policy to go")


def release(namespace: str) -> list[Json]:
    """The roles and the policy of a release."""
    done = helm("--namespace", namespace, "--set", "operator.enabled=true")
    assert done.returncode == 0, done.stderr
    whole = [each for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if each]
    kinds = ("Role", "ServiceAccount", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    ours = ("sluice-operator", "sluice-viewer", "sluice-runner", "sluice-approver", f"{namespace}-sluice-requests")
    return [each for each in whole if each["kind"] in kinds and each["metadata"]["name"] in ours]


def bound(namespace: str, role: str, user: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"sluice-{role}"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def ours(kind: str, namespace: str, name: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def training(namespace: str, name: str, model: str) -> Json:
    return ours("ContinuousTraining", namespace, name, {"project": "flights", "model": model})


def request(namespace: str, action: str, by: str = "alice", **spec: str) -> Json:
    return ours("Request", namespace, f"{action}-by-hand", {"action": action, "target": "kept", "by": by, **spec})


def typed(api: ApiServer, user: str, *words: str, patch: pytest.MonkeyPatch) -> str:
    """What `sluice` says to a user on the cluster; a refusal is raised."""
    # The client reads KUBECONFIG when it is imported: once for all of these.
    patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(api.kubeconfig(user)))
    patch.delenv("SLUICE_KFP", raising=False)
    done = CliRunner().invoke(app, [*words, "--cluster"])
    if done.exception and isinstance(done.exception, SluiceError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def answered(api: ApiServer) -> Iterator[list[Json]]:
    """Answers whatever is asked, as an operator would: what was asked, as it was."""
    seen, ended = list[Json](), threading.Event()

    def answer() -> None:
        while not ended.wait(0.2):
            found = json.loads(api.kubectl("get", "requests.sluice.dev", "--output=json").stdout or '{"items": []}')
            for each in found["items"]:
                if "status" not in each and each["metadata"]["name"] not in [s["name"] for s in seen]:
                    seen.append({"name": each["metadata"]["name"], **each["spec"]})
                    status = {"accepted": each["spec"].get("reason") != "no", "words": "as the registry says"}
                    words = ("patch", "requests.sluice.dev", each["metadata"]["name"], "--subresource=status")
                    api.kubectl(*words, "--type=merge", f"--patch={json.dumps({'status': status})}")

    thread = threading.Thread(target=answer)
    thread.start()
    yield seen
    ended.set()
    thread.join(30)


def test_who_asks_is_who_the_api_server_says_and_is_told_the_answer(
    api: ApiServer, answered: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"model-of-{NAMESPACE}"
    said = typed(api, "alice", "train", "-p", "rounds=20", "-p", "note=x", "--target", "kept", patch=monkeypatch)
    assert "as the registry says" in said
    for words in (
        ("approve", f"{model}/3", "--reason", "seen"),
        ("refuse", f"{model}/4"),
        ("promote", f"{model}/5", "--reason", "it was the weather"),
        ("rollback", model, "--reason", "complaints"),
    ):
        assert "as the registry says" in typed(api, "bob", *words, patch=monkeypatch)
    asked = {each["action"]: each for each in answered}
    wanted = {"by": "alice", "target": "kept", "parameters": {"rounds": 20, "note": "x"}}
    assert asked["train"] == asked["train"] | wanted
    assert [asked[each]["version"] for each in ("approve", "refuse", "promote")] == ["3", "4", "5"]
    assert {asked[each]["by"] for each in ("approve", "refuse", "promote", "rollback")} == {"bob"}
    assert {asked[each]["target"] for each in ("approve", "rollback")} == {f"kept-{NAMESPACE}"}
    with pytest.raises(BadInput, match="is refused: as the registry says"):
        typed(api, "bob", "rollback", model, "--reason", "no", patch=monkeypatch)


def test_what_keeps_a_person_from_asking_is_one_line(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"model-of-{NAMESPACE}"

    def told(user: str, *words: str) -> str:
        with pytest.raises(SluiceError) as failure:
            typed(api, user, *words, patch=monkeypatch)
        assert "\n" not in str(failure.value)
        return str(failure.value)

    assert "alice may not ask for approve: the role" in told("alice", "approve", f"{model}/3")
    assert "vera needs the role sluice-runner" in told("vera", "train", "--target", "kept")
    assert "cannot list resource" in told("mallory", "approve", f"{model}/3")
    assert "the role sluice-viewer may list them" in told("mallory", "approve", f"{model}/3")
    assert "no ContinuousTraining keeps other trained" in told("bob", "approve", "other/3")
    assert "names no version" in told("bob", "approve", model)
    api.apply([training(NAMESPACE, "second", "another-model")])
    assert "name one with --target" in told("alice", "train")
    missing = tmp_path / "none"
    monkeypatch.setattr(ApiServer, "kubeconfig", lambda *_: missing)
    assert "no cluster is configured" in told("alice", "train")
    monkeypatch.undo()
    nowhere = api.kubeconfig("alice").read_text().replace(str(api.port), "9")
    missing.write_text(nowhere)
    monkeypatch.setattr(ApiServer, "kubeconfig", lambda *_: missing)
    assert "does not answer" in told("alice", "train")


def test_a_cluster_without_the_definitions_says_what_installs_them(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.operator import asking

    monkeypatch.setattr(asking, "VERSION", "v9")  # which no server has: 404, as where nothing is installed
    with pytest.raises(BadInput, match=r"has no operator: `helm upgrade .*operator.enabled=true` installs it"):
        typed(api, "alice", "train", patch=monkeypatch)


ATTACKS: list[tuple[str, tuple[str, ...], Json | None]] = [
    ("alice", ("get", "continuoustrainings", f"--namespace={OTHER}"), None),
    ("alice", ("get", "requests.sluice.dev", f"--namespace={OTHER}"), None),
    ("alice", ("get", "projects.sluice.dev", "--all-namespaces"), None),
    ("alice", ("get", "secrets", f"--namespace={OTHER}"), None),
    ("alice", ("get", "secrets"), None),
    ("alice", ("create",), request(OTHER, "train")),
    ("bob", ("create",), request(OTHER, "approve", by="bob", version="1")),
    ("bob", ("create",), request(OTHER, "promote", by="bob", version="1", reason="mine")),
    ("alice", ("create",), request(NAMESPACE, "train", by="bob")),
    ("alice", ("create",), request(NAMESPACE, "approve", version="1")),
    ("alice", ("create",), request(NAMESPACE, "rollback")),
    ("vera", ("create",), request(NAMESPACE, "train", by="vera")),
    ("mallory", ("create",), request(NAMESPACE, "train", by="mallory")),
    ("alice", ("create",), ours("Backfill", OTHER, "b", {"project": "flights", "parameter": "m", "partitions": ["1"]})),
    ("alice", ("create",), training(NAMESPACE, "another", "late")),
    ("alice", ("create",), ours("ModelServer", OTHER, "server", {"model": "late"})),
    ("alice", ("patch", "continuoustraining", f"kept-{OTHER}", f"--namespace={OTHER}", "--type=merge",
               '--patch={"spec":{"suspend":true}}'), None),
    ("alice", ("patch", "continuoustraining", f"kept-{NAMESPACE}", "--type=merge",
               '--patch={"spec":{"promotion":{"by":"automatic"}}}'), None),
    ("bob", ("patch", "continuoustraining", f"kept-{NAMESPACE}", "--subresource=status", "--type=merge",
             '--patch={"status":{"champion":"9"}}'), None),
    ("alice", ("delete", "continuoustraining", f"kept-{OTHER}", f"--namespace={OTHER}"), None),
    ("alice", ("create",), bound(NAMESPACE, "approver", "alice")),
    ("bob", ("create",), bound(OTHER, "approver", "bob")),
    (OPERATOR, ("get", "continuoustrainings", f"--namespace={OTHER}"), None),
    (OPERATOR, ("get", "secrets"), None),
    (OPERATOR, ("create",), request(NAMESPACE, "promote", by=OPERATOR, version="1", reason="mine")),
    (OPERATOR, ("patch", "continuoustraining", f"kept-{NAMESPACE}", "--type=merge",
                '--patch={"spec":{"suspend":true}}'), None),
    (OPERATOR, ("create",), bound(NAMESPACE, "approver", "mallory")),
]  # fmt: skip


def test_tenants_cannot_read_or_ask_across_nor_widen_what_they_may(api: ApiServer) -> None:
    """27 attacks, each refused by RBAC or by the policy; and what each one may do is allowed."""
    admitted = []
    for user, (verb, *words), body in ATTACKS:
        if verb == "get":
            done = api.kubectl(verb, *words, f"--as={user}")
            said = done.stderr if done.returncode else ""
        else:
            place = (f"--namespace={body['metadata']['namespace']}",) if body else ()
            said = api.ask(user, verb, *words, *place, body=body)
        if not any(each in said for each in ("forbidden", "Forbidden", "may not ask for", "must be who makes")):
            admitted.append((user, verb, words, body, said))
    assert not admitted
    assert not api.ask("alice", "create", body=request(NAMESPACE, "train"))
    assert not api.ask("bob", "create", body=request(NAMESPACE, "approve", by="bob", version="1"))
    assert not api.ask("oscar", "create", f"--namespace={OTHER}", body=request(OTHER, "train", by="oscar"))
    assert api.kubectl("get", "continuoustrainings", f"--namespace={OTHER}", "--as=oscar").returncode == 0
    assert api.kubectl("get", "continuoustrainings", "--as=vera").returncode == 0

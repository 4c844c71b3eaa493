"""What a site's administrator forbids, on a real API server: a project's code, and more of a node than it gives."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.charts.api_server import ApiServer, running, until
from tests.charts.rendering import Manifest, manifests, of_kind
from tests.charts.test_admission_server import EXECUTOR, LAUNCHER, POLICIES, TORCH, account
from tests.kind.attacks import (
    KNOWN,
    REGISTER_ATTACKS,
    executor_input,
    ingest_pod,
    launch,
    main,
    register_pod,
    step_pod,
)

ROLE = "arn:aws:iam::1:role/steps"
SETTINGS = (
    "images.tag=x",
    "admission.images={ghcr.io/acme/own}",
    "steps.projectCode=false",
    "steps.maxResources.cpu=4",
    "steps.maxResources.memory=8Gi",
    "steps.maxResources.gpu=1",
    "steps.maxResources.disk=20Gi",
    "steps.pod.env[0].name=ACME",
    "steps.pod.env[0].value=yes",
    "steps.pod.volumes[0].name=acme",
    "steps.pod.volumes[0].configMap.name=acme",
    "steps.pod.volumeMounts[0].name=acme",
    "steps.pod.volumeMounts[0].mountPath=/mnt/acme",
)
IDENTITY = (
    "images.tag=x",
    "minio.enabled=false",
    "objectStore.host=s3.eu-central-1.amazonaws.com",
    "objectStore.region=eu-central-1",
    "objectStore.identity=aws",
    "json:steps.pod="
    + json.dumps(
        {
            "labels": {"azure.workload.identity/use": "true"},
            "serviceAccount": {
                "annotations": {
                    "eks.amazonaws.com/role-arn": ROLE,
                    "azure.workload.identity/client-id": "ours",
                    "azure.workload.identity/tenant-id": "home",
                }
            },
        }
    ),
)
ARGO = account("workflow-controller")
CODE = "code/" + "0123456789abcdef" * 4 + ".zip"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with the policies of a strict site, and in the namespace `cloud` those of one with identities."""
    strict, cloud = manifests(settings=SETTINGS), manifests(settings=IDENTITY)
    with running(tmp_path_factory.mktemp("api")) as server:
        server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cloud"}}])
        for namespace, objects in (("sluice", strict), ("cloud", cloud)):
            accounts = list(of_kind(objects, "ServiceAccount"))
            held = [each for each in of_kind(objects, *POLICIES) if "-runs-pods" in each["metadata"]["name"]]
            moved = json.loads(
                json.dumps([*accounts, *held])
                .replace('"namespace": "sluice"', f'"namespace": "{namespace}"')
                .replace('"kubernetes.io/metadata.name": "sluice"', f'"kubernetes.io/metadata.name": "{namespace}"')
                .replace("sluice-sluice-runs-pods", f"{namespace}-sluice-runs-pods")
            )
            words = ("apply", "--server-side", "--force-conflicts", "--filename=-", f"--namespace={namespace}")
            done = server.kubectl(*words, given=[*moved, *rights(namespace)])
            assert done.returncode == 0, done.stderr
        pod = whole(register_pod)
        pod["metadata"]["labels"]["sluice.dev/mysql-client"] = "true"
        until(lambda: "the label" in server.ask(ARGO, "create", body=pod), "the policies to hold")
        until(lambda: "the label" in ask_cloud(server, keyless(pod)), "the policies to hold")
        yield server


def rights(namespace: str) -> list[Manifest]:
    """Argo's controller makes pods."""
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "makers", "namespace": namespace}}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "patch"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "makers"}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": "sluice"} for name in ("workflow-controller",)]
    binding = {**kind, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects}
    return [{**kind, "kind": "Role", "rules": [rule]}, binding]


def ask_cloud(api: ApiServer, pod: Manifest) -> str:
    return api.ask(ARGO, "create", "--namespace=cloud", body=pod)


def whole(make: Callable[..., Manifest], **limits: str) -> Manifest:
    """A step's pod as Argo makes it, with resources."""
    pod = make(TORCH, EXECUTOR, LAUNCHER)
    main(pod)["resources"] = {"limits": {"cpu": "2", "memory": "4Gi"} | limits}
    return pod


def other_step(run: list[str], parameters: dict[str, Any] | None = None) -> Manifest:
    """The pod of a step that is neither guarded nor registers."""
    pod = whole(ingest_pod)
    main(pod)["env"] = [each for each in main(pod)["env"] if not each["name"].startswith("SLUICE_SOURCE_")]
    main(pod)["args"] = list(run)
    if parameters is not None:
        given = executor_input()
        given["inputs"]["parameterValues"] = parameters
        main(pod)["command"] = launch(json.dumps(given, separators=(",", ":")))
    return pod


def test_every_step_of_the_release_passes(api: ApiServer) -> None:
    for run in KNOWN["registers"]:
        pod = whole(register_pod)
        main(pod)["args"] = run
        said = api.ask(ARGO, "create", body=pod)
        assert not said, said
    for run in [*KNOWN["ingests"], *KNOWN["others"]]:
        if run not in KNOWN["registers"]:
            said = api.ask(ARGO, "create", body=other_step(run, {"seed": 7, "code": "", "label": {"code": "string"}}))
            assert not said, (run[-1], said)


def test_a_pod_with_what_the_chart_lays_over_it_passes(api: ApiServer) -> None:
    pod = whole(register_pod)
    main(pod)["env"].append({"name": "ACME", "value": "yes"})
    main(pod)["volumeMounts"].append({"name": "acme", "mountPath": "/mnt/acme"})
    main(pod)["volumeMounts"].append({"name": "sluice-scratch", "mountPath": "/scratch"})
    assert {"name": "TMPDIR", "value": "/scratch"} in main(pod)["env"]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}
    pod["spec"]["volumes"] += [
        {"name": "acme", "configMap": {"name": "acme"}},
        {"name": "sluice-scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
    ]
    said = api.ask(ARGO, "create", body=pod)
    assert not said, said
    larger = {**claim, "resources": {"requests": {"storage": "21Gi"}}}
    changes: tuple[tuple[Callable[[Manifest], None], str], ...] = (
        (lambda pod: pod["spec"]["volumes"][-2].update(configMap={"name": "mine"}), "its volumes"),
        (lambda pod: pod["spec"]["volumes"].__setitem__(-1, {"name": "sluice-scratch", "emptyDir": {}}), "its volumes"),
        (lambda pod: main(pod)["env"].append({"name": "ACME", "value": "no"}), "the variable ACME"),
        (
            lambda pod: pod["spec"]["volumes"][-1].update(ephemeral={"volumeClaimTemplate": {"spec": larger}}),
            "a step may take at most",
        ),
    )
    for change, words in changes:
        attacked = copy.deepcopy(pod)
        change(attacked)
        assert words in api.ask(ARGO, "create", body=attacked), words


SPELLINGS = {
    "plain": ('"code":""', f'"code":"{CODE}"'),
    "with-blanks": ('"code":""', f'"code" : "{CODE}"'),
    "an-escaped-letter-of-the-name": ('"code":""', f'"c\\u006fde":"{CODE}"'),
    "an-escaped-slash": ('"code":""', '"code":"' + CODE.replace("/", "\\/") + '"'),
    "another-store": ('"code":""', f'"code":"sluice+s3://sluice/{CODE}"'),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_project_s_code_is_refused(api: ApiServer, spelling: str) -> None:
    run = next(each for each in KNOWN["others"] if each[-1] == "train")
    pod = other_step(run, {"seed": 7, "code": ""})
    old, new = SPELLINGS[spelling]
    command = main(pod)["command"]
    assert any(old in word for word in command)
    main(pod)["command"] = [word.replace(old, new) for word in command]
    said = api.ask(ARGO, "create", body=pod)
    assert "steps.projectCode is false in the chart's values" in said, said
    assert "a project's code" in said or "its inputs and outputs" in said, said


def test_code_in_the_step_itself_is_refused(api: ApiServer) -> None:
    """A component's text stands in its arguments: whoever forbids code forbids this, too."""
    mine = ["sh", "-ec", "python -c 'import os; print(os.environ)'"]
    said = api.ask(ARGO, "create", body=other_step(mine))
    assert "what it runs is no step of this release" in said, said
    pod = other_step(next(each for each in KNOWN["others"] if each[-1] == "train"))
    main(pod)["image"] = "sluice/python-torch:another"
    assert "steps.projectCode is false" in api.ask(ARGO, "create", body=pod)
    own = step_pod("ghcr.io/acme/own:1", EXECUTOR)
    main(own)["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert not api.ask(ARGO, "create", body=own), "images that the site lists run what they like"


PATHS = ("a-program-before-the-launcher", "code-of-a-home", "a-hook")


@pytest.mark.parametrize("attack", PATHS)
def test_no_other_way_leads_around_it(api: ApiServer, attack: str) -> None:
    pod = other_step(next(each for each in KNOWN["others"] if each[-1] == "train"))
    change, words = REGISTER_ATTACKS[attack]
    change(pod)
    said = api.ask(ARGO, "create", body=pod)
    assert "steps.projectCode is false" in said, said
    assert words in said


@pytest.mark.parametrize(
    "limits", [{"cpu": "4001m"}, {"memory": "8193Mi"}, {"memory": "9G"}, {"nvidia.com/gpu": "2"}, {"amd.com/gpu": "2"}]
)
def test_more_than_the_site_gives_is_refused(api: ApiServer, limits: dict[str, str]) -> None:
    said = api.ask(ARGO, "create", body=whole(register_pod, **limits))
    assert "a step may take at most cpu 4, disk 20Gi, gpu 1, memory 8Gi (steps.maxResources" in said, said
    exactly = {"cpu": "4000m", "memory": "8589934592", "nvidia.com/gpu": "1"}
    assert not api.ask(ARGO, "create", body=whole(register_pod, **exactly))
    boundless = whole(register_pod)
    del main(boundless)["resources"]["limits"]["memory"]
    assert "a step may take at most" in api.ask(ARGO, "create", body=boundless)


WEBHOOKS = {
    # What each puts into every container: the volume, its place, its token's audience, the variables.
    "aws": (
        "aws-iam-token",
        "/var/run/secrets/eks.amazonaws.com/serviceaccount",
        "sts.amazonaws.com",
        {
            "AWS_ROLE_ARN": ROLE,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
        },
    ),
    "azure": (
        "azure-identity-token",
        "/var/run/secrets/azure/tokens",
        "api://AzureADTokenExchange",
        {
            "AZURE_CLIENT_ID": "ours",
            "AZURE_TENANT_ID": "home",
            "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
        },
    ),
}


def with_identity(pod: Manifest, cloud: str) -> Manifest:
    """With what a cloud's webhook puts into every container."""
    volume, place, audience, variables = WEBHOOKS[cloud]
    for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        each.setdefault("env", []).extend({"name": name, "value": value} for name, value in variables.items())
        each.setdefault("volumeMounts", []).append({"name": volume, "mountPath": place, "readOnly": True})
    token = {"audience": audience, "expirationSeconds": 86400, "path": "token"}
    pod["spec"]["volumes"].append({"name": volume, "projected": {"sources": [{"serviceAccountToken": token}]}})
    return pod


def keyless(pod: Manifest) -> Manifest:
    """Without the keys of Argo's log store, which an identity does not need."""
    text = json.loads(json.dumps(pod))
    for each in (*text["spec"]["containers"], *text["spec"]["initContainers"]):
        each["volumeMounts"] = [m for m in each.get("volumeMounts", []) if m["name"] != "object-store-runs"]
    text["spec"]["volumes"] = [v for v in text["spec"]["volumes"] if v["name"] != "object-store-runs"]
    return dict(text)


@pytest.mark.parametrize("cloud", WEBHOOKS)
def test_a_register_step_with_an_identity_passes_and_with_another_does_not(api: ApiServer, cloud: str) -> None:
    pod = with_identity(keyless(register_pod(TORCH, EXECUTOR, LAUNCHER)), cloud)
    said = ask_cloud(api, pod)
    assert not said, said
    other = copy.deepcopy(pod)
    for each in main(other)["env"]:
        if each["name"] in ("AWS_ROLE_ARN", "AZURE_CLIENT_ID"):
            each["value"] = "mine"
    who = next(iter(WEBHOOKS[cloud][3]))
    assert f"the variable {who}" in ask_cloud(api, other)
    planted = copy.deepcopy(pod)
    planted["spec"]["volumes"][-1]["projected"]["sources"].append({"configMap": {"name": "mine"}})
    assert "its volumes" in ask_cloud(api, planted)

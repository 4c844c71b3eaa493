"""Runs in a namespace apart (runs.namespace): what moves there, what stays, what each side reaches of the other."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import (
    CASES,
    NAMESPACE,
    Manifest,
    containers,
    flags,
    helm,
    manifests,
    of_kind,
    pods,
    program,
)
from tests.charts.rendering import text as rendered_text
from tests.charts.test_manifests import CLUSTER, LAYOUT
from tests.charts.test_network import covers, policies
from tests.charts.test_rbac import rules
from tests.charts.test_secrets import secret_values

RUNS = "sluice-runs"
APART = (f"runs.namespace={RUNS}",)
# With MLflow's plugin and KFP's pages; and as on kind, with drivers in agents.
WAYS = {"default": (), "hermetic": CASES["hermetic"]}
ACCOUNTS = {"pipeline-runner", "pipeline-trainer", "pipeline-executor", "kfp-driver-executor-plugin", "training-worker"}
PLATFORM = {"ml-pipeline", "ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow", "workflow-controller"}
PLATFORM |= {"sluice-setup", "run-gateway"}
RANDOM = {("ConfigMap", "sluice-ca")}


@pytest.fixture(params=WAYS)
def apart(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """The chart's objects with runs in a namespace of their own."""
    return manifests(WAYS[request.param] or ("values.yaml",), APART)


def place(item: Manifest) -> str:
    return str(item["metadata"].get("namespace", ""))


def names(objects: tuple[Manifest, ...], kind: str, namespace: str) -> set[str]:
    return {item["metadata"]["name"] for item in of_kind(objects, kind) if place(item) == namespace}


def one(objects: tuple[Manifest, ...], kind: str, name: str, namespace: str) -> Manifest:
    return next(i for i in of_kind(objects, kind) if i["metadata"]["name"] == name and place(i) == namespace)


def keys(objects: tuple[Manifest, ...]) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in objects}


def has_plugin(objects: tuple[Manifest, ...]) -> bool:
    """Whether KFP's API server tells MLflow of runs: then the gateway looks where that one is."""
    return bool(
        json.loads(one(objects, "ConfigMap", "ml-pipeline-config", NAMESPACE)["data"]["config.json"]).get("plugins")
    )


def without_keys(objects: tuple[Manifest, ...]) -> list[str]:
    """The objects without what is made at random: Secrets, certificates, and what is computed of them."""
    kept = [i for i in objects if "Webhook" not in i["kind"] and (i["kind"], i["metadata"]["name"]) not in RANDOM]
    lines = json.dumps([i for i in kept if i["kind"] != "Secret"], sort_keys=True, indent=1).splitlines()
    return [line for line in lines if "checksum/" not in line]


@pytest.mark.parametrize("name", CASES)
def test_without_the_value_nothing_is_apart(name: str) -> None:
    whole = manifests(CASES[name])
    assert {place(item) for item in whole} == {"", NAMESPACE}
    assert not list(of_kind(whole, "Namespace"))
    assert "SLUICE_RUNS_NAMESPACE" not in one(whole, "ConfigMap", "sluice-steps", NAMESPACE)["data"]
    again = manifests(CASES[name], ("runs.createNamespace=false",))
    assert without_keys(again) == without_keys(whole)


def test_a_release_of_before_stays_as_it_is_with_the_values_that_it_has() -> None:
    """`helm upgrade --reuse-values` takes the old chart's values, which have no such section."""
    assert without_keys(manifests(settings=("runs=null",))) == without_keys(manifests())


@pytest.mark.parametrize("way", WAYS)
def test_every_object_of_the_chart_is_there_still_and_these_are_new(way: str) -> None:
    files = WAYS[way] or ("values.yaml",)
    whole, plain = manifests(files, APART), manifests(files)
    plugin = {(kind, "run-gateway-plugin") for kind in ("Role", "RoleBinding")} if has_plugin(plain) else set()
    assert keys(whole) - keys(plain) == plugin | {
        ("Namespace", RUNS),
        ("Role", "ml-pipeline-earlier"),
        ("RoleBinding", "ml-pipeline-earlier"),
    }
    assert keys(plain) <= keys(whole)
    twice = {
        key for key in keys(whole) if len({place(i) for i in whole if (i["kind"], i["metadata"]["name"]) == key}) > 1
    }
    assert twice == {
        ("ConfigMap", "sluice-steps"),
        ("Secret", "sluice-steps"),
        ("Secret", "sluice-register"),
        ("Secret", "object-store-runs"),
        ("Service", "run-gateway"),
        ("Service", "metadata-grpc-service"),
        ("ConfigMap", "sluice-ca"),
        ("Secret", "sluice-ca"),
        ("Role", "workflow-controller"),
        ("RoleBinding", "workflow-controller"),
        ("NetworkPolicy", "default-deny"),
        ("NetworkPolicy", "dns"),
    }


def test_no_secret_of_the_platform_stands_with_the_runs(apart: tuple[Manifest, ...]) -> None:
    found = names(apart, "Secret", RUNS)
    tokens = {name for name in found if name.endswith(".service-account-token")}
    assert {name.partition(".")[0] for name in tokens} <= ACCOUNTS
    assert found - tokens - {"kfp-mlflow-credentials", "sluice-ca"} == {
        "sluice-steps",
        "sluice-register",
        "object-store-runs",
    }
    if "kfp-mlflow-credentials" in found:
        assert set(one(apart, "Secret", "kfp-mlflow-credentials", RUNS)["data"]) == {"username", "password"}
    assert not names(apart, "Secret", NAMESPACE) & tokens
    theirs = {v for i in of_kind(apart, "Secret") if place(i) == RUNS for v in (i.get("data") or {}).values()}
    for root in ("mlpipeline-minio-artifact", "mysql-credentials", "mysql-root-credentials", "object-store-mlflow"):
        assert not theirs & set(one(apart, "Secret", root, NAMESPACE)["data"].values()), root
    assert one(apart, "Secret", "mlflow-credentials", NAMESPACE)["data"]["admin-password"] not in theirs


def test_what_stands_twice_is_the_same(apart: tuple[Manifest, ...]) -> None:
    for kind, name in (("Secret", "sluice-steps"), ("Secret", "sluice-register"), ("Secret", "object-store-runs")):
        assert one(apart, kind, name, RUNS)["data"] == one(apart, kind, name, NAMESPACE)["data"], name
    config = one(apart, "ConfigMap", "sluice-steps", RUNS)["data"]
    assert config == one(apart, "ConfigMap", "sluice-steps", NAMESPACE)["data"]
    assert config["SLUICE_RUNS_NAMESPACE"] == RUNS, "where `sluice` commands and the setup Job look"


def test_no_secret_stands_outside_of_secrets(apart: tuple[Manifest, ...]) -> None:
    secrets = {value for value in secret_values(apart) if len(value) > 7}
    others = json.dumps([item for item in apart if item["kind"] != "Secret"])
    assert not [value for value in secrets if value in others]


def test_the_namespace_takes_restricted_pods_alone(apart: tuple[Manifest, ...]) -> None:
    (space,) = of_kind(apart, "Namespace")
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    assert modes.items() <= space["metadata"]["labels"].items()
    own = manifests(settings=(*APART, "runs.createNamespace=false"))
    assert not list(of_kind(own, "Namespace"))
    for item in of_kind(apart, "Deployment", "StatefulSet", "Job", "PersistentVolumeClaim"):
        assert place(item) == NAMESPACE, "no program of the platform runs beside the runs"


def test_every_object_has_a_place(apart: tuple[Manifest, ...]) -> None:
    seen = set()
    for item in apart:
        key = (item["kind"], item["metadata"]["name"], place(item))
        assert key not in seen, key
        seen.add(key)
        if item["kind"] != "Namespace":
            assert bool(place(item)) is (item["kind"] not in CLUSTER), key


def named_in(value: Any, *path: str) -> Iterator[str]:
    """Every string at the end of a path of keys, wherever the path begins."""
    if isinstance(value, list):
        for each in value:
            yield from named_in(each, *path)
    elif isinstance(value, dict):
        found: Any = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str):
            yield found
        for each in value.values():
            yield from named_in(each, *path)


def test_what_the_platform_s_pods_name_is_beside_them(apart: tuple[Manifest, ...]) -> None:
    """Secrets, ConfigMaps and ServiceAccounts: a pod finds them in its own namespace alone."""
    for name, template in pods(apart):
        secrets = {*named_in(template, "secretKeyRef", "name"), *named_in(template, "secret", "secretName")}
        secrets |= set(named_in(template, "secret", "name"))
        assert secrets <= names(apart, "Secret", NAMESPACE), name
        config = {*named_in(template, "configMapKeyRef", "name"), *named_in(template, "configMapRef", "name")}
        config |= {
            volume["configMap"]["name"] for volume in template["spec"].get("volumes", []) if "configMap" in volume
        }
        assert config <= names(apart, "ConfigMap", NAMESPACE), name
        assert template["spec"]["serviceAccountName"] in names(apart, "ServiceAccount", NAMESPACE), name


def test_what_pods_of_runs_name_is_beside_them(apart: tuple[Manifest, ...]) -> None:
    secrets, config = names(apart, "Secret", RUNS), names(apart, "ConfigMap", RUNS)
    assert names(apart, "ServiceAccount", RUNS) == ACCOUNTS
    argo = json.dumps(one(apart, "ConfigMap", "workflow-controller-configmap", NAMESPACE)["data"])
    launcher = one(apart, "ConfigMap", "kfp-launcher", RUNS)["data"]["providers"]
    for text in (argo, launcher):
        assert "object-store-runs" in text
    assert {"kfp-launcher", "metadata-grpc-configmap", "sluice-steps", "training-runtimes"} <= config
    assert "pipeline-executor.service-account-token" in secrets
    agents = names(apart, "ConfigMap", NAMESPACE) & {"kfp-driver-executor-plugin"}
    assert not agents, "Argo looks for it beside the workflow"
    if "kfp-driver-executor-plugin" in config:
        assert {
            f"{name}.service-account-token" for name in ("pipeline-runner", "kfp-driver-executor-plugin")
        } <= secrets


def laid_over(objects: tuple[Manifest, ...]) -> Iterator[Any]:
    """What Argo, KFP and Trainer make pods of runs from, as YAML within ConfigMaps."""
    argo = one(objects, "ConfigMap", "workflow-controller-configmap", NAMESPACE)["data"]
    yield from (yaml.safe_load(argo[key]) for key in ("artifactRepository", "executor", "mainContainer"))
    yield yaml.safe_load(yaml.safe_load(argo["workflowDefaults"])["spec"]["podSpecPatch"])
    yield yaml.safe_load(one(objects, "ConfigMap", "kfp-launcher", RUNS)["data"]["providers"])
    yield from map(yaml.safe_load, one(objects, "ConfigMap", "training-runtimes", RUNS)["data"].values())
    for item in of_kind(objects, "ConfigMap"):
        if item["metadata"]["name"] == "kfp-driver-executor-plugin":
            yield yaml.safe_load(item["data"]["sidecar.container"])


def test_whatever_their_pods_are_told_to_mount_is_beside_them(apart: tuple[Manifest, ...]) -> None:
    """An authority's certificates, too."""
    secrets, config = set(), set()
    for part in laid_over(apart):
        config |= {*named_in(part, "configMap", "name"), *named_in(part, "configMapKeyRef", "name")}
        secrets |= {*named_in(part, "secretKeyRef", "name"), *named_in(part, "secret", "secretName")}
        secrets |= {*named_in(part, "secretRef", "secretName")}
        secrets |= {
            name for key in ("accessKeySecret", "secretKeySecret", "caSecret") for name in named_in(part, key, "name")
        }
    assert "object-store-runs" in secrets, "or nothing was found"
    assert secrets <= names(apart, "Secret", RUNS) | {"kfp-mlflow-credentials"}
    assert config <= names(apart, "ConfigMap", RUNS)


def test_kfp_and_argo_look_where_runs_live(apart: tuple[Manifest, ...]) -> None:
    templates = dict(pods(apart))

    def told(name: str) -> str:
        return json.dumps([{k: c.get(k) for k in ("args", "env")} for c in containers(templates[f"Deployment {name}"])])

    assert f'"--managed-namespace={RUNS}"' in told("workflow-controller")
    for name in ("ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow"):
        assert f'"--namespace={RUNS}"' in told(name)
    assert json.dumps({"name": "POD_NAMESPACE", "value": RUNS}) in told("ml-pipeline")
    if "Deployment ml-pipeline-ui" in templates:
        assert json.dumps({"name": "FRONTEND_SERVER_NAMESPACE", "value": RUNS}) in told("ml-pipeline-ui")


def test_drivers_and_launchers_are_told_where_kfp_and_mlmd_are(apart: tuple[Manifest, ...]) -> None:
    """Kubernetes tells a pod of the Services of its own namespace alone."""
    argo = one(apart, "ConfigMap", "workflow-controller-configmap", NAMESPACE)["data"]["mainContainer"]
    texts = [argo]
    if "kfp-driver-executor-plugin" in names(apart, "ConfigMap", RUNS):
        texts.append(one(apart, "ConfigMap", "kfp-driver-executor-plugin", RUNS)["data"]["sidecar.container"])
    for text in texts:
        assert "{name: ML_PIPELINE_SERVICE_HOST, value: run-gateway.sluice.svc.cluster.local}" in text
        assert (
            "{name: METADATA_GRPC_SERVICE_SERVICE_HOST, value: metadata-grpc-service.sluice.svc.cluster.local}" in text
        )
    for name in ("run-gateway", "metadata-grpc-service"):
        spec = one(apart, "Service", name, RUNS)["spec"]
        assert (spec["type"], spec["externalName"]) == ("ExternalName", f"{name}.sluice.svc.cluster.local")
        assert {p["port"] for p in spec["ports"]} <= {
            p["port"] for p in one(apart, "Service", name, NAMESPACE)["spec"]["ports"]
        }


def rights(objects: tuple[Manifest, ...], account: str, home: str, there: str) -> set[tuple[str, str, str]]:
    """What an account of namespace `home` may do in namespace `there`: resource, verb, the names it is bound to."""
    found = set()
    for binding in of_kind(objects, "RoleBinding"):
        subjects = {(subject["name"], subject["namespace"]) for subject in binding["subjects"]}
        if place(binding) != there or (account, home) not in subjects:
            continue
        for rule in one(objects, "Role", binding["roleRef"]["name"], there)["rules"]:
            bound = ",".join(rule.get("resourceNames", []))
            found |= {(resource, verb, bound) for resource in rule["resources"] for verb in rule["verbs"]}
    return found


@pytest.mark.parametrize("way", WAYS)
def test_each_account_may_do_where_runs_live_what_it_may_without_the_value_and_nothing_more(way: str) -> None:
    files = WAYS[way] or ("values.yaml",)
    whole, plain = manifests(files, APART), manifests(files)
    for account in ACCOUNTS:
        assert rights(whole, account, RUNS, RUNS) == rights(plain, account, NAMESPACE, NAMESPACE), account
        assert not rights(whole, account, RUNS, NAMESPACE), account
    left: dict[str, set[tuple[str, str, str]]] = {
        "ml-pipeline": {("scheduledworkflows", verb, "") for verb in ("get", "patch", "delete")},
        "workflow-controller": {("configmaps", "get", "workflow-controller-configmap")},
        "run-gateway": {("pods", "list", "")} if has_plugin(plain) else set(),
    }
    for account in PLATFORM & names(plain, "ServiceAccount", NAMESPACE):
        assert rights(whole, account, NAMESPACE, RUNS) == rights(plain, account, NAMESPACE, NAMESPACE), account
        assert rights(whole, account, NAMESPACE, NAMESPACE) == left.get(account, set()), account
    for name, rule in rules(whole):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], name


def test_bindings_lead_to_roles_and_accounts_that_are_there(apart: tuple[Manifest, ...]) -> None:
    for item in of_kind(apart, "RoleBinding"):
        assert item["roleRef"]["name"] in names(apart, "Role", place(item)), item["metadata"]
        for subject in item["subjects"]:
            assert subject["name"] in names(apart, "ServiceAccount", subject["namespace"]), item["metadata"]


def test_the_admission_policies_hold_the_namespace_of_runs(apart: tuple[Manifest, ...]) -> None:
    found = [
        item
        for item in of_kind(apart, "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
        if item["metadata"]["labels"]["app.kubernetes.io/component"] != "operator"  # Requests stand with the release
    ]
    assert len(found) >= 4
    for item in found:
        chosen = item["spec"]["matchConstraints"]["namespaceSelector"]
        assert chosen == {"matchLabels": {"kubernetes.io/metadata.name": RUNS}}, item["metadata"]["name"]
        assert "system:serviceaccount:sluice-runs:workflow-controller" not in json.dumps(item), "it is the platform's"


STEP = {"pipelines.kubeflow.org/v2_component": "true"}
WORKER = {"sluice.dev/training-worker": "true"}
Pod = tuple[str, dict[str, str]]


def labelled(objects: tuple[Manifest, ...], name: str) -> Pod:
    """Namespace and labels of a pod by the name of its workload; `step`, and `step@namespace` for one of elsewhere."""
    kind, _, namespace = name.partition("@")
    if kind in ("step", "worker"):
        return namespace or RUNS, STEP if kind == "step" else WORKER
    return NAMESPACE, next(t["metadata"]["labels"] for full, t in pods(objects) if full.split()[1] == name)


def reaches(objects: tuple[Manifest, ...], client: Pod, server: Pod, port: int) -> bool:
    """Whether the policies of both ends' namespaces let a call pass; a namespace without any lets out what it likes."""

    def meant(peer: Manifest, policy: Manifest, other: Pod) -> bool:
        if "podSelector" not in peer and "namespaceSelector" not in peer:
            return False
        selector = peer.get("namespaceSelector", {}).get("matchLabels", {"kubernetes.io/metadata.name": place(policy)})
        chosen = peer.get("podSelector", {}).get("matchLabels", {})
        return selector == {"kubernetes.io/metadata.name": other[0]} and chosen.items() <= other[1].items()

    def side(direction: str, own: Pod, other: Pod, key: str) -> bool:
        there = [policy for policy in policies(objects, own[1], direction) if place(policy) == own[0]]
        rules_ = [(policy, rule) for policy in there for rule in policy["spec"].get(direction.lower()) or []]
        return not there or any(
            covers(rule, port) and (key not in rule or any(meant(peer, policy, other) for peer in rule[key]))
            for policy, rule in rules_
        )

    return side("Egress", client, server, "to") and side("Ingress", server, client, "from")


ARROWS = {
    ("step", "run-gateway", 8887): True,
    ("step", "run-gateway", 9000): True,
    ("step", "metadata-grpc", 8080): True,
    ("step", "run-gateway", 5000): True,
    ("run-gateway", "mlflow", 5000): True,
    ("ml-pipeline", "run-gateway", 5000): True,
    ("worker", "run-gateway", 9000): True,
    ("run-gateway", "minio", 9000): True,
    ("worker", "worker", 29500): True,
    ("ml-pipeline", "minio", 9000): True,
    ("mlflow", "minio", 9000): True,
    ("mlflow", "postgresql", 5432): True,
    ("sluice-setup", "ml-pipeline", 8888): True,
    ("ml-pipeline-persistenceagent", "ml-pipeline", 8887): True,
    # What must stay shut.
    ("step", "ml-pipeline", 8888): False,
    ("step", "ml-pipeline", 8887): False,
    ("step", "minio", 9000): False,
    ("step", "mysql", 3306): False,
    ("step", "postgresql", 5432): False,
    ("step", "step", 8080): False,
    ("worker", "mlflow", 5000): False,
    ("step", "mlflow", 5000): False,
    ("step@elsewhere", "run-gateway", 5000): False,
    ("worker", "worker@elsewhere", 29500): False,
    ("worker@elsewhere", "worker", 29500): False,
    # A label alone opens nothing: not in the platform's namespace, nor in one of somebody else's.
    ("step@sluice", "run-gateway", 9000): False,
    ("step@sluice", "run-gateway", 8887): False,
    ("step@elsewhere", "run-gateway", 9000): False,
    ("step@elsewhere", "mlflow", 5000): False,
    ("step@elsewhere", "metadata-grpc", 8080): False,
    ("worker@elsewhere", "run-gateway", 9000): False,
    ("step", "run-gateway@elsewhere", 9000): False,
}


@pytest.mark.parametrize(("arrow", "open_"), ARROWS.items(), ids=str)
def test_arrows_lead_from_one_namespace_to_the_other(arrow: tuple[str, str, int], open_: bool) -> None:
    objects = manifests(settings=APART)
    client, server, port = arrow
    kind, _, namespace = server.partition("@")
    end = labelled(objects, server if kind in ("step", "worker") else kind)
    assert reaches(objects, labelled(objects, client), (namespace or end[0], end[1]), port) is open_


def test_every_object_fits_its_schema(apart: tuple[Manifest, ...], schemas: list[Path], tmp_path: Path) -> None:
    for way, files in WAYS.items():
        (tmp_path / f"{way}.yaml").write_text(rendered_text(files or ("values.yaml",), (*APART, "crds.enabled=false")))
    places = [word for folder in schemas for word in ("-schema-location", f"{folder}/{LAYOUT}")]
    command = [program("kubeconform"), "-strict", "-output", "json", *places, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


S3 = ("minio.enabled=false", "objectStore.host=s3.example.org", "objectStore.existingSecret=keys")
REFUSED = {
    "its-own": ((f"runs.namespace={NAMESPACE}",), "runs.namespace is the release's own namespace"),
    "no-kfp": (
        (
            *APART,
            "kfp.enabled=false",
            "mysql.enabled=false",
            "argo.enabled=false",
            "kfp.externalUrl=http://ml-pipeline.kubeflow:8888",
        ),
        "runs.namespace without kfp.enabled",
    ),
    "one-account-for-all": (
        (*APART, *S3, "objectStore.accounts.steps=steps"),
        "(objectStore.accounts.runs, objectStore.accounts.register)",
    ),
    "keys-of-kfp-s-launcher": ((*APART, *S3, "steps.createSecret=false"), "(objectStore.accounts.runs)"),
    "no-name": (("runs.namespace=Runs",), "runs.namespace|/runs/namespace"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(case: str) -> None:
    settings, said = REFUSED[case]
    done = helm(*flags((), settings))
    assert done.returncode != 0
    assert any(words in done.stderr for words in said.split("|")), done.stderr


def test_secrets_of_your_own_are_left_to_you() -> None:
    """With accounts by name the chart makes none of them, in neither namespace."""
    parts = ("kfp", "runs", "mlflow")
    own = [f"objectStore.accounts.{part}=own-{part}" for part in parts]
    objects = manifests(settings=(*APART, *S3, *own, "steps.createSecret=false"))
    found = names(objects, "Secret", RUNS) - {"kfp-mlflow-credentials", "sluice-ca"}
    assert found == {"pipeline-executor.service-account-token"}

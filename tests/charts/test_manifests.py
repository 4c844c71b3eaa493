"""Rendered manifests are what Kubernetes takes, and what checkers of others find well made."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.charts.rendering import CASES, NAMESPACE, SETTINGS, Manifest, flags, manifests, named, of_kind, program, text

LAYOUT = "{{.ResourceKind}}{{.KindSuffix}}.json"
# Kinds that belong to the cluster, and so have no namespace.
CLUSTER = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration"}
CLUSTER |= {"ValidatingWebhookConfiguration"}
CLUSTER |= {f"{kind}AdmissionPolicy{end}" for kind in ("Mutating", "Validating") for end in ("", "Binding")}
# Checks of kube-score that are not ours, each with its reason.
IGNORED = {
    "container-image-pull-policy": "images are pinned; IfNotPresent is what air-gapped nodes need",
    "networkpolicy-targets-pod": "steps and training workers come and go",
    "container-security-context-user-group-id": "999 is the databases' own user in their images",
}


def files_and_settings(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (CASES[name], ()) if name in CASES else (("values.yaml",), SETTINGS[name])


def test_every_object_fits_its_schema(schemas: list[Path], tmp_path: Path) -> None:
    """All ways of rendering in one run: reading the schemas takes longer than checking with them."""
    for name in (*CASES, *SETTINGS):
        files, settings = files_and_settings(name)
        whole = text(files, (*settings, f"crds.enabled={json.dumps(name == 'default')}"))
        (tmp_path / f"{name}.yaml").write_text(whole)
    places = [word for folder in schemas for word in ("-schema-location", f"{folder}/{LAYOUT}")]
    command = [program("kubeconform"), "-strict", "-summary", "-output", "json", *places, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    answer = json.loads(done.stdout)
    wrong = [f"{Path(i['filename']).stem}: {i['kind']} {i['name']}: {i['msg']}" for i in answer["resources"]]
    assert done.returncode == 0, "\n".join(wrong)
    assert answer["summary"]["valid"] > 50 * len(CASES)


def test_a_slip_in_a_manifest_is_found(schemas: list[Path]) -> None:
    places = ["-schema-location", f"{schemas[0]}/{LAYOUT}"]
    slip = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {port: [{port: 80}]}\n"
    done = subprocess.run(
        [program("kubeconform"), "-strict", *places], check=False, capture_output=True, text=True, input=slip
    )
    assert done.returncode == 1
    assert "'port' not allowed" in done.stdout


@pytest.mark.parametrize("name", CASES)
def test_kube_score_finds_nothing_critical(name: str) -> None:
    ignored = [word for check in IGNORED for word in ("--ignore-test", check)]
    command = [program("kube-score"), "score", "--output-format", "json", *ignored, "-"]
    whole = text(CASES[name], ("crds.enabled=false",))
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=whole, timeout=120)
    found = [
        f"{item['object_name']}: {check['check']['name']}: {[c['summary'] for c in check['comments']]}"
        for item in json.loads(done.stdout)
        for check in item["checks"]
        if check["grade"] == 1 and not check["skipped"]
    ]
    assert not found, "\n".join(found)


def test_objects_are_named_once_in_the_release_s_namespace(rendered: tuple[Manifest, ...]) -> None:
    seen = set()
    for item in rendered:
        key = (item["kind"], item["metadata"]["name"])
        assert key not in seen, key
        seen.add(key)
        assert item["metadata"].get("namespace") == (None if item["kind"] in CLUSTER else NAMESPACE), key


def test_labels_say_what_an_object_is_part_of(rendered: tuple[Manifest, ...]) -> None:
    for item in rendered:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "sluice", item["metadata"]["name"]
        assert labels["app.kubernetes.io/instance"] == "sluice"


def test_selectors_keep_to_labels_that_never_change(rendered: tuple[Manifest, ...]) -> None:
    """Kubernetes refuses to change a Deployment's selector: a version in it would break the next upgrade."""
    for item in of_kind(rendered, "Deployment", "StatefulSet"):
        chosen = item["spec"]["selector"]["matchLabels"]
        assert set(chosen) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}, item["metadata"]["name"]
        assert chosen.items() <= item["spec"]["template"]["metadata"]["labels"].items()
    for item in of_kind(rendered, "Service"):
        assert set(item["spec"]["selector"]) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


def test_every_service_finds_pods_that_listen(rendered: tuple[Manifest, ...]) -> None:
    deployments = list(of_kind(rendered, "Deployment", "StatefulSet"))
    for service in of_kind(rendered, "Service"):
        chosen = service["spec"]["selector"].items()
        found = [d for d in deployments if chosen <= d["spec"]["template"]["metadata"]["labels"].items()]
        assert len(found) == 1, service["metadata"]["name"]
        ports = [p for c in found[0]["spec"]["template"]["spec"]["containers"] for p in c.get("ports", [])]
        known = {p["name"] for p in ports} | {p["containerPort"] for p in ports}
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in known, (service["metadata"]["name"], port)


def test_what_is_replicated_survives_a_drained_node() -> None:
    objects = manifests(settings=SETTINGS["replicas"])
    for name in ("ml-pipeline", "ml-pipeline-ui"):
        assert named(objects, "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1
        assert named(objects, "Deployment", name)["spec"]["replicas"] > 1
    once = {item["metadata"]["name"] for item in of_kind(manifests(), "PodDisruptionBudget")}
    assert not once & {"ml-pipeline", "ml-pipeline-ui"}, "a budget for a single pod only blocks the drain"


def test_custom_resources_are_kept_or_left_out_as_asked() -> None:
    kept = list(of_kind(manifests(crds=True), "CustomResourceDefinition"))
    assert {item["spec"]["names"]["kind"] for item in kept} >= {"Workflow", "ScheduledWorkflow", "TrainJob", "JobSet"}
    assert all(item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for item in kept)
    going = text(settings=("crds.enabled=true", "crds.keep=false", "persistence.keep=false"))
    assert going.count("kind: CustomResourceDefinition") == len(kept)
    assert "resource-policy" not in going
    assert not list(of_kind(manifests(), "CustomResourceDefinition"))


def test_flags_name_the_files() -> None:
    assert flags(("values.yaml",), ("a=b",)) == ["--set", "a=b"]

"""The policies that hold runs' pods: one namespace, closed where they fail, and with all that the chart's parts use."""

import json
import re
from itertools import chain
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.cluster import guarded_steps
from tests.charts.rendering import CASES, CHART, ROOT, SETTINGS, Manifest, case, flags, helm, manifests, named, of_kind

KIND = "ValidatingAdmissionPolicy"
WITH_RUNS = [name for name in (*CASES, *SETTINGS) if name != "foreign-kfp"]


def policies(objects: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The policies by the last word of their names."""
    return {item["metadata"]["name"].rpartition("-")[2]: item for item in of_kind(objects, KIND)}


def variable(policy: Manifest, name: str) -> str:
    return str(next(each["expression"] for each in policy["spec"]["variables"] if each["name"] == name))


def images(objects: tuple[Manifest, ...]) -> re.Pattern[str]:
    """What images must match; CEL's and JSON's strings are the same here."""
    found = re.search(r'matches\(("(?:[^"\\]|\\.)*")\)', variable(policies(objects)["pods"], "badImages"))
    assert found
    # as Go reads it: \w is ASCII, and $ is the very end
    return re.compile(json.loads(found[1]).removesuffix("$") + r"\Z", re.ASCII)


@pytest.mark.parametrize("name", WITH_RUNS)
def test_policies_hold_this_namespace_alone_and_fail_closed(name: str) -> None:
    objects = case(name)
    found = policies(objects)
    operated = any(each["metadata"]["name"] == "sluice-operator" for each in of_kind(objects, "Deployment"))
    assert ("requests" in found) == operated
    assert set(found) - {"results", "requests"} == {"pods", "training", "makers", "workflows", "claims"}
    for policy in found.values():
        spec = policy["spec"]
        assert spec["failurePolicy"] == "Fail"
        selected = spec["matchConstraints"]["namespaceSelector"]["matchLabels"]
        assert selected == {"kubernetes.io/metadata.name": "sluice"}
        assert policy["metadata"]["name"].startswith("sluice-sluice-"), "cluster-wide names tell release and namespace"
        bound = named(objects, f"{KIND}Binding", policy["metadata"]["name"])["spec"]
        assert bound == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
        for each in spec["validations"]:
            assert each.get("message") or each.get("messageExpression"), "a refusal without a word"


def test_without_policies_nothing_of_them_is_left() -> None:
    assert not list(of_kind(manifests(settings=("admission.enabled=false",)), KIND, f"{KIND}Binding"))


def used_images(objects: tuple[Manifest, ...]) -> set[str]:
    """Every image that the chart itself puts into pods of runs."""
    api = named(objects, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"][0]["env"]
    env = {each["name"]: each.get("value", "") for each in api}
    found = {env["V2_DRIVER_IMAGE"], env["V2_LAUNCHER_IMAGE"]}
    args = named(objects, "Deployment", "workflow-controller")["spec"]["template"]["spec"]["containers"][0]["args"]
    found |= {word.partition("=")[2] for word in args if word.startswith("--executor-image=")}
    steps = named(objects, "ConfigMap", "sluice-steps")["data"]
    found |= {steps["SLUICE_TABULAR_IMAGE"], steps["SLUICE_TORCH_IMAGE"]}
    for item in of_kind(objects, "ConfigMap"):
        if "sidecar.container" in item.get("data", {}):
            found.add(yaml.safe_load(item["data"]["sidecar.container"])["image"])
    return found


@pytest.mark.parametrize("name", [*CASES, "agent", "mirror"])
def test_the_chart_s_own_images_are_admitted_with_any_tag(name: str) -> None:
    objects = case(name)
    allowed = images(objects)
    for image in used_images(objects):
        assert allowed.search(image), image
        repository = re.sub(r"(@.*|:[^/]*)$", "", image)
        assert allowed.search(f"{repository}:another@sha256:{'0' * 64}")
        for other in (
            f"evil.example.org/{image}",
            f"{repository}x:1",
            f"{repository}/deeper:1",
            f"{image}\nx",
            f"{image} x",
        ):
            assert not allowed.search(other), other


@given(st.text(min_size=1, max_size=12), st.sampled_from(["sluice/python-tabular", "ghcr.io/kubeflow/kfp-launcher"]))
def test_what_stands_before_or_behind_a_repository_makes_it_another(more: str, repository: str) -> None:
    allowed = images(manifests())
    assert not allowed.search(more + repository)
    behind = re.fullmatch(r"(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?", more)
    assert bool(allowed.search(repository + more)) == bool(behind)


def test_images_are_listed_one_by_one_below_a_path_or_all() -> None:
    listed = images(manifests(settings=("admission.images={ghcr.io/acme/*,registry.example.org:5000/one}",)))
    for image in (
        "ghcr.io/acme/a:1",
        "ghcr.io/acme/a/b",
        "registry.example.org:5000/one",
        "registry.example.org:5000/one:2",
    ):
        assert listed.search(image), image
    for image in ("ghcr.io/acme", "ghcr.io/acme2/a", "ghcrxio/acme/a", "registry.example.org:5000/two", "python:3.11"):
        assert not listed.search(image), image
    everything = images(manifests(settings=("admission.images={*}",)))
    assert everything.search("python:3.11")


@pytest.mark.parametrize("entry", ["ghcr.io/acme/steps:1.0", "ghcr.io/*/steps", "a b", ""])
def test_an_entry_that_would_match_nothing_or_too_much_is_refused(entry: str) -> None:
    done = helm("--set-json", f"admission.images={json.dumps([entry])}")
    assert done.returncode != 0
    assert "/admission/images/0" in done.stderr


def test_every_secret_of_the_platform_is_out_of_reach() -> None:
    """All that the chart makes but the keys of steps, those of KFP's launcher to the store, and whom to trust."""
    for name in ("default", "hermetic", "agent"):
        objects = case(name)
        expression = variable(policies(objects)["pods"], "secrets")
        everyone = set(json.loads(re.match(r"\[.*?\]", expression)[0]))  # type: ignore[index]
        workflows = set(json.loads(re.search(r"training \? \[\] : (\[.*?\])", expression)[1]))  # type: ignore[index]
        assert everyone == {"sluice-steps"}
        assert workflows - {"kfp-mlflow-credentials"} == {"object-store-runs", "sluice-ca"}
        made = {item["metadata"]["name"] for item in of_kind(objects, "Secret")}
        assert {
            "mysql-credentials",
            "mysql-root-credentials",
            "mlflow-credentials",
            "sluice-authority",
            "sluice-people",
        } <= made - everyone - workflows


def test_every_secret_that_a_compiled_pipeline_names_is_admitted() -> None:
    """Of all pipelines and both their forms: a step whose Secret is refused would fail where the run is almost done."""
    from sluice.cluster.spec import compile_for_cluster
    from sluice.running.catalog import find_pipeline, pipeline_names

    expression = variable(policies(manifests())["pods"], "secrets")
    for name, fused in ((name, fused) for name in pipeline_names() for fused in (False, True)):
        platform = compile_for_cluster(find_pipeline(name), fused=fused).platform
        for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            for secret in executor.get("secretAsEnv", []):
                assert f'"{secret["secretName"]}"' in expression, (name, secret["secretName"])


def keys(selector: Manifest) -> set[str]:
    return {*selector.get("matchLabels", {}), *(each["key"] for each in selector.get("matchExpressions", []))}


def test_every_label_that_opens_something_is_guarded() -> None:
    """What NetworkPolicies and Services of the chart find pods by."""
    for name in (*CASES, *SETTINGS):
        objects = case(name)
        selectors = [
            peer["podSelector"]
            for item in of_kind(objects, "NetworkPolicy")
            for rule in chain(item["spec"].get("ingress") or [], item["spec"].get("egress") or [])
            for peer in chain(rule.get("from", []), rule.get("to", []))
            if "podSelector" in peer
        ]
        selectors += [item["spec"]["podSelector"] for item in of_kind(objects, "NetworkPolicy")]
        selectors += [{"matchLabels": item["spec"]["selector"]} for item in of_kind(objects, "Service")]
        for selector in filter(keys, selectors):
            guarded = {"app.kubernetes.io/name", "pipelines.kubeflow.org/v2_component"}
            assert any(key in guarded or key.startswith("sluice.dev/") for key in keys(selector)), selector


def test_every_volume_claim_of_the_platform_is_guarded() -> None:
    for policy in ("pods", "claims"):
        text = json.dumps(policies(manifests())[policy])
        for item in of_kind(manifests(), "PersistentVolumeClaim"):
            assert f'\\"{item["metadata"]["name"]}\\"' in text
            assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "sluice"


def test_runtimes_ask_for_nothing_that_their_pods_are_refused() -> None:
    for text in named(manifests(), "ConfigMap", "training-runtimes")["data"].values():
        runtime = yaml.safe_load(text)
        (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        pod = job["template"]["spec"]["template"]
        assert pod["spec"]["serviceAccountName"] == "training-worker"
        assert images(manifests()).search(pod["spec"]["containers"][0]["image"])
        name = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        assert f'"{name}"' in variable(policies(manifests())["pods"], "badLabels")


def test_values_admit_more_by_name() -> None:
    more = (
        "admission.secrets={own-keys}",
        "admission.serviceAccounts={own-account}",
        "images.pullSecrets[0].name=pull",
    )
    found = policies(manifests(settings=more))
    for policy, names in {
        "pods": ("own-keys", "own-account", "pull"),
        "training": ("own-keys",),
        "workflows": ("own-account",),
    }.items():
        for name in names:
            assert f'\\"{name}\\"' in json.dumps(found[policy]), (policy, name)
    for slip in ("admission.secrets={Not_A_Name}", "admission.image={x}"):
        assert helm(*flags((), (slip,))).returncode != 0


def test_the_example_in_the_guide_is_what_the_schema_takes() -> None:
    guide = (Path(__file__).parents[2] / "docs/kfp.md").read_text()
    found = re.search(r"```yaml\n(admission:\n.*?)```", guide, re.DOTALL)
    assert found
    for section, values in yaml.safe_load(found[1]).items():
        words = [f"{section}.{key}={json.dumps(value)}" for key, value in values.items()]
        assert helm(*(part for word in words for part in ("--set-json", word))).returncode == 0


def test_the_chart_knows_what_the_guarded_steps_run() -> None:
    """Or a release would refuse its own runs."""
    file = CHART / "files/guarded-steps.json"
    how = f"`python -m sluice.cluster.guarded_steps {file.relative_to(ROOT)}` writes it anew"
    assert file.read_text() == guarded_steps.text(), how

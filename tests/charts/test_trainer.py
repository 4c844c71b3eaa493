"""Trainer and JobSet, one of each to a cluster, and the TrainingRuntimes that TrainJobs run in."""

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tests.charts.rendering import CASES, Manifest, case, helm, manifests, named, of_kind, program
from tests.charts.test_manifests import LAYOUT

PARTS = {"trainer": "trainer-controller", "jobset": "jobset-controller"}
CERTIFICATES = {"trainer": "trainer-webhook-cert", "jobset": "jobset-webhook-cert"}
RUNTIMES = ("torch-cpu", "torch-gpu", "jax-tpu")


def runtimes(*settings: str) -> dict[str, Manifest]:
    data = named(manifests(settings=settings), "ConfigMap", "training-runtimes")["data"]
    return {name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in data.items()}


def worker(runtime: Manifest) -> tuple[Manifest, Manifest]:
    """Pod and container of the workers."""
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_fits_its_custom_resource(name: str, schemas: list[Path], tmp_path: Path) -> None:
    (tmp_path / "runtime.yaml").write_text(yaml.safe_dump(runtimes()[name]))
    places = [word for folder in schemas for word in ("-schema-location", f"{folder}/{LAYOUT}")]
    command = [program("kubeconform"), "-strict", *places, str(tmp_path / "runtime.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RUNTIMES)
def test_workers_are_restricted_and_hold_no_token(name: str) -> None:
    pod, container = worker(runtimes()[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container["securityContext"]
    assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/dev/shm", "/etc/sluice/ca"}
    assert all("sizeLimit" in volume.get("emptyDir", {}) for volume in pod["volumes"] if "configMap" not in volume)
    assert {"memory", "cpu", "ephemeral-storage"} <= set(container["resources"]["limits"])


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_is_what_trainer_asks_for(name: str) -> None:
    """Names that Trainer looks for; and what was seen to go wrong without."""
    runtime = runtimes()[name]
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    _, container = worker(runtime)
    assert (job["name"], container["name"]) == ("node", "node")
    assert job["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    framework = runtime["metadata"]["labels"]["trainer.kubeflow.org/framework"]
    assert framework in runtime["spec"]["mlPolicy"]
    spec = runtime["spec"]["template"]["spec"]
    assert spec["failurePolicy"] == {"maxRestarts": 10, "restartStrategy": "Recreate"}
    assert "ttlSecondsAfterFinished" not in spec, "Trainer would make a JobSet again that is gone"


def test_accelerators_are_asked_for_where_values_say() -> None:
    made = runtimes("runtimes.torchGpu.gpus=8", "runtimes.torchGpu.nodeSelector.pool=a100", "runtimes.jaxTpu.chips=4")
    pod, container = worker(made["torch-gpu"])
    assert [container["resources"][kind]["nvidia.com/gpu"] for kind in ("limits", "requests")] == [8, 8]
    assert pod["nodeSelector"] == {"pool": "a100"}
    assert [t["key"] for t in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert {"name": "SLUICE_DEVICE", "value": "cuda"} in container["env"]
    pod, container = worker(made["jax-tpu"])
    assert container["resources"]["limits"]["google.com/tpu"] == 4
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }
    made = runtimes("runtimes.torchCpu.whenUnsatisfiable=DoNotSchedule")
    spread = {name: worker(made[name])[0]["topologySpreadConstraints"][0]["whenUnsatisfiable"] for name in RUNTIMES}
    assert spread == {"torch-cpu": "DoNotSchedule", "torch-gpu": "ScheduleAnyway", "jax-tpu": "ScheduleAnyway"}
    _, container = worker(made["torch-cpu"])
    assert not any("/" in name for name in container["resources"]["limits"])


def test_a_runtime_with_an_image_of_its_own_keeps_it() -> None:
    own = runtimes("runtimes.torchGpu.image.repository=registry.example.org/cuda", "runtimes.torchGpu.image.tag=cuda13")
    _, container = worker(own["torch-gpu"])
    assert container["image"] == "registry.example.org/cuda:cuda13"
    assert own["torch-gpu"]["metadata"]["annotations"] == {"sluice.dev/own-image": "true"}
    assert "annotations" not in runtimes()["torch-gpu"]["metadata"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_off_leaves_nothing(part: str) -> None:
    left = manifests(settings=(f"{part}.enabled=false",))
    assert not [item for item in left if PARTS[part] in json.dumps(item["metadata"])]
    assert named(left, "ConfigMap", "training-runtimes"), "runtimes serve a Trainer elsewhere, too"


def test_without_runtimes_steps_can_make_no_trainjobs() -> None:
    left = manifests(settings=("runtimes.enabled=false",))
    assert "trainjobs" not in json.dumps(list(of_kind(left, "Role")))
    assert "training-runtimes" not in json.dumps(named(left, "Job", "sluice-setup")["spec"])


@pytest.mark.parametrize("part", PARTS)
def test_the_api_server_can_check_a_webhooks_certificate(part: str) -> None:
    objects = case("default")
    secret = named(objects, "Secret", CERTIFICATES[part])["data"]
    authority, own = (x509.load_pem_x509_certificate(base64.b64decode(secret[key])) for key in ("ca.crt", "tls.crt"))
    own.verify_directly_issued_by(authority)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"{part}-webhook.sluice.svc" in names.get_values_for_type(x509.DNSName)
    assert own.not_valid_after_utc.year - own.not_valid_before_utc.year == 10
    found = [hook["clientConfig"] for hook in hooks(objects)]
    mine = [config for config in found if config["service"]["name"] == f"{part}-webhook"]
    assert mine
    assert all(config["caBundle"] == secret["ca.crt"] for config in mine)


def test_a_certificate_of_another_hand_is_used() -> None:
    objects = manifests(settings=("jobset.webhook.existingSecret=own", "jobset.webhook.caBundle=QUJD"))
    assert not [s for s in of_kind(objects, "Secret") if s["metadata"]["name"] == CERTIFICATES["jobset"]]
    volumes = named(objects, "Deployment", "jobset-controller")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "certificate", "secret": {"secretName": "own"}} in volumes
    mine = [h["clientConfig"] for h in hooks(objects) if h["clientConfig"]["service"]["name"] == "jobset-webhook"]
    assert {config["caBundle"] for config in mine} == {"QUJD"}
    production = case("production")
    assert not any("caBundle" in hook["clientConfig"] for hook in hooks(production)), "cert-manager fills it in"
    configuration = named(production, "ValidatingWebhookConfiguration", "validator.trainer.kubeflow.org")
    assert configuration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "sluice/trainer-webhook"}


def hooks(objects: tuple[Manifest, ...]) -> list[Manifest]:
    kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    return [hook for item in of_kind(objects, *kinds) for hook in item["webhooks"]]


def test_webhooks_call_a_service_that_leads_to_their_controller() -> None:
    objects = case("default")
    assert len(hooks(objects)) == 8
    for hook in hooks(objects):
        place = hook["clientConfig"]["service"]
        service = named(objects, "Service", place["name"])
        assert place["namespace"] == "sluice"
        (target,) = [d for d in of_kind(objects, "Deployment") if match(service["spec"]["selector"], labels(d))]
        ports = {p["name"]: p["containerPort"] for p in target["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert ports[service["spec"]["ports"][0]["targetPort"]] == 9443
        if hook["rules"][0]["resources"] == ["pods"]:
            assert hook["objectSelector"], "no other pod of the cluster may depend on this controller"


def labels(deployment: Manifest) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["labels"]


def match(selector: dict[str, str], found: dict[str, str]) -> bool:
    return selector.items() <= found.items()


@pytest.mark.parametrize("name", CASES)
def test_cluster_roles_are_named_for_the_namespace_and_bound_to_one_account(name: str) -> None:
    objects = case(name)
    for role in of_kind(objects, "ClusterRole"):
        if "controller" in role["metadata"]["name"] and "training" in json.dumps(role["metadata"]["labels"]):
            assert role["metadata"]["name"].startswith("sluice-")
            (subject,) = named(objects, "ClusterRoleBinding", role["metadata"]["name"])["subjects"]
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "sluice")
            writers = [
                r for r in role["rules"] if "secrets" in r["resources"] and set(r["verbs"]) - {"get", "list", "watch"}
            ]
            assert not writers


def test_bad_values_are_named() -> None:
    for setting, word in (
        ("runtimes.torchCpu.whenUnsatisfiable=Maybe", "whenUnsatisfiable"),
        ("runtimes.jaxTpu.topology=big", "topology"),
        ("runtimes.torchGpu.gpus=0", "gpus"),
        ("trainer.replicas=2", "replicas"),
    ):
        done = helm("--set", setting)
        assert done.returncode != 0
        assert re.search(word, done.stderr), done.stderr

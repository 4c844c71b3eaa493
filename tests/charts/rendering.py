"""The chart as `helm template` renders it, each combination of values once."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/sluice"
NAMESPACE = "sluice"
# What the clusters of `make kind` serve beyond helm's own list.
SERVED = ("--api-versions", "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy")
Manifest = dict[str, Any]

# Every way that the values files are used. What one of them needs beside it stands here too.
CASES = {
    "default": ("values.yaml",),
    "small": ("values-small.yaml",),
    "kind": ("values-kind.yaml",),
    "hermetic": ("values-kind.yaml", "values-hermetic.yaml"),
    "production": ("values-production.yaml",),
}
# Values on top, that turn what no file turns.
SETTINGS = {
    "mirror": ("images.registry=registry.example.org/mirror", "images.pullSecrets[0].name=pull"),
    "no-volumes": ("persistence.enabled=false",),
    "no-policies": ("networkPolicy.enabled=false",),
    "replicas": ("kfp.apiServer.replicas=2", "kfp.ui.replicas=3"),
    "proxy": ("kfp.metadata.gateway.program=grpcwebproxy", "minio.browser=true"),
    "ingress": (
        "ingress.enabled=true",
        "ingress.host=kfp.example.org",
        "ingress.tlsSecret=tls",
        "ingress.className=x",
        "kfp.login=proxy",
        "ingress.proxy.service=oauth2-proxy",
    ),
    "oidc": (
        "ingress.enabled=true",
        "ingress.host=kfp.example.org",
        "ingress.tlsSecret=tls",
        "kfp.login=oidc",
        "auth.oidc.issuerUrl=https://login.example.org/realms/company",
        "auth.oidc.existingSecret=login",
        "auth.oidc.emailDomains={example.org}",
        "mlflow.ingress.enabled=true",
        "mlflow.ingress.host=mlflow.example.org",
        "mlflow.ingress.tlsSecret=tls",
    ),
    "agent": ("kfp.driver.inAgent=true",),
    "no-tls": ("tls.enabled=false",),
    "extras": (
        "pods.labels.team=ml",
        "pods.annotations.example\\.org/cost=low",
        "pods.env[0].name=HTTPS_PROXY",
        "pods.env[0].value=http://proxy:3128",
        "pods.volumes[0].name=acme",
        "pods.volumes[0].configMap.name=acme",
        "pods.volumeMounts[0].name=acme",
        "pods.volumeMounts[0].mountPath=/etc/acme",
        "scheduling.topologySpreadConstraints[0].topologyKey=topology.kubernetes.io/zone",
        "scheduling.topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "steps.pod.labels.example\\.org/team=ml",
        "steps.pod.env[0].name=ACME",
        "steps.pod.env[0].value=yes",
        "steps.pod.volumes[0].name=acme",
        "steps.pod.volumes[0].configMap.name=acme",
        "steps.pod.volumeMounts[0].name=acme",
        "steps.pod.volumeMounts[0].mountPath=/mnt/acme",
        "steps.pod.nodeSelector.pool=steps",
        "steps.projectCode=false",
        "steps.maxResources.memory=64Gi",
        "steps.resourcesByStep.train.memory=8Gi",
    ),
    "models": (
        "modelServers.late.model=flights-late",
        "modelServers.late.autoscaling.by=cpu",
        "modelServers.late.monitor.enabled=true",
        "modelServers.late.canary.watch=true",
        "modelServers.own-code.model=houses@challenger",
        "modelServers.own-code.image=tabular",
        "modelServers.own-code.replicas=1",
        "modelServers.own-code.log.enabled=false",
    ),
    "operator": ("operator.enabled=true", "operator.service.type=NodePort", "operator.kueue.enabled=true"),
    "identity": (
        "minio.enabled=false",
        "objectStore.host=s3.eu-central-1.amazonaws.com",
        "objectStore.region=eu-central-1",
        "objectStore.identity=aws",
        "steps.pod.serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/steps",
    ),
    "foreign-kfp": (
        "kfp.enabled=false",
        "mysql.enabled=false",
        "argo.enabled=false",
        "kfp.externalUrl=http://ml-pipeline.kubeflow:8888",
    ),
}


def program(name: str) -> str:
    """The path of a program that `make tools` builds; skip the test where there is none."""
    built = ROOT / ".tools/bin" / name
    variable = name.upper().replace("-", "_")
    found = os.environ.get(variable) or shutil.which(name) or (str(built) if built.exists() else "")
    if not found:
        pytest.skip(f"no `{name}`: `make tools` builds it (needs Go), or name one in {variable}")
    return found


def helm(*words: str, served: tuple[str, ...] = SERVED) -> subprocess.CompletedProcess[str]:
    """Run `helm template` on the chart; it sees no cluster."""
    # The custom resource definitions are long and plain copies; who wants them says so.
    quick = ("--set", "crds.enabled=false")
    command = [program("helm"), "template", "sluice", str(CHART), "--namespace", NAMESPACE, *served, *quick, *words]
    own = {"KUBECONFIG": "/dev/null"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=os.environ | own)


def flags(files: tuple[str, ...], settings: tuple[str, ...]) -> list[str]:
    """Helm's flags for values files of the chart and settings; one that begins with `json:` has a value in JSON."""
    words = [word for file in files if file != "values.yaml" for word in ("--values", str(CHART / file))]
    for setting in settings:
        json_value = setting.removeprefix("json:")
        words += ["--set", setting] if json_value == setting else ["--set-json", json_value]
    return words


@cache
def text(files: tuple[str, ...] = ("values.yaml",), settings: tuple[str, ...] = ()) -> str:
    """The rendered text."""
    done = helm(*flags(files, settings))
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def manifests(
    files: tuple[str, ...] = ("values.yaml",), settings: tuple[str, ...] = (), crds: bool = False
) -> tuple[Manifest, ...]:
    """The rendered objects; without the custom resource definitions, which are long and plain copies."""
    whole = text(files, (*settings, f"crds.enabled={json.dumps(crds)}"))
    return tuple(item for item in yaml.load_all(whole, Loader=yaml.CSafeLoader) if item)


def case(name: str) -> tuple[Manifest, ...]:
    """The objects of one of CASES or SETTINGS."""
    return manifests(CASES[name]) if name in CASES else manifests(settings=SETTINGS[name])


def named(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """The object of that kind and name."""
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> Iterator[Manifest]:
    """The objects of some kinds."""
    return (item for item in objects if item["kind"] in kinds)


def pods(objects: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Name and template (metadata and spec) of everything that starts pods."""
    for item in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield f"{item['kind']} {item['metadata']['name']}", item["spec"]["template"]
    for item in of_kind(objects, "CronJob"):
        yield f"CronJob {item['metadata']['name']}", item["spec"]["jobTemplate"]["spec"]["template"]
    for item in of_kind(objects, "Pod"):
        yield f"Pod {item['metadata']['name']}", item


def containers(template: Manifest) -> Iterator[Manifest]:
    """Every container of a pod, those that start it first."""
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]

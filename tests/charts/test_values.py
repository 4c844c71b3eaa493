"""Values: the schema knows each of them, refuses others, and what contradicts itself ends in one line."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CASES, CHART, ROOT, flags, helm

PEM = "-----BEGIN CERTIFICATE-----"
REFUSED = {
    ("minio.enabled=false",): "minio.enabled is false and objectStore.host is empty",
    ("minio.enabled=false", "objectStore.host=s3.example.org"): "objectStore.host is set without",
    ("objectStore.host=s3.example.org",): "both minio.enabled and objectStore.host are set",
    (
        "minio.enabled=false",
        "objectStore.existingSecret=x",
        "objectStore.host=https://s3.example.org",
    ): "give the host name alone",
    ("objectStore.identity=aws",): "objectStore.identity with minio.enabled: the chart's MinIO knows keys alone",
    (
        "minio.enabled=false",
        "objectStore.host=h",
        "objectStore.identity=aws",
        "objectStore.existingSecret=x",
    ): "both objectStore.identity and objectStore.existingSecret are set",
    ("objectStore.buckets.mlflow=sluice",): "the three buckets need three names",
    ("mysql.enabled=false",): "mysql.enabled is false and mysql.host is empty",
    ("mysql.enabled=false", "mysql.host=db"): "mysql.host is set without mysql.existingSecret",
    ("mysql.host=db",): "both mysql.enabled and mysql.host are set",
    ("mysql.databases.metadata=mlpipeline",): "KFP and MLMD need two databases",
    ("kfp.externalUrl=http://kfp",): "both kfp.enabled and kfp.externalUrl are set",
    ("kfp.enabled=false",): "mysql.enabled without kfp.enabled",
    ("kfp.enabled=false", "mysql.enabled=false"): "kfp.enabled is false and kfp.externalUrl is empty",
    ("kfp.metadata.gateway.enabled=false",): "kfp.ui.enabled without kfp.metadata.gateway.enabled",
    ("kfp.driver.image.tag=2.16.0",): "its programs have different image tags (2.17.0, 2.16.0)",
    ("kfp.metadata.enabled=false",): "which cannot run a step without MLMD",
    ("ingress.enabled=true", "ingress.tlsSecret=t"): "ingress.enabled without ingress.host",
    ("ingress.enabled=true", "ingress.host=h"): "ingress.enabled without ingress.tlsSecret",
    ("ingress.enabled=true", "ingress.host=h", "ingress.tlsSecret=t", "kfp.ui.enabled=false"): "no pages to show",
    ("ingress.enabled=true", "ingress.host=h", "ingress.tlsSecret=t"): "they have no login: say who asks for one",
    ("kfp.apiServer.service.type=NodePort",): "they have no login: say who asks for one",
    ("kfp.ui.service.type=LoadBalancer",): "they have no login: say who asks for one",
    (
        "ingress.enabled=true",
        "ingress.host=h",
        "ingress.tlsSecret=t",
        "kfp.login=proxy",
    ): "kfp.login=proxy without ingress.proxy.service",
    (
        "ingress.enabled=true",
        "ingress.host=h",
        "ingress.tlsSecret=t",
        "kfp.login=annotations",
    ): "kfp.login=annotations without ingress.annotations",
    ("kfp.login=proxy", "kfp.ui.service.type=NodePort"): "people would go past the login",
    ("objectStore.scratch={datasets/}",): 'objectStore.scratch: "datasets/" holds what steps must not overwrite',
    ("tls.enabled=false", "tls.issuerRef.name=x"): "tls.issuerRef without tls.enabled",
    ("tls.enabled=false", "tls.secrets.mysql=x"): "tls.secrets.mysql without tls.enabled",
    ("tls.issuerRef.name=x",): "tls.issuerRef without tls.ca: no client would trust it",
    ("tls.secrets.mlflow=x",): "tls.secrets.mlflow without tls.ca: no client would trust it",
    ("tls.issuerRef.name=x", "tls.caConfigMap=x"): "tls.caConfigMap with minio.enabled",
    ("tls.caConfigMap=x",): "tls.caConfigMap with certificates that the chart makes",
    (f"tls.ca={PEM}", "tls.caConfigMap=x"): "both tls.ca and tls.caConfigMap are set",
    (f"tls.ca={PEM}\n-----BEGIN PRIVATE KEY-----",): "tls.ca holds a private key",
    ("mysql.tls=preferred",): "mysql.tls=preferred with tls.enabled",
    ("minio.service.nodePort=30900",): "minio.service.nodePort is set with type ClusterIP",
    ("kfp.ui.service.nodePort=30080",): "kfp.ui.service.nodePort is set with type ClusterIP",
}
SLIPS = {
    "kfp.apiserver.replicas=2": "apiserver",
    "minio.sise=5Gi": "sise",
    "persistance.enabled=false": "persistance",
    "kfp.apiServer.replicas=0": "/kfp/apiServer/replicas",
    "kfp.apiServer.service.type=Nodeport": "/kfp/apiServer/service/type",
    "kfp.apiServer.service.nodePort=8888": "/kfp/apiServer/service/nodePort",
    "minio.size=big": "/minio/size",
    "kfp.externalUrl=kfp:8888": "/kfp/externalUrl",
    "objectStore.buckets.sluice=My_Bucket": "/objectStore/buckets/sluice",
    "argo.controller.requeueTime=1": "/argo/controller/requeueTime",
    "steps.runAsUser=0": "/steps/runAsUser",
    "images.pullPolicy=Sometimes": "/images/pullPolicy",
    "tls.ca=ca.crt": "/tls/ca",
    "tls.secrets.mino=x": "mino",
    "minio.pod.annotation.x=y": "annotation",
    "steps.pod.envFrom[0].secretRef.name=x": "envFrom",
    "steps.resourcesByStep.train.memoy=4Gi": "memoy",
    "steps.resourcesByStep.train.memory=4GB": "/steps/resourcesByStep/train/memory",
    "steps.maxResources.ram=4Gi": "ram",
}


def load(name: str) -> Any:
    return yaml.safe_load((CHART / name).read_text())


@pytest.mark.parametrize(("settings", "line"), REFUSED.items(), ids=lambda value: str(value)[:60])
def test_values_that_contradict_each_other_end_in_one_line(settings: tuple[str, ...], line: str) -> None:
    done = helm(*flags((), settings))
    assert done.returncode != 0
    said = [text for text in done.stderr.splitlines() if text.startswith("sluice: ")]
    assert [text for text in said if line in text], done.stderr


def test_the_plugin_is_refused_where_kfp_has_none() -> None:
    done = helm(*flags(CASES["hermetic"], ("kfp.mlflowPlugin.enabled=true",)))
    assert "kfp.mlflowPlugin.enabled with KFP 2.14.3, which has no such plugin" in done.stderr


def test_drivers_in_agents_are_refused_where_nothing_puts_them_there() -> None:
    done = helm(*flags((), ("kfp.driver.inAgent=true",)), served=())
    assert "kfp.driver.inAgent with a cluster that serves no MutatingAdmissionPolicy" in done.stderr
    done = helm(*flags((), ("kfp.driver.inAgent=true", "argo.enabled=false")))
    assert "kfp.driver.inAgent without argo.enabled" in done.stderr


@pytest.mark.parametrize(("setting", "named"), SLIPS.items())
def test_a_slip_is_refused_by_name(setting: str, named: str) -> None:
    done = helm(*flags((), (setting,)))
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr
    assert named in done.stderr


def test_values_and_schema_hold_the_same_names() -> None:
    schema = load("values.schema.yaml")

    def names(part: dict[str, Any], values: Any, path: str) -> None:
        definition = schema["$defs"].get(str(part.get("$ref", "")).removeprefix("#/$defs/"), {})
        properties = part.get("properties") or definition.get("properties")
        if properties and isinstance(values, dict):
            listed = [name for name in properties if name != "global"]
            assert set(values) <= set(listed), path
            if "properties" in part or definition is schema["$defs"]["service"]:
                assert list(values) == listed, f"{path}: other names, or another order, than values.yaml"
            for name in values:
                names(properties[name], values[name], f"{path}.{name}")

    names(schema, load("values.yaml"), "values")


def test_every_setting_is_described() -> None:
    schema = load("values.schema.yaml")

    def walk(part: dict[str, Any], path: str) -> None:
        for name, inner in part["properties"].items():
            if "properties" in inner:
                walk(inner, f"{path}{name}.")
            else:
                reference = str(inner.get("$ref", "")).removeprefix("#/$defs/")
                text = inner.get("description") or schema["$defs"].get(reference, {}).get("description")
                assert text, f"{path}{name} has no description"

    walk(schema, "")


def test_generated_files_are_fresh() -> None:
    """values.schema.json, docs/values.md and the copies of manifests/crds."""
    done = subprocess.run(
        [sys.executable, str(CHART / "schema.py"), "--check"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for files in CASES.values() for name in files])
def test_values_files_change_only_what_they_name(name: str) -> None:
    """A values file that repeats a default would keep it when the default changes."""
    if name == "values.yaml":
        return

    def repeated(values: dict[str, Any], defaults: dict[str, Any], path: str) -> list[str]:
        found = []
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(defaults.get(key), dict):
                found += repeated(value, defaults[key], f"{path}{key}.")
            elif value == defaults.get(key):
                found.append(f"{path}{key}")
        return found

    same = repeated(load(name), load("values.yaml"), "")
    # An image's name and tag belong together, and so do requests and limits.
    assert not [path for path in same if ".resources." not in path and ".image." not in path]

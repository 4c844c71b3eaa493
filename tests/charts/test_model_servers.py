"""Model servers: the chart renders what `sluice.cluster.model_server` builds, and a server reads its document."""

import base64
import json
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sluice.cluster.model_server import build_all, build_settings
from sluice.cluster.model_server_site import Site
from sluice.cluster.model_server_spec import ModelServerSpec
from sluice.serving.settings import Settings
from tests.charts.rendering import CASES, CHART, Manifest, case, flags, helm, manifests, named, of_kind
from tests.charts.test_network import allowed, labels_of, world

GATEWAY = {"name": "outside", "namespace": "gateways"}
SCRAPER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
# A server, and what the chart is told besides.
SERVERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "plain": ({"model": "flights-late"}, ()),
    "one": (
        {"model": "houses@challenger", "image": "tabular", "replicas": 1, "log": {"enabled": False}, "drain": 0.5},
        (),
    ),
    "all": (
        {
            "model": "late",
            "autoscaling": {"by": "keda", "prometheus": "http://prometheus:9090", "min": 3},
            "shadow": 0.25,
            "slices": ["carrier", "origin"],
            "log": {"sampling": 0.5, "spoolBytes": 1073741824, "seconds": 7.5},
            "feedback": False,
            "tokens": {"existingSecret": "mine"},
            "limits": {"rows": 100},
            "openTo": [SCRAPER],
            "metricsTo": [SCRAPER],
            "service": {"type": "NodePort", "nodePort": 30085},
            "route": {"enabled": True, "parentRefs": [GATEWAY], "hostnames": ["late.example.org"]},
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "canary": {"watch": True},
            "monitor": {"enabled": True, "arguments": ["--windows", "hour"], "webhookSecret": "hook"},
            "resources": {"limits": {"cpu": "2500m", "memory": "1Gi", "ephemeral-storage": "3Gi"}},
        },
        (),
    ),
    "cpu": (
        {"model": "late", "autoscaling": {"by": "cpu", "cpuPercent": 50}, "image": "torch"},
        ("tls.enabled=false",),
    ),
    "requests": (
        {"model": "late", "autoscaling": {"by": "requests"}, "monitor": {"enabled": True}, "canary": {"watch": True}},
        ("networkPolicy.enabled=false",),
    ),
}
BESIDE = ("Secret", "ServiceAccount")


def value(server: dict[str, Any], name: str = "late") -> str:
    return f"json:modelServers={json.dumps({name: server})}"


def site(objects: tuple[Manifest, ...], settings: tuple[str, ...]) -> Site:
    """The installation, by what its other objects say."""
    mlflow = named(objects, "Deployment", "mlflow")
    own = ("app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart")
    tls = "tls.enabled=false" not in settings
    scheme = "https" if tls else "http"
    return Site(
        namespace="sluice",
        release="sluice",
        labels={key: mlflow["metadata"]["labels"][key] for key in own},
        images={
            "server": "sluice/model-server:0.1.0",
            "tabular": "sluice/python-tabular:0.1.0",
            "torch": "sluice/python-torch:0.1.0",
        },
        store_url=f"{scheme}://minio-service.sluice.svc.cluster.local:9000",
        store_secrets={part: f"object-store-{part}" for part in ("serving", "monitoring", "register")},
        mlflow_url=f"{scheme}://mlflow.sluice.svc.cluster.local:5000",
        mlflow_secret="mlflow-credentials",
        ca_config_map="sluice-ca" if tls else "",
        store_tls=tls,
        mlflow_tls=tls,
        policies="networkPolicy.enabled=false" not in settings,
    )


@pytest.mark.parametrize("name", SERVERS)
def test_the_chart_renders_what_is_built(name: str) -> None:
    server, more = SERVERS[name]
    objects = manifests(settings=(value(server), *more))
    resources = server.get("resources", {})
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["modelServerDefaults"]["resources"]
    whole = server | ({"resources": defaults | resources} if resources else {})
    built = list(build_all("late", ModelServerSpec.model_validate(whole), site(objects, more)))
    rendered = [
        item for item in objects if item["metadata"]["name"].startswith("model-late") and item["kind"] not in BESIDE
    ]

    def key(item: Manifest) -> tuple[str, str]:
        return item["kind"], item["metadata"]["name"]

    assert sorted(map(key, built)) == sorted(map(key, rendered))
    for item in built:
        other = next(each for each in rendered if key(each) == key(item))
        assert json.loads(json.dumps(item)) == other, key(item)


def test_defaults_stand_once() -> None:
    """Those of the specification are those of the chart's values."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["modelServerDefaults"]
    own = ModelServerSpec(model="x").model_dump(by_alias=True, mode="json")
    assert own == {key: each for key, each in defaults.items() if key != "pod"} | {"model": "x"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_takes_its_document(name: str) -> None:
    server, more = SERVERS[name]
    text = named(manifests(settings=(value(server), *more)), "ConfigMap", "model-late")["data"]["settings.json"]
    read = Settings.model_validate_json(text)
    assert read.model == server["model"]
    assert read.token_file is not None
    assert not read.open
    assert (read.log is None) is not server.get("log", {}).get("enabled", True)


def test_threads_are_as_many_as_processors() -> None:
    for cpu, threads in (("1", 1), ("2500m", 3), ("200m", 1), (4, 4)):
        limits = {"cpu": cpu, "memory": "1Gi", "ephemeral-storage": "1Gi"}
        spec = ModelServerSpec.model_validate({"model": "x", "resources": {"requests": {}, "limits": limits}})
        assert json.loads(build_settings(spec))["threads"] == threads, cpu


WRONG = {
    "keda without an address": ({"autoscaling": {"by": "keda"}}, "autoscaling.prometheus"),
    "a route without a gateway": ({"route": {"enabled": True}}, "route.parentRefs"),
    "a monitor without a log": ({"monitor": {"enabled": True}, "log": {"enabled": False}}, "log.enabled"),
    "min above max": ({"autoscaling": {"min": 5, "max": 2}}, "min is above max"),
    "a port of a Service that has none": ({"service": {"nodePort": 30085}}, "service.nodePort"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_refused_by_both(name: str) -> None:
    server, words = WRONG[name]
    with pytest.raises(ValidationError, match=words):
        ModelServerSpec.model_validate({"model": "x"} | server)
    done = helm(*flags((), (value({"model": "x"} | server),)))
    assert done.returncode != 0
    assert f"modelServers.late.{words}" in done.stderr or words in done.stderr


def test_a_slip_in_a_name_is_refused() -> None:
    done = helm(*flags((), (value({"model": "x", "replica": 3}),)))
    assert "replica" in done.stderr
    assert helm(*flags((), (value({"replicas": 3}),))).returncode != 0, "a server without a model"


def test_without_a_server_there_is_no_account_for_one() -> None:
    objects = manifests()
    assert not [item for item in objects if "model-" in item["metadata"]["name"]]
    assert not [item for item in of_kind(objects, "Secret") if item["metadata"]["name"].endswith("-serving")]
    assert "serving" not in json.dumps(named(objects, "Deployment", "mlflow"))


def test_a_token_is_made_once_for_each_server() -> None:
    secrets = [named(case("models"), "Secret", f"model-{name}-tokens")["data"] for name in ("late", "own-code")]
    tokens = {base64.b64decode(each["tokens"]) for each in secrets}
    assert len(tokens) == 2
    assert all(len(token) >= 32 for token in tokens)
    own = manifests(settings=(value(SERVERS["all"][0]),))
    assert "model-late-tokens" not in {item["metadata"]["name"] for item in of_kind(own, "Secret")}


def test_a_server_reaches_the_store_and_the_registry_and_nothing_else() -> None:
    objects = case("models")
    server, client = labels_of(objects, "model-late"), {"sluice.dev/model-client": "true"}
    assert allowed(objects, server, labels_of(objects, "minio"), 9000)
    assert allowed(objects, server, labels_of(objects, "mlflow"), 5000)
    assert allowed(objects, client, server, 8080)
    assert not allowed(objects, client, server, 9090)
    for other, port in (("ml-pipeline", 8888), ("mysql", 3306), ("postgresql", 5432), ("run-gateway", 9000)):
        assert not allowed(objects, server, labels_of(objects, other), port), other
    assert not allowed(objects, {"pipelines.kubeflow.org/v2_component": "true"}, server, 8080)
    assert world(objects, server) == []


def test_what_all_pods_get_reaches_a_cron_job_too() -> None:
    server = {"model": "x", "monitor": {"enabled": True}}
    objects = manifests(settings=(value(server), "modelServerDefaults.pod.labels.team=ml", "pods.env[0].name=PROXY"))
    monitor = named(objects, "CronJob", "model-late-monitor")["spec"]["jobTemplate"]["spec"]["template"]
    assert monitor["metadata"]["labels"]["team"] == "ml"
    assert {"name": "PROXY"} in monitor["spec"]["containers"][0]["env"]
    assert named(objects, "Deployment", "model-late")["spec"]["template"]["metadata"]["labels"]["team"] == "ml"


def test_hermetic_values_serve_too() -> None:
    assert manifests(CASES["hermetic"], (value({"model": "x"}),))

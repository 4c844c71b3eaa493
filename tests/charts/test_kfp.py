"""KFP's settings, for 2.17 and for 2.14 by the same templates."""

import json
import re
from typing import Any

import yaml

from tests.charts.rendering import CASES, CHART, ROOT, SETTINGS, Manifest, case, manifests, named, of_kind


def config(objects: tuple[Manifest, ...]) -> dict[str, Any]:
    return dict(json.loads(named(objects, "ConfigMap", "ml-pipeline-config")["data"]["config.json"]))


def test_the_mlflow_plugin_logs_in_to_our_mlflow() -> None:
    """Upstream's config.json switches it on at an address of its own, and every run then says PLUGIN_FAILED."""
    plugin = config(manifests())["plugins"]["mlflow"]
    assert plugin["endpoint"] == "https://run-gateway.sluice.svc.cluster.local:5000", "its drivers are pods of runs"
    alone = config(manifests(settings=("objectStore.gateway.enabled=false",)))["plugins"]["mlflow"]
    assert alone["endpoint"] == "https://mlflow.sluice.svc.cluster.local:5000"
    settings = plugin["settings"]
    assert (settings["authType"], settings["workspacesEnabled"]) == ("basic-auth", False)
    keys = settings["credentialSecretRef"]
    assert set(keys.values()) == set(named(manifests(), "Secret", "kfp-mlflow-credentials")["data"])


def test_without_the_plugin_the_configuration_names_none() -> None:
    assert "plugins" not in config(case("hermetic"))
    assert not [s for s in of_kind(case("hermetic"), "Secret") if s["metadata"]["name"] == "kfp-mlflow-credentials"]


def test_the_image_of_an_agent_s_drivers_is_made_from_the_release_s_own_driver() -> None:
    def driver(name: str) -> str:
        (container,) = named(case(name), "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"]
        return next(str(env["value"]) for env in container["env"] if env["name"] == "V2_DRIVER_IMAGE")

    for path, name in {"platform/images/Dockerfile": "default", "platform/images/build.py": "default",
                       "Makefile": "hermetic"}.items():  # fmt: skip
        assert driver(name) in (ROOT / path).read_text(), path


def test_no_samples_are_loaded() -> None:
    samples = json.loads(named(manifests(), "ConfigMap", "ml-pipeline-config")["data"]["sample_config.json"])
    assert samples == {"loadSamplesOnRestart": False, "pipelines": []}


def test_service_names_and_ports_are_those_that_kfp_looks_for() -> None:
    for name, ports in {
        "ml-pipeline": {"http": 8888, "grpc": 8887},
        "metadata-grpc-service": {"grpc-api": 8080},
        "metadata-envoy-service": {"grpc-web": 9090},
        "minio-service": {"http": 9000},
        "mysql": {"mysql": 3306},
        "ml-pipeline-ui": {"http": 80},
    }.items():
        service = named(manifests(), "Service", name)
        assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == ports


def test_kind_s_ports() -> None:
    found = {
        port["nodePort"]
        for service in of_kind(case("kind"), "Service")
        for port in service["spec"]["ports"]
        if "nodePort" in port
    }
    assert {30888, 30080, 30900} <= found


def test_the_metadata_store_s_password_is_in_no_argument() -> None:
    (container,) = named(manifests(), "Deployment", "metadata-grpc")["spec"]["template"]["spec"]["containers"]
    assert not [word for word in container["args"] if "password" in word]
    assert not container.get("env")


def test_a_foreign_kfp_leaves_only_what_serves_it() -> None:
    objects = manifests(settings=SETTINGS["foreign-kfp"])
    deployments = {item["metadata"]["name"] for item in of_kind(objects, "Deployment")}
    assert not {name for name in deployments if name.startswith(("ml-pipeline", "metadata", "workflow", "mysql"))}
    env = named(objects, "Job", "sluice-setup")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SLUICE_KFP", "value": "http://ml-pipeline.kubeflow:8888"} in env


def test_the_database_user_has_rights_on_its_two_databases_only() -> None:
    script = named(manifests(), "ConfigMap", "mysql-first-start")["data"]["metadata.sql"]
    assert "GRANT ALL ON `metadb`.*" in script
    assert "*.*" not in script


def test_tls_to_mysql_is_kfp_s_alone_and_explained_once() -> None:
    objects = manifests(settings=("tls.enabled=false", "mysql.tls=skip-verify"))
    assert config(objects)["DBConfig"]["MySQLConfig"]["ExtraParams"] == {"tls": "skip-verify"}
    assert "ExtraParams" not in config(manifests(settings=("tls.enabled=false",)))["DBConfig"]["MySQLConfig"]
    metadata = named(objects, "Secret", "metadata-grpc-config")["stringData"]["config.pbtxt"]
    assert "ssl" not in metadata
    schema = yaml.safe_load((CHART / "values.schema.yaml").read_text())["properties"]["mysql"]["properties"]["tls"]
    (comment,) = re.findall(r"((?:^ +#.*\n)+) +tls: \"\"", (CHART / "values.yaml").read_text(), re.MULTILINE)
    for text in (schema["description"], comment):
        for word in filter(None, schema["enum"]):
            assert word in text
        assert "MLMD uses none, unless a config.pbtxt of your own says so" in " ".join(text.replace("#", "").split())


def test_a_changed_setting_restarts_what_reads_it() -> None:
    def mark(settings: tuple[str, ...]) -> str:
        template = named(manifests(settings=settings), "Deployment", "ml-pipeline")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert mark(()) != mark(("kfp.apiServer.cache=false",))
    assert mark(()) == mark(("minio.size=1Gi",))


def test_every_values_file_runs_one_version_of_kfp() -> None:
    for name in CASES:
        server = named(case(name), "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"][0]
        version = server["image"].rpartition(":")[2]
        for item in server["env"]:
            if item["name"] in ("V2_DRIVER_IMAGE", "V2_LAUNCHER_IMAGE"):
                assert item["value"].endswith(f":{version}")

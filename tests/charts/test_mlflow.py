"""MLflow and its PostgreSQL in the chart: who gets in, who holds which key, in which order things start."""

from base64 import b64decode
from typing import Any

import pytest
from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

from tests.charts.rendering import CASES, Manifest, containers, flags, helm, manifests, named, of_kind, text

EXTERNAL = (
    "postgresql.enabled=false",
    "mlflow.database.host=db.example.org",
    "mlflow.database.port=6432",
    "mlflow.database.existingSecret=db",
    "mlflow.database.authName=accounts",
)
INGRESS = ("mlflow.ingress.enabled=true", "mlflow.ingress.host=mlflow.example.org", "mlflow.ingress.tlsSecret=tls")


def deployment(*settings: str) -> Manifest:
    return named(manifests(settings=settings), "Deployment", "mlflow")["spec"]["template"]


def migration(*settings: str) -> Manifest:
    return named(manifests(settings=settings), "Job", "mlflow-migrate-1")


def variables(container: Manifest) -> dict[str, Any]:
    """Each variable's value, or the Secret and key that it is taken from."""
    found = {}
    for item in container["env"]:
        source = item.get("valueFrom", {}).get("secretKeyRef")
        found[item["name"]] = (source["name"], source["key"]) if source else item["value"]
    return found


def secret(objects: tuple[Manifest, ...], name: str) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in named(objects, "Secret", name)["data"].items()}


def refused(*settings: str) -> str:
    done = helm(*flags(("values.yaml",), settings))
    assert done.returncode != 0
    return done.stderr


def test_steps_have_an_account_of_their_own_that_all_secrets_agree_on() -> None:
    objects = manifests()
    own, steps, plugin = (secret(objects, n) for n in ("mlflow-credentials", "sluice-steps", "kfp-mlflow-credentials"))
    assert (own["admin-username"], own["username"]) == ("admin", "steps")
    assert own["admin-password"] != own["password"]
    assert (steps["MLFLOW_TRACKING_USERNAME"], steps["MLFLOW_TRACKING_PASSWORD"]) == (own["username"], own["password"])
    assert (plugin["username"], plugin["password"]) == (own["username"], own["password"])
    assert min(len(own[key]) for key in ("admin-password", "password", "flask-secret-key")) >= 32
    assert variables(migration()["spec"]["template"]["spec"]["containers"][0])["SLUICE_MLFLOW_STEPS_PASSWORD"] == (
        "sluice-steps",
        "MLFLOW_TRACKING_PASSWORD",
    )


def test_no_password_stands_in_an_address_and_each_rendering_makes_new_ones() -> None:
    for template in (deployment(), migration()["spec"]["template"]):
        for container in containers(template):
            found = variables(container)
            assert found["MLFLOW_BACKEND_STORE_URI"] == (
                "postgresql+psycopg2://postgresql.sluice.svc.cluster.local:5432/mlflow"
            )
            assert found["PGPASSWORD"] == ("postgresql-credentials", "password")
    assert not [name for name, value in secret(manifests(), "postgresql-credentials").items() if not value]
    again = text(settings=("crds.enabled=false", "clusterDomain=other"))
    assert secret(manifests(), "mlflow-credentials")["password"] not in again


def test_only_the_server_holds_the_object_stores_keys() -> None:
    template = deployment()
    (server,) = template["spec"]["containers"]
    found = variables(server)
    assert found["AWS_SECRET_ACCESS_KEY"] == ("object-store-mlflow", "secretkey")
    assert found["MLFLOW_S3_ENDPOINT_URL"] == "https://minio-service.sluice.svc.cluster.local:9000"
    assert found["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://mlflow"
    others = [*template["spec"]["initContainers"], *migration()["spec"]["template"]["spec"]["containers"]]
    assert not [name for container in others for name in variables(container) if name.startswith("AWS_")]


def test_steps_alone_are_told_to_send_artifacts_to_the_object_store() -> None:
    (server,) = deployment()["spec"]["containers"]
    assert variables(server)["SLUICE_MLFLOW_DIRECT_TRANSFERS"] == "false"
    told = named(manifests(), "ConfigMap", "sluice-steps")["data"]
    assert {told[f"MLFLOW_ENABLE_PROXY_MULTIPART_{way}"] for way in ("UPLOAD", "DOWNLOAD")} == {"true"}


def test_the_server_waits_for_the_migration_that_alone_changes_the_schema() -> None:
    job, template = migration(), deployment()
    (wait,), (server,) = template["spec"]["initContainers"], template["spec"]["containers"]
    (migrate,) = job["spec"]["template"]["spec"]["containers"]
    assert wait["command"][-2:] == ["wait", "--deadline=900"]
    assert migrate["command"][-2:] == ["migrate", "--deadline=900"]
    assert server["command"][-1] == "serve"
    assert job["spec"]["activeDeadlineSeconds"] == 900
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": "migrate", "operator": "In", "values": [2]}
    assert {each["image"] for each in (wait, server, migrate)} == {"sluice/platform:0.1.0"}


@pytest.mark.parametrize(
    ("settings", "host", "taken"),
    [
        ((), "mlflow", True),
        ((), "mlflow:5000", True),
        ((), "mlflow.sluice.svc.cluster.local:5000", True),
        ((), "localhost:30500", True),
        ((), "localhost", True),
        ((), "mlflow.other:5000", False),
        ((), "mlflow.example.org", False),
        (INGRESS, "mlflow.example.org", True),
        (("mlflow.allowedHosts={node-*:30500}",), "node-1:30500", True),
        (("mlflow.allowedHosts={node-*:30500}",), "evil.example.org:30500", False),
    ],
)
def test_it_answers_under_the_hosts_that_lead_to_it(settings: tuple[str, ...], host: str, taken: bool) -> None:
    (server,) = deployment(*settings)["spec"]["containers"]
    hosts = variables(server)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert is_allowed_host_header(hosts, host) is taken
    ready = server["readinessProbe"]["httpGet"]
    assert ready["path"] == "/health/database"
    assert is_allowed_host_header(hosts, ready["httpHeaders"][0]["value"])


def test_its_own_pages_may_change_things_under_the_ingress_and_others_may_not() -> None:
    (server,) = deployment(*INGRESS)["spec"]["containers"]
    origins = variables(server)["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert not should_block_cors_request("https://mlflow.example.org", "POST", origins)
    assert should_block_cors_request("http://mlflow.example.org", "POST", origins)
    assert should_block_cors_request("https://evil.example.org", "POST", origins)
    rule = named(manifests(settings=INGRESS), "Ingress", "mlflow")["spec"]
    assert rule["tls"] == [{"hosts": ["mlflow.example.org"], "secretName": "tls"}]


def test_a_postgresql_outside_the_chart_takes_the_place_of_its_own() -> None:
    settings = (*EXTERNAL, "mlflow.database.caConfigMap=ca")
    objects = manifests(settings=settings)
    assert not [item for item in objects if item["metadata"]["name"] == "postgresql"]
    for template in (deployment(*settings), migration(*settings)["spec"]["template"]):
        for container in containers(template):
            found = variables(container)
            assert found["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2://db.example.org:6432/mlflow"
            assert found["SLUICE_MLFLOW_AUTH_STORE_URI"] == "postgresql+psycopg2://db.example.org:6432/accounts"
            assert found["PGPASSWORD"] == ("db", "password")
            assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", "/etc/postgresql-ca/ca.crt")
            assert {"name": "postgresql-ca", "mountPath": "/etc/postgresql-ca", "readOnly": True} in container[
                "volumeMounts"
            ]
        assert {"name": "postgresql-ca", "configMap": {"name": "ca"}} in template["spec"]["volumes"]
    (rule,) = named(objects, "NetworkPolicy", "postgresql-clients")["spec"]["egress"]
    assert rule == {"ports": [{"port": 6432}]}
    (server,) = deployment(*EXTERNAL)["spec"]["containers"]
    assert variables(server)["PGSSLROOTCERT"] == "system"


def test_postgresql_is_reached_by_mlflow_alone() -> None:
    objects = manifests()
    (rule,) = named(objects, "NetworkPolicy", "postgresql")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"sluice.dev/postgresql-client": "true"}}}]
    clients = [
        item["metadata"]["name"]
        for item in of_kind(objects, "Deployment", "Job")
        if "sluice.dev/postgresql-client" in item["spec"]["template"]["metadata"]["labels"]
    ]
    assert sorted(clients) == ["mlflow", "mlflow-migrate-1"]


def test_people_reach_it_only_where_it_is_exposed() -> None:
    def sources(*settings: str) -> list[Any]:
        (rule,) = named(manifests(settings=settings), "NetworkPolicy", "mlflow")["spec"]["ingress"]
        return list(rule["from"])

    closed = sources()
    steps, clients = ["pipelines.kubeflow.org/v2_component"], ["sluice.dev/mlflow-client"]
    for found, wanted in ((closed, [clients]), (sources("objectStore.gateway.enabled=false"), [steps, clients])):
        assert [list(each["podSelector"]["matchLabels"]) for each in found] == wanted
    assert {"ipBlock": {"cidr": "0.0.0.0/0"}} in sources("mlflow.service.type=NodePort")
    peer = "networkPolicy.entryPoints[0].ipBlock.cidr=10.1.0.0/16"
    assert sources(*INGRESS, peer) == [*closed, {"ipBlock": {"cidr": "10.1.0.0/16"}}]


@pytest.mark.parametrize("name", CASES)
def test_an_artifact_on_its_way_fits_into_what_the_pod_may_write(name: str) -> None:
    template = named(manifests(CASES[name]), "Deployment", "mlflow")["spec"]["template"]["spec"]
    (server,), (tmp, *_) = template["containers"], template["volumes"]
    limit = server["resources"]["limits"]["ephemeral-storage"]
    assert int(tmp["emptyDir"]["sizeLimit"].removesuffix("Gi")) < int(limit.removesuffix("Gi"))


def test_several_servers_share_their_sessions_and_survive_a_drained_node() -> None:
    objects = manifests(settings=("mlflow.replicas=2",))
    assert named(objects, "PodDisruptionBudget", "mlflow")["spec"]["maxUnavailable"] == 1
    (server,) = named(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"]
    assert variables(server)["MLFLOW_FLASK_SERVER_SECRET_KEY"] == ("mlflow-credentials", "flask-secret-key")
    assert not [item for item in of_kind(manifests(), "PodDisruptionBudget") if item["metadata"]["name"] == "mlflow"]


def test_it_can_be_left_out_for_one_outside() -> None:
    settings = ("mlflow.enabled=false", "postgresql.enabled=false", "mlflow.externalUrl=https://mlflow.example.org")
    objects = manifests(settings=settings)
    names = {item["metadata"]["name"] for item in objects if item["kind"] != "NetworkPolicy"}
    assert not {"mlflow", "postgresql", "mlflow-credentials", "mlflow-migrate-1"} & names
    steps = named(objects, "ConfigMap", "sluice-steps")["data"]
    assert steps["MLFLOW_TRACKING_URI"] == "https://mlflow.example.org"
    (rule,) = named(objects, "NetworkPolicy", "mlflow-clients")["spec"]["egress"]
    assert rule == {"ports": [{"port": 443}]}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (("mlflow.externalUrl=http://x",), "both mlflow.enabled and mlflow.externalUrl are set"),
        (("postgresql.enabled=false",), "postgresql.enabled is false and mlflow.database.host is empty"),
        (("mlflow.database.host=x",), "both postgresql.enabled and mlflow.database.host are set"),
        (("postgresql.enabled=false", "mlflow.database.host=x"), "without mlflow.database.existingSecret"),
        (("mlflow.database.authName=other",), "mlflow.database.authName with postgresql.enabled"),
        ((*EXTERNAL, "mlflow.database.caConfigMap=ca", "mlflow.database.sslMode=require"), "checks no certificate"),
        (("mlflow.enabled=false",), "postgresql.enabled without mlflow.enabled"),
        (("mlflow.ingress.enabled=true",), "mlflow.ingress.enabled without mlflow.ingress.host"),
        ((INGRESS[0], INGRESS[1]), "passwords would travel in clear"),
        (("mlflow.service.nodePort=30500",), "mlflow.service.nodePort is set with type ClusterIP"),
        (("mlflow.defaultPermission=ALL",), "defaultPermission"),
        (("mlflow.allowedHosts={https://x}",), "allowedHosts"),
        (("mlflow.replcas=2",), "replcas"),
    ],
)
def test_contradictions_end_in_one_line(settings: tuple[str, ...], line: str) -> None:
    assert line in refused(*settings)

"""A second release beside the first, in a namespace of its own, on an object store and databases that it does not run.

They are what this chart runs elsewhere, MinIO, MariaDB and PostgreSQL, here without the rest of it and with TLS before
PostgreSQL, in a namespace that no NetworkPolicy of the chart knows.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.certificates import self_signed
from tests.kind.cluster import ROOT, Cluster
from tests.kind.test_release import helm

SERVICES, STAGING = "services", "staging"
DOMAIN = f"{SERVICES}.svc.cluster.local"
PARTS = ("minio", "mysql", "postgresql")
CLOSED: dict[str, Any] = {"type": "ClusterIP", "nodePort": 0}  # the nodes' ports are the first release's
OWN: dict[str, Any] = {
    "crds": {"enabled": False},
    "trainer": {"enabled": False},
    "jobset": {"enabled": False},
    "minio": {"enabled": False, "service": CLOSED},
    "objectStore": {
        "host": f"minio-service.{DOMAIN}",
        "port": 9000,
        "secure": False,
        "existingSecret": "object-store",
    },
    "mysql": {"enabled": False, "host": f"mysql.{DOMAIN}", "existingSecret": "mysql"},
    "postgresql": {"enabled": False},
    "mlflow": {
        "service": CLOSED,
        "database": {
            "host": f"postgresql.{DOMAIN}",
            "existingSecret": "postgresql",
            "sslMode": "verify-full",
            "caConfigMap": "databases-ca",
        },
    },
    "kfp": {"apiServer": {"service": CLOSED}, "ui": {"service": CLOSED}},
}


def secret(name: str, values: dict[str, bytes]) -> dict[str, Any]:
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def rendered(values: Path) -> list[dict[str, Any]]:
    """What the chart makes of its object store and its databases alone."""
    alone = {"persistence": {"enabled": False}, "minio": {"service": CLOSED}, "kfp": {"driver": {"inAgent": False}}}
    alone["tls"] = {"enabled": False}
    own = values.with_name("alone.yaml")
    own.write_text(yaml.safe_dump(alone))
    words = ("--values", str(values), "--values", str(own))
    text = helm(None, "template", "services", str(ROOT / "charts/sluice"), "--namespace", SERVICES, *words)
    wanted = ("Deployment", "Service", "ServiceAccount", "ConfigMap", "Secret")
    return [
        document
        for document in yaml.safe_load_all(text)
        if document and document["kind"] in wanted and document["metadata"]["labels"]["app.kubernetes.io/name"] in PARTS
    ]


def with_tls(deployment: dict[str, Any]) -> None:
    """Let PostgreSQL offer TLS, with the key and the certificate of the Secret postgresql-tls."""
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    settings = ("ssl=on", "ssl_cert_file=/tls/tls.crt", "ssl_key_file=/tls/tls.key")
    container["args"] += [word for setting in settings for word in ("-c", setting)]
    container["volumeMounts"].append({"name": "tls", "mountPath": "/tls", "readOnly": True})
    pod["volumes"].append({"name": "tls", "secret": {"secretName": "postgresql-tls", "defaultMode": 0o440}})


@pytest.fixture
def services(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Cluster, bytes]]:
    """An object store and two databases that run, and the authority that vouches for PostgreSQL."""
    values = tmp_path / "release.yaml"
    values.write_text(helm(cluster, "get", "values", "sluice", "--output", "yaml"))
    here = cluster.beside(SERVICES)
    try:
        key, certificate = self_signed(x509.DNSName(f"postgresql.{DOMAIN}"))
        documents = [*rendered(values), secret("postgresql-tls", {"tls.key": key, "tls.crt": certificate})]
        for document in documents:
            if document["kind"] == "Deployment" and document["metadata"]["name"] == "postgresql":
                with_tls(document)
        here.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(documents))
        here.ready()
        yield here, certificate
    finally:
        cluster.kubectl("delete", "namespace", SERVICES, "--wait=false", check=False)


@pytest.fixture
def staging(cluster: Cluster, services: tuple[Cluster, bytes], tmp_path: Path) -> Iterator[Cluster]:
    """The release on those services, installed as a user would who has them."""
    elsewhere, authority = services
    here = cluster.beside(STAGING)
    names = {
        "mlpipeline-minio-artifact": "object-store",
        "mysql-credentials": "mysql",
        "postgresql-credentials": "postgresql",
    }
    given = [
        secret(own, {key: value.encode() for key, value in elsewhere.secret(theirs).items()})
        for theirs, own in names.items()
    ]
    given.append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "databases-ca"},
            "data": {"ca.crt": authority.decode()},
        }
    )
    here.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(given))
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(OWN))
    files = ("--values", str(tmp_path / "release.yaml"), "--values", str(own))
    try:
        helm(here, "install", "staging", str(ROOT / "charts/sluice"), *files, "--wait", "--timeout", "5m")
        yield here
        helm(here, "uninstall", "staging", "--timeout", "5m")
    finally:
        cluster.kubectl("delete", "namespace", STAGING, "--wait=false", check=False)


@pytest.mark.long
def test_a_second_release_works_on_services_that_it_does_not_run(cluster: Cluster, staging: Cluster) -> None:
    before = cluster.secret("mlpipeline-minio-artifact")
    deployments = {item.metadata.name for item in staging.apps.list_namespaced_deployment(STAGING).items}
    assert {"ml-pipeline", "mlflow", "workflow-controller"} <= deployments
    absent = {*PARTS, "trainer-controller", "jobset-controller"}
    assert not deployments & absent
    assert absent <= {item.metadata.name for item in cluster.apps.list_namespaced_deployment(cluster.namespace).items}
    assert "Succeeded" in helm(staging, "test", "staging", "--timeout", "5m")
    examined = staging.sluice("doctor", "--cluster", "--json")
    assert '"error"' not in examined.stdout, examined.stdout
    assert f"minio-service.{DOMAIN}" in staging.kubectl("get", "configmap", "sluice-steps", "--output", "yaml")
    assert cluster.secret("mlpipeline-minio-artifact") == before
    assert not cluster.unready(), "the first release goes on"

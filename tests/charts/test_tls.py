"""TLS between the parts: who is called how, whose certificates there are, and whom each client is told to trust."""

import base64
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509 import verification

from sluice.storage.s3_connection import Connection
from sluice.storage.stores import open_store
from tests.charts.rendering import Manifest, case, containers, manifests, named, of_kind, pods, text
from tests.conftest import NewMinio

SERVERS = {
    "minio": "minio-service",
    "run-gateway": "run-gateway",
    "mysql": "mysql",
    "postgresql": "postgresql",
    "mlflow": "mlflow",
}
CA_FILE = "/etc/sluice/ca/ca.crt"
CASES = ("default", "small", "kind", "hermetic", "agent", "replicas")
OF_OTHERS = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"


def decoded(item: Manifest, key: str) -> bytes:
    return base64.b64decode(item["data"][key])


def authority(objects: tuple[Manifest, ...]) -> bytes:
    return str(named(objects, "ConfigMap", "sluice-ca")["data"]["ca.crt"]).encode()


def environment(container: Manifest) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in container.get("env", [])}


def only_container(objects: tuple[Manifest, ...], name: str) -> Manifest:
    (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("name", CASES)
def test_nobody_calls_a_server_of_the_chart_without_tls(name: str) -> None:
    objects = case(name)
    whole = json.dumps(objects)
    assert not re.findall(r"http://(?:minio-service|mlflow)\b", whole)
    argo = yaml.safe_load(named(objects, "ConfigMap", "workflow-controller-configmap")["data"]["artifactRepository"])
    assert argo["s3"]["insecure"] is False
    assert argo["s3"]["caSecret"] == {"name": "sluice-ca", "key": "ca.crt"}
    providers = yaml.safe_load(named(objects, "ConfigMap", "kfp-launcher")["data"]["providers"])
    assert [part["default"]["disableSSL"] for part in providers.values()] == [False, False]
    api = environment(only_container(objects, "ml-pipeline"))
    assert api["OBJECTSTORECONFIG_SECURE"] == "true"
    config = json.loads(named(objects, "ConfigMap", "ml-pipeline-config")["data"]["config.json"])
    assert config["DBConfig"]["MySQLConfig"]["ExtraParams"] == {"tls": "true"}
    metadata = named(objects, "Secret", "metadata-grpc-config")["stringData"]["config.pbtxt"]
    assert f'ssl_options {{ ca: "{CA_FILE}" }}' in metadata
    mlflow = environment(only_container(objects, "mlflow"))
    assert (mlflow["PGSSLMODE"], mlflow["PGSSLROOTCERT"]) == ("verify-full", CA_FILE)


@pytest.mark.parametrize("name", CASES)
def test_servers_answer_to_tls_alone(name: str) -> None:
    objects = case(name)
    assert only_container(objects, "minio")["command"][-2:] == ["--certs-dir", "/certificates"]
    assert "--require-secure-transport=ON" in only_container(objects, "mysql")["args"]
    assert {"ssl=on", "hba_file=/connections/pg_hba.conf"} <= set(only_container(objects, "postgresql")["args"])
    rules = named(objects, "ConfigMap", "postgresql-connections")["data"]["pg_hba.conf"].splitlines()
    assert {line.split()[0] for line in rules} == {"local", "hostssl"}
    assert not [line for line in rules if line.split()[-1] != "scram-sha-256"]
    assert environment(only_container(objects, "mlflow"))["SLUICE_MLFLOW_CERTIFICATE"] == "/certificate/tls.crt"
    for server in ("minio", "mlflow"):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert only_container(objects, server)[probe]["httpGet"]["scheme"] == "HTTPS"


@pytest.mark.parametrize("server", SERVERS)
def test_a_certificate_is_for_every_name_that_leads_to_its_server(server: str) -> None:
    """Checked as strictly as a browser would, and Python from 3.13 on."""
    objects = manifests(settings=("clusterDomain=example.internal", "tls.hosts={node-1,192.0.2.7}"))
    secret = named(objects, "Secret", f"{server}-tls")
    own = x509.load_pem_x509_certificate(decoded(secret, "tls.crt"))
    ca = x509.load_pem_x509_certificate(authority(objects))
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    service = SERVERS[server]
    hosts = {service, f"{service}.sluice", f"{service}.sluice.svc", f"{service}.sluice.svc.example.internal"}
    assert set(names.get_values_for_type(x509.DNSName)) == hosts | {"localhost", "node-1"}
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "192.0.2.7"}
    builder = verification.PolicyBuilder().store(verification.Store([ca]))
    in_nine_years = datetime.now(UTC) + timedelta(days=9 * 365)
    builder.time(in_nine_years).build_server_verifier(x509.DNSName(f"{service}.sluice.svc")).verify(own, [])
    with pytest.raises(verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("another.sluice.svc")).verify(own, [])


@pytest.mark.parametrize("name", CASES)
def test_the_addresses_that_clients_have_stand_in_the_certificates(name: str) -> None:
    objects = case(name)
    known = set()
    for server in SERVERS:
        own = x509.load_pem_x509_certificate(decoded(named(objects, "Secret", f"{server}-tls"), "tls.crt"))
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known |= set(names.get_values_for_type(x509.DNSName))
    called = set(re.findall(r"\b(?:minio-service|mlflow|mysql|postgresql)\.sluice[a-z.]*", json.dumps(objects)))
    assert called
    assert called <= known


def test_keys_stand_in_the_secrets_of_their_servers_alone(rendered: tuple[Manifest, ...]) -> None:
    for item in rendered:
        if item["kind"] == "Secret":
            plain = {key: base64.b64decode(value) for key, value in item.get("data", {}).items()}
            plain |= {key: value.encode() for key, value in item.get("stringData", {}).items()}
            held = {key for key, value in plain.items() if b"PRIVATE KEY" in value}
            assert held <= {"tls.key"}, item["metadata"]["name"]
        else:
            assert "PRIVATE KEY" not in json.dumps(item), item["metadata"]["name"]


def test_key_files_are_for_their_server_s_group_alone() -> None:
    for server in SERVERS:
        spec = named(manifests(), "Deployment", server)["spec"]["template"]["spec"]
        (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "certificate")
        source = volume.get("secret") or volume["projected"]
        assert source["defaultMode"] == 0o440  # PostgreSQL starts with no key that others may read
        assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"]


def test_whoever_is_told_whom_to_trust_has_the_file(rendered: tuple[Manifest, ...]) -> None:
    told = 0
    for name, template in pods(rendered):
        for container in containers(template):
            if CA_FILE in json.dumps(container) or "/etc/sluice/ca" in json.dumps(container.get("env", [])):
                told += 1
                mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
                volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
                assert "configMap" in volumes[mounts["/etc/sluice/ca"]], name
    assert told or "sluice-ca" not in json.dumps(rendered)


def test_mariadb_is_asked_in_ways_that_need_no_authority() -> None:
    """Its client looks at certificates by itself, over the socket too, and does not know ours."""
    server = only_container(manifests(), "mysql")
    over_network, over_socket = (server[probe]["exec"]["command"] for probe in ("readinessProbe", "livenessProbe"))
    assert {"--ssl", "--protocol=tcp"} <= set(over_network)  # without a password it checks none
    assert {"--skip-ssl", "--protocol=socket"} <= set(over_socket)  # which counts as secure


def test_the_chart_s_authority_and_tls_ca_are_both_trusted() -> None:
    objects = manifests(settings=(f"tls.ca={OF_OTHERS}",))
    assert authority(objects).count(b"BEGIN CERTIFICATE") == 2
    assert named(objects, "Secret", "sluice-ca")["stringData"]["ca.crt"].encode() == authority(objects)


def test_without_tls_nothing_of_it_is_rendered() -> None:
    for files in ((), ("values-kind.yaml", "values-hermetic.yaml")):
        whole = text(files, ("tls.enabled=false", "crds.enabled=false"))
        for word in ("sluice-ca", "sluice-authority", "SLUICE_CA", "SSL_CERT", "AWS_CA_BUNDLE", "HTTPS", "hba_file"):
            assert word not in whole, word
        assert not re.findall(r"name: (?:minio|mysql|postgresql|mlflow)-tls", whole)


def test_a_release_of_before_stays_as_it_is_with_the_values_that_it_has() -> None:
    """`helm upgrade --reuse-values` takes the old chart's values, which have no such section."""
    whole = text((), ("tls=null", "crds.enabled=false"))
    assert "http://minio-service.sluice.svc" in whole
    assert "sluice-ca" not in whole


def test_cert_manager_makes_them_where_an_issuer_is_named() -> None:
    objects = manifests(settings=("tls.issuerRef.name=internal", f"tls.ca={OF_OTHERS}"))
    certificates = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "Certificate")}
    assert set(certificates) == {f"{server}-tls" for server in SERVERS}
    for server, service in SERVERS.items():
        wanted = certificates[f"{server}-tls"]
        assert wanted["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "internal"}
        assert wanted["secretName"] == f"{server}-tls"
        assert {service, f"{service}.sluice.svc.cluster.local", "localhost"} <= set(wanted["dnsNames"])
        assert wanted["ipAddresses"] == ["127.0.0.1"]
    made = {item["metadata"]["name"] for item in of_kind(objects, "Secret")}
    assert not made & {"sluice-authority", *certificates}
    assert authority(objects).decode().strip() == OF_OTHERS


def test_a_secret_of_your_own_takes_the_place_of_the_one_that_is_made() -> None:
    objects = manifests(settings=("tls.secrets.postgresql=mine", f"tls.ca={OF_OTHERS}"))
    made = {item["metadata"]["name"] for item in of_kind(objects, "Secret")}
    assert "postgresql-tls" not in made
    assert {"minio-tls", "mysql-tls", "mlflow-tls", "sluice-authority"} <= made
    volumes = named(objects, "Deployment", "postgresql")["spec"]["template"]["spec"]["volumes"]
    assert "mine" in [volume.get("secret", {}).get("secretName") for volume in volumes]


def test_a_new_certificate_starts_its_server_again() -> None:
    """Servers read it as they start."""
    before, after = (manifests(settings=(f"tls.hosts={{{host}}}",)) for host in ("one", "two"))
    for server in SERVERS:
        marks = {
            named(objects, "Deployment", server)["spec"]["template"]["metadata"]["annotations"]["checksum/certificate"]
            for objects in (before, after)
        }
        assert len(marks) == 2


@pytest.mark.minio
def test_minio_serves_with_it_and_steps_and_mlflow_s_server_trust_it(
    new_minio: NewMinio, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = case("default")
    folder, ca = tmp_path / "certificates", tmp_path / "ca.crt"
    (folder / "CAs").mkdir(parents=True)
    for key, file in (("tls.crt", "public.crt"), ("tls.key", "private.key")):
        (folder / file).write_bytes(decoded(named(objects, "Secret", "minio-tls"), key))
    ca.write_bytes(authority(objects))
    server = new_minio(folder).start()
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_CA_FILE", str(ca))
    Connection.from_environment().client().make_bucket("lake")
    assert open_store("s3://lake").put_if_absent("k", b"x")
    # As MLflow's server stores artifacts: uploads that end in a checksum, boto3's own way over TLS, MinIO refuses.
    import boto3

    told = environment(only_container(objects, "mlflow"))
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", told["AWS_REQUEST_CHECKSUM_CALCULATION"])
    s3 = boto3.client("s3", endpoint_url=server.endpoint, verify=str(ca), region_name="us-east-1")
    s3.upload_fileobj(io.BytesIO(b"y" * 20_000_000), "lake", "artifact")
    assert open_store("s3://lake").get_bytes("artifact") == b"y" * 20_000_000

"""Each part's account as it is on the cluster, with the credentials that its pods have, and what an attacker would do.

The attacks run where a step's code would: in a pod with a step's labels, account and Secrets.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from tests.kind.cluster import Cluster
from tests.kind.test_attacks import idle, said_by, submit

BUCKETS = {"kfp": "mlpipeline", "runs": "mlpipeline", "mlflow": "mlflow"}
IN_A_STEP = {"steps": "sluice", "register": "sluice"}
CA = "/etc/sluice/ca"
# What a step's code can try with nothing but its environment. It prints one JSON object: attack to outcome.
ATTACKS = """
import io, json, os, socket, urllib.error, urllib.request
from minio import Minio
from minio.error import S3Error
from sluice.storage.s3_connection import Connection
client = Connection.from_environment().client()
done = {}
def store(name, attempt):
    try:
        attempt()
        done[name] = "allowed"
    except S3Error as error:
        done[name] = error.code
def put(bucket, name, client=client, size=6):
    return lambda: client.put_object(bucket, name, io.BytesIO(b"forged" * (size // 6)), size)
store("a promotion", put("sluice", "promotions/flights-late/000001.json"))
store("the lake", put("sluice", "lakes/flights/contract.yaml"))
store("an artifact of MLflow", put("mlflow", "1/models/m-0/artifacts/MLmodel"))
store("an uploaded pipeline", put("mlpipeline", "pipelines/forged"))
store("another's log", put("mlpipeline", "private-artifacts/sluice/x/main.log"))
store("a promotion away", lambda: client.remove_object("sluice", "promotions/flights-late/000001.json"))
store("a dataset away", lambda: client.remove_object("sluice", "datasets/x/manifest.json"))
store("a bucket", lambda: client.make_bucket("intruder"))
store("own work", put("sluice", "own/attacks"))
# Files of another run, and what is kept; with the account that KFP's launcher has in the same container.
from minio.commonconfig import CopySource, SnowballObject
ours, theirs = os.environ["OURS"], os.environ["THEIRS"]
connection = Connection.from_environment()
host = connection.endpoint.partition("://")[2]
import ssl, urllib3
ca = os.environ["SLUICE_CA_FILE"]
keys = (os.environ["RUNS_ACCESS"], os.environ["RUNS_SECRET"])
launcher = Minio(host, *keys, region="us-east-1", http_client=urllib3.PoolManager(ca_certs=ca))
LARGE = 12 << 20
store("own artifact", put("mlpipeline", f"v2/artifacts/attacks/{ours}/x", launcher))
store("own result", put("sluice", f"runs/{ours}/attacks"))
store("a new file of a dataset", put("sluice", f"datasets/attacks-{ours}/x"))
store("another run's artifact", put("mlpipeline", f"v2/artifacts/attacks/{theirs}/x", launcher))
store("another run's artifact in parts", put("mlpipeline", f"v2/artifacts/attacks/{theirs}/x", launcher, LARGE))
store("another run's log", put("mlpipeline", "private-artifacts/sluice/another/main.log", launcher))
store("another run's result", put("sluice", f"runs/{theirs}/attacks"))
checkpoint = f"training/{theirs}/job/checkpoint.safetensors"
store("another run's checkpoint", put("sluice", checkpoint))
store("another run's checkpoint away", lambda: client.remove_object("sluice", checkpoint))
store("a file of a dataset", put("sluice", "datasets/attacked/x"))
store("a file of a dataset in parts", put("sluice", "datasets/attacked/x", size=LARGE))
store("a file of a model", put("sluice", "models/attacked/x"))
source = CopySource("sluice", f"runs/{ours}/attacks")
store("a copy over a model", lambda: client.copy_object("sluice", "models/attacked/x", source))
archive = [SnowballObject("models/attacked/x", data=io.BytesIO(b"forged"), length=6)]
store("an archive over a model", lambda: client.upload_snowball_objects("sluice", archive))
import http.client
def raw(name, method, path, **headers):
    way = http.client.HTTPSConnection(host, timeout=20, context=ssl.create_default_context(cafile=ca))
    way.request(method, path, b"forged", headers)
    done[name] = {400: "AccessDenied", 403: "AccessDenied"}.get(way.getresponse().status, "allowed")
raw("a spelling of a model", "PUT", f"/sluice/runs/{ours}/..%2f..%2fmodels/attacked/x")
raw("a path of a model", "PUT", f"/sluice/runs/{ours}/../../models/attacked/x")
raw("a lie about the sender", "PUT", f"/sluice/runs/{theirs}/attacks", **{"X-Sluice-Address": "10.0.0.1"})
raw("MinIO's administration", "GET", "/minio/admin/v3/info")
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
tracking = MlflowClient()
def registry(name, attempt):
    try:
        attempt()
        done[name] = "allowed"
    except MlflowException as error:
        done[name] = error.error_code
registry("a model", lambda: tracking.create_registered_model("intruder"))
registry("an alias", lambda: tracking.set_registered_model_alias("flights-late", "champion", "1"))
registry("reading models", lambda: tracking.search_registered_models(max_results=1))
# MLflow's run of another pipeline run, and one of its own.
import mlflow, requests
from mlflow.entities import RunTag
tracked = os.environ["TRACKED"]
experiment = tracking.get_run(tracked).info.experiment_id
def own_run():
    with mlflow.start_run(experiment_id=experiment):
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("own", "note.txt")
registry("a run of MLflow's", own_run)
registry("another run's metric", lambda: tracking.log_metric(tracked, "loss", 0.0))
registry("another run's tags", lambda: tracking.log_batch(tracked, tags=[RunTag("sluice.winner", "forged")]))
registry("another run's end", lambda: tracking.set_terminated(tracked, "FAILED"))
registry("another run away", lambda: tracking.delete_run(tracked))
registry("a model of another run's", lambda: tracking.create_logged_model(experiment, source_run_id=tracked))
registry("a run in another's name", lambda: tracking.create_run(experiment, tags={"sluice.run": theirs}))
registry("a run under another's", lambda: tracking.create_run(experiment, tags={"mlflow.parentRunId": tracked}))
server = os.environ["MLFLOW_TRACKING_URI"]
login = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
trusted = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
def tracking_raw(name, method, path, headers={}, **body):
    answer = requests.request(method, server + path, auth=login, headers=headers, verify=trusted, timeout=30, **body)
    done[name] = "PERMISSION_DENIED" if answer.status_code == 403 else "allowed"
files = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{tracked}/artifacts/note.txt"
tracking_raw("another run's file in MLflow", "PUT", files, data=b"forged")
parts = files.replace("/artifacts/", "/mpu/create/", 1)
tracking_raw("another run's file in parts", "POST", parts, json={"path": "note.txt", "num_parts": 1})
lie = {"run_id": tracked, "key": "x", "value": "forged"}
tracking_raw("a lie about the run", "POST", "/api/2.0/mlflow/runs/set-tag", {"X-Sluice-Run": theirs}, json=lie)
def way(name, host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        done[name] = "allowed"
    except OSError:
        done[name] = "closed"
way("KFP's REST API", "ml-pipeline", 8888)
way("a database", "postgresql", 5432)
way("the world", "192.0.2.1", 443)
way("the object store", "minio-service", 9000)
way("KFP's API of gRPC", "ml-pipeline", 8887)
way("the gateway", "run-gateway", 9000)
way("the gateway to KFP's cache", "run-gateway", 8887)
way("the gateway to MLflow", "run-gateway", 5000)
way("MLflow itself", "mlflow", 5000)
print("ATTACKS " + json.dumps(done))
"""


def client(cluster: Cluster, secret: str, access: str = "accesskey", key: str = "secretkey") -> Minio:
    """A client of the cluster's store, from this machine, with the keys of a Secret."""
    data = cluster.secret(secret)
    trusted = urllib3.PoolManager(ca_certs=str(cluster.authority()))
    return Minio("127.0.0.1:9000", data[access], data[key], secure=True, region="us-east-1", http_client=trusted)


def denied(store: Minio, bucket: str, name: str) -> bool:
    try:
        store.put_object(bucket, name, io.BytesIO(b"forged"), 6)
    except S3Error as error:
        return error.code == "AccessDenied"
    return False


def test_only_minio_and_its_job_hold_root_s_keys(cluster: Cluster) -> None:
    root = cluster.secret("mlpipeline-minio-artifact")
    names = [item.metadata.name for item in cluster.core.list_namespaced_secret(cluster.namespace).items]
    for name in (name for name in names if name != "mlpipeline-minio-artifact" and not name.startswith("sh.helm")):
        assert root["secretkey"] not in cluster.secret(name).values(), name
    for pod in cluster.core.list_namespaced_pod(cluster.namespace).items:
        if pod.metadata.labels.get("app.kubernetes.io/name") not in ("minio", "minio-accounts"):
            assert "mlpipeline-minio-artifact" not in str(pod.spec), pod.metadata.name
    config = cluster.core.read_namespaced_config_map("kfp-launcher", cluster.namespace).data["providers"]
    assert "object-store-runs" in config
    assert "mlpipeline-minio-artifact" not in config


@pytest.mark.parametrize("part", [*BUCKETS, *IN_A_STEP])
def test_no_part_writes_what_another_keeps(cluster: Cluster, part: str) -> None:
    secret = f"object-store-{part}"
    store, own = client(cluster, secret), {**BUCKETS, **IN_A_STEP}[part]
    for bucket in {"mlpipeline", "mlflow", "sluice"} - {own}:
        assert denied(store, bucket, "forged"), bucket
    assert denied(store, "sluice", "lakes/flights/contract.yaml")
    if part != "register":
        assert denied(store, "sluice", "promotions/intruder/000001.json")
    if part != "kfp":
        assert denied(store, "mlpipeline", "pipelines/forged")


def test_a_step_overwrites_nothing_for_good(cluster: Cluster) -> None:
    root, step = client(cluster, "mlpipeline-minio-artifact"), client(cluster, "object-store-steps")
    name = "datasets/attacked/part"
    root.put_object("sluice", name, io.BytesIO(b"first"), 5)
    step.put_object("sluice", name, io.BytesIO(b"forged"), 6)
    versions = list(root.list_objects("sluice", name, include_version=True))
    try:
        assert len(versions) >= 2
        for version in versions:
            with pytest.raises(S3Error, match=r"Access ?Denied"):
                step.remove_object("sluice", name, version_id=version.version_id)
        oldest = min(versions, key=lambda version: version.last_modified)
        assert root.get_object("sluice", name, version_id=oldest.version_id).read() == b"first"
    finally:
        for version in versions:
            root.remove_object("sluice", name, version_id=version.version_id)


THEIRS = "00000000-0000-0000-0000-000000000000"
# What another run has written, and what is kept.
LAID = (
    ("mlpipeline", f"v2/artifacts/attacks/{THEIRS}/x"),
    ("mlpipeline", "private-artifacts/sluice/another/main.log"),
    ("sluice", f"runs/{THEIRS}/attacks"),
    ("sluice", f"training/{THEIRS}/job/checkpoint.safetensors"),
    ("sluice", "datasets/attacked/x"),
    ("sluice", "models/attacked/x"),
)
ALLOWED = {
    "own work",
    "own artifact",
    "own result",
    "a new file of a dataset",
    "reading models",
    "the gateway",
    "the gateway to KFP's cache",
    "a run of MLflow's",
    "the gateway to MLflow",
}


@pytest.fixture(scope="module")
def workflow(cluster: Cluster) -> dict[str, Any]:
    """The metadata of a run's Workflow."""
    run = submit(cluster, idle, name="attacked")
    assert cluster.wait(run, 300) == "SUCCEEDED", said_by(cluster, run)
    found = json.loads(cluster.kubectl("get", "workflows", "--selector", f"pipeline/runid={run}", "--output", "json"))
    metadata: dict[str, Any] = found["items"][0]["metadata"]
    return metadata


@pytest.fixture
def laid(cluster: Cluster) -> Iterator[Minio]:
    """A client with root's keys, while what another run has written lies there."""
    root = client(cluster, "mlpipeline-minio-artifact")
    for bucket, name in LAID:
        root.put_object(bucket, name, io.BytesIO(b"first"), 5)
    yield root
    for bucket, name in LAID:
        for version in root.list_objects(bucket, name, include_version=bucket == "sluice"):
            root.remove_object(bucket, name, version_id=version.version_id)


@pytest.fixture
def tracked(mlflow_client: Any) -> Iterator[str]:
    """The id of another pipeline run's MLflow run, which stays as it is."""
    found = mlflow_client.get_experiment_by_name("attacked")
    experiment = found.experiment_id if found else mlflow_client.create_experiment("attacked")
    run = mlflow_client.create_run(experiment, tags={"sluice.run": THEIRS}).info.run_id
    mlflow_client.log_metric(run, "loss", 1.0)
    before = mlflow_client.get_run(run).to_dictionary()
    yield run
    assert mlflow_client.get_run(run).to_dictionary() == before
    assert not mlflow_client.list_artifacts(run)
    mlflow_client.delete_run(run)


@pytest.fixture
def attacked(cluster: Cluster, laid: Minio, workflow: dict[str, Any], tracked: str) -> Iterator[dict[str, str]]:
    """What came of each attack from a pod that a step's code cannot tell from its own."""
    pod = attacker(cluster, workflow)
    pod["spec"]["containers"][0]["env"].append({"name": "TRACKED", "value": tracked})
    name = pod["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "--ignore-not-found")
    cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(pod))
    try:
        cluster.until(
            lambda: cluster.core.read_namespaced_pod(name, cluster.namespace).status.phase in ("Succeeded", "Failed"),
            240,
            "the attacks to end",
        )
        log = cluster.kubectl("logs", name)
        (line,) = [text for text in log.splitlines() if text.startswith("ATTACKS ")] or pytest.fail(log)
        for bucket, key in LAID:
            assert laid.get_object(bucket, key).read() == b"first", key
        yield json.loads(line.removeprefix("ATTACKS "))
    finally:
        cluster.kubectl("delete", "pod", name, "--wait=false")


def attacker(cluster: Cluster, workflow: dict[str, Any]) -> dict[str, Any]:
    """A pod of a run, with a step's labels, Secrets and settings."""
    references = [{"configMapRef": {"name": "sluice-steps"}}, {"secretRef": {"name": "sluice-steps"}}]
    closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": cluster.step_image(),
        "command": ["python", "-c", ATTACKS],
        "envFrom": references,
        "env": [
            {"name": "HOME", "value": "/tmp"},
            {"name": "USER", "value": "sluice"},
            {"name": "OURS", "value": workflow["labels"]["pipeline/runid"]},
            {"name": "THEIRS", "value": THEIRS},
            *(
                {"name": name, "value": f"{CA}/ca.crt"}
                for name in ("SLUICE_CA_FILE", "MLFLOW_TRACKING_SERVER_CERT_PATH")
            ),
            *(
                {"name": f"RUNS_{name}", "valueFrom": {"secretKeyRef": {"name": "object-store-runs", "key": key}}}
                for name, key in (("ACCESS", "accesskey"), ("SECRET", "secretkey"))
            ),
        ],
        "securityContext": closed,
        "resources": {"limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "ca", "mountPath": CA}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "ca", "configMap": {"name": "sluice-ca"}}],
    }
    labels = {"pipelines.kubeflow.org/v2_component": "true"}
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": workflow["name"], "uid": workflow["uid"]}
    metadata = {"name": "attacker", "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_what_a_step_s_code_can_do_is_its_own_work(cluster: Cluster, attacked: dict[str, str]) -> None:
    allowed = {name for name, outcome in attacked.items() if outcome == "allowed"}
    assert allowed == ALLOWED, attacked
    assert {outcome for name, outcome in attacked.items() if name not in allowed} == {
        "AccessDenied",
        "PreconditionFailed",
        "PERMISSION_DENIED",
        "closed",
    }


def test_a_pod_of_no_run_writes_nothing_through_the_gateway(cluster: Cluster, workflow: dict[str, Any]) -> None:
    pod = attacker(cluster, workflow)
    pod["metadata"] |= {"name": "nobody", "ownerReferences": []}
    code = (
        ATTACKS.partition('store("a promotion"')[0] + 'store("x", put("sluice", "own/attacks")); print("ATTACKS", done)'
    )
    pod["spec"]["containers"][0]["command"] = ["python", "-c", code]
    cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(pod))
    try:
        cluster.until(lambda: "ATTACKS" in cluster.kubectl("logs", "nobody", check=False), 240, "the attack to end")
        assert "{'x': 'AccessDenied'}" in cluster.kubectl("logs", "nobody")
    finally:
        cluster.kubectl("delete", "pod", "nobody", "--wait=false")


def test_doctor_says_what_is_open(cluster: Cluster) -> None:
    found = json.loads(cluster.sluice("doctor", "--cluster", "--json", check=False).stdout)
    said = [entry["message"] for entry in found if entry["name"] == "open"]
    assert [line for line in said if "Service ml-pipeline answers outside the cluster" in line], found
    assert not [line for line in said if "over http" in line and "ml-pipeline" not in line], said
    assert not [entry for entry in found if entry["name"] == "accounts"], "each part has an account of its own"

"""The gateway of runs' pods: a real nginx with the chart's configuration, before a real MinIO with the accounts.

What steps, the launcher, Argo and MLflow do through it, and what an attacker would try.
"""

import hashlib
import http.client
import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from minio import Minio
from minio.commonconfig import CopySource, SnowballObject
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from sluice.cluster import store_accounts
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.storage.stores import Store, open_store
from tests.charts.rendering import manifests, named
from tests.charts.run_gateway import NOBODY, OURS, THEIRS, Gateway, probe, random_bytes
from tests.charts.test_store_accounts import BUCKETS, get, put
from tests.charts.test_store_accounts import Store as Accounts
from tests.conftest import MinioServer, NewMinio

pytestmark = pytest.mark.minio
MIB = 1 << 20
OWN = {
    "runs": ("mlpipeline", "v2/artifacts/a/run-ours/step/1/page"),
    "steps": ("sluice", "runs/run-ours/result.json"),
}
# What stands there of another run, and must stay as it is.
LAID = {
    ("sluice", "datasets/1/rows/part-0.parquet"): "steps",
    ("sluice", "models/1/model.json"): "steps",
    ("sluice", f"code/{hashlib.sha256(b'forged').hexdigest()}.patch"): "steps",
    ("sluice", "runs/run-theirs/result.json"): "steps",
    ("sluice", "training/run-theirs/job/checkpoint.safetensors"): "steps",
    ("sluice", "promotions/flights/000001.json"): "register",
    ("mlpipeline", "v2/artifacts/a/run-theirs/step/1/page"): "runs",
    ("mlpipeline", "private-artifacts/sluice/flow-run-theirs/2026/11/26/pod/main.log"): "runs",
    ("mlflow", "1/models/m-1/artifacts/MLmodel"): "mlflow",
}


class World:
    """A MinIO with accounts, and a gateway before it.

    Attributes:
        accounts: The store's.
        gateway: Running.
    """

    def __init__(self, accounts: Accounts, gateway: Gateway) -> None:
        self.accounts, self.gateway = accounts, gateway

    def client(self, part: str, address: str = OURS) -> Minio:
        """A client with a part's keys, through the gateway, from a pod."""
        return self.gateway.client((f"sluice-{part}", f"secret-of-{part}"), address)

    def raw(self, method: str, path: str, body: bytes = b"", address: str = OURS, **headers: str) -> tuple[int, str]:
        """A request whose path is sent as it stands; status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=20, source_address=(address, 0))
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def boto(self, part: str, endpoint: str) -> Any:
        """boto3's client with a part's keys."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=f"sluice-{part}",
            aws_secret_access_key=f"secret-of-{part}",
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )


@pytest.fixture(scope="module")
def world(new_minio: NewMinio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        server = new_minio().start()
        for name, value in server.settings().items():
            patch.setenv(name, value)
        accounts = Accounts(server, tmp_path_factory.mktemp("store"), patch)
        store_accounts.make(30)
        with Gateway(server, tmp_path_factory.mktemp("gateway")).running() as gateway:
            patch.setenv("AWS_ENDPOINT_URL", gateway.endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", "sluice-steps")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-steps")
            yield World(accounts, gateway)
        server.stop()


@pytest.fixture
def laid(world: World) -> World:
    """With what another run has written, and nothing else."""
    for bucket in BUCKETS:
        for entry in world.accounts.root.list_objects(bucket, recursive=True):
            world.accounts.root.remove_object(bucket, entry.object_name)
    for bucket, name in LAID:
        put(world.accounts.root, bucket, name, b"first")
    return world


@pytest.fixture
def store(laid: World) -> Store:
    """The store as steps open it: their account, through the gateway."""
    return open_store("sluice+s3://sluice")


def unchanged(world: World) -> bool:
    """Whether all that another run has written stands as it stood."""
    return all(get(world.accounts.root, bucket, name) == b"first" for bucket, name in LAID)


def denied(world: World, part: str, bucket: str, name: str) -> str:
    """The code that a put of a step of our run ends with."""
    with pytest.raises(S3Error) as caught:
        put(world.client(part), bucket, name)
    return str(caught.value.code)


class TestWhatRunsDo:
    def test_a_run_writes_its_own_again_and_again(self, laid: World) -> None:
        for part, (bucket, name) in OWN.items():
            for data in (b"1", b"22"):
                put(laid.client(part), bucket, name, data)
                assert get(laid.client(part), bucket, name) == data
        put(laid.client("runs"), "mlpipeline", "private-artifacts/sluice/flow-run-ours/2026/11/26/pod/main.log")

    def test_a_step_publishes_files_of_one_part_and_of_many(self, store: Store, tmp_path: Path) -> None:
        for size in (0, 1, 5 * MIB, 23 * MIB + 7):
            source, target = tmp_path / "source", tmp_path / "target"
            source.write_bytes(random_bytes(size))
            store.put_file(f"datasets/2/rows ä+%/{size}", source)
            store.get_file(f"datasets/2/rows ä+%/{size}", target)
            assert target.read_bytes() == source.read_bytes()

    @pytest.mark.parametrize("size", [100, 12 * MIB])
    def test_a_killed_steps_retry_finds_its_own_files_and_finishes(
        self, store: Store, tmp_path: Path, size: int
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(random_bytes(size))
        for _ in range(2):
            store.put_file("models/2/weights", source)

    @pytest.mark.parametrize("size", [100, 12 * MIB])
    def test_another_content_is_refused_by_name(self, store: Store, tmp_path: Path, size: int) -> None:
        source = tmp_path / "source"
        source.write_bytes(random_bytes(size))
        store.put_file("models/2/weights", source)
        before = store.get_bytes("models/2/weights")
        source.write_bytes(random_bytes(size))
        with pytest.raises(BadInput, match="sluice/models/2/weights is there already with another content") as caught:
            store.put_file("models/2/weights", source)
        assert "\n" not in str(caught.value)
        assert store.get_bytes("models/2/weights") == before

    def test_conditional_puts_are_as_before(self, store: Store) -> None:
        for key in ("datasets/3/manifest.json", "runs/run-ours/x"):
            assert store.put_if_absent(key, b"mine")
            assert not store.put_if_absent(key, b"yours")
            assert store.get_bytes(key) == b"mine"

    def test_what_an_administrator_removed_can_be_made_again(self, laid: World, store: Store) -> None:
        laid.accounts.root.remove_object("sluice", "models/1/model.json")
        store.put_bytes("models/1/model.json", b"again")

    def test_checkpoints_come_and_go(self, store: Store) -> None:
        for data in (b"1", b"22"):
            store.put_bytes("training/run-ours/job/checkpoint.safetensors", data)
        store.delete("training/run-ours/job/checkpoint.safetensors")
        assert not store.exists("training/run-ours/job/checkpoint.safetensors")
        store.put_bytes("own/anything", b"x")
        store.delete("own/anything")

    def test_an_upload_that_breaks_off_is_cleared_away(self, laid: World) -> None:
        client = laid.client("steps")
        upload = client._create_multipart_upload("sluice", "datasets/4/x", {})
        client._abort_multipart_upload("sluice", "datasets/4/x", upload)

    def test_the_step_that_registers_adds_promotions(self, laid: World) -> None:
        put(laid.client("register"), "sluice", "promotions/flights/000002.json")
        assert denied(laid, "register", "sluice", "promotions/flights/000002.json") == "PreconditionFailed"

    def test_mlflows_addresses_take_parts_of_a_file(self, laid: World) -> None:
        """As MLflow's server signs them for steps (`sign_for`); it begins and completes the upload itself."""
        server = laid.boto("mlflow", laid.accounts.server.endpoint)
        key = "1/models/m-2/artifacts/weights"
        upload = server.create_multipart_upload(Bucket="mlflow", Key=key)["UploadId"]
        parts = []
        for number, data in enumerate((b"1" * 5 * MIB, b"2"), 1):
            url = laid.boto("mlflow", laid.gateway.endpoint).generate_presigned_url(
                "upload_part", Params={"Bucket": "mlflow", "Key": key, "PartNumber": number, "UploadId": upload}
            )
            answer = urllib3.request("PUT", url, body=data)
            assert answer.status == 200, answer.data
            parts.append({"PartNumber": number, "ETag": answer.headers["etag"]})
        server.complete_multipart_upload(Bucket="mlflow", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
        url = laid.boto("mlflow", laid.gateway.endpoint).generate_presigned_url(
            "get_object", Params={"Bucket": "mlflow", "Key": key, "ResponseContentDisposition": "attachment; x=y"}
        )
        assert urllib3.request("GET", url).data == b"1" * 5 * MIB + b"2"

    def test_another_sdk_writes_and_reads_through_it(self, laid: World) -> None:
        client = laid.boto("steps", laid.gateway.endpoint)
        client.upload_fileobj(io.BytesIO(b"x" * 20 * MIB), "sluice", "datasets/5/a b+ä")
        assert client.get_object(Bucket="sluice", Key="datasets/5/a b+ä")["ContentLength"] == 20 * MIB
        client.put_object(Bucket="sluice", Key="datasets/5/small", Body=b"x")
        assert len(client.list_objects_v2(Bucket="sluice", Prefix="datasets/5/")["Contents"]) == 2


class TestAttacks:
    @pytest.mark.parametrize(("place", "part"), LAID.items(), ids=lambda value: str(value))
    def test_nothing_of_another_run_is_overwritten(self, laid: World, place: tuple[str, str], part: str) -> None:
        code = denied(laid, part, *place)
        assert code in ("AccessDenied", "PreconditionFailed")
        with pytest.raises(S3Error):
            laid.client(part).put_object(*place, io.BytesIO(random_bytes(12 * MIB)), 12 * MIB)
        with pytest.raises(S3Error):
            laid.client(part).remove_object(*place)
        assert unchanged(laid)

    def test_the_refusal_says_who_may_write_what(self, laid: World, store: Store) -> None:
        with pytest.raises(EnvironmentFault, match=r"access denied by the run gateway: run run-ours .* may write"):
            store.put_bytes("runs/run-theirs/result.json", b"forged")
        assert unchanged(laid)

    def test_no_copy_takes_a_places_content(self, laid: World) -> None:
        source = CopySource("sluice", "runs/run-theirs/result.json")
        for name in ("datasets/1/rows/part-0.parquet", "runs/run-ours/copy"):
            with pytest.raises(S3Error, match="x-amz-copy-source"):
                laid.client("steps").copy_object("sluice", name, source)
        assert unchanged(laid)

    def test_no_archive_is_unpacked(self, laid: World) -> None:
        forged = SnowballObject("runs/run-theirs/result.json", data=io.BytesIO(b"forged"), length=6)
        with pytest.raises(S3Error):
            laid.client("steps").upload_snowball_objects("sluice", [forged])
        assert unchanged(laid)

    def test_many_objects_are_not_deleted_at_once(self, laid: World) -> None:
        with pytest.raises(S3Error):
            list(laid.client("steps").remove_objects("sluice", [DeleteObject("training/run-theirs/job/x")]))
        assert unchanged(laid)

    def test_uploads_of_others_are_not_found(self, laid: World) -> None:
        with pytest.raises(S3Error, match="not listed"):
            laid.client("steps")._list_multipart_uploads("sluice")

    def test_the_condition_cannot_be_replaced(self, laid: World) -> None:
        root = laid.accounts.root.stat_object("sluice", "models/1/model.json")
        client = laid.boto("steps", laid.gateway.endpoint)
        for condition in ({"IfMatch": root.etag}, {"IfNoneMatch": "x"}):
            with pytest.raises(Exception, match=r"PreconditionFailed|SignatureDoesNotMatch|NotImplemented"):
                client.put_object(Bucket="sluice", Key="models/1/model.json", Body=b"forged", **condition)
        assert unchanged(laid)

    @pytest.mark.parametrize(
        "path",
        [
            "/sluice/runs/run-ours/../run-theirs/result.json",
            "/sluice/runs/run-ours/%2e%2e/run-theirs/result.json",
            "/sluice/runs/run-ours/..%2frun-theirs/result.json",
            "/sluice//runs/run-theirs/result.json",
            "/sluice/runs/run%2Dtheirs/result.json",
            "/sluice/%72uns/run-theirs/result.json",
            "/sluice/runs/run-ours/./x",
            "//sluice/runs/run-theirs/result.json",
            "/sluice/runs/run-ours/x?tagging",
            "/sluice/runs/run-ours/x?acl",
            "/sluice/runs/run-ours/x?retention",
            "/sluice/runs/run-ours/x?partNumber=1&uploadId=a&uploadId=b",
            "/sluice/runs/run-ours/x?versionId=1",
            "/sluice/runs/run-ours/x;y",
            "/sluice/runs/run-ours/x#/../../run-theirs/result.json",
            "/sluice?policy",
            "/sluice",
            "/other/x",
            "/minio/admin/v3/add-user?accessKey=x",
            "/",
            "http://127.0.0.1/sluice/runs/run-theirs/result.json",
            "/.authorize",
        ],
    )
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "OPTIONS", "PROPFIND"])
    def test_no_spelling_leads_past_the_rules(self, laid: World, method: str, path: str) -> None:
        status, _ = laid.raw(method, path, b"forged")
        assert status in (400, 403, 404, 405), status
        assert unchanged(laid)

    def test_headers_that_make_another_request_are_refused(self, laid: World) -> None:
        for name, value in {
            "x-amz-copy-source": "/sluice/runs/run-theirs/result.json",
            "x-amz-meta-snowball-auto-extract": "true",
            "x-amz-tagging": "a=b",
            "x-amz-object-lock-mode": "GOVERNANCE",
            "x-minio-source-mtime": "2000-01-01T00:00:00Z",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "content-type": "multipart/form-data; boundary=x",
        }.items():
            status, body = laid.raw("PUT", "/sluice/runs/run-ours/x", b"x", **{name: value})
            assert (status, "run gateway: " in body) == (403, True), name

    def test_nobody_says_himself_who_he_is(self, laid: World) -> None:
        lies = {"X-Sluice-Address": THEIRS, "X-Forwarded-For": THEIRS, "X-Real-IP": THEIRS, "X-Sluice-Method": "GET"}
        status, body = laid.raw("PUT", "/sluice/runs/run-theirs/result.json", b"forged", **lies)
        assert (status, "run run-ours" in body) == (403, True)

    def test_who_is_no_pod_of_a_run_writes_nothing_and_is_told_to_wait(self, laid: World) -> None:
        status, body = laid.raw("PUT", "/sluice/datasets/9/x", b"x", NOBODY)
        assert (status, "ServiceUnavailable" in body) == (503, True)

    def test_minios_own_pages_and_administration_are_not_there(self, laid: World) -> None:
        for path in (
            "/minio/admin/v3/info",
            "/minio/health/live",
            "/minio/v2/metrics/cluster",
            "/%6dinio/admin/v3/info",
        ):
            assert laid.raw("GET", path)[0] == 403

    def test_mlflows_addresses_make_no_copies_and_nothing_else_writes_there(self, laid: World) -> None:
        """A presigned address for one object can make MinIO copy another into it (CVE-2026-97731)."""
        url = laid.boto("mlflow", laid.gateway.endpoint).generate_presigned_url(
            "put_object", Params={"Bucket": "mlflow", "Key": "1/x"}
        )
        copied = urllib3.request("PUT", url, headers={"x-amz-copy-source": "/mlflow/1/models/m-1/artifacts/MLmodel"})
        assert copied.status == 403
        assert b"run gateway" in copied.data
        assert denied(laid, "mlflow", "mlflow", "1/models/m-1/artifacts/MLmodel") == "AccessDenied"
        assert unchanged(laid)


class TestFaults:
    def test_without_the_kubernetes_api_reads_pass_and_writes_are_told_to_wait(self, laid: World) -> None:
        laid.gateway.kubernetes.away = True
        try:
            time.sleep(2.1)  # what was known for so long
            assert get(laid.client("steps"), "sluice", "runs/run-theirs/result.json") == b"first"
            assert len(list(laid.client("steps").list_objects("sluice", recursive=True)))
            status, body = laid.raw("PUT", "/sluice/runs/run-ours/x", b"x")
            assert (status, "<Code>ServiceUnavailable</Code>" in body) == (503, True)
            assert probe(laid.gateway, "/ready") == 204
        finally:
            laid.gateway.kubernetes.away = False

    def test_a_step_that_retries_outlives_it(self, laid: World, store: Store) -> None:
        laid.gateway.kubernetes.away = True
        time.sleep(2.1)
        with futures.ThreadPoolExecutor(1) as pool:
            written = pool.submit(store.put_bytes, "runs/run-ours/patient", b"x")
            time.sleep(1.5)
            assert not written.done()
            laid.gateway.kubernetes.away = False
            written.result(timeout=30)

    def test_the_api_is_asked_once_in_two_seconds_for_a_pod(self, laid: World) -> None:
        time.sleep(2.1)
        laid.gateway.kubernetes.asked.clear()
        client, began = laid.client("steps"), time.monotonic()
        for number in range(20):
            put(client, "sluice", f"runs/run-ours/{number}")
        assert len(laid.gateway.kubernetes.asked) <= 2 * (1 + (time.monotonic() - began) / 2)

    def test_without_the_program_beside_it_nothing_is_written(self, minio_server: MinioServer, tmp_path: Path) -> None:
        gateway = Gateway(minio_server, tmp_path)
        with gateway.running():
            gateway.socket.unlink()
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
            for number in range(20):  # those connections that are open still answer
                connection.request("PUT", f"/sluice/runs/run-ours/{number}", b"x")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 503:
                    break
            assert "<Code>ServiceUnavailable</Code>" in body
            assert answer.headers["Retry-After"] == "1"

    def test_a_large_body_that_is_refused_does_not_hang_its_sender(self, laid: World) -> None:
        for _ in range(3):
            with pytest.raises(S3Error) as caught:
                put(laid.client("steps"), "sluice", "runs/run-theirs/x", random_bytes(5 * MIB))
            assert caught.value.code == "AccessDenied"


class TestCache:
    """KFP is not there, so a call that is let through ends with 502: gRPC's clients take that for UNAVAILABLE, which
    launchers and drivers try again."""

    @pytest.mark.parametrize("method", ["CreateTaskV1", "ListTasksV1"])
    def test_kfps_cache_is_reached(self, world: World, method: str) -> None:
        assert grpc_call(world.gateway, f"/api.TaskService/{method}")[0] == 502

    @pytest.mark.parametrize(
        "path",
        [
            "/kubeflow.pipelines.backend.api.v2beta1.RunService/DeleteRun",
            "/api.RunService/CreateRunV1",
            "/api.TaskService/DeleteTask",
            "/api.TaskService/ListTasksV1/",
            "/api.taskservice/ListTasksV1",
            "/api.TaskService/x/../ListTasksV1",
            "/api.TaskService/%4cistTasksV1",
            "/apis/v2beta1/runs",
            "/",
        ],
    )
    def test_nothing_else_of_its_api_is(self, world: World, path: str) -> None:
        _, headers = grpc_call(world.gateway, path)
        assert headers["grpc-status"] == "7", "PERMISSION_DENIED"
        assert "run gateway" in headers["grpc-message"]


def grpc_call(gateway: Gateway, path: str) -> tuple[int, dict[str, str]]:
    """Call KFP's API through the gateway, as gRPC does; HTTP's status, and headers."""
    curl = shutil.which("curl") or pytest.skip(
        "no curl, which speaks HTTP/2: install it (Debian: apt-get install curl)"
    )
    command = [curl, "--silent", "--show-error", "--http2-prior-knowledge", "--path-as-is", "--max-time", "20"]
    command += ["--header", "content-type: application/grpc", "--header", "te: trailers", "--request", "POST"]
    command += ["--dump-header", "-", "--output", "/dev/null", f"http://127.0.0.1:{gateway.cache_port}{path}"]
    first, *rest = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    return int(first.split()[1]), dict(line.strip().split(": ", 1) for line in rest if ": " in line)


def test_its_rules_know_the_charts_layout() -> None:
    from sluice.run_gateway.rules import ARTIFACTS, LOGS

    root = named(manifests(), "ConfigMap", "kfp-launcher")["data"]["defaultPipelineRoot"]
    assert root == f"minio://mlpipeline/{ARTIFACTS}"
    repository = named(manifests(), "ConfigMap", "workflow-controller-configmap")["data"]["artifactRepository"]
    assert f'keyFormat: "{LOGS}/{{{{workflow.namespace}}}}/{{{{workflow.name}}}}/' in repository

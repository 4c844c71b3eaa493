"""Wrong keys, missing rights, missing buckets and malformed addresses: one line each, and no secret in it."""

import http.server
import logging
import threading
from pathlib import Path

import pytest
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.storage import s3_connection
from sluice.storage.object_store import ObjectStore
from sluice.storage.stores import open_store
from tests.conftest import MinioServer
from tests.faults.conftest import every_operation

pytestmark = pytest.mark.minio


@pytest.mark.parametrize(
    ("variable", "said"),
    [("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch")],
)
def test_wrong_keys(
    s3: MinioServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    variable: str,
    said: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    bucket, wrong = s3.bucket(), "wrong-and-secret-0123456789"
    monkeypatch.setenv(variable, wrong)
    for name, operation in every_operation(open_store(f"s3://{bucket}"), tmp_path).items():
        with pytest.raises(EnvironmentFault) as caught:
            operation()
        expected = "access denied" if name == "exists" else said  # the answer to HEAD has no body
        assert expected in str(caught.value), name
        assert f"{s3.endpoint}, s3://{bucket}/" in str(caught.value)
        assert "check AWS_ACCESS_KEY_ID" in str(caught.value)
        for secret in (wrong, s3.secret_key):
            assert secret not in str(caught.value) + caplog.text + "".join(capfd.readouterr())


@pytest.fixture
def reader(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with one object, and credentials that may read it but not write."""
    bucket = s3.bucket()
    open_store(f"s3://{bucket}").put_bytes("k", b"x")
    keys = StaticProvider(s3.access_key, s3.secret_key)
    admin = MinioAdmin(endpoint=f"127.0.0.1:{s3.port}", credentials=keys, secure=False)
    admin.user_add("reader-of-tests", "reader-of-tests-secret")
    admin.policy_set("readonly", user="reader-of-tests")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader-of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-of-tests-secret")
    return bucket


def test_access_denied(reader: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{reader}")
    operations = every_operation(store, tmp_path)
    assert store.get_bytes("k") == b"x"
    for name in ("put_bytes", "put_file", "put_if_absent", "delete"):
        with pytest.raises(EnvironmentFault, match=rf"s3://{reader}/k: access denied; check AWS_ACCESS_KEY_ID"):
            operations[name]()
    assert store.get_bytes("k") == b"x"


def test_a_missing_bucket_is_named(s3: MinioServer, tmp_path: Path) -> None:
    for name, operation in every_operation(open_store("s3://no-such-bucket/p"), tmp_path).items():
        with pytest.raises(BadInput) as caught:
            operation()
        assert str(caught.value).startswith(f"{s3.endpoint} has no bucket 'no-such-bucket'; create it"), name


def test_something_else_than_s3_answers(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = open_store("s3://lake")
        for operation in (lambda: list(store.keys()), lambda: store.put_bytes("k", b""), lambda: store.get_bytes("k")):
            with pytest.raises((EnvironmentFault, BadInput), match=endpoint):
                operation()
        server.shutdown()


@pytest.mark.parametrize("missing", [["AWS_ACCESS_KEY_ID"], ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]])
def test_missing_credentials(s3: MinioServer, monkeypatch: pytest.MonkeyPatch, missing: list[str]) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    with pytest.raises(BadInput, match=f"S3 wants credentials: set {' and '.join(missing)}$"):
        open_store("s3://lake")


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:9000", "ftp://h", "http://", "http://h:port", "http://h/path", "http://user:hidden@h", "http://[::1"],
)
def test_a_malformed_endpoint(s3: MinioServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(BadInput, match="AWS_ENDPOINT_URL_S3 must be like https://host or http://host:port") as caught:
        open_store("s3://lake")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://B_/x", "s3://a/../b", "s3://key:hidden@bucket/x"])
def test_a_malformed_address(s3: MinioServer, uri: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_store(uri)
    assert "hidden" not in str(caught.value)


def test_aws_itself_is_the_default(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert s3_connection.Connection.from_environment().endpoint == "https://s3.eu-central-1.amazonaws.com"
    assert isinstance(open_store("s3://lake"), ObjectStore)
    assert s3.secret_key not in repr(s3_connection.Connection.from_environment())

"""Requests to MinIO with a made-up signature: the name of an access key alone opens nothing.

GHSA-9c4q-hq6p-c237: the last published MinIO takes an upload that signs no payload and ends in a trailer for its
owner's, whatever its signature. platform/hermetic builds it without; upstream's image has the fault, so access keys are
secrets.
"""

import base64
import http.client
import io
import tarfile
import time
import zlib
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.charts.rendering import manifests, of_kind
from tests.conftest import MinioServer, NewMinio

UNSIGNED = {"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked"}
FORGED = b'{"forged": true}'
LEAST_UNKNOWN = 16  # characters of an access key that nobody can guess


def archive() -> bytes:
    """An archive that lays promotions/forged.json where MinIO unpacks it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("promotions/forged.json")
        entry.size = len(FORGED)
        tar.addfile(entry, io.BytesIO(FORGED))
    return packed.getvalue()


def upload(server: MinioServer, body: bytes, signed: dict[str, str], query: dict[str, str]) -> int:
    """The status of an upload to the bucket `data`."""
    connection = http.client.HTTPConnection(server.endpoint.partition("://")[2], timeout=10)
    try:
        connection.request("PUT", f"/data/promotions/forged.json?{urlencode(query)}", body, UNSIGNED | signed)
        return connection.getresponse().status
    finally:
        connection.close()


def credential(name: str, now: str) -> str:
    return f"{name}/{now[:8]}/us-east-1/s3/aws4_request"


def unpacked(server: MinioServer, name: str, now: str) -> int:
    """An archive to be unpacked, signed in a header."""
    words = f"Credential={credential(name, now)}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    body = archive()
    signed = {
        "Authorization": f"AWS4-HMAC-SHA256 {words}",
        "X-Amz-Date": now,
        "X-Amz-Meta-Snowball-Auto-Extract": "true",
        "X-Amz-Decoded-Content-Length": str(len(body)),
    }
    return upload(server, body, signed, {})


def by_query(server: MinioServer, name: str, now: str) -> int:
    """An object, signed in the address."""
    checksum = base64.b64encode(zlib.crc32(FORGED).to_bytes(4, "big")).decode()
    body = f"{len(FORGED):x}\r\n{FORGED.decode()}\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()
    trailer = {"X-Amz-Trailer": "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length": str(len(FORGED))}
    query = {"Credential": credential(name, now), "Date": now, "Expires": "600", "SignedHeaders": "host"}
    words = {f"X-Amz-{key}": value for key, value in query.items()} | {"X-Amz-Algorithm": "AWS4-HMAC-SHA256"}
    return upload(server, body, trailer, words | {"X-Amz-Signature": "0" * 64})


@pytest.mark.minio
@pytest.mark.parametrize("forge", [unpacked, by_query])
def test_a_made_up_signature_writes_nothing(
    new_minio: NewMinio, no_aws: None, forge: Callable[[MinioServer, str, str], int]
) -> None:
    server = new_minio().start()
    client = server.client()
    if not client.bucket_exists("data"):
        client.make_bucket("data")
    status = forge(server, server.settings()["AWS_ACCESS_KEY_ID"], time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    assert [entry.object_name for entry in client.list_objects("data", recursive=True)] == []
    assert 400 <= status < 500


def test_no_access_key_can_be_guessed() -> None:
    found: dict[str, set[str]] = {}
    for objects in (manifests(), manifests(settings=("images.tag=another",))):
        for secret in of_kind(objects, "Secret"):
            for key in {"accesskey", "AWS_ACCESS_KEY_ID"} & set(secret.get("data", {})):
                value = base64.b64decode(secret["data"][key]).decode()
                assert len(value.rpartition("-")[2]) >= LEAST_UNKNOWN
                found.setdefault(secret["metadata"]["name"], set()).add(value)
    assert len(found) >= 10
    assert all(len(values) == 2 for values in found.values()), found

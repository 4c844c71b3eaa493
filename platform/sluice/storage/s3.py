"""A store under a prefix of a bucket at any S3 endpoint."""

import hashlib
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from minio.error import S3Error, ServerError
from minio.helpers import check_bucket_name
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.errors import BadInput
from sluice.core.files import faults, written
from sluice.core.progress import progress
from sluice.storage.keys import check_key, check_prefix
from sluice.storage.s3_connection import KEYS, Connection
from sluice.storage.s3_refusals import Place, no_bucket, refusals
from sluice.storage.s3_retries import reason

BLOCK = 1 << 20
PAUSES = (1, 2, 4)  # seconds before an object whose connection broke is fetched anew
WRITTEN, PRESENT = 200, 412
CONDITION_FAILED = "PreconditionFailed"  # S3's code of 412


class S3Store:
    """A prefix of a bucket that implements `sluice.storage.stores.Store`; safe to share between threads.

    Only plain S3 is asked of the endpoint: objects, listing (version 2), multipart uploads and the conditional put.
    """

    def __init__(self, uri: str) -> None:
        """Nothing is sent yet.

        Args:
            uri: `s3://bucket` or `s3://bucket/prefix`, or the same with `sluice+s3`.

        Raises:
            BadInput: The address, the endpoint or the credentials are missing or malformed.
        """
        self._scheme, _, place = uri.partition("://")
        self._bucket, self._prefix = parse_address(f"s3://{place}")
        self._connection = Connection.from_environment()
        self._client = self._connection.client()
        self._bucket_seen = False

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, in the scheme that it was opened by."""
        return f"{self._scheme}://{self._bucket}/{self._prefix}".rstrip("/")

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:  # noqa: ARG002 - nothing to rename
        """See `Store.put_file`; a file above 5 MiB goes in parts, each with its own checksum."""
        with faults(str(source)), source.open("rb") as content:
            self._put(key, content, source.stat().st_size)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `Store.put_bytes`."""
        self._put(key, io.BytesIO(data), len(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store.put_if_absent`; S3's conditional put is what makes it atomic."""
        with self._refusals(key):
            response = self._connection.put_if_absent(self._bucket, self._name(key), data)
            if response.status == PRESENT:
                # An earlier try may have written it, and only its answer been lost.
                tried_before = bool(response.retries and response.retries.history)
                return tried_before and self.get_bytes(key) == data
            if response.status != WRITTEN:
                raise _refusal(response)
            return True

    def get_file(self, key: str, target: Path) -> None:
        """See `Store.get_file`."""
        with written(target) as out:
            self._get(key, out)

    def get_bytes(self, key: str, bound: Bound = FILE_BYTES) -> bytes:
        """See `Store.get_bytes`."""
        content = _Bounded(bound, f"{self.uri}/{key}")
        self._get(key, content)
        return content.getvalue()

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        with self._refusals(key):
            try:
                self._client.stat_object(self._bucket, self._name(key))
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                self._require_bucket()
                return False
            return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Store.keys`."""
        start = f"{self._prefix}/" if self._prefix else ""
        check_prefix(prefix)
        with self._refusals(prefix):
            for found in self._client.list_objects(self._bucket, start + prefix, recursive=True):
                yield str(found.object_name).removeprefix(start)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._refusals(key):
            self._client.remove_object(self._bucket, self._name(key))

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`: None, whatever the key."""
        check_key(key)
        return None

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}" if self._prefix else check_key(key)

    def _refusals(self, key: str) -> AbstractContextManager[None]:
        name = f"{self._prefix}/{key}" if self._prefix else key
        return refusals(Place(self._connection.endpoint, self._bucket, name))

    def _put(self, key: str, content: BinaryIO, size: int) -> None:
        # The SDK sends a checksum that the server checks: the body's SHA-256 over http, its MD5 over https.
        with self._refusals(key):
            try:
                self._client.put_object(self._bucket, self._name(key), content, size)
            except S3Error as error:
                if error.code != CONDITION_FAILED:
                    raise
                self._require_same(key, content)

    def _require_same(self, key: str, content: BinaryIO) -> None:
        """A release's gateway lets nothing change in datasets and models: what a killed try left must be the same.

        Raises:
            BadInput: It is another content.
        """
        found, wanted = _Digest(), _Digest()
        self._get(key, found)
        content.seek(0)
        shutil.copyfileobj(content, wanted, BLOCK)
        if found.hexdigest() != wanted.hexdigest():
            raise BadInput(
                f"{self.uri}/{key} is there already with another content, and steps may not change it; "
                "have an administrator restore it from a copy or remove it, and run the step again"
            )

    def _get(self, key: str, out: BinaryIO | io.RawIOBase) -> None:
        with self._refusals(key):
            for pause in PAUSES:
                try:
                    return self._stream(key, out)
                except (ProtocolError, ReadTimeoutError) as error:
                    progress(f"S3 broke off {key} ({reason(error)}); fetching it again")
                    time.sleep(pause)
                    out.seek(0)
                    out.truncate()
            return self._stream(key, out)

    def _stream(self, key: str, out: BinaryIO | io.RawIOBase) -> None:
        response = self._client.get_object(self._bucket, self._name(key))
        try:
            for block in response.stream(BLOCK):
                out.write(block)
        finally:
            response.close()
            response.release_conn()

    def _require_bucket(self) -> None:
        """The answer to HEAD has no body: it does not tell a missing object from a missing bucket."""
        self._bucket_seen = self._bucket_seen or self._client.bucket_exists(self._bucket)
        if not self._bucket_seen:
            raise no_bucket(Place(self._connection.endpoint, self._bucket, ""))


class _Bounded(io.BytesIO):
    """Bytes in memory that refuse to become more than a bound allows."""

    def __init__(self, bound: Bound, where: str) -> None:
        super().__init__()
        self._bound, self._where = bound, where

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        self._bound.check(self.tell() + memoryview(data).nbytes, self._where, "make it smaller")
        return super().write(data)


class _Digest(io.RawIOBase):
    """Bytes of which only the SHA-256 is kept."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        self._hash.update(data)
        return memoryview(data).nbytes

    def seek(self, _offset: int, _whence: int = 0, /) -> int:
        """Begin anew, where a connection broke."""
        self._hash = hashlib.sha256()
        return 0

    def truncate(self, _size: int | None = None, /) -> int:
        return 0

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def parse_address(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix may be empty.

    Raises:
        BadInput: It is of another form.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if "@" in bucket:
        raise BadInput(f"the store's address holds credentials; they go into {' and '.join(KEYS)}, not into s3://")
    try:
        check_bucket_name(bucket)
    except ValueError as error:
        raise BadInput(f"store {uri!r}: {error}; give s3://bucket/prefix") from None
    prefix = prefix.rstrip("/")
    return bucket, check_key(prefix) if prefix else ""


def _refusal(response: BaseHTTPResponse) -> S3Error | ServerError:
    """The error that the SDK would raise for this answer."""
    if response.data and "xml" in response.headers.get("content-type", ""):
        return S3Error.fromxml(response)
    return ServerError(f"HTTP status {response.status}", response.status)

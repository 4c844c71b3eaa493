"""A store under a prefix of a bucket of Amazon S3 and its kind, Google Cloud Storage or Azure Blob Storage."""

import hashlib
import io
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore

from sluice.core.bounds import FILE_BYTES, Bound
from sluice.core.errors import BadInput
from sluice.core.files import faults, written
from sluice.core.progress import progress
from sluice.storage import services
from sluice.storage.failures import Failure, asked
from sluice.storage.keys import check_key, check_prefix
from sluice.storage.services import ObjectService, condition_failed, missing, missing_object
from sluice.storage.tries import Tries

if TYPE_CHECKING:
    from obstore import ObjectMeta, WritableFile

    from sluice.storage.services import Client

BLOCK = 1 << 20
PART = 8 << 20  # bytes; what is larger goes in parts
MOST_PARTS = 9_000  # S3 takes 10,000
AT_ONCE = 2  # parts of one file on their way: with PART, what an upload takes of memory
PAUSES = (1, 2, 4)  # seconds before an object whose connection broke is fetched anew
ABORT_SECONDS = 5.0
PAGE = 1000  # keys of one answer to a listing


class ObjectStore:
    """A prefix of a bucket that implements `sluice.storage.stores.Store`; safe to share between threads.

    Only what every such service can do is asked of it: objects, listings, uploads in parts and a put on the condition
    that nothing is there.
    """

    def __init__(self, uri: str, service: ObjectService, prefix: str) -> None:
        """Nothing is sent yet.

        Args:
            uri: The address that it was opened by, such as `s3://bucket/prefix`.
            service: The way to the bucket.
            prefix: Without a slash at its end; may be empty.

        Raises:
            BadInput: SLUICE_STORE_TRIES, SLUICE_CA_FILE or what the service needs is malformed.
        """
        self._uri, self._service, self._prefix = uri.rstrip("/"), service, prefix
        self._tries = Tries(service.name)
        self._quick = service.connect(services.QUICK_SECONDS)
        self._bucket_seen = False

    @property
    def uri(self) -> str:
        """The address, in the scheme that it was opened by."""
        return self._uri

    def put_file(self, key: str, source: Path, *, move: bool = False) -> None:  # noqa: ARG002 - nothing to rename
        """See `Store.put_file`; a file above 8 MiB goes in parts, of which few are in memory."""
        with faults(str(source)), source.open("rb") as content:
            self._put(key, content, source.stat().st_size)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `Store.put_bytes`."""
        self._put(key, io.BytesIO(data), len(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store.put_if_absent`; the service's conditional put is what makes it atomic."""
        name, client, tried = self._name(key), self._client_for(len(data)), 0

        def put() -> bool:
            nonlocal tried
            tried += 1
            try:
                asked(lambda: obstore.put(client, name, data, mode="create", use_multipart=False))
            except Failure as failure:
                if not condition_failed(failure):
                    raise
                return False
            return True

        with self._refusals(key):
            # An earlier try may have written it, and only its answer been lost.
            return self._tries.ask(put, conflict=True) or (tried > 1 and self.get_bytes(key) == data)

    def get_file(self, key: str, target: Path) -> None:
        """See `Store.get_file`."""
        with written(target) as out:
            self._get(key, out)

    def get_bytes(self, key: str, bound: Bound = FILE_BYTES) -> bytes:
        """See `Store.get_bytes`."""
        content = io.BytesIO()
        self._get(key, content, bound)
        return content.getvalue()

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        name = self._name(key)

        def look() -> bool:
            try:
                asked(lambda: obstore.head(self._quick, name))
            except Failure as failure:
                if not missing(failure):
                    raise
                return self._is_there(name)
            return True

        with self._refusals(key):
            return self._tries.ask(look)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Store.keys`."""
        whole = self._full(check_prefix(prefix))
        cut = len(self._full(""))
        with self._refusals(prefix):
            for page in self._pages(whole):
                for name in page:
                    if name.startswith(whole):
                        yield name[cut:]
                if page and page[-1] > whole and not page[-1].startswith(whole):
                    return

    def marks(self, prefix: str = "") -> list[tuple[str, int, str, datetime]]:
        """Key, size, ETag and time of the objects below a folder, sorted; nothing is read: see `storage.marks`."""
        whole = self._full(check_prefix(prefix))
        cut = len(self._full(""))
        with self._refusals(prefix):
            pages = self._tries.ask(lambda: asked(lambda: list(obstore.list(self._quick, whole or None))))
        found = [(e["path"][cut:], e["size"], e["e_tag"] or "", e["last_modified"]) for page in pages for e in page]
        return sorted(found)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        name = self._name(key)

        def delete() -> None:
            try:
                asked(lambda: obstore.delete(self._quick, name))
            except Failure as failure:
                gone = missing_object(failure) or (missing(failure) and not failure.code and not self._is_there(name))
                if not gone:
                    raise

        with self._refusals(key):
            self._tries.ask(delete)

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`: None, whatever the key."""
        check_key(key)
        return None

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _name(self, key: str) -> str:
        return self._full(check_key(key))

    @contextmanager
    def _refusals(self, key: str) -> Iterator[None]:
        """Tell a failure in the words of the service.

        Raises:
            BadInput: The object or the bucket is not there, or the region is another.
            EnvironmentFault: The service is down, denies access, or failed in another way.
        """
        try:
            yield
        except Failure as failure:
            raise self._service.refusal(failure, self._full(key)) from None

    @cached_property
    def _patient(self) -> "Client":
        """The client for large bodies: each of their parts is tried again by obstore before the whole is."""
        return self._service.connect(services.PATIENT_SECONDS, services.PART_TRIES)

    def _client_for(self, size: int) -> "Client":
        return self._quick if size <= BLOCK else self._patient

    def _put(self, key: str, content: BinaryIO, size: int) -> None:
        name = self._name(key)

        def put() -> None:
            content.seek(0)
            if size <= PART:
                data = content.read()
                asked(lambda: obstore.put(self._client_for(size), name, data, use_multipart=False))
            else:
                self._put_parts(name, content, size)

        with self._refusals(key):
            try:
                self._tries.ask(put)
            except Failure as failure:
                if not condition_failed(failure):
                    raise
                self._require_same(key, content)

    def _put_parts(self, name: str, content: BinaryIO, size: int) -> None:
        """Between two blocks Python may act on a signal; on any error the upload is aborted, and nothing is there."""
        part = max(PART, -(-size // MOST_PARTS // BLOCK) * BLOCK)
        self._require_answer(name)
        writer = asked(lambda: obstore.open_writer(self._patient, name, buffer_size=part, max_concurrency=AT_ONCE))
        with _closed(writer):
            while block := content.read(BLOCK):
                asked(partial(writer.write, block))

    def _require_answer(self, name: str) -> None:
        """One quick request: a server that hangs is not waited for as long as a large body may take."""
        try:
            asked(lambda: obstore.head(self._quick, name))
        except Failure as failure:
            if failure.may_pass():
                raise

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

    def _get(self, key: str, out: BinaryIO | io.RawIOBase, bound: Bound | None = None) -> None:
        name = self._name(key)
        with self._refusals(key):
            for pause in PAUSES:
                stream = self._tries.ask(lambda: self._begin(key, name, bound))
                try:
                    return _copy(stream, out)
                except Failure as failure:
                    progress(f"{self._service.name} broke off {key} ({failure.reason}); fetching it again")
                    time.sleep(pause)
                    out.seek(0)
                    out.truncate()
            return _copy(self._tries.ask(lambda: self._begin(key, name, bound)), out)

    def _begin(self, key: str, name: str, bound: Bound | None) -> "Iterator[Any]":
        found = asked(lambda: obstore.get(self._quick, name))
        if bound:
            bound.check(found.meta["size"], f"{self.uri}/{key}", "make it smaller")
        return iter(found.stream(min_chunk_size=BLOCK))

    def _is_there(self, name: str) -> bool:
        """Ask again where an answer had no body: it does not tell a missing object from a missing bucket.

        Raises:
            Failure: The bucket is not there.
        """
        if self._bucket_seen:
            return False
        try:
            asked(lambda: obstore.get(self._quick, name))
        except Failure as failure:
            if not missing_object(failure):
                raise
            self._bucket_seen = True
            return False
        return True

    def _pages(self, whole: str) -> Iterator[list[str]]:
        """The names that may start with `whole`, page by page, sorted; a page that fails is asked for again.

        Services list folders: a prefix within a name is found by starting just before it.
        """
        folder, separator, within = whole.rpartition("/")
        start = f"{folder}{separator}{within[:-1]}" if within[:-1] not in ("", ".", "..") else None
        seen: str | None = start
        stream: Iterator[Sequence[ObjectMeta]] | None = None

        def page() -> list[str]:
            nonlocal stream
            try:
                stream = stream or iter(obstore.list(self._quick, folder or None, offset=seen, chunk_size=PAGE))
                return [each["path"] for each in asked(partial(next, stream, ()))]
            except Failure:
                stream = None
                raise

        if not self._service.sorts:
            yield sorted({name for found in iter(lambda: self._tries.ask(page), []) for name in found})
            return
        while found := self._tries.ask(page):
            seen = found[-1]
            yield found


@contextmanager
def _closed(writer: "WritableFile") -> Iterator[None]:
    """The upload is completed at the end of the `with` block, and aborted where that ends in an error."""
    try:
        yield
    except BaseException:
        # Not longer than a person or Kubernetes waits: what a store that hangs keeps of it, its lifecycle rules remove.
        aborting = threading.Thread(target=_abort, args=(writer,), daemon=True)
        aborting.start()
        aborting.join(ABORT_SECONDS)
        raise
    asked(writer.close)


def _abort(writer: "WritableFile") -> None:
    with suppress(Failure, RuntimeError):  # RuntimeError: a call that was left still has it
        error = InterruptedError("the upload was given up")
        asked(lambda: writer.__exit__(InterruptedError, error, None))


def _copy(stream: "Iterator[Any]", out: BinaryIO | io.RawIOBase) -> None:
    while True:
        block = asked(partial(next, stream, None))
        if block is None:
            return
        out.write(block)


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

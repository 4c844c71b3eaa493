"""What a request to S3 asks for, read in one way only: what can be read in two is refused.

MinIO, nginx and this must never take one request for different things. So a path has its one canonical spelling, a
query has known parameters once each, and a header that makes another request of it is not let through.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote_to_bytes

LONGEST_KEY = 1024  # bytes; S3's own bound
READING = ("GET", "HEAD")
_QUERY = re.compile(r"[A-Za-z0-9%._~=&+*/:-]*")
_PARAMETER = re.compile(r"[A-Za-z0-9-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
# Of a signed address; it stands in the query instead of the header Authorization.
_SIGNATURE = frozenset(
    f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
_MAY_BE_SIGNED = frozenset({"X-Amz-Security-Token"})
# The headers of S3's own that say nothing but what the content is. Others copy, unpack, lock, tag or give away.
_HEADERS = re.compile(
    r"x-amz-(content-sha256|date|security-token|decoded-content-length|checksum-[a-z0-9-]+|sdk-checksum-algorithm"
    r"|trailer|user-agent|expected-bucket-owner|request-payer|meta-.+)"
)
_UNPACKED = re.compile(r"x-amz-meta-(snowball|minio)-?.*|x-amz-meta-.*snowball.*")


class Refused(Exception):
    """Why a request is not let through, in a few words."""


class Asked(Enum):
    """What a request asks for."""

    READ = "read"
    PUT = "put"
    BEGIN = "begin an upload in parts of"
    PART = "put a part of"
    COMPLETE = "complete"
    ABORT = "abort the upload of"
    DELETE = "delete"


# By the method and the parameters of the query.
_ASKED = {
    ("PUT", frozenset[str]()): Asked.PUT,
    ("PUT", frozenset({"partNumber", "uploadId"})): Asked.PART,
    ("POST", frozenset({"uploads"})): Asked.BEGIN,
    ("POST", frozenset({"uploadId"})): Asked.COMPLETE,
    ("DELETE", frozenset[str]()): Asked.DELETE,
    ("DELETE", frozenset({"uploadId"})): Asked.ABORT,
}


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        method: In capital letters.
        uri: Path and query as the client wrote them.
        headers: By name in small letters; what came several times, one after another, separated by commas.
    """

    method: str
    uri: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Wish:
    """What a request asks for.

    Attributes:
        asked: What.
        bucket: Where.
        key: The object's; empty where a read is about the bucket.
        signed_address: Whether its signature stands in the query: whoever made the address gave the right away.
        digest: SHA-256 of what is sent, 64 hexadecimal digits, where the signature covers it: the store checks it.
    """

    asked: Asked
    bucket: str
    key: str
    signed_address: bool = False
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.asked.value} s3://{self.bucket}/{quote(self.key)}"


def wish_of(request: Request) -> Wish:
    """Read a request.

    Raises:
        Refused: It can be read in two ways, or is none of those that steps need.
    """
    path, _, query = request.uri.partition("?")
    bucket, _, key = _decoded(path).removeprefix("/").partition("/")
    parameters = _parameters(query)
    if request.method in READING:
        if "uploads" in parameters:  # who knows the id of an upload can abort it
            raise Refused("uploads that others began are not listed")
        return Wish(Asked.READ, bucket, key)
    _check_key(key)
    _check_headers(request.headers)
    signature = parameters & (_SIGNATURE | _MAY_BE_SIGNED)
    asked = _ASKED.get((request.method, parameters - signature - {"x-id"}))
    if asked is None:
        raise Refused(f"{request.method} with the parameters {sorted(parameters)} is nothing that a step needs")
    if signature and not signature >= _SIGNATURE:
        raise Refused("a signed address lacks a part of its signature")
    digest = request.headers.get("x-amz-content-sha256", "").lower()
    return Wish(asked, bucket, key, bool(signature), digest if _DIGEST.fullmatch(digest) else "")


def _decoded(path: str) -> str:
    try:
        raw = unquote_to_bytes(path)
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("the path is no UTF-8") from None
    if not path.startswith("/") or quote(raw, safe="/-._~") != path:
        raise Refused("the path is not spelled as S3 spells it (percent-encoded, everything but A-Za-z0-9-._~/)")
    return decoded


def _check_key(key: str) -> None:
    if not key:
        raise Refused("buckets stay as they are: only objects are written")
    if len(key.encode()) > LONGEST_KEY or _CONTROL.search(key):
        raise Refused("the key is too long, or holds a control character or a backslash")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise Refused("the key has an empty part, or '.' or '..'")


def _parameters(query: str) -> frozenset[str]:
    if not _QUERY.fullmatch(query):
        raise Refused("the query holds characters that are not percent-encoded")
    names = [part.partition("=")[0] for part in query.split("&") if part]
    if len(set(names)) != len(names) or not all(map(_PARAMETER.fullmatch, names)):
        raise Refused("a parameter of the query stands there twice, or is spelled in percent-encoding")
    return frozenset(names)


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name.startswith("x-minio-") or (name.startswith("x-amz-") and not _HEADERS.fullmatch(name)):
            raise Refused(f"the header {name} is nothing that a step needs")
        if _UNPACKED.fullmatch(name):
            raise Refused(f"the header {name}: archives are not unpacked at the store")
        # Content that no signature covers: MinIO takes it from whoever knows an access key (CVE-2026-40344).
        if name == "x-amz-content-sha256" and value.upper().startswith("STREAMING-UNSIGNED"):
            raise Refused("content must be signed (x-amz-content-sha256)")
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused("forms are not taken")

"""The way to an S3 endpoint: where it is and who asks.

Everything comes from the standard AWS variables: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (default: AWS itself),
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION. TLS trusts the system's
authorities, or those of SSL_CERT_FILE, and that of SLUICE_CA_FILE.
"""

import os
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, urlsplit

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3
from minio.time import to_amz_date, utcnow
from urllib3 import BaseHTTPResponse

from sluice.core.addresses import shown
from sluice.core.authorities import tls_context
from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.settings import check_login, header_text
from sluice.storage.s3_retries import TIMEOUT, TRANSIENT, Pool, retries

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CONFLICT = 409  # S3 may answer it while another writer of the same key is at work


@dataclass(frozen=True)
class Connection:
    """An S3 endpoint and the credentials to use there.

    Attributes:
        endpoint: `https://host` or `http://host:port`.
        region: Part of every signature.
        credentials: Access key, secret key and session token; never shown.
        http: The connections.
    """

    endpoint: str
    region: str
    credentials: Credentials = field(repr=False)
    http: Pool = field(repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the AWS variables.

        Raises:
            BadInput: A variable is missing or malformed; SLUICE_STORE_TRIES or SLUICE_CA_FILE is.
        """
        missing = [name for name in KEYS if not os.environ.get(name)]
        if missing:
            raise BadInput(f"S3 wants credentials: set {' and '.join(missing)}")
        access_key, secret_key = map(header_text, KEYS)
        credentials = Credentials(access_key, secret_key, header_text("AWS_SESSION_TOKEN") or None)
        region = next(filter(None, map(header_text, REGIONS)), "us-east-1")
        endpoint = _endpoint(region)
        trust = tls_context() if endpoint.startswith("https:") else None
        http = Pool(timeout=TIMEOUT, retries=retries(), maxsize=10, ssl_context=trust)
        return cls(endpoint, region, credentials, http)

    def client(self) -> Minio:
        """The SDK's client; buckets stand in the path, as every S3 can serve them.

        Raises:
            BadInput: The SDK refuses the endpoint or the region.
        """
        url, keys = urlsplit(self.endpoint), self.credentials
        try:
            client = Minio(
                url.netloc,
                keys.access_key,
                keys.secret_key,
                keys.session_token,
                secure=url.scheme == "https",
                region=self.region,
                http_client=self.http,
            )
        except ValueError as error:
            raise BadInput(f"{self.endpoint}: {error}; check {ENDPOINTS[1]} and {REGIONS[0]}") from None
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        return client

    def put_if_absent(self, bucket: str, name: str, data: bytes) -> BaseHTTPResponse:
        """PutObject with `If-None-Match: *`, a condition that the SDK's own put cannot send.

        The signature covers the condition and the SHA-256 of the content, which the server checks. It stands in
        a header: a presigned URL would put the session token into every log that shows URLs.

        Source: Amazon S3 user guide, "Conditional writes"; RFC 9110, section 13.1.2.

        Returns:
            The answer; status 412 when an object is there.
        """
        url = urlsplit(f"{self.endpoint}/{bucket}/{quote(name)}")
        now, digest = utcnow(), sha256_bytes(data)
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Host": url.netloc,
            "If-None-Match": "*",
            "x-amz-content-sha256": digest,
            "x-amz-date": to_amz_date(now),
        }
        if self.credentials.session_token:
            headers["X-Amz-Security-Token"] = self.credentials.session_token
        signed = sign_v4_s3(
            method="PUT",
            url=url,
            region=self.region,
            headers=headers,
            credentials=self.credentials,
            content_sha256=digest,
            date=now,
        )
        again = retries(TRANSIENT | {CONFLICT})
        return self.http.urlopen("PUT", url.geturl(), body=data, headers=signed, retries=again)


def _endpoint(region: str) -> str:
    name = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if name is None:
        return f"https://s3.{region}.amazonaws.com"
    way_out = f"{name} must be like https://host or http://host:port"
    check_login(name, os.environ[name])
    try:
        url = urlsplit(os.environ[name])
        host, port = url.hostname, url.port
    except ValueError:
        raise BadInput(f"{way_out}; its host or port is malformed") from None
    if url.username or url.password:
        raise BadInput(f"{way_out}, without a user or password in it; the credentials go into {' and '.join(KEYS)}")
    if url.scheme not in ("http", "https") or not host or url.path not in ("", "/") or url.query or url.fragment:
        raise BadInput(f"{way_out}, not {shown(os.environ[name])!r}")
    place = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{place}:{port}" if port else f"{url.scheme}://{place}"

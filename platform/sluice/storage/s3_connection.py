"""MinIO's own client, for what is MinIO's own: buckets, their versions and lifecycle, accounts and policies.

Where it is and who asks comes from the variables of `sluice.storage.s3`; who administers it has keys. Objects go
through `sluice.storage.stores`.
"""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from minio import Minio
from minio.credentials.credentials import Credentials

from sluice.core.authorities import tls_context
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import S3Variables
from sluice.storage.s3 import ENDPOINTS, REGIONS, endpoint, region
from sluice.storage.s3_retries import TIMEOUT, Pool, retries


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
        given = settings().s3
        missing = [key.name for key in (S3Variables.access_key, S3Variables.secret_key) if not given.is_set(key)]
        if missing:
            raise BadInput(f"S3 wants credentials: set {' and '.join(missing)}")
        session = given.session_token.reveal() or None
        credentials = Credentials(given.access_key.reveal(), given.secret_key.reveal(), session)
        zone = region(given)
        place = endpoint(given, zone)
        trust = tls_context() if place.startswith("https:") else None
        http = Pool(timeout=TIMEOUT, retries=retries(), maxsize=10, ssl_context=trust)
        return cls(place, zone, credentials, http)

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

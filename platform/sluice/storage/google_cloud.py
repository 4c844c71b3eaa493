"""Google Cloud Storage: `gs://bucket/prefix`.

Who asks is what Google calls application default credentials: the file in GOOGLE_APPLICATION_CREDENTIALS (a service
account's key, a person's login by gcloud, or an identity of another cluster), else the file that gcloud keeps
for the person, else the metadata service of the machine or of the pod (workload identity of GKE), at GCE_METADATA_HOST
where that is set.

Source: Google Cloud's documentation, "How Application Default Credentials works"; Cloud Storage's XML API.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import GoogleVariables
from sluice.storage.object_store import ObjectStore
from sluice.storage.s3 import checked_prefix
from sluice.storage.services import Advice, ObjectService

if TYPE_CHECKING:
    from obstore.store import GCSCredential

CREDENTIALS, ENDPOINT = GoogleVariables.credentials.name, GoogleVariables.endpoint.name
_DEFAULT = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)
_OWN = ("service_account", "authorized_user")  # the kinds of credentials that obstore reads by itself
_FEDERATED = "external_account"  # the kind that Google's own library reads for it


def open_google(uri: str) -> ObjectStore:
    """Open a store at `gs://bucket/prefix` or `sluice+gs://bucket/prefix`; nothing is sent yet.

    Raises:
        BadInput: The address, or the file with the credentials, is missing or malformed.
    """
    from obstore.store import GCSStore

    bucket, _, prefix = uri.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadInput("the store's address names no bucket of Google Cloud Storage; give gs://bucket/prefix")
    given = settings().google
    prefix, place, provider = checked_prefix(prefix), given.endpoint or _DEFAULT, _credentials(given.credentials)
    options: dict[str, Any] = {"base_url": place, "skip_signature": False}
    role = "the service account of this workload"
    advice = Advice(
        keys=f"{CREDENTIALS}, or {role}",
        rights=f"the roles of {role}",
        identity=f"set {CREDENTIALS}, or give the workload a service account",
        region=ENDPOINT,
        address=ENDPOINT,
    )
    service = ObjectService(
        "Google Cloud Storage",
        place,
        "gs",
        bucket,
        advice,
        sorts=True,
        client=lambda client, retry: GCSStore(
            bucket, client_options=client, retry_config=retry, credential_provider=provider, **options
        ),
    )
    return ObjectStore(uri, service, prefix)


def _credentials(path: str) -> "Callable[[], GCSCredential] | None":
    """Google's own library for a kind of credentials that obstore does not read, such as that of another cloud.

    Raises:
        BadInput: The file is not there, or holds no credentials.
    """
    if not path:
        return None
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        kind = told["type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no credentials of Google's in JSON"
        raise _no_credentials(path, str(why)) from None
    if kind in _OWN:
        return None
    if kind != _FEDERATED:
        raise _no_credentials(path, f"credentials of the kind {kind!r} are not read here, but {', '.join(_OWN)} are")
    return _federated(path, told)


def _federated(path: str, told: dict[str, Any]) -> "Callable[[], GCSCredential]":
    """A token of another cluster or identity provider, from a file or an address, for one of Google's."""
    from google.auth.exceptions import GoogleAuthError
    from google.auth.identity_pool import Credentials
    from obstore.auth.google import GoogleCredentialProvider

    try:
        found = Credentials.from_info(told, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
    except (GoogleAuthError, ValueError, TypeError) as error:
        raise _no_credentials(path, str(error)) from None
    return GoogleCredentialProvider(found)


def _no_credentials(path: str, why: str) -> BadInput:
    return BadInput(f"{CREDENTIALS}={path!r}: {why}; name the file that Google's console or gcloud wrote")

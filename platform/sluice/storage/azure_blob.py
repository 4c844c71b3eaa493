"""Azure Blob Storage: `az://container/prefix` of the account in AZURE_STORAGE_ACCOUNT_NAME.

Who asks is the first that is set of: the account's key in AZURE_STORAGE_ACCOUNT_KEY; a shared access signature in
AZURE_STORAGE_SAS_TOKEN; the identity of the pod's service account (AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID,
AZURE_TENANT_ID: workload identity, as its webhook sets them); an application's secret (AZURE_CLIENT_SECRET with the
same two); the machine's managed identity (AZURE_CLIENT_ID where it has several).

Source: Azure's documentation, "Authorize access to blobs", "Microsoft Entra Workload ID", "Managed identities".
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.core.environment import variable
from sluice.core.errors import BadInput
from sluice.core.settings import header_text, web_address
from sluice.storage.object_store import ObjectStore
from sluice.storage.s3 import checked_prefix
from sluice.storage.services import Advice, ObjectService

ACCOUNT, ENDPOINT = "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT"
KEY, SIGNATURE = "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"
TOKEN_FILE, CLIENT, TENANT = "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"
SECRET, AUTHORITY = "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"
MACHINE = "AZURE_IDENTITY_ENDPOINT"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}", re.ASCII)
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root", re.ASCII)


@dataclass(frozen=True)
class AzureIdentity:
    """Who asks Azure.

    Attributes:
        options: What obstore is told of it; never shown.
        keys: What to check where Azure does not know the asker.
        source: What to check where nobody gives out a token.
    """

    options: dict[str, Any] = field(repr=False)
    keys: str
    source: str = ""


def open_azure(uri: str) -> ObjectStore:
    """Open a store at `az://container/prefix` or `sluice+az://container/prefix`; nothing is sent yet.

    Raises:
        BadInput: The address, the account or the credentials are missing or malformed.
    """
    from obstore.store import AzureStore

    container, _, prefix = uri.partition("://")[2].partition("/")
    if not _CONTAINER.fullmatch(container) or len(container) > 63:
        raise BadInput("the store's address names no container of Azure Blob Storage; give az://container/prefix")
    prefix, account = checked_prefix(prefix), _account()
    place, asker = web_address(ENDPOINT) or f"https://{account}.blob.core.windows.net", identity()
    options = {
        "account_name": account,
        "endpoint": place,
        "use_emulator": False,
        "skip_signature": False,
        "use_azure_cli": False,
        **asker.options,
    }
    advice = Advice(
        keys=asker.keys,
        rights=f"that {asker.keys} has the role Storage Blob Data Contributor",
        identity=asker.source,
        region=ENDPOINT,
        address=f"{ENDPOINT} and {ACCOUNT}",
        bucket="container",
    )
    service = ObjectService(
        "Azure Blob Storage",
        place,
        "az",
        container,
        advice,
        sorts=False,
        client=lambda client, retry: AzureStore(container, client_options=client, retry_config=retry, **options),
    )
    return ObjectStore(uri, service, prefix)


def identity() -> AzureIdentity:
    """Who asks.

    Raises:
        BadInput: An identity is named by half, or its file is not there.
    """
    if variable(KEY):
        return AzureIdentity({"account_key": header_text(KEY), "credential_type": "access_key"}, KEY)
    if variable(SIGNATURE):
        return AzureIdentity({"sas_key": header_text(SIGNATURE), "credential_type": "sas_token"}, SIGNATURE)
    if variable(TOKEN_FILE):
        path = variable(TOKEN_FILE)
        if not Path(path).is_file():
            raise BadInput(f"{TOKEN_FILE}={path!r} is no file; it holds a token that the cluster writes there")
        options = {"federated_token_file": path, "credential_type": "workload_identity", **_application(TOKEN_FILE)}
        source = f"check {CLIENT}, {TENANT}, and that the identity trusts the service account"
        return AzureIdentity(options, f"the workload's identity ({CLIENT})", source)
    if variable(SECRET):
        options = {"client_secret": header_text(SECRET), "credential_type": "client_secret", **_application(SECRET)}
        return AzureIdentity(options, f"the application ({CLIENT})", f"check {CLIENT}, {TENANT} and {SECRET}")
    options = {"credential_type": "managed_identity"}
    if client := header_text(CLIENT):
        options["client_id"] = client
    if place := web_address(MACHINE):
        options["msi_endpoint"] = place
    source = f"give the machine a managed identity, or set {TOKEN_FILE} or {KEY}"
    return AzureIdentity(options, "the machine's managed identity", source)


def _account() -> str:
    account = variable(ACCOUNT)
    if not _ACCOUNT.fullmatch(account):
        form = "3 to 24 small letters and digits"
        raise BadInput(f"az:// wants the storage account: set {ACCOUNT} to its name ({form}), not {account!r}")
    return account


def _application(with_what: str) -> dict[str, str]:
    lacking = [name for name in (CLIENT, TENANT) if not variable(name)]
    if lacking:
        raise BadInput(f"{with_what} wants {' and '.join(lacking)} too; workload identity's webhook sets both")
    given = {"client_id": header_text(CLIENT), "tenant_id": header_text(TENANT)}
    if place := web_address(AUTHORITY):
        if not place.startswith("https:"):
            raise BadInput(f"{AUTHORITY} must be https: a token is sent there")
        given["authority_host"] = place
    return given
